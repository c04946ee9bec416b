#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest, on an emulator that counts instructions from mark to mark: exit
# under cpu.max, with ktask off and on in turn, and by two processes that have
# half the memory each. One line per sample to $OUT/executed-order.csv.
#
# usage: executed.sh REPS MIB PERCENT; 100 percent are one CPU

set -euo pipefail

. ./held.sh
. ./turns.sh

reps=$1 mib=$2 percent=$3
group=/sys/fs/cgroup/bench

sample()
{
	local rep=$1 mode=$2 how=exit

	[ "$mode" != own ] || how=exits
	mkdir "$group"
	hold in_group "$group" ./teardown -w "$how" pages $((mib * 1024))
	ktask_set "$mode"
	echo "${percent}000 100000" >"$group/cpu.max"
	mark
	let_go _
	mark
	hold_end
	ktask_set on
	rmdir "$group"
	[ "$rep" -eq 0 ] || echo "$rep,$mode" >>"$OUT/executed-order.csv"
}

echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
echo "rep,mode" >"$OUT/executed-order.csv"
echo "instructions under a cpu.max of $percent %"
in_turn "$reps" 'off on own' sample
