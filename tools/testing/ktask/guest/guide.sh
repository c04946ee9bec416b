#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: what the administrator's guide says to type, and what it says comes
# of it. "guide" is its text.

set -u
export PATH=$PWD:$PATH

here=$PWD
top=/sys/fs/cgroup
cap='Cap a noisy cgroup'

# section TITLE: its lines, without the title
section()
{
	awk -v title="$1" '
		{ line[NR] = $0 }
		END {
			for (i = 1; i <= NR; i++) {
				if (line[i + 1] ~ /^===+$/ && line[i] ~ /^[A-Za-z]/)
					on = line[i] == title
				if (on)
					print line[i]
			}
		}' "$here/guide"
}

# block START: the first indented lines after the one that begins like that
block()
{
	awk -v start="$1" '
		index($0, start) == 1 { on = 1; next }
		on && /^    / { print substr($0, 5); any = 1 }
		on && any && !/^    / { exit }'
}

# type_in: each command, "# ...", of standard input has the output that follows it.
type_in()
{
	local line command='' want='' got any=false

	while IFS= read -r line || [ -n "$command" ]; do
		if [ -z "$line" ] || [ "${line:0:2}" = '# ' ]; then
			if [ -n "$command" ]; then
				any=true
				got=$(cd $top && eval "$command" 2>&1 </dev/null)
				if [ "$got" = "$want" ]; then
					echo "ok - guide: $command"
				else
					echo "not ok - guide: $command"
					echo "# said: $got; in the guide: $want"
				fi
			fi
			command='' want=''
			[ -z "$line" ] || command=${line:2}
			continue
		fi
		want+=${want:+$'\n'}$line
	done
	$any || echo "not ok - guide: there is no command where one is expected"
}

# is WHAT WANTED GOT
is()
{
	if [ "$2" = "$3" ]; then
		echo "ok - $1"
	else
		printf '%s\n' "not ok - $1" "# $3, not $2"
	fi
}

# A container called web that sleeps, with what the guide says of its resources
start_container()
{
	mkdir -p bundle/rootfs/{bin,dev,lib,lib64,usr}
	jq -n --argjson guide "{ $(section "$cap" | block 'For a container') }" '{
		ociVersion: "1.0.2",
		root: { path: "rootfs" },
		process: { user: { uid: 0, gid: 0 }, cwd: "/", args: [ "/bin/sleep", "1000" ] },
		mounts: ([ "/bin", "/lib", "/lib64", "/usr" ] |
			map({ destination: ., type: "bind", source: ., options: [ "rbind", "ro" ] })),
		linux: ({ cgroupsPath: "/containers/web",
			  namespaces: [ { type: "mount" }, { type: "pid" } ] } + $guide.linux)
	}' >bundle/config.json
	crun --cgroup-manager=cgroupfs run --detach --bundle bundle web >/dev/null 2>container.said </dev/null
}

echo "# ktask-program: begin guide"
echo "+cpu +cpuset" >$top/cgroup.subtree_control
mkdir -p $top/web
echo "+cpu +cpuset" >$top/web/cgroup.subtree_control
mkdir $top/web/shop

is "the guide has commands in its introduction" 7 \
	"$(section 'What ktask does without configuration' | block 'CPU, by' | grep -c '^# ')"
section 'What ktask does without configuration' | block 'CPU, by' | type_in
section "$cap" | block 'same time' | type_in
is "the cap is set" 2 "$(cat $top/web/cpu.ktask.max)"
section "$cap" | block 'See how many helpers' | type_in
section "$cap" | block 'With libcgroup' | type_in
section "$cap" | block 'or write' >cgconfig.conf
cgconfigparser -l cgconfig.conf || echo "not ok - cgconfigparser takes the guide's file"
is "cgconfigparser sets caps of a tree" "2 0" \
	"$(cat $top/shop/cpu.ktask.max) $(cat $top/shop/batch/cpu.ktask.max)"

start_container || sed 's/^/# /' container.said
is "a container has its cap" 2 "$(cat $top/containers/web/cpu.ktask.max)"
section "$cap" | block 'and change it while' | type_in
is "a running container's cap is changed" 1 "$(cat $top/containers/web/cpu.ktask.max)"
crun --cgroup-manager=cgroupfs delete --force web

section 'See what helpers cost' | block '``usage_usec' | type_in
many='Run hundreds of containers on a host'
section "$many" | block 'Put one cap' | type_in
is "a cap on all tenants is set" 2 "$(cat $top/tenants/cpu.ktask.max)"

{ section 'Find out why a teardown is serial'; section "$many"; section 'Watch a task'; } |
	grep '^    # ' | grep -v tenants | cut -c7- >asked
is "the guide has commands of ktaskctl" 2 "$(grep -c ktaskctl asked)"
while read -r command; do
	is "guide: $command" 0 "$(eval "$command" >/dev/null 2>&1; echo $?)"
done <asked

off='Turn it off'
section "$off" | block 'For one cgroup' | type_in
section "$off" | block 'For the whole machine' | type_in
is "ktask is off" 1 "$(cat /proc/sys/debug/ktask_max_threads)"
echo "# ktask-program: end guide 0"
exit 0
