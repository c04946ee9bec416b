#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: CPU time that a teardown takes in a group that has a busy thread
# for each CPU anyway, with ktask off and on in turn, and what is left for those.
# One line per sample to $OUT/saturated.csv.
#
# usage: saturated.sh REPS MIB

set -euo pipefail

. ./held.sh
. ./beside.sh
. ./turns.sh

reps=$1 mib=$2
group=/sys/fs/cgroup/bench

# What the hogs use is no part of it: the caller tells its own CPU time.
sample()
{
	local rep=$1 mode=$2 took helped lent hogs before between after i row

	echo "saturated: repetition $rep of $reps, ktask $mode"
	mkdir "$group"
	mapfile -t hogs < <(yes any | head -n "$(nproc)")
	beside in_group "$group" ./hog "${hogs[@]}"
	hold in_group "$group" ./teardown -w -c munmap pages $((mib * 1024))
	ktask_set "$mode"
	helped=$(number "$group/cpu.ktask.stat" helper_usec) lent=$(number "$group/cpu.ktask.stat" helpers_lent)
	# The busy threads alone, and then beside the teardown
	ask before
	sleep 0.5
	ask between
	let_go took
	ask after
	helped=$(($(number "$group/cpu.ktask.stat" helper_usec) - helped))
	lent=$(($(number "$group/cpu.ktask.stat" helpers_lent) - lent))
	hold_end
	beside_end
	ktask_set on
	rmdir "$group"
	[ "$rep" -gt 0 ] || return 0
	read -ra before <<<"$before"
	read -ra between <<<"$between"
	read -ra after <<<"$after"
	row=$mib,$rep,$mode,${took/ /,},$helped,$lent
	for i in 0 2; do
		row=$row,$((between[i] - before[i])),$((after[i] - between[i]))
	done
	echo "$row" >>"$OUT/saturated.csv"
}

echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
echo "mib,rep,mode,ns,caller_ns,helper_usec,helpers_lent,alone_ns,beside_ns,alone_loops,beside_loops" >"$OUT/saturated.csv"
in_turn "$reps" 'off on' sample
