#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: run the kselftests that are named in the file "run", each line
# COLLECTION:PROGRAM [ARGUMENTS], each for as long as the settings of its
# collection allow, and frame what they print. If there is a before.sh, it is run
# first, in this very shell; it may define what is done before and after each
# program.

# time_of COLLECTION PROGRAM: seconds, in upstream's own words, times what this
# kernel and emulation cost. Where upstream has none, ktask's own have more cases.
time_of()
{
	local t

	t=$(sed -n 's/^timeout=//p' "$1/settings" 2>/dev/null)
	case $2 in
	test_ktask*)	t=${t:-900} ;;
	esac
	echo $((${t:-360} * $(cat slowness 2>/dev/null || echo 2)))
}

before_program()
{
	:
}

after_program()
{
	:
}

configured()
{
	zcat /proc/config.gz | grep -qx "CONFIG_$1=y"
}

# Tests skip what a kernel does not have, so it must have what it is configured for.
has_what_is_configured()
{
	local probe=/sys/fs/cgroup/ktask-probe has=true

	if configured KTASK && [ ! -e /proc/sys/debug/ktask_max_threads ]; then
		has=false
	fi
	if configured CGROUP_KTASK && grep -qw cpu /sys/fs/cgroup/cgroup.controllers; then
		echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
		mkdir "$probe"
		[ -e "$probe/cpu.ktask.max" ] && [ -e "$probe/cpu.ktask.stat" ] || has=false
		rmdir "$probe"
		echo -cpu >/sys/fs/cgroup/cgroup.subtree_control
	fi
	$has
}

if has_what_is_configured; then
	echo "ok - the kernel has what it is configured for"
else
	echo "not ok - the kernel has what it is configured for"
fi

# shellcheck source=/dev/null
[ ! -f before.sh ] || . ./before.sh
while IFS=': ' read -r collection program arguments; do
	echo "# ktask-program: begin $collection/$program"
	before_program "$collection/$program"
	(
		cd "$collection" || exit 125
		# shellcheck disable=SC2086 # one word per argument
		exec setsid timeout -k 10 "$(cd .. && time_of "$collection" "$program")" "./$program" $arguments </dev/null
	) &
	wait "$!"
	status=$?
	# On a line of its own, though the program may have ended within one.
	printf '\n# ktask-program: end %s %s\n' "$collection/$program" "$status"
	# What it left running would hold devices and memory that the next needs, and
	# does so until all of that is freed.
	pkill -KILL -s "$!"
	for ((i = 0; i < 600; i++)); do
		pgrep -s "$!" >/dev/null || break
		sleep 0.1
	done
	after_program "$collection/$program"
done <run
exit 0
