#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Machines with CPUs that are isolated at boot, come after it, share cores, or are many

. "$(dirname "$0")/common.sh"

# Each is for a machine such as this, so here it must not skip.
no_skip()
{
	sed 's/^ok \(.*\)# SKIP/not ok \1: skipped:/'
}

ARGUMENTS=test_ktask_isolated run_selftests default isolated '^cgroup:test_ktask_live$' \
	--append 'isolcpus=2 nohz_full=3' | no_skip
ARGUMENTS=test_ktask_late_node run_selftests default late '^cgroup:test_ktask_live$' \
	--cpus 12 --numa 2 --append 'maxcpus=6' | no_skip
ARGUMENTS="swapped_many_cpus summed_up" run_selftests default many '^ktask:unmap_accounting$' \
	--cpus 8 | no_skip
ARGUMENTS=test_ktask_core_sched run_selftests default core '^cgroup:test_ktask_live$' \
	--qemu '-smp cores=2,threads=2' | no_skip
# That clock runs ahead while all CPUs wait for the disk, by minutes on a busy host.
ARGUMENTS=test_ktask_quota_users run_selftests default quota '^cgroup:test_ktask_live$' \
	--qemu '-icount shift=1,sleep=off' \
	--append 'ktask.exact_clock sysctl.kernel.hung_task_timeout_secs=0' | no_skip
