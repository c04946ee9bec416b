#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest, on an emulator that looks for the longest of some sections from mark
# to mark: munmap() and exit, with ktask off and on in turn. One line per sample to
# $OUT/longest-order.csv.
#
# usage: longest.sh REPS MIB

set -euo pipefail

. ./held.sh
. ./turns.sh

reps=$1 mib=$2
group=/sys/fs/cgroup/a

# sample REP MODE HOW
sample()
{
	local rep=$1 mode=$2 how=$3 helpers

	echo "the longest section: $how, $mode, $rep of $reps"
	helpers=$(number "$group/cpu.ktask.stat" helpers_lent)
	hold in_group "$group" ./teardown -w "$how" pages $((mib * 1024))
	ktask_set "$mode"
	mark
	let_go _
	mark
	hold_end
	ktask_set on
	echo "$rep,$how,$mode,$(($(number "$group/cpu.ktask.stat" helpers_lent) - helpers))" \
		>>"$OUT/longest-order.csv"
}

echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
mkdir "$group"
echo "rep,how,mode,helpers" >"$OUT/longest-order.csv"
for how in munmap exit; do
	in_turn "$reps" 'off on' sample "$how"
done
