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
. ./turns.sh

reps=$1 mib=$2
shift 2
group=/sys/fs/cgroup/bench

sample()
{
	local rep=$1 mode=$2 percent=$3 looks look

	mkdir "$group"
	hold in_group "$group" ./teardown -w exit pages $((mib * 1024))
	ktask_set "$mode"
	echo "${percent}000 100000" >"$group/cpu.max"
	beside ./watch "$group/cpu.stat"
	let_go _
	ask looks
	beside_end
	hold_end
	ktask_set on
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
	in_turn "$reps" 'off on' sample "$percent"
done
