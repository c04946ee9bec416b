#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Linux's own kselftests, unmodified: does our kernel do as well as a stock one?
#
# regress.sh [VMLINUX]: those of cgroups, the scheduler, mm and iommufd, on kernels
# with the same configuration and in equal machines. VMLINUX is judged instead
# of the default kernel.
#
# Left out: cgroup v1, test_stress.sh, those of memory's limits, and
# test_cpuset_prs.sh, which gives up at the first step that fails. On a stock
# 6.12.117 in such a machine that is the 24th of 111, after more than a minute:
# CPU 3, the only one of a partition, is to go offline and does not.

against=regress
variant=default
ours=${1:-}
. "$(dirname "$0")/stock.sh"

compare cgroup '^cgroup:test_(core|cpuset|freezer|kill|pids)$'
compare cpu '^cgroup:test_cpu$'
# This is about the threads of a core.
compare sched '^sched:' --qemu '-smp 4,sockets=1,cores=2,threads=2'
compare iommu '^iommu:' --append hugepages=64
compare mm '^mm:' --append hugepages=64
