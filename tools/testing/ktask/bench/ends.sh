#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest, on an emulator that counts instructions from mark to mark: exit
# three levels below the root, each with a cap and a quota for all CPUs. One line
# per sample to $OUT/ends-order.csv.
#
# usage: ends.sh REPS MIB

set -euo pipefail

. ./held.sh
. ./turns.sh

reps=$1 mib=$2
group=/sys/fs/cgroup/a/b/c

for path in a a/b a/b/c; do
	echo +cpu >"$(dirname "/sys/fs/cgroup/$path")/cgroup.subtree_control"
	mkdir "/sys/fs/cgroup/$path"
	echo "$(($(nproc) * 100000)) 100000" >"/sys/fs/cgroup/$path/cpu.max"
	nproc >"/sys/fs/cgroup/$path/cpu.ktask.max"
done

echo "chunks,helpers" >"$OUT/ends-order.csv"
for ((rep = 0; rep <= reps; rep++)); do
	echo "the ends of chunks: $rep of $reps"
	chunks=$(number "$group/cpu.ktask.stat" chunks)
	helpers=$(number "$group/cpu.ktask.stat" helpers_lent)
	hold in_group "$group" ./teardown -w exit pages $((mib * 1024))
	mark
	let_go _
	mark
	hold_end
	[ "$rep" -eq 0 ] || echo "$(($(number "$group/cpu.ktask.stat" chunks) - chunks)),$((
		$(number "$group/cpu.ktask.stat" helpers_lent) - helpers))" >>"$OUT/ends-order.csv"
done
