#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: what a group with cpu.max uses while memory of it is torn down,
# with ktask off and on in turn, looked at every few milliseconds from outside.
# One line per look to $OUT/window.csv.
#
# usage: window.sh REPS MIB PERCENT...; 100 percent are one CPU

set -euo pipefail

. ./held.sh
. ./beside.sh

reps=$1 mib=$2
shift 2
switch=/proc/sys/debug/ktask_max_threads
all=$(<"$switch")
group=/sys/fs/cgroup/bench

in_group()
{
	echo "$BASHPID" >"$group/cgroup.procs"
	exec "$@"
}

sample()
{
	local percent=$1 rep=$2 mode=$3 looks look

	mkdir "$group"
	hold in_group ./teardown -w exit pages $((mib * 1024))
	[ "$mode" = on ] || echo 1 >"$switch"
	echo "${percent}000 100000" >"$group/cpu.max"
	beside ./watch "$group/cpu.stat"
	let_go _
	ask looks
	beside_end
	hold_end
	echo "$all" >"$switch"
	rmdir "$group"
	[ "$rep" -gt 0 ] || return 0
	for look in $looks; do
		echo "$percent,$rep,$mode,${look//:/,}"
	done >>"$OUT/window.csv"
}

echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
echo "percent,rep,mode,ns,usage_usec,nr_periods" >"$OUT/window.csv"
for percent; do
	echo "window: cpu.max of $percent %"
	for ((rep = 0; rep <= reps; rep++)); do
		modes='off on'
		[ $((rep % 2)) -eq 0 ] || modes='on off'
		for mode in $modes; do
			sample "$percent" "$rep" "$mode"
		done
	done
done
