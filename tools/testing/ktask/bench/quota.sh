#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: CPU time used and throttled time of a teardown under cpu.max,
# with ktask off and on in turn. One line per sample to $OUT/quota.csv.
#
# usage: quota.sh REPS MIB PERCENT...; 100 percent are one CPU

set -euo pipefail

reps=$1 mib=$2
shift 2
switch=/proc/sys/debug/ktask_max_threads
all=$(<"$switch")
group=/sys/fs/cgroup/bench
period=100000

number()
{
	awk -v name="$1" '$1 == name { print $2 }' "$group/cpu.stat"
}

# In the group from the start, limited only once its memory is in use.
sample()
{
	local percent=$1 rep=$2 mode=$3 word ns usage throttled pid in out

	mkdir "$group"
	coproc { echo "$BASHPID" >"$group/cgroup.procs"
		 exec ./teardown -w exit pages $((mib * 1024)); }
	pid=$COPROC_PID
	exec {in}>&"${COPROC[1]}" {out}<&"${COPROC[0]}"
	read -r word <&"$out"
	[ "$word" = ready ] || { echo "teardown is not ready: $word"; exit 1; }
	[ "$mode" = on ] || echo 1 >"$switch"
	echo "$((percent * period / 100)) $period" >"$group/cpu.max"
	usage=$(number usage_usec) throttled=$(number throttled_usec)
	echo go >&"$in"
	read -r ns <&"$out"
	usage=$(($(number usage_usec) - usage))
	throttled=$(($(number throttled_usec) - throttled))
	exec {in}>&- {out}<&-
	wait "$pid"
	echo "$all" >"$switch"
	rmdir "$group"
	[ "$rep" -eq 0 ] ||
		echo "$percent,$mib,$rep,$mode,$ns,$usage,$throttled" >>"$OUT/quota.csv"
}

echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
echo "percent,mib,rep,mode,ns,usage_usec,throttled_usec" >"$OUT/quota.csv"
for percent; do
	echo "cpu.max of $percent %"
	for ((rep = 0; rep <= reps; rep++)); do
		modes='off on'
		[ $((rep % 2)) -eq 0 ] || modes='on off'
		for mode in $modes; do
			sample "$percent" "$rep" "$mode"
		done
	done
done
