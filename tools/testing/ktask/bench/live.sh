#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: move every limit in the middle of a teardown and back again,
# and trace that; then trace teardowns of several layouts, for the lengths of
# their chunks. One trace per run to $OUT/traces.
#
# usage: live.sh REPS MIB KIND... -- LAYOUT/MIB...

set -euo pipefail

. ./held.sh

reps=$1 mib=$2
shift 2
tracing=/sys/kernel/tracing
base=/sys/fs/cgroup/bench
cpus=$(nproc)
last=$((cpus - 1))
# What most limits are narrowed to: half of the CPUs
half=$(((cpus + 1) / 2))

in_group()
{
	echo "$BASHPID" >"$base/a/cgroup.procs"
	exec "$@"
}

trace_start()
{
	echo 0 >"$tracing/tracing_on"
	echo >"$tracing/trace"
	echo 1 >"$tracing/tracing_on"
}

trace_save()
{
	echo 0 >"$tracing/tracing_on"
	cat "$tracing/trace" >"$OUT/traces/$1.trace"
}

# groups_make [CONTROLLER]...: the caller's, and another one that allows no
# helpers.
groups_make()
{
	local enable="${*/#/+}"

	echo "$enable" >/sys/fs/cgroup/cgroup.subtree_control
	mkdir "$base" "$base/a" "$base/b"
	echo "$enable" >"$base/cgroup.subtree_control"
	echo 0 >"$base/b/cpu.ktask.max"
}

groups_end()
{
	rmdir "$base/a" "$base/b" "$base"
	echo -cpuset >/sys/fs/cgroup/cgroup.subtree_control
}

# The room for helpers that is left, and what is to be written where.
choose_moves()
{
	local kind=$1 pid=$2

	room=$((half - 1))
	case $kind in
	cpu.ktask.max)
		narrow="$base/a/cpu.ktask.max=$room" widen="$base/a/cpu.ktask.max=max" ;;
	cpu.max)
		narrow="$base/a/cpu.max=${half}00000 100000" widen="$base/a/cpu.max=max 100000" ;;
	cpuset.cpus)
		narrow="$base/a/cpuset.cpus=0-$room" widen="$base/a/cpuset.cpus=0-$last" ;;
	affinity)
		narrow=$(printf 'affinity:%d=%x' "$pid" $(((1 << half) - 1)))
		widen=$(printf 'affinity:%d=%x' "$pid" $(((1 << cpus) - 1))) ;;
	max_threads)
		narrow="/proc/sys/debug/ktask_max_threads=$half"
		widen="/proc/sys/debug/ktask_max_threads=$cpus" ;;
	offline)
		room=$((last - 1))
		narrow="/sys/devices/system/cpu/cpu$last/online=0"
		widen="/sys/devices/system/cpu/cpu$last/online=1" ;;
	moved)
		room=0
		narrow="$base/b/cgroup.procs=$pid" widen="$base/a/cgroup.procs=$pid" ;;
	*)
		echo "no kind $kind of change"
		exit 1 ;;
	esac
}

# A run that was over before the limit was moved tells nothing, and is no error.
change_in_run()
{
	local kind=$1 rep=$2 size=$mib controllers=(cpu) rc=0

	# To take a CPU down takes as long as all else together. Where there are
	# cpusets it would even wait for munmap() to end and give mmap_lock back,
	# with ktask or without.
	[ "$kind" != offline ] || size=$((3 * mib))
	[ "$kind" != cpuset.cpus ] || controllers+=(cpuset)
	groups_make "${controllers[@]}"
	hold in_group ./teardown -w munmap aliases $((size * 1024))
	choose_moves "$kind" "$held"
	trace_start
	let_go_start
	./change "$kind" "$base/cpu.ktask.current" "$last" "$room" "$narrow" "$widen" || rc=$?
	let_go_end _
	trace_save "$kind-$rep"
	hold_end
	groups_end
	# What change did not get round to.
	echo 1 >"/sys/devices/system/cpu/cpu$last/online"
	echo "$cpus" >/proc/sys/debug/ktask_max_threads
	[ "$rc" -ne 1 ] || exit 1
}

chunks_of_run()
{
	local case=$1 rep=$2 layout size

	IFS=/ read -r layout size <<<"$case"
	groups_make cpu
	hold in_group ./teardown -w munmap "$layout" $((size * 1024))
	trace_start
	let_go _
	trace_save "chunks-$layout-$rep"
	hold_end
	groups_end
}

echo mono >"$tracing/trace_clock"
echo 16384 >"$tracing/buffer_size_kb"
echo 1 >"$tracing/events/ktask/enable"
mkdir "$OUT/traces"

run=change_in_run
for case; do
	if [ "$case" = -- ]; then
		run=chunks_of_run
		continue
	fi
	echo "live: $case"
	for ((rep = 1; rep <= reps; rep++)); do
		"$run" "$case" "$rep"
	done
done
