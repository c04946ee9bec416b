#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Everything a task, however small: Linux's kselftests and the life of processes
#
# On the kernel that watches locks and memory, with ktask.eager=1. What stock does
# is what the plain stock kernel does, not one with the same options: that a case
# passes there is the stricter measure, and saves a build.

against=eager
variant=debug
ours_arguments=(--append ktask.eager=1)
BEFORE=count-tasks.sh
. "$(dirname "$0")/stock.sh"

# every_program GROUP: each made tasks, if only when it ended.
every_program()
{
	local file program tasks

	file=$(machine_dir "$1" ours)/out/tasks
	[ -s "$file" ] || echo "not ok - $1: tasks were counted"
	while read -r program tasks; do
		if [ "$tasks" -gt 0 ]; then
			echo "ok - $program made tasks ($tasks)"
		else
			echo "not ok - $program made tasks"
		fi
	done <"$file"
}

# judge GROUP PATTERN VM-ARGUMENTS...
judge()
{
	compare "$@"
	every_program "$1"
}

judge cgroup '^cgroup:test_(core|cpuset|freezer|kill|pids)$'
judge iommu '^iommu:' --append hugepages=64
judge memfd '^memfd:' --append hugepages=64
judge mm '^mm:' --append hugepages=64

# The host's compiler, whose libraries go with it: the guest is a Debian, too.
toolchain()
{
	local f libs=()

	install -D "/usr/bin/$(gcc -dumpmachine)-gcc-$(gcc -dumpversion)" "$1/usr/bin/gcc"
	for f in "$(gcc -print-prog-name=cc1)" /usr/bin/{make,as,ld}; do
		install -D "$(realpath "$f")" "$1$f"
		mapfile -t -O "${#libs[@]}" libs < <(ldd "$f" | awk '$3 ~ "^/" { print $3 }')
	done
	for f in "${libs[@]}"; do
		f=$(realpath "$(dirname "$f")")/${f##*/}
		[ -e "$1$f" ] || install -D "$f" "$1$f"
	done
}

# Preprocessed here, so that no headers have to travel.
sources()
{
	local f tests

	tests=$(kt_home)/tree/tools/testing/selftests
	mkdir -p "$1"
	for f in "$tests"/ktask/{unmap_*,layouts,ktask_util}.c; do
		gcc -E -isystem "$(kt_home)/headers/usr/include" -I "$tests" "$f" -o "$1/$(basename "$f" .c).i"
	done
}

"$KT_DIR/selftests.sh" >/dev/null
dir=$(payload_dir eager-life)
cp "$KT_DIR/guest/life.sh" "$dir/job.sh"
cp "$KT_DIR/guest/life.mk" "$dir/Makefile"
toolchain "$dir/root"
sources "$dir/sources"
boot eager-life --variant debug --cpus 4 --timeout 2400 --append ktask.eager=1 "$dir"
