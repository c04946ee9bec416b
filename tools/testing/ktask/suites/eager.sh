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

# every_program GROUP: each that was run made tasks, if only when it ended.
every_program()
{
	local program tasks

	while read -r program; do
		tasks=$(awk -v program="$program" '$1 == program { print $2 }' \
			"$(machine_dir "$1" ours)/out/tasks")
		if [ "${tasks:-0}" -gt 0 ]; then
			echo "ok - $program made tasks ($tasks)"
		else
			echo "not ok - $program made tasks"
		fi
	done < <(sed 's/ .*//; s,:,/,' "$(kt_home)/payload/$against-$1/run")
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
# The guest has to come to the same.
cp -r "$dir" "$dir.host"
step "building on the host what the guest will build" "$(kt_home)/log/eager-life.log" \
	make -s -C "$dir.host" -j"$KT_JOBS"
(cd "$dir.host" && sha256sum ./*.o ./*.words) >"$dir/sums"
rm -rf "$dir.host"
boot eager-life --variant debug --cpus 4 --timeout 2400 --append ktask.eager=1 "$dir"
