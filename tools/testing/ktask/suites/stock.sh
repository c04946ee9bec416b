# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Linux's own kselftests, unmodified, on the stock kernel and on one of ours, in
# equal machines: does ours do as well? To be sourced by a suite that has set:
#
# against		its own name
# variant		which kernel ours is; it says how long tests may take
# ours_arguments	more arguments of vm.sh for ours only
: "${against:?}" "${variant:?}"
[ -v ours_arguments ] || ours_arguments=()

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$KT_DIR/accel.sh"

built=$("$KT_DIR/selftests.sh" stock)
stock=$("$KT_DIR/build.sh" stock)
ours=${ours:-$("$KT_DIR/build.sh" "$variant")}

# machine_dir GROUP WHOSE: what came of that boot.
machine_dir()
{
	echo "$(kt_home)/run/test-$against-$1-$2"
}

# run_on WHOSE VMLINUX GROUP VM-ARGUMENTS...: the results as tap.awk has them,
# and the machine as one more.
run_on()
{
	local dir name=$3 kernel=$2 rc=0 verdict=pass why=

	dir=$(machine_dir "$name" "$1")
	shift 3
	rm -rf "$dir"
	mkdir -p "$dir"
	"$KT_DIR/vm.sh" --kernel "$kernel" --result "$dir" "$@" >"$dir.tap" || rc=$?
	awk -f "$KT_DIR/tap.awk" "$dir.tap"
	if [ "$rc" -ne 0 ]; then
		verdict=fail
		why="$(cat "$dir/failure" 2>/dev/null || echo "status $rc"); see $dir"
	fi
	printf '%s\t%s: the kernel booted, ended and had nothing to say\t%s\n' "$verdict" "$name" "$why"
}

# key_of GROUP VM-ARGUMENTS... PAYLOAD: all that a result on the stock kernel
# depends on.
key_of()
{
	{
		echo "$@"
		"$KT_DIR/rootfs.sh"
		accel_choose "$stock"
		qemu-system-x86_64 --version
		cat "$stock" "$KT_DIR"/{vm,accel,verdict}.sh "$KT_DIR/tap.awk"
		(cd "${!#}" && find . -type f | sort | xargs sha256sum)
	} | hash_of
}

# The stock kernel need not show again what it can do. A failure may have come
# by chance, so results with one are not kept.
run_on_stock()
{
	local kept

	kept=$(kt_home)/stock-results/$against-$1-$(key_of "$@")
	if [ -s "$kept" ]; then
		say "$1: results of the stock kernel are known since $(date -r "$kept" '+%F %T')"
		cat "$kept"
		return
	fi
	mkdir -p "$(dirname "$kept")"
	run_on stock "$stock" "$@" >"$kept.new"
	cat "$kept.new"
	grep -q '^fail' "$kept.new" || mv "$kept.new" "$kept"
}

# Those of test_cpu compare CPU time with the time on the clock, of a machine
# that gets none itself while its host has other things to do. A limit that no
# longer holds is seen in every try. Two of iommufd take most of the 30 s that their
# harness gives them, on a kernel that watches memory. One of mremap_test wants 40 MiB
# where the heap may lie, which the kernel puts at random. Some of test_freezer and
# test_kill give the processes that they start, up to 100, a second to be there.
by_chance='(cgroup/test_cpu: test_cpucg_|iommu/iommufd_fail_nth: basic_fail_nth.map_|'
by_chance+='mm/mremap_test: 5MB mremap - .* with 40MB Preamble|'
by_chance+='cgroup/test_freezer: test_cgfreezer_(simple|tree|mkdir|migrate|stopped|ptraced|vfork)|'
by_chance+='cgroup/test_kill: test_cgkill_(simple|tree))'

# best_of EARLIER NOW: of such cases what passed in any try counts.
best_of()
{
	awk -F '\t' -v chance="^$by_chance" '
		NR == FNR { if ($1 == "pass") passed[$2] = $0; next }
		$2 ~ chance && $2 in passed { print passed[$2]; next }
		{ print }' "$1" "$2"
}

# compare GROUP PATTERN VM-ARGUMENTS...: what is worse only by such cases may
# try again.
compare()
{
	local name=$1 pattern=$2 try dir results

	shift 2
	results=$(kt_home)/log/$against-$name
	dir=$(selftests_payload "$against-$name" "$built" "$variant" "$pattern")
	set -- "$name" --cpus 4 --mem 4G --timeout $((450 * $(slowness "$variant"))) "$@" "$dir"
	run_on_stock "$@" >"$results-stock.cases"
	echo "none" >"$results-ours.cases"
	for try in 1 2 3; do
		run_on ours "$ours" "$@" "${ours_arguments[@]}" >"$results-try.cases"
		best_of "$results-ours.cases" "$results-try.cases" >"$results-best.cases"
		mv "$results-best.cases" "$results-ours.cases"
		awk -f "$KT_DIR/compare.awk" "$results-stock.cases" "$results-ours.cases" >"$results.tap"
		grep '^not ok' "$results.tap" >"$results.worse" || break
		! grep -qvE "^not ok - $by_chance" "$results.worse" || break
		say "$name, try $try of 3: $(paste -sd';' "$results.worse")"
	done
	cat "$results.tap"
}
