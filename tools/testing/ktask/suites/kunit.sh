#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# KUnit tests on the default kernel

. "$(dirname "$0")/common.sh"
run_kunit default
