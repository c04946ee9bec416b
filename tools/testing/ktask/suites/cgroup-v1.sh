#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# ktask's tests in cgroups of v1 beside v2, without and with v2's controllers

. "$(dirname "$0")/common.sh"
# cpuacct has cgroups of its own in v1 only, so there a helper is charged apart.
BEFORE=cgroup-v1.sh run_selftests preempt cgroup-v1 '^cgroup:test_ktask|^ktask:unmap_accounting' \
	--append 'ktask.v1=none,name=tests/freezer/cpuacct/devices'
# Then v2 has none of what ktask looks at: its tests of that skip.
BEFORE=cgroup-v1.sh run_selftests preempt cgroup-v1-all '^cgroup:test_ktask$|^ktask:unmap_' \
	--append 'ktask.v1=cpu,cpuacct/cpuset/memory/freezer'
