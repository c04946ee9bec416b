#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Linux's own cgroup kselftests on the default kernel: those that pass on a
# stock one in such a machine

. "$(dirname "$0")/common.sh"
run_selftests default regress '^cgroup:test_(core|cpu|freezer|kill|pids)$'
