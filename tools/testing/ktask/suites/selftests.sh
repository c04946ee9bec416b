#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# ktask's kselftests on the default kernel

. "$(dirname "$0")/common.sh"
run_ktask_selftests default
