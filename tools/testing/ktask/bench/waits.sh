#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: teardowns in one cgroup while threads of another want all CPUs half
# of the time, with ktask off and on in turn. Lines of waits.c to $OUT/waits.csv.
#
# usage: waits.sh REPS MIB TIMES

set -euo pipefail

. ./turns.sh

reps=$1 mib=$2 times=$3
base=/sys/fs/cgroup/bench

sample()
{
	local rep=$1 mode=$2

	mkdir "$base" "$base/a" "$base/b"
	echo +cpu >"$base/cgroup.subtree_control"
	ktask_set "$mode"
	(in_group "$base/a" ./waits "$base/b" "$mib" "$times") >waits.out
	ktask_set on
	helpers=$(number "$base/a/cpu.ktask.stat" helpers_lent)
	echo "waits: $rep of $reps, $mode, $helpers helpers lent"
	until rmdir "$base/a" "$base/b" 2>/dev/null; do sleep 0.1; done
	rmdir "$base"
	[ "$rep" -eq 0 ] || sed "s/^/$mode,/" waits.out >>"$OUT/waits.csv"
}

echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
echo "mode,what,ns" >"$OUT/waits.csv"
in_turn "$reps" 'off on' sample
