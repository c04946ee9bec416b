#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What the administrator's guide says to type, typed in: libcgroup, crun, ktaskctl

. "$(dirname "$0")/common.sh"

dir=$(payload_dir guide)
cp "$KT_TOP/Documentation/admin-guide/ktask/guide.rst" "$dir/guide"
cp "$KT_DIR/guest/guide.sh" "$dir/job.sh"
# Static, as the guest has no libraries for it.
make_ktaskctl STATIC=1 OUT="$dir"
boot guide --variant default --cpus 4 --timeout 300 "$dir"
