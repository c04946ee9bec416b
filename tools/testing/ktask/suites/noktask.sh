#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The patched kernel with ktask compiled out: builds, boots, passes what is left

. "$(dirname "$0")/common.sh"
run_ktask_selftests noktask
