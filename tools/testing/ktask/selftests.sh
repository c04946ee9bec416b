#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Build the kselftests in the work tree, statically, and print the directory
# that holds them, ready to be a payload: COLLECTION/PROGRAM, and a list of all.

. "$(dirname "$0")/lib.sh"

collections=(cgroup ktask)
out=$(kt_home)/selftests
headers=$(kt_home)/headers
log=$(kt_home)/log/selftests.log

selftest_make()
{
	local c=$1

	shift
	# LDFLAGS goes through the environment: a Makefile may still add to it.
	LDFLAGS=-static make -C "$tree/tools/testing/selftests/$c" \
		OUTPUT="$out/build/$c" KHDR_INCLUDES="-isystem $headers/usr/include" \
		top_srcdir="$tree" "$@"
}

build()
{
	local c

	make -C "$tree" O="$headers" headers
	rm -rf "$out/payload"
	mkdir -p "$out/payload"
	for c in "${collections[@]}"; do
		[ -d "$tree/tools/testing/selftests/$c" ] || continue
		mkdir -p "$out/build/$c"
		selftest_make "$c" -j"$KT_JOBS" all
		selftest_make "$c" install INSTALL_PATH="$out/payload/$c"
		selftest_make "$c" -s --no-print-directory emit_tests COLLECTION="$c" |
			grep "^$c:" >>"$out/payload/list"
	done
}

lock_home
tree=$("$KT_DIR/prepare.sh")
step "building the kselftests" "$log" build
echo "$out/payload"
