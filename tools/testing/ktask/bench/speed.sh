#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: tear down every case with ktask off and on in turn. One line
# per sample to $OUT/speed.csv.
#
# usage: speed.sh REPS HOW/LAYOUT/MIB...

set -euo pipefail

. ./held.sh
. ./turns.sh

reps=$1
shift

# The host's pace is taken when the memory is in use, and when it is gone.
teardown()
{
	local ns before after

	hold ./teardown -w "$1" "$2" $(($3 * 1024))
	before=$(./pace)
	let_go ns
	after=$(./pace)
	hold_end
	sample="$ns,$before,$after"
}

# A program's own two threads are compared with one, so ktask stays off.
sample()
{
	local rep=$1 mode=$2 how=$3 layout=$4 mib=$5 sample

	ktask_set "$mode"
	[ "$mode" != own ] || how=halves
	teardown "$how" "$layout" "$mib"
	[ "$rep" -eq 0 ] || echo "$3,$layout,$mib,$rep,$mode,$sample" >>"$OUT/speed.csv"
}

echo "how,layout,mib,rep,mode,ns,pace_before,pace_after" >"$OUT/speed.csv"
# The first repetition warms up.
for ((rep = 0; rep <= reps; rep++)); do
	echo "repetition $rep of $reps"
	for case; do
		IFS=/ read -r how layout mib <<<"$case"
		modes=(off on)
		[ "$how" != munmap ] || modes+=(own)
		for mode in $(turns "$rep" "${modes[@]}"); do
			sample "$rep" "$mode" "$how" "$layout" "$mib"
		done
	done
done
