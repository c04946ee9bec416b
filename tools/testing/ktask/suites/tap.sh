#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Do those who read and compare results count right? Streams with known answers.

. "$(dirname "$0")/../lib.sh"

# expect TITLE WANT: stdin read by tap.awk must come to WANT, the verdicts in
# order.
expect()
{
	local got

	got=$(awk -f "$KT_DIR/tap.awk" | cut -f1 | xargs)
	if [ "$got" = "$2" ]; then
		echo "ok - $1"
	else
		echo "not ok - $1: counted '$got', not '$2'"
	fi
}

# program STATUS LINE...: what a framed program prints.
program()
{
	local status=$1

	shift
	printf '%s\n' '# ktask-program: begin c/p' "$@" "# ktask-program: end c/p $status"
}

printf '%s\n' 1..2 'ok 1 a' 'not ok 2 b' | expect 'plain results' 'pass fail'
printf '%s\n' 'ok 1 a # SKIP no device' 'ok 2 # skip: none' | expect 'skips' 'skip skip'
printf '%s\n' 'not ok 1 a # SKIP no device' | expect 'a failure stays one, whatever its comment' 'fail'
printf '%s\n' '    ok 1 a' '    not ok 2 b' 'not ok 1 suite' | expect 'a parent is no case' 'pass fail'
printf '%s\n' '    ok 1 a' 'not ok 1 suite' | expect 'a parent that failed by itself is one' 'pass fail'
printf '%s\n' '        ok 1 x' '    ok 1 a' '    ok 2 b' 'ok 1 suite' 'ok 2 other' |
	expect 'three levels' 'pass pass pass'
printf '%s\n' 1..3 'ok 1 a' | expect 'results that the plan promised' 'pass fail'
printf '%s\n' 'ok 1 a' 'Bail out! no memory' | expect 'bailing out' 'pass fail'
program 0 'ok 1 a' | expect 'a program that succeeds' 'pass'
program 1 'ok 1 a' | expect 'a status that contradicts the results' 'pass fail'
program 1 'not ok 1 a' | expect 'a status that agrees' 'fail'
program 139 1..2 'ok 1 a' | expect 'a program that crashes' 'pass fail'
program 124 'ok 1 a' | expect 'a program that ran past its time' 'pass fail'
program 4 '1..0 # SKIP not here' | expect 'a program that skips itself' 'skip'
program 4 1..9 'ok 1 # SKIP not here' | expect 'a program that skips the rest' 'skip'
program 0 'hello' | expect 'a program without results, judged by its status' 'pass'
program 1 'hello' | expect 'a program without results that fails' 'fail'
program 0 'ok 1 a' | sed '$d' | expect 'a program that the machine took down' 'pass fail'
printf 'ok 1 a\r\nok 2 b\r\n' | expect 'line ends of a console' 'pass pass'

cases()
{
	printf '%s' "$1" | tr ' ,' '\t\n'
}

# compared TITLE STOCK OURS WANT: results, each "VERDICT NAME", as compare.awk
# judges them.
compared()
{
	awk -f "$KT_DIR/compare.awk" <(cases "$2") <(cases "$3") | expect "$1" "$4"
}

compared 'the same results' 'pass a,pass b' 'pass a,pass b' 'pass pass'
compared 'worse than stock' 'pass a,pass b,skip c' 'fail a,skip b,fail c' 'fail fail fail'
compared 'neither kernel passes' 'fail a,skip b' 'fail a,skip b' 'skip skip'
compared 'better than stock' 'fail a,skip b' 'pass a,pass b' 'skip skip'
compared 'no result any more' 'pass a,pass b' 'pass a' 'pass fail'
compared 'a crash where stock has none' 'pass a' 'pass a,fail exit' 'pass fail'
compared 'a crash on stock only' 'pass a,fail exit' 'pass a' 'pass skip'
compared 'stock gave nothing to compare with' '' 'pass a,fail b' 'skip fail'
compared 'a case that comes twice' 'pass a,pass a' 'pass a' 'pass'
compared 'a case that comes twice, once worse' 'pass a,pass a' 'fail a,pass a' 'fail'
