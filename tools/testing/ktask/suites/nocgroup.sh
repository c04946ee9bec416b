#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# ktask without its cgroup files: builds, boots, passes what is left

. "$(dirname "$0")/common.sh"
run_kunit nocgroup
run_ktask_selftests nocgroup
