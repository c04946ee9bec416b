#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The pure parts of ktask in user space, under ASan and UBSan

. "$(dirname "$0")/../lib.sh"

echo "# ktask-program: begin user"
rc=0
out=$(make -s --no-print-directory -C "$KT_DIR/user" OUT="$(kt_home)/user" test </dev/null) || rc=$?
echo "$out"
grep -q '^ *ok' <<<"$out" || echo "not ok - the harness gave results"
echo "# ktask-program: end user $rc"
