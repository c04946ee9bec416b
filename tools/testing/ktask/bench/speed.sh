#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: tear down every case with ktask off and on in turn. One line
# per sample to $OUT/speed.csv.
#
# usage: speed.sh REPS HOW/LAYOUT/MIB...

set -euo pipefail

reps=$1
shift
switch=/proc/sys/debug/ktask_max_threads
all=$(<"$switch")

# A program's own two threads are compared with one, so ktask stays off.
sample()
{
	local rep=$1 mode=$2 how=$3 layout=$4 mib=$5 ns

	case $mode in
	on)		echo "$all" >"$switch" ;;
	off | own)	echo 1 >"$switch" ;;
	esac
	[ "$mode" != own ] || how=halves
	ns=$(./teardown "$how" "$layout" $((mib * 1024)))
	[ "$rep" -eq 0 ] || echo "$3,$layout,$mib,$rep,$mode,$ns" >>"$OUT/speed.csv"
}

echo "how,layout,mib,rep,mode,ns" >"$OUT/speed.csv"
for case; do
	IFS=/ read -r how layout mib <<<"$case"
	echo "$how $layout $mib MiB"
	# The first repetition warms up. Who comes first changes with each.
	for ((rep = 0; rep <= reps; rep++)); do
		modes='off on'
		[ "$how" != munmap ] || modes='off on own'
		[ $((rep % 2)) -eq 0 ] || modes=$(echo "$modes" | tac -s ' ' | xargs)
		for mode in $modes; do
			sample "$rep" "$mode" "$how" "$layout" "$mib"
		done
	done
done
