#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# KUnit tests and kselftests on a PREEMPT_RT kernel; not part of 'make test'

. "$(dirname "$0")/common.sh"
run_kunit rt
run_ktask_selftests rt
