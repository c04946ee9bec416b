#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# ktaskctl, on real cgroups and on a kernel that has no files for them

. "$(dirname "$0")/common.sh"

# run VARIANT
run()
{
	local dir

	dir=$(payload_dir "ktaskctl-$1")
	# Static, as the guest has no libraries for it.
	make -s --no-print-directory -C "$KT_TOP/tools/ktask/ktaskctl" STATIC=1 OUT="$dir" >&2 </dev/null ||
		{ echo "not ok - ktaskctl compiles"; exit 1; }
	cp "$KT_DIR/guest/ktaskctl.sh" "$dir/job.sh"
	echo "$1" >"$dir/kernel"
	boot "ktaskctl-$1" --variant "$1" --cpus 4 --timeout 600 "$dir"
}

run default
run nocgroup
