#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# selftests.sh [stock]: build the kselftests in the work tree, or with "stock"
# those of the untouched Linux tree, statically, and print the directory that
# holds them, ready to be a payload: COLLECTION/PROGRAM, and a list of all.

. "$(dirname "$0")/lib.sh"

collections=(cgroup ktask)
name=selftests${1:+-$1}
out=$(kt_home)/$name
headers=$(kt_home)/headers${1:+-$1}
log=$(kt_home)/log/$name.log

# The iommu tests of Linux 6.12.y came to be newer than its iommufd: they do not
# compile for want of these names. With them they do, unmodified; a case that is
# about what that iommufd lacks fails, on any kernel.
missing_names()
{
	grep -q in_data_type "$tree/include/uapi/linux/iommufd.h" ||
		echo -Din_data_type=out_data_type -DIOMMU_HW_INFO_TYPE_DEFAULT=0 \
			-DIOMMU_HW_INFO_FLAG_INPUT_TYPE=1 -DMOCK_FLAGS_DEVICE_PASID=0 -DMOCK_PASID_WIDTH=0
}

# Of mm's programs those that need no library that is not there statically, no
# arguments, and seconds only. uffd-unit-tests now and then fails on any kernel.
mm_programs=(cow droppable ksm_functional_tests madv_populate map_populate mkdirty mlock2-tests
	mrelease_test mremap_dontunmap mremap_test pagemap_ioctl)

selftest_make()
{
	local c=$1

	shift
	case $c in
	iommu)	set -- "$@" USERCFLAGS="$(missing_names)" ;;
	# The rest needs libfuse.
	memfd)	set -- "$@" TEST_PROGS= TEST_GEN_FILES= ;;
	# Its Makefile takes what it compiles for a script in the source tree.
	sched)	set -- "$@" TEST_PROGS="$out/build/sched/cs_prctl_test" ;;
	# Its Makefile would look for liburing, and leave what it found in the source tree.
	mm)
		touch "$out/build/mm/local_config.h" "$out/build/mm/local_config.mk"
		set -- "$@" -I "$out/build/mm" LOCAL_HDRS= EXTRA_CFLAGS="-I$out/build/mm" TEST_PROGS= \
			TEST_FILES= TEST_GEN_FILES= TEST_GEN_PROGS="${mm_programs[*]/#/$out/build/mm/}"
		;;
	esac
	# LDFLAGS goes through the environment: a Makefile may still add to it.
	LDFLAGS=-static make -C "$tree/tools/testing/selftests/$c" \
		OUTPUT="$out/build/$c" KHDR_INCLUDES="-isystem $headers/usr/include" \
		top_srcdir="$tree" "$@"
}

build()
{
	local c

	make -C "$tree" O="$headers" headers
	rm -rf "$out/payload.new"
	mkdir -p "$out/payload.new"
	for c in "${collections[@]}"; do
		[ -d "$tree/tools/testing/selftests/$c" ] || continue
		mkdir -p "$out/build/$c"
		selftest_make "$c" -j"$KT_JOBS" all
		selftest_make "$c" install INSTALL_PATH="$out/payload.new/$c"
		selftest_make "$c" -s --no-print-directory emit_tests COLLECTION="$c" |
			grep "^$c:" >>"$out/payload.new/list"
	done
	# Another suite of this checkout may be copying it.
	rm -rf "$out/payload.old"
	[ ! -d "$out/payload" ] || mv "$out/payload" "$out/payload.old"
	mv "$out/payload.new" "$out/payload"
}

lock_home
case ${1:-} in
stock)
	collections=(cgroup iommu memfd mm sched)
	tree=$("$KT_DIR/fetch.sh")
	;;
*)
	tree=$("$KT_DIR/prepare.sh")
	;;
esac
step "building the ${1:+$1 }kselftests" "$log" build
echo "$out/payload"
