# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What suites that boot a kernel have in common. To be sourced.

. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
. "$KT_DIR/variants.sh"

# A scratch directory for one payload.
payload_dir()
{
	local dir

	dir=$(kt_home)/payload/$1
	rm -rf "$dir"
	mkdir -p "$dir"
	echo "$dir"
}

# boot NAME VM-ARGUMENTS...: the job's own output passes through; what the
# machine does wrong besides is a case.
boot()
{
	local name=$1 dir rc=0

	shift
	dir=$(kt_home)/run/test-$name
	rm -rf "$dir"
	"$KT_DIR/vm.sh" --result "$dir" "$@" || rc=$?
	case $rc in
	0)	echo "ok - $name: the kernel booted, ended and had nothing to say" ;;
	*)	echo "not ok - $name: $(cat "$dir/failure" 2>/dev/null || echo "the job or the runner failed with status $rc") ($dir)" ;;
	esac
}

# make_ktaskctl MAKE-ARGUMENTS...: the suite ends if that fails.
make_ktaskctl()
{
	make -s --no-print-directory -C "$KT_TOP/tools/ktask/ktaskctl" CFLAGS='-O2 -Werror' "$@" >&2 </dev/null ||
		{ echo "not ok - ktaskctl: make $*"; exit 1; }
}

# How much longer than on a plain kernel tests may take.
slowness()
{
	case $1 in
	debug | kcsan | poison | stock-debug)	echo 8 ;;
	locks)					echo 4 ;;
	*)					echo 2 ;;
	esac
}

# run_kunit VARIANT [VM-ARGUMENTS...]
# Two nodes: some tests are about where helpers run.
run_kunit()
{
	local variant=$1 dir

	shift
	dir=$(payload_dir "kunit-$variant")
	cp "$KT_DIR/guest/kunit.sh" "$dir/job.sh"
	# kmemleak takes its time for each gigabyte.
	boot "kunit-$variant" --variant "$variant" --cpus 4 --mem 1G --numa 2 --timeout $((150 * $(slowness "$variant"))) \
		--append 'kunit.enable=1 kunit.filter_glob=ktask*' "$@" "$dir"
}

# selftests_payload NAME BUILT VARIANT PATTERN: one that runs those kselftests of
# BUILT whose collection:program matches, after the script BEFORE= of guest/ where
# one is named. Fails if there are none.
selftests_payload()
{
	local dir

	dir=$(payload_dir "$1") &&
		cp -a "$2/." "$dir/" &&
		cp "$KT_DIR/guest/selftests.sh" "$dir/job.sh" &&
		if [ -n "${BEFORE:-}" ]; then cp "$KT_DIR/guest/$BEFORE" "$dir/before.sh"; fi &&
		slowness "$3" >"$dir/slowness" &&
		grep -E "$4" "$2/list" >"$dir/run" &&
		echo "$dir"
}

# run_selftests VARIANT NAME PATTERN [VM-ARGUMENTS...]: those whose
# collection:program matches, with what ARGUMENTS= says.
run_selftests()
{
	local variant=$1 name=$2 pattern=$3 dir built

	shift 3
	built=$("$KT_DIR/selftests.sh")
	dir=$(selftests_payload "$name-$variant" "$built" "$variant" "$pattern") ||
		{ echo "not ok - $name: no kselftest matches $pattern"; return; }
	[ -z "${ARGUMENTS:-}" ] || sed -i "s/\$/ $ARGUMENTS/" "$dir/run"
	boot "$name-$variant" --variant "$variant" --cpus 4 --timeout $((1800 * $(slowness "$variant"))) "$@" "$dir"
}

# run_ktask_selftests VARIANT [VM-ARGUMENTS...]: ktask's own that need no devices.
# The storm of a kernel on which all takes long is smaller, and on a machine of
# its own.
run_ktask_selftests()
{
	local variant=$1 pattern="^ktask:(unmap_|free_)|^cgroup:test_ktask"

	shift
	if [ "$(slowness "$variant")" -gt 2 ]; then
		STORM=$variant "$KT_DIR/suites/storm.sh"
	else
		pattern="$pattern|^ktask:storm"
	fi
	# For unmap_flush: a guest of KVM would count fewer interrupts the busier the
	# host, as a virtual CPU that does not run gets none.
	run_selftests "$variant" selftests "$pattern" --append nopvtlb "$@"
}

# run_vfio_selftests VARIANT PROGRAM [VM-ARGUMENTS...]: those that map memory for
# devices, whose name begins like that. They want many devices, as each is slow, two
# nodes to place memory on, and huge pages of both sizes.
run_vfio_selftests()
{
	local variant=$1 program=$2

	shift 2
	run_selftests "$variant" vfio "^ktask:$program" --vfio 18 --numa 2 \
		--timeout $((1500 * $(slowness "$variant"))) \
		--append 'hugepagesz=1G hugepages=1 hugepagesz=2M hugepages=48' "$@"
}
