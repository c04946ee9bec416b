#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: what others feel of a teardown, with ktask off and on in turn. A
# busy thread of another group with the same weight, which is on the CPU where a
# helper would work, or comes to that of the caller: one line per teardown to
# $OUT/neighbour.csv. A thread of the same group that sleeps and wakes up, below a
# cpu.max: one line per time to $OUT/wakeups.csv.
#
# usage: bystander.sh REPS MIB PERCENT...; 100 percent are one CPU

set -euo pipefail

. ./held.sh
. ./beside.sh
. ./turns.sh

reps=$1 mib=$2
shift 2
base=/sys/fs/cgroup/bench
last=$(($(nproc) - 1))

# As with eight CPUs or more
echo 3000000 >/sys/kernel/debug/sched/base_slice_ns

groups_make()
{
	mkdir "$base" "$base/a" "$base/b"
	echo +cpu >"$base/cgroup.subtree_control"
}

groups_end()
{
	rmdir "$base/a" "$base/b" "$base"
}

# neighbour REP MODE helper|caller: whose CPU it is
neighbour()
{
	local rep=$1 mode=$2 whose=$3 cpu=$last before after ns i row

	groups_make
	hold in_group "$base/a" ./teardown -w munmap pages $((mib * 1024))
	ktask_set "$mode"
	if [ "$whose" = caller ]; then
		let_go_start
		sleep 0.01
		cpu=$(awk '{ print $39 }' "/proc/$held/stat")
	fi
	beside in_group "$base/b" ./hog "$cpu"
	ask before
	[ "$whose" = caller ] || let_go_start
	let_go_end ns
	ask after
	read -ra before <<<"$before"
	read -ra after <<<"$after"
	beside_end
	hold_end
	ktask_set on
	groups_end
	[ "$rep" -gt 0 ] || return 0
	row=$whose,$rep,$mode,$ns
	for i in 0 1 2; do
		row=$row,$((after[i] - before[i]))
	done
	echo "$row" >>"$OUT/neighbour.csv"
}

# Once it is limited nothing but the teardown counts.
wakeups()
{
	local rep=$1 mode=$2 percent=$3 late times

	groups_make
	hold in_group "$base/a" ./teardown -w exit pages $((mib * 1024))
	beside in_group "$base/a" ./watch wakeups
	ktask_set "$mode"
	echo "${percent}000 100000" >"$base/a/cpu.max"
	ask times
	let_go _
	ask times
	beside_end
	hold_end
	ktask_set on
	groups_end
	[ "$rep" -gt 0 ] || return 0
	for late in $times; do
		echo "$percent,$rep,$mode,$late"
	done >>"$OUT/wakeups.csv"
}

echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
echo "whose,rep,mode,ns,hog_ns,hog_cpu_ns,hog_loops" >"$OUT/neighbour.csv"
echo "percent,rep,mode,late_ns" >"$OUT/wakeups.csv"
for whose in helper caller; do
	echo "bystander: another group, the CPU of the $whose"
	in_turn "$reps" 'off on' neighbour "$whose"
done
for percent; do
	echo "bystander: the same group, cpu.max of $percent %"
	in_turn "$reps" 'off on' wakeups "$percent"
done
