#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# ktask's tests with full preemption, autogroup, multi-gen LRU, sched_ext, no paravirt

. "$(dirname "$0")/common.sh"
run_kunit preempt
run_ktask_selftests preempt
run_vfio_selftests preempt map_hostile
