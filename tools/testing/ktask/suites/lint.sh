#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# checkpatch, sparse, W=1, kernel-doc, shellcheck

exec "$(dirname "$0")/../lint.sh"
