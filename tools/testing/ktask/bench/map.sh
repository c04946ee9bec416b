#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: map memory for a device, every case with ktask off and on in
# turn. One line per sample to $OUT/map-PERCENT.csv.
#
# usage: map.sh REPS PERCENT API/KIND/STATE/MIB...; PERCENT of a CPU is the
# cpu.max for it, or max

set -euo pipefail

. ./held.sh
. ./turns.sh

reps=$1 percent=$2
shift 2
group=/sys/fs/cgroup/bench
period=100000
pool=/proc/sys/vm/nr_hugepages

limit()
{
	case $percent in
	max)	echo "max $period" ;;
	*)	echo "$((percent * period / 100)) $period" ;;
	esac
}

# In the group from the start, limited only once all is set up. "own": the
# program touches the memory itself, with a thread for each CPU.
sample()
{
	local rep=$1 mode=$2 api=$3 kind=$4 state=$5 mib=$6
	local threads=0 ns usage throttled before after

	[ "$mode" != own ] || threads=$(nproc)
	[ "$kind" != hugetlb ] || echo "$((mib / 2))" >"$pool"
	mkdir "$group"
	hold in_group "$group" ./map "$api" "$kind" "$state" "$mib" "$threads"
	ktask_set "$mode"
	before=$(./pace)
	limit >"$group/cpu.max"
	charged "$group" let_go ns
	echo "max" >"$group/cpu.max"
	after=$(./pace)
	echo end >&"$to_held"
	hold_end
	ktask_set on
	rmdir "$group"
	echo 0 >"$pool"
	[ "$rep" -eq 0 ] ||
		echo "$percent,$api,$kind,$state,$mib,$rep,$mode,$ns,$usage,$throttled,$before,$after" \
			>>"$OUT/map-$percent.csv"
}

echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
echo "percent,api,kind,state,mib,rep,mode,ns,usage_usec,throttled_usec,pace_before,pace_after" \
	>"$OUT/map-$percent.csv"
for case; do
	echo "$case"
	IFS=/ read -r api kind state mib <<<"$case"
	# Only fresh memory is worth touching first.
	modes='off on'
	[ "$state $percent" != 'fresh max' ] || modes='off on own'
	in_turn "$reps" "$modes" sample "$api" "$kind" "$state" "$mib"
done
