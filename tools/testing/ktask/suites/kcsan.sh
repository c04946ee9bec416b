#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# KUnit and ktask's kselftests on the kernel that watches for data races

. "$(dirname "$0")/common.sh"
run_kunit kcsan
run_ktask_selftests kcsan
