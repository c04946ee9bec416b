#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# helpers keep off CPUs that are isolated at boot

. "$(dirname "$0")/common.sh"
ARGUMENTS=test_ktask_isolated run_selftests default isolated '^cgroup:test_ktask_live$' \
	--append 'isolcpus=2 nohz_full=3'
