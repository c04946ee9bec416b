#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Remove the work tree, the builds and the results of this checkout. What
# checkouts share stays: the untouched Linux tree, the root file system, and what ccache
# has kept.

. "$(dirname "$0")/lib.sh"

lock_home
rm -rf "$(kt_home)"
say "removed $(kt_home); shared downloads stay in $KT_CACHE"
