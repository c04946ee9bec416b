#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: CPU time used and throttled time of a teardown under cpu.max,
# with ktask off and on in turn, and by two processes that have half the memory
# each. One line per sample to $OUT/quota.csv.
#
# usage: quota.sh REPS MIB PERIOD PERCENT...; 100 percent are one CPU, a period is
# in microseconds

set -euo pipefail

. ./held.sh
. ./turns.sh

reps=$1 mib=$2 period=$3
shift 3
group=/sys/fs/cgroup/bench

# In the group from the start, limited only once its memory is in use.
sample()
{
	local rep=$1 mode=$2 percent=$3 how=exit ns usage throttled before after

	[ "$mode" != own ] || how=exits
	mkdir "$group"
	hold in_group "$group" ./teardown -w "$how" pages $((mib * 1024))
	ktask_set "$mode"
	before=$(./pace)
	echo "$((percent * period / 100)) $period" >"$group/cpu.max"
	charged "$group" let_go ns
	after=$(./pace)
	hold_end
	ktask_set on
	rmdir "$group"
	[ "$rep" -eq 0 ] ||
		echo "$percent,$mib,$period,$rep,$mode,$ns,$usage,$throttled,$before,$after" >>"$OUT/quota.csv"
}

echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
echo "percent,mib,period,rep,mode,ns,usage_usec,throttled_usec,pace_before,pace_after" >"$OUT/quota.csv"
for percent; do
	echo "cpu.max of $percent %"
	in_turn "$reps" 'off on own' sample "$percent"
done
