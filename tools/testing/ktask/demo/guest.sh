#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: start containers with different limits, end each with ktask off
# and on, and write down what that took. Tab-separated, to $OUT/runs.
#
# usage: guest.sh PAIRS MIB

set -euo pipefail

pairs=$1 mib=$2
cgroup=/sys/fs/cgroup bundle=/run/demo
switch=/proc/sys/debug/ktask_max_threads

die()
{
	printf 'demo: %s\n' "$*"
	exit 1
}

# Name, limits in words, cgroup, and the same limits for the OCI runtime.
cases()
{
	cat <<-'CASES'
		plain|none|demo/plain|
		quota|cpu.max: 1.5 CPUs|demo/quota|"cpu": { "quota": 150000, "period": 100000 }
		one-cpu|cpuset of one CPU|demo/one-cpu|"cpu": { "cpus": "0" }
		serial|cpu.ktask.max: 0|demo/serial|"unified": { "cpu.ktask.max": "0" }
		one-helper|cpu.ktask.max: 1|demo/one-helper|"unified": { "cpu.ktask.max": "1" }
		child|cpu.ktask.max: 4, its parent's: 0|tenant/child|"unified": { "cpu.ktask.max": "4" }
	CASES
}

config()
{
	cat <<-CONFIG
		{
			"ociVersion": "1.0.2",
			"root": { "path": "rootfs", "readonly": true },
			"hostname": "demo",
			"process": {
				"user": { "uid": 0, "gid": 0 },
				"cwd": "/",
				"args": [ "/hold", "$mib" ]
			},
			"mounts": [
				{ "destination": "/proc", "type": "proc", "source": "proc" },
				{ "destination": "/dev", "type": "tmpfs", "source": "tmpfs" }
			],
			"linux": {
				"cgroupsPath": "/$1",
				"resources": { $2 },
				"namespaces": [
					{ "type": "pid" }, { "type": "mount" },
					{ "type": "ipc" }, { "type": "uts" },
					{ "type": "cgroup" }
				]
			}
		}
	CONFIG
}

runtime()
{
	crun --cgroup-manager=cgroupfs "$@"
}

# Returns once the container holds its memory.
start()
{
	local name=$1 said

	config "$2" "$3" >"$bundle/config.json"
	runtime run --detach --bundle "$bundle" --pid-file "$bundle/pid" "$name" \
		>"$bundle/stdout" 2>"$bundle/stderr" &
	read -r -t 240 said <"$bundle/stdout" || :
	wait "$!" || die "crun did not start $name: $(tail -n 1 "$bundle/stderr")"
	[ "${said:-}" = holding ] || die "$name does not hold its memory: $(tail -n 1 "$bundle/stderr")"
}

# The number beside a name in a file of the container's cgroup.
number()
{
	awk -v name="$2" '$1 == name { n = $2 } END { print n + 0 }' "$cgroup/$1"
}

run_case()
{
	local pair=$1 mode=$2 name=$3 limits=$4 path=$5 resources=$6
	local effective ns usage throttled left

	start "$name" "$path" "$resources"
	[ "$mode" = on ] || echo 1 >"$switch"
	effective=$(<"$cgroup/$path/cpu.ktask.effective")
	usage=$(number "$path/cpu.stat" usage_usec)
	throttled=$(number "$path/cpu.stat" throttled_usec)
	ns=$(./end "$(<"$bundle/pid")") || die "$name could not be ended"
	usage=$(($(number "$path/cpu.stat" usage_usec) - usage))
	throttled=$(($(number "$path/cpu.stat" throttled_usec) - throttled))
	left=$(<"$cgroup/$path/cpu.ktask.current")
	[ "$left" -eq 0 ] || die "$name is gone and still has $left helpers"
	printf '%s\t' "$pair" "$mode" "$name" "$limits" "/$path" "$effective" \
		"$(<"$cgroup/$path/cpu.ktask.peak")" \
		"$(number "$path/cpu.ktask.stat" helpers_lent)" \
		"$ns" "$usage" >>"$OUT/runs"
	printf '%s\n' "$throttled" >>"$OUT/runs"
	echo "$all" >"$switch"
	runtime delete "$name" || die "crun did not delete $name"
}

# One line of cases(), off and on; who comes first changes with every pair.
run_pair()
{
	local pair=$1 modes='off on' mode

	shift
	[ $((pair % 2)) -eq 0 ] || modes='on off'
	for mode in $modes; do
		run_case "$pair" "$mode" "$@"
	done
}

[ -e "$switch" ] || die "this kernel has no ktask"
all=$(<"$switch")
mkdir -p "$bundle"/rootfs/{proc,dev}
cp hold "$bundle/rootfs/"
mkfifo "$bundle/stdout"
cgcreate -g cpu:tenant || die "cgcreate failed"
cgset -r cpu.ktask.max=0 tenant || die "cgset failed"

# The first pair warms up and is not counted.
for ((pair = 0; pair <= pairs; pair++)); do
	while IFS='|' read -r name limits path resources; do
		echo "pair $pair of $pairs: $name"
		run_pair "$pair" "$name" "$limits" "$path" "$resources" </dev/null
		[ "$pair" -gt 0 ] || break
	done < <(cases)
done
