#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Hold all files of ktask to the kernel's own rules; TAP on stdout.

. "$(dirname "$0")/lib.sh"
. "$KT_DIR/variants.sh"

# Left to judgement or without sense for an overlay: sign-offs belong to a
# submission, and so do MAINTAINERS entries and a patch's description.
ignore=FILE_PATH_CHANGES,MISSING_SIGN_OFF,COMMIT_MESSAGE,NO_AUTHOR_SIGN_OFF,GIT_COMMIT_ID

case_of()
{
	local title=$1 out

	shift
	if out=$("$@" 2>&1); then
		echo "ok - $title"
	else
		echo "not ok - $title"
		[ -z "$out" ] || printf "# %s\n" "${out//$'\n'/$'\n'# }"
	fi
}

# All files that git has or would take, by pattern.
files()
{
	(cd "$KT_TOP" && git ls-files -co --exclude-standard -- "$@" | while read -r f; do
		[ -f "$f" ] && echo "$f"
	done)
}

shell_files()
{
	files | while read -r f; do
		head -n 3 "$KT_TOP/$f" | grep -q '^#!.*sh$\|^# shellcheck shell=' && echo "$f"
	done
}

# Silence is success.
silent()
{
	local out

	out=$("$@" 2>&1) || :
	[ -z "$out" ] || { echo "$out"; return 1; }
}

checkpatch()
{
	(cd "$KT_TOP" && "$tree/scripts/checkpatch.pl" --no-tree --strict --terse --show-types \
		--no-summary --quiet --ignore "$ignore" "$@")
}

# It takes the fields of a trace event for the arguments of a call.
checkpatch_trace()
{
	local ignore=$ignore,OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT

	checkpatch "$@"
}

# Editors strip the blank that stands for an empty line of context, and patch
# does not mind; checkpatch does.
checkpatch_patch()
{
	awk '/^@@/ { hunk = 1 } { print hunk && $0 == "" ? " " : $0 }' "$KT_TOP/$1" >"$KT_TMP/${1##*/}"
	checkpatch "$KT_TMP/${1##*/}"
}

lint_style()
{
	local f

	for f in $(files '*.c' '*.h' '*Kconfig'); do
		case $f in
		include/trace/*)	case_of "checkpatch $f" silent checkpatch_trace -f "$f" ;;
		*)			case_of "checkpatch $f" silent checkpatch -f "$f" ;;
		esac
	done
	for f in $(files 'patches/*.patch'); do
		case_of "checkpatch $f" silent checkpatch_patch "$f"
	done
	for f in $(shell_files); do
		case_of "shellcheck $f" shellcheck -x -P "$KT_TOP/$(dirname "$f"):$KT_DIR" "$KT_TOP/$f"
	done
	case_of "every file says its licence" silent unlicensed
}

unlicensed()
{
	local f

	for f in $(files '*.c' '*.h' '*.sh' '*.rst' '*Kconfig' '*Makefile' '*.config' '*.awk' '*.py'); do
		head -n 3 "$KT_TOP/$f" | grep -q SPDX-License-Identifier || echo "$f: no SPDX line"
	done
}

# The kernel objects of files that are all ours.
objects()
{
	files 'kernel/*.c' 'mm/*.c' 'fs/*.c' 'drivers/*.c' 'lib/*.c' | sed 's/\.c$/.o/'
}

# Those of files of Linux that patches change.
patched_objects()
{
	files 'patches/*.patch' | (cd "$KT_TOP" && xargs sed -n 's:^+++ b/\(.*\)\.c$:\1.o:p') | sort -u
}

# compile VARIANT LOG ARGUMENTS... OBJECTS...: apart, so that the other builds keep
# their objects.
compile()
{
	local dir log=$2

	dir=$(variant_dir "$1")
	shift 2
	make -C "$tree" O="$dir" -j"$KT_JOBS" "$@" >"$log" 2>&1 </dev/null || {
		tail -n 20 "$log"
		return 1
	}
}

# Only what is said about files of ours counts: headers of Linux are not ours to
# judge. sparse knows nothing of guard(), and takes each for a lock not given
# back; lockdep does that check in the debug kernel.
compile_strictly()
{
	local log=$KT_TMP/strict.log o

	for o in $(objects); do
		rm -f "$(variant_dir lint)/$o"
	done
	# shellcheck disable=SC2046 # one word per object
	compile lint "$log" W=1 C=2 CF=-Wno-context $(objects) || return 1
	grep -F "$(objects | sed 's/\.o$/.c:/'; files 'include/*.h' 'kernel/*.h' 'mm/*.h' | sed 's/$/:/')" "$log" |
		grep -E 'warning|error' || return 0
	return 1
}

# A whole kernel without ktask is a long build, and for test-matrix.
compile_without_ktask()
{
	# shellcheck disable=SC2046 # one word per object
	compile lint-noktask "$KT_TMP/noktask.log" KCFLAGS=-Werror $(patched_objects)
}

compile_without_cpu_controller()
{
	compile lint-nosched "$KT_TMP/nosched.log" KCFLAGS=-Werror kernel/ktask/ kernel/sched/ktask.o
}

prepare_to_compile()
{
	mkdir -p "$(variant_dir "$1")"
	"$KT_DIR/config.sh" "$1" "$tree"
	step "preparing to compile for $1" "$(kt_home)/log/$1.log" \
		make -C "$tree" O="$(variant_dir "$1")" -j"$KT_JOBS" prepare
}

lint_objects()
{
	prepare_to_compile lint
	case_of "sparse and W=1 are silent" compile_strictly
	prepare_to_compile lint-noktask
	case_of "what patches change compiles with ktask compiled out" compile_without_ktask
	prepare_to_compile lint-nosched
	case_of "ktask compiles without the cpu controller" compile_without_cpu_controller
}

kernel_doc()
{
	local f

	for f in $(files 'include/*.h' 'kernel/*.[ch]' 'mm/*.[ch]' 'lib/*.[ch]'); do
		"$tree/scripts/kernel-doc" -none -Wall "$KT_TOP/$f"
	done
}

lock_home
tree=$("$KT_DIR/prepare.sh")
KT_TMP=$(mktemp -d)
trap 'rm -rf "$KT_TMP"' EXIT
lint_style
case_of "kernel-doc is silent" silent kernel_doc
[ -z "$(objects)" ] || lint_objects
