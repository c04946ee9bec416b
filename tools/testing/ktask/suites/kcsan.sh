#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# KUnit and ktask's kselftests on the kernel that watches for data races

. "$(dirname "$0")/common.sh"
run_kunit kcsan
# Where a test gives a task a hundredth of a CPU, that would all go into watching.
run_ktask_selftests kcsan --append 'kcsan.skip_watch=4000 kcsan.udelay_task=80'
