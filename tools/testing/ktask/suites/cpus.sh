#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Machines with CPUs that are isolated at boot, or come after it

. "$(dirname "$0")/common.sh"
ARGUMENTS=test_ktask_isolated run_selftests default isolated '^cgroup:test_ktask_live$' \
	--append 'isolcpus=2 nohz_full=3'
ARGUMENTS=test_ktask_late_node run_selftests default late '^cgroup:test_ktask_live$' \
	--cpus 12 --numa 2 --append 'maxcpus=6'
