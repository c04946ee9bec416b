#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: teardowns that helpers are no help for, or that others suffer from,
# with ktask off and on in turn. One line per sample to $OUT/harm.csv: time, CPU
# time, and TLB shootdowns.
#
# usage: harm.sh REPS HOW/LAYOUT/MIB/WITH...; WITH is nothing, lrugen, zram, zswap
# (of a kernel that has CONFIG_ZSWAP), file (to swap to), or a number of busy threads

set -euo pipefail

. ./held.sh
. ./turns.sh

reps=$1
shift
group=/sys/fs/cgroup/bench
swap=/var/tmp/swap

# What has to be there for a case; swap devices one at a time.
with_start()
{
	case $1 in
	lrugen)	echo y >/sys/kernel/mm/lru_gen/enabled ;;
	zram)
		echo 1 >/sys/block/zram0/reset
		echo 2G >/sys/block/zram0/disksize
		mkswap /dev/zram0 >/dev/null
		swapon /dev/zram0
		;;
	zswap | file)
		[ -f $swap ] || { dd if=/dev/zero of=$swap bs=1M count=1024 2>/dev/null; chmod 600 $swap; mkswap $swap >/dev/null; }
		[ "$1" = file ] || echo Y >/sys/module/zswap/parameters/enabled
		swapon $swap
		;;
	esac
}

with_end()
{
	case $1 in
	lrugen)	echo n >/sys/kernel/mm/lru_gen/enabled ;;
	zram)	swapoff /dev/zram0 ;;
	zswap)	swapoff $swap; echo N >/sys/module/zswap/parameters/enabled ;;
	file)	swapoff $swap ;;
	esac
}

shootdowns()
{
	awk '$1 == "TLB:" { for (i = 2; $i ~ /^[0-9]+$/; i++) n += $i } END { print n + 0 }' /proc/interrupts
}

sample()
{
	local rep=$1 mode=$2 how=$3 layout=$4 mib=$5 with=$6 ns usage before after tlb busy=0

	[[ ! $with =~ ^[0-9]+$ ]] || busy=$with
	mkdir "$group"
	hold in_group "$group" ./teardown -w -b "$busy" "$how" "$layout" $((mib * 1024))
	ktask_set "$mode"
	before=$(./pace)
	tlb=$(shootdowns)
	charged "$group" let_go ns
	tlb=$(($(shootdowns) - tlb))
	after=$(./pace)
	hold_end
	ktask_set on
	rmdir "$group"
	[ "$rep" -eq 0 ] ||
		echo "$how,$layout,$mib,$with,$rep,$mode,$ns,$usage,$tlb,$before,$after" >>"$OUT/harm.csv"
}

echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
echo "how,layout,mib,with,rep,mode,ns,usage_usec,shootdowns,pace_before,pace_after" >"$OUT/harm.csv"
for case; do
	echo "$case"
	IFS=/ read -r how layout mib with <<<"$case"
	with_start "$with"
	in_turn "$reps" 'off on' sample "$how" "$layout" "$mib" "$with"
	with_end "$with"
done
