#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Do those who read and compare results, and the console, judge right?

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../verdict.sh"

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

# console WANT TEXT [TITLE]: is it trouble, at the end of a console?
console()
{
	local got=harmless

	printf '[    1.000000] up\r\n%s\r\n' "$2" >"$result/console.log"
	[ -z "$(verdict_trouble)" ] || got=trouble
	if [ "$got" = "$1" ]; then
		echo "ok - on the console: $1: ${3:-$2}"
	else
		echo "not ok - on the console: taken for $got: ${3:-$2}"
	fi
}

result=$(mktemp -d)
trap 'rm -rf "$result"' EXIT

while read -r line; do
	console trouble "[   12.345678] $line"
done <<'LINES'
Kernel panic - not syncing: Attempted to kill init!
WARNING: CPU: 1 PID: 77 at mm/memory.c:1 zap_pte_range+0x1/0x2
WARNING: possible circular locking dependency detected
WARNING: suspicious RCU usage
BUG: KASAN: slab-use-after-free in do_exit+0x1/0x2
BUG: kernel NULL pointer dereference, address: 0000000000000008
BUG: unable to handle page fault for address: ffff888000000000
BUG: Bad page state in process cc1  pfn:12345
BUG: Bad rss-counter state mm:0000000000000000 type:MM_ANONPAGES val:1
[ BUG: Invalid wait context ]
watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [sh:1]
Unable to handle kernel paging request at virtual address ffff000000000000
Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008
Oops: general protection fault, probably for non-canonical address 0xdead000000000000: 0000 [#1] PREEMPT SMP
Oops [#1]
INFO: task sh:1 blocked for more than 120 seconds.
rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
rcu: INFO: rcu_preempt self-detected stall on CPU
rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-...D } 100 jiffies s: 77 root: 0x2/.
kmemleak: Kernel memory leak detector disabled
swap_info_get: Bad swap file entry 3fffffffffff
_swap_info_get: Unused swap offset entry 00000077
pagealloc: memory corruption
pagealloc: single bit error
refcount_t: underflow; use-after-free.
ODEBUG: free active (active state 0) object: 0000000000000000 object type: timer_list hint: 0x0
LINES
console trouble 'half a line of a program[   12.345678] WARNING: CPU: 1 PID: 77 at mm/memory.c:1'

while read -r line; do
	console harmless "[   12.345678] $line"
done <<'LINES'
Unable to handle swap header version 2
traps: sigtrap[77] general protection fault ip:401000 sp:7ffc00000000 error:0 in sigtrap[401000+1000]
Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible via Spectre v2 BHB attacks!
WARNING: The mand mount option has been deprecated and
ODEBUG: 12 of 12 active objects replaced
program: DEBUG: nothing
LINES

# race WANT CALLER CALLER: a race of Linux's functions that were called by these.
race()
{
	console "$1" "[   12.345678] BUG: KCSAN: data-race in zap_pte_range / zap_pte_range
[   12.345678] write to 0xffff888000000000 of 8 bytes by task 7 on cpu 0:
[   12.345678]  zap_pte_range+0x1/0x2
[   12.345678]  $2+0x1/0x2

[   12.345678] read to 0xffff888000000000 of 8 bytes by task 8 on cpu 1:
[   12.345678]  zap_pte_range+0x1/0x2
[   12.345678]  $3+0x1/0x2

[   12.345678] Reported by Kernel Concurrency Sanitizer on:" \
		"a race of $2 and $3"
}

race trouble ktask_unmap_chunk ktask_unmap_chunk
race harmless ktask_unmap_chunk do_exit
race harmless do_exit ktask_unmap_chunk
