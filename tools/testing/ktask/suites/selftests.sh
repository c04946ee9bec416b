#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# ktask's kselftests on the default kernel

. "$(dirname "$0")/common.sh"
run_selftests default selftests '^ktask:|^cgroup:test_ktask'
