#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Build map.c with the kselftests' way to devices. Debian's kernel headers may
# be older than iommufd, so those of the tree are used.
#
# usage: build.sh PROGRAM

. "$(dirname "$0")/../lib.sh"

tests=$(kt_home)/tree/tools/testing/selftests/ktask

"$KT_DIR/selftests.sh" >/dev/null
"${CC:-gcc}" -O2 -static -pthread -Wall -Wextra -Werror -I "$tests" \
	-isystem "$(kt_home)/headers/usr/include" \
	"$KT_DIR/map/map.c" "$tests/dma.c" -o "$1" || die "map.c does not compile"
