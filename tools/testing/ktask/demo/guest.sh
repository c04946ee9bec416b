#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: start containers with different limits. With ktask off and on,
# let each map its memory for a device, as a virtual machine does that starts
# with one, and end each that holds memory; write down what that took.
# Tab-separated, to $OUT/runs.
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

# What a container runs.
args()
{
	case $1 in
	end)	echo "\"/hold\", \"$mib\"" ;;
	map)	echo "\"/map\", \"iommufd\", \"pages\", \"fresh\", \"$mib\"" ;;
	esac
}

# config JOB CGROUP RESOURCES: a container that may pin what it holds, and use
# the device.
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
				"args": [ $(args "$1") ],
				"rlimits": [
					{ "type": "RLIMIT_MEMLOCK", "soft": $((mib << 21)), "hard": $((mib << 21)) }
				]
			},
			"mounts": [
				{ "destination": "/proc", "type": "proc", "source": "proc" },
				{ "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
				{ "destination": "/dev/iommu", "type": "bind", "source": "/dev/iommu", "options": [ "bind" ] },
				{ "destination": "/dev/vfio", "type": "bind", "source": "/dev/vfio", "options": [ "rbind" ] },
				{ "destination": "/sys", "type": "bind", "source": "/sys", "options": [ "rbind", "ro" ] }
			],
			"linux": {
				"cgroupsPath": "/$2",
				"resources": {
					"devices": [ { "allow": true, "access": "rwm" } ]${3:+, $3}
				},
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

# start JOB NAME CGROUP RESOURCES: returns once the container is ready for it.
start()
{
	local name=$2 said

	config "$1" "$3" "$4" >"$bundle/config.json"
	runtime run --detach --bundle "$bundle" --pid-file "$bundle/pid" "$name" \
		<&"$to_container" >"$bundle/stdout" 2>"$bundle/stderr" &
	read -r -t 240 said <&"$from_container" || :
	wait "$!" || die "crun did not start $name: $(tail -n 1 "$bundle/stderr")"
	[ "${said:-}" = ready ] || die "$name is not ready: ${said:-} $(tail -n 1 "$bundle/stderr")"
}

# Do what a container is there for, and print how long it took, in ns.
job()
{
	local ns

	case $1 in
	end)	./end "$(<"$bundle/pid")" ;;
	map)
		echo go >&"$to_container"
		read -r -t 240 ns <&"$from_container" && echo "$ns"
		;;
	esac
}

# The number beside a name in a file of the container's cgroup.
number()
{
	awk -v name="$2" '$1 == name { n = $2 } END { print n + 0 }' "$cgroup/$1"
}

run_case()
{
	local job=$1 pair=$2 mode=$3 name=$4 limits=$5 path=$6 resources=$7
	local effective ns usage throttled left

	start "$job" "$name" "$path" "$resources"
	[ "$mode" = on ] || echo 1 >"$switch"
	effective=$(<"$cgroup/$path/cpu.ktask.effective")
	usage=$(number "$path/cpu.stat" usage_usec)
	throttled=$(number "$path/cpu.stat" throttled_usec)
	ns=$(job "$job") || die "$name did not $job"
	usage=$(($(number "$path/cpu.stat" usage_usec) - usage))
	throttled=$(($(number "$path/cpu.stat" throttled_usec) - throttled))
	left=$(<"$cgroup/$path/cpu.ktask.current")
	[ "$left" -eq 0 ] || die "$name is done and still has $left helpers"
	printf '%s\t' "$job" "$pair" "$mode" "$name" "$limits" "/$path" "$effective" \
		"$(<"$cgroup/$path/cpu.ktask.peak")" \
		"$(number "$path/cpu.ktask.stat" helpers_lent)" \
		"$ns" "$usage" >>"$OUT/runs"
	printf '%s\n' "$throttled" >>"$OUT/runs"
	[ "$job" = end ] || ./end "$(<"$bundle/pid")" >/dev/null || die "$name could not be ended"
	echo "$all" >"$switch"
	runtime delete "$name" || die "crun did not delete $name"
}

# One line of cases(), off and on; who comes first changes with every pair.
run_pair()
{
	local job=$1 pair=$2 modes='off on' mode

	shift 2
	[ $((pair % 2)) -eq 0 ] || modes='on off'
	for mode in $modes; do
		run_case "$job" "$pair" "$mode" "$@"
	done
}

[ -e "$switch" ] || die "this kernel has no ktask"
all=$(<"$switch")
mkdir -p "$bundle"/rootfs/{proc,dev,sys}
cp hold map "$bundle/rootfs/"
mkfifo "$bundle/stdin" "$bundle/stdout"
exec {to_container}<>"$bundle/stdin" {from_container}<>"$bundle/stdout"
# Where it runs first it may choose the device's driver.
./map iommufd pages fresh 2 </dev/null >/dev/null || die "there is no device that VFIO can use"
cgcreate -g cpu:tenant || die "cgcreate failed"
cgset -r cpu.ktask.max=0 tenant || die "cgset failed"

# The first pair warms up and is not counted.
for ((pair = 0; pair <= pairs; pair++)); do
	for job in end map; do
		while IFS='|' read -r name limits path resources; do
			echo "pair $pair of $pairs: $job $name"
			run_pair "$job" "$pair" "$name" "$limits" "$path" "$resources" </dev/null
			[ "$pair" -gt 0 ] || break
		done < <(cases)
	done
done
