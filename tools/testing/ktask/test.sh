#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# test.sh SUITE...: run suites, each a script in suites/ that prints TAP, and
# sum up. The last line reads: N passed, N failed, N skipped

. "$(dirname "$0")/lib.sh"

passed=0 failed=0 skipped=0

count()
{
	local verdict name reason

	while IFS=$'\t' read -r verdict name reason; do
		case $verdict in
		pass)	passed=$((passed + 1)) ;;
		skip)	skipped=$((skipped + 1)) ;;
		*)	failed=$((failed + 1)) ;;
		esac
		printf '  %-4s %s: %s%s\n' "$verdict" "$1" "$name" "${reason:+ ($reason)}"
	done <"$2"
}

run_suite()
{
	local suite=$1 start=$SECONDS rc=0 tap cases before

	tap=$(kt_home)/log/test-$suite.tap
	cases=$(kt_home)/log/test-$suite.cases
	mkdir -p "$(kt_home)/log"
	echo "== $suite: $(sed -n 3p "$KT_DIR/suites/$suite.sh" | sed 's/^# *//')"
	"$KT_DIR/suites/$suite.sh" >"$tap" </dev/null || rc=$?
	awk -f "$KT_DIR/tap.awk" "$tap" >"$cases"
	before=$failed
	count "$suite" "$cases"
	if [ ! -s "$cases" ]; then
		failed=$((failed + 1))
		echo "  fail $suite: no verdict at all (status $rc)"
	elif [ "$rc" -ne 0 ] && [ "$failed" -eq "$before" ]; then
		failed=$((failed + 1))
		echo "  fail $suite: the suite ended with status $rc"
	fi
	# What a failing program had to say beside its results.
	[ "$failed" -eq "$before" ] || sed -n '/^[ \t]*#/p; /not ok/p' "$tap" | tail -n 60
	echo "== $suite: $((SECONDS - start)) s"
}

suite_names()
{
	find "$KT_DIR/suites" -name '*.sh' ! -name common.sh ! -name stock.sh -printf '%f\n' | sed 's/\.sh$//' | sort | xargs
}

{
	[ $# -gt 0 ] || die "usage: test.sh SUITE...; there are: $(suite_names)"
	for suite; do
		[[ " $(suite_names) " = *" $suite "* ]] || die "no suite $suite; there are: $(suite_names)"
	done
	for suite; do
		run_suite "$suite"
	done
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
	exit
}
