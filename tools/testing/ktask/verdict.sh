# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What a boot amounts to. Success takes the closing line of this very boot with
# status 0, and a kernel that had nothing to complain about. To be sourced by
# vm.sh; $result and $nonce are its.
: "${result:=}" "${nonce:=}"

# What the kernel prints when something is wrong, whoever noticed; as little more
# as possible, for programs that test error paths make it print a lot. These come
# in the middle of a line:
KT_TROUBLE='Kernel panic - not|Oops(:| [[]#)|Unable to handle kernel|(^|[^A-Za-z])BUG: |'
KT_TROUBLE+='INFO: task .* blocked for more|INFO: trying to register non-static key|'
KT_TROUBLE+='INFO: lockdep is turned off|INFO: .*detected (expedited )?stall|UBSAN: |'
KT_TROUBLE+='kmemleak: [1-9][0-9]* new suspected|ktask-kmemleak: unreferenced|'
KT_TROUBLE+='Kernel memory leak detector disabled|(Bad|Unused) swap (file|offset) entry|'
KT_TROUBLE+='pagealloc: (memory corruption|single bit error)|'
KT_TROUBLE+='Out of memory and no killable|list_(add|del) corruption|refcount_t: |'
KT_TROUBLE+='ODEBUG: .*[(]active state|Fixing recursive fault|'
# These begin a message. What tells of a mitigation has something before it.
KT_TROUBLE+='(^|[]] )WARNING: '

# What begins like that and says only that an option is obsolete
KT_HARMLESS='WARNING: The mand mount option'

# KCSAN finds many races of Linux with itself. One of ours names a function of ours, or
# is between two threads that both came there by functions of ours.
KT_RACE='BUG: KCSAN:'

verdict_trouble()
{
	awk -v trouble="$KT_TROUBLE" -v harmless="$KT_HARMLESS" -v race="$KT_RACE" '
		$0 ~ race && !/ktask/ { report = $0; in_stack = tasks = 0; next }
		report && / by (task|interrupt)/ { in_stack = 1 }
		report && in_stack && /ktask/ { tasks++; in_stack = 0 }
		report && /Reported by/ && tasks < 2 { report = "" }
		report && /Reported by/ { $0 = report }
		$0 !~ trouble || $0 ~ harmless { next }
		{ sub(/\r$/, ""); print; exit }' "$result/console.log" 2>/dev/null || :
}

# Those that do not count, if any.
other_races()
{
	local nr

	nr=$(grep -a "$KT_RACE" "$result/console.log" | grep -avc ktask || :)
	[ "$nr" -eq 0 ] || echo " ($nr data races of Linux without ktask)"
}

# Known since 2023 and nothing of ours: the emulator runs a half-patched
# instruction. No other failure is ever tried again, nor one that follows another.
verdict_is_text_patching_race()
{
	verdict_trouble | grep -q 'Oops: int3'
}

verdict_closing()
{
	sed -n "s/^ktask-init: $nonce //p" "$result/verdict" | tail -n 1
}

# Of QEMU itself, where it had any.
last_words()
{
	[ ! -s "$result/qemu.log" ] || echo " ($(tail -n 1 "$result/qemu.log" | cut -c1-200))"
}

machine_failed()
{
	say "FAILED: $1 (console: $result/console.log)"
	echo "$1" >"$result/failure"
	exit 3
}

verdict()
{
	local closing status taint trouble

	closing=$(verdict_closing)
	trouble=$(verdict_trouble)
	[ ! -e "$result/hung" ] || machine_failed "hang: $(cat "$result/hung")${trouble:+; $trouble}"
	[ -z "$trouble" ] || machine_failed "the kernel says: $trouble"
	[ -n "$closing" ] || machine_failed "the machine went off before the job ended$(last_words)"
	status=$(echo "$closing" | sed -n 's/.*status=\([0-9]*\).*/\1/p')
	taint=$(echo "$closing" | sed -n 's/.*taint=\([0-9]*\).*/\1/p')
	# Bit 9: a warning. Bit 7: an oops. Bit 5: a bad page. Bit 14: a lockup.
	[ $((taint & 0x42a0)) -eq 0 ] || machine_failed "the kernel is tainted ($taint)"
	[ "$status" -eq 0 ] || { say "the job failed with status $status"; exit 1; }
	say "the job succeeded$(other_races)"
	exit 0
}
