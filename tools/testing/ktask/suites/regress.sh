#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Linux's own kselftests, unmodified: does our kernel do as well as a stock one?
#
# regress.sh [VMLINUX]: those of cgroups, the scheduler, mm and iommufd, on kernels
# with the same configuration and in equal machines. VMLINUX is judged instead
# of the default kernel.
#
# Left out: cgroup v1, test_stress.sh, those of memory's limits, and
# test_cpuset_prs.sh, which gives up at the first step that fails. On a stock
# 6.12.117 in such a machine that is the 24th of 111, after more than a minute:
# CPU 3, the only one of a partition, is to go offline and does not.

. "$(dirname "$0")/common.sh"

built=$("$KT_DIR/selftests.sh" stock)
stock=$("$KT_DIR/build.sh" stock)
ours=${1:-$("$KT_DIR/build.sh" default)}

# run_on WHOSE VMLINUX GROUP VM-ARGUMENTS...: the results as tap.awk has them,
# and the machine as one more.
run_on()
{
	local dir name=$3 kernel=$2 rc=0 verdict=pass why=

	dir=$(kt_home)/run/test-regress-$name-$1
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
		cat "$stock" "$KT_DIR/vm.sh" "$KT_DIR/tap.awk"
		(cd "${!#}" && find . -type f | sort | xargs cat)
	} | hash_of
}

# The stock kernel need not show again what it can do. A failure may have come
# by chance, so results with one are not kept.
run_on_stock()
{
	local kept

	kept=$(kt_home)/stock-results/$1-$(key_of "$@")
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
# longer holds is seen in every try.
by_chance='cgroup/test_cpu: test_cpucg_'

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
	results=$(kt_home)/log/regress-$name
	dir=$(selftests_payload "regress-$name" "$built" default "$pattern")
	set -- "$name" --cpus 4 --timeout 900 "$@" "$dir"
	run_on_stock "$@" >"$results-stock.cases"
	echo "none" >"$results-ours.cases"
	for try in 1 2 3; do
		run_on ours "$ours" "$@" >"$results-try.cases"
		best_of "$results-ours.cases" "$results-try.cases" >"$results-best.cases"
		mv "$results-best.cases" "$results-ours.cases"
		awk -f "$KT_DIR/compare.awk" "$results-stock.cases" "$results-ours.cases" >"$results.tap"
		grep '^not ok' "$results.tap" >"$results.worse" || break
		! grep -qv "^not ok - $by_chance" "$results.worse" || break
		say "$name, try $try of 3: $(paste -sd';' "$results.worse")"
	done
	cat "$results.tap"
}

compare cgroup '^cgroup:test_(core|cpuset|freezer|kill|pids)$'
compare cpu '^cgroup:test_cpu$'
# This is about the threads of a core.
compare sched '^sched:' --qemu '-smp 4,sockets=1,cores=2,threads=2'
compare iommu '^iommu:' --append hugepages=64
compare mm '^mm:' --append hugepages=64
