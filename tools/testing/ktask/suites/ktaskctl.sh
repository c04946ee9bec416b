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
	make_ktaskctl STATIC=1 OUT="$dir"
	cp "$KT_TOP/tools/ktask/ktaskctl/completion.bash" "$dir/"
	cp "$KT_DIR/guest/ktaskctl.sh" "$dir/job.sh"
	echo "$1" >"$dir/kernel"
	boot "ktaskctl-$1" --variant "$1" --cpus 4 --timeout 600 "$dir"
}

installed=$(payload_dir ktaskctl-installed)
make_ktaskctl install OUT="$installed" DESTDIR="$installed" prefix=/usr
if "$installed/usr/sbin/ktaskctl" --help | grep -q '^usage' && [ -s "$installed/usr/share/man/man8/ktaskctl.8" ]; then
	echo "ok - ktaskctl: what is installed runs"
else
	echo "not ok - ktaskctl: what is installed runs"
fi
run default
run nocgroup
