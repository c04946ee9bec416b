#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest, on an emulator whose clock counts instructions: what giving
# back little memory costs. One line per measurement to $OUT/small-$kernel.csv.
#
# usage: small.sh KERNEL TIMES HOW/LAYOUT/KIB...

set -euo pipefail

kernel=$1 times=$2
shift 2
switch=/proc/sys/debug/ktask_max_threads

# A thread for each CPU is what ktask has if not told otherwise.
modes=none
[ ! -e "$switch" ] || modes='off on'

echo "kernel,how,layout,kib,mode,instructions" >"$OUT/small-$kernel.csv"
for case; do
	IFS=/ read -r how layout kib <<<"$case"
	echo "$kernel: $how $layout $kib KiB"
	for mode in $modes; do
		case $mode in
		on)	echo 2 >"$switch" ;;
		off)	echo 1 >"$switch" ;;
		esac
		# A process large enough for ktask, but for one that exits
		n=$(./teardown -m 32 "$how" "$layout" "$kib" "$times")
		echo "$kernel,$how,$layout,$kib,$mode,$n" >>"$OUT/small-$kernel.csv"
	done
done
