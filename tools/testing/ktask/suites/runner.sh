#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Does the VM runner notice? Every way to fail, provoked.

. "$(dirname "$0")/common.sh"

kernel=$("$KT_DIR/build.sh" default)
dir=

# expect STATUS REASON TITLE JOB VM-ARGUMENTS...: REASON is a pattern for what
# the runner must give as the reason; empty where it needs none.
expect()
{
	local want=$1 reason=$2 title=$3 job=$4 rc=0 said

	shift 4
	dir=$(kt_home)/run/test-runner
	rm -rf "$dir"
	"$KT_DIR/vm.sh" --kernel "$kernel" --result "$dir" --timeout 300 --job "$job" "$@" >"$(kt_home)/run/test-runner.out" || rc=$?
	said=$(cat "$dir/failure" 2>/dev/null || :)
	if [ "$rc" -ne "$want" ]; then
		echo "not ok - $title: status $rc, not $want; it said: $said"
	elif [ -n "$reason" ] && ! grep -qE "$reason" <<<"$said"; then
		echo "not ok - $title: gave this as the reason: $said"
	else
		echo "ok - $title${said:+ (it said: $said)}"
	fi
}

provoke()
{
	echo "echo $1 >/sys/kernel/debug/provoke-crash/DIRECT; sleep 2; exit 0"
}

expect 0 '' 'a job that succeeds' 'echo done'
expect 1 '' 'a job that fails' 'exit 7'
# shellcheck disable=SC2016 # $OUT is the guest's
expect 0 '' 'files come back' 'mkdir $OUT/a; echo kept >$OUT/a/file'
if [ "$(cat "$dir/out/a/file" 2>/dev/null)" = kept ]; then
	echo "ok - the file that came back is whole"
else
	echo "not ok - the file that came back is whole"
fi
expect 3 'panic' 'a panic' 'echo c >/proc/sysrq-trigger; sleep 30; exit 0'
expect 3 'WARNING' 'a kernel warning' "$(provoke WARNING)"
expect 3 'BUG|invalid opcode' 'a kernel bug' "$(provoke BUG)"
expect 3 'tainted' 'a warning that the console does not show' "dmesg -n 1; $(provoke WARNING)"
# The version of a swap area is a number at byte 1024; there is but one.
expect 0 '' 'a message about a bad swap header' \
	'head -c 4M /dev/zero >/bad && mkswap /bad && printf "\\7" | dd of=/bad bs=1 seek=1024 conv=notrunc &&
	 chmod 600 /bad && ! busybox swapon /bad && dmesg | grep "Unable to handle swap header"'
expect 3 'KCSAN' 'a data race of ktask' \
	'echo "BUG: KCSAN: data-race in do_exit / ktask_run" >/dev/kmsg'
expect 0 '' 'a data race of others' \
	'echo "BUG: KCSAN: data-race in do_exit / do_fork" >/dev/kmsg'
expect 3 'hang' 'a job that hangs' 'sleep 1000' --timeout 25
expect 3 'went off' 'an early power-off' 'busybox poweroff -f'
expect 3 'went off' 'an early power-off with a forged closing line' \
	'echo "ktask-init: 0 status=0 taint=0"; sleep 1; busybox poweroff -f'
expect 3 'panic' 'a kernel that finds no init' true --append init=/nonexistent
