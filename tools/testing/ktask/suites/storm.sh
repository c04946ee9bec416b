#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A storm: 1000 cgroups tear down at once on 64 CPUs while all limits change
#
# STORM=locks has it on the kernel that watches locks; debug, kcsan and poison a
# smaller one on those that watch memory too, data races, and freed pages.
# STORM_SEED=N repeats the choices of a run that printed N as its seed; without
# it each run has choices of its own.

. "$(dirname "$0")/common.sh"

kind=${STORM:-default}
seed=${STORM_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}

# Dozens of virtual CPUs on a few real ones: one that holds a spinlock, or that
# others wait for to answer an interrupt, may not run for seconds, and then it
# has a whole queue before it. So no lockup, stall or blocked task is found by
# how long it takes. Hangs are the storm's own to find: each round has to end in
# the minutes that -w gives, and the machine has a time limit besides.
patient='nosoftlockup rcupdate.rcu_cpu_stall_suppress=1 sysctl.kernel.hung_task_timeout_secs=0'
# Each CPU would measure this as it starts, all over when others got in between.
patient="$patient lpj=4000000"

case $kind in
default)
	cpus=64 mem=8G limit=900
	arguments=(-n 1000 -r 2 -w 400 -S "$seed")
	;;
locks)
	cpus=64 mem=12G limit=4500
	arguments=(-n 1000 -r 1 -w 2000 -S "$seed")
	;;
debug | kcsan | poison)
	cpus=4 mem=4G limit=900
	arguments=(-n 30 -c 4 -r 2 -w 400 -S "$seed")
	;;
*)
	die "STORM=$kind: there are default, locks, debug, kcsan and poison"
	;;
esac

built=$("$KT_DIR/selftests.sh")
dir=$(payload_dir "storm-$kind")
mkdir -p "$dir/ktask"
cp "$built/ktask/storm" "$dir/ktask/"
cp "$KT_DIR/guest/storm.sh" "$dir/job.sh"
printf '%s\n' "${arguments[@]}" >"$dir/storm-arguments"
echo "# $kind kernel, $cpus CPUs, $mem: storm ${arguments[*]}"
boot "storm-$kind" --variant "$kind" --cpus "$cpus" --mem "$mem" --timeout "$limit" \
	--append "$patient" "$dir"
