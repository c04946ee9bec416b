#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# KUnit and ktask's kselftests on the kernel that watches locks and memory

. "$(dirname "$0")/common.sh"
run_kunit debug
run_ktask_selftests debug
# What content and accounting ask about is the same here, and takes hours.
run_vfio_selftests debug map_hostile
