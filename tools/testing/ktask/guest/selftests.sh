#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: run the kselftests that are named in the file "run", each line
# COLLECTION:PROGRAM [ARGUMENTS], each for as long as the settings of its
# collection allow, and frame what they print. If there is a before.sh, it is run
# first, in this very shell; it may define what is done after each program.

# time_of COLLECTION: seconds, in upstream's own words, times what this kernel
# and emulation cost.
time_of()
{
	local t

	t=$(sed -n 's/^timeout=//p' "$1/settings" 2>/dev/null)
	echo $((${t:-360} * $(cat slowness 2>/dev/null || echo 2)))
}

after_program()
{
	:
}

# shellcheck source=/dev/null
[ ! -f before.sh ] || . ./before.sh
while IFS=': ' read -r collection program arguments; do
	echo "# ktask-program: begin $collection/$program"
	(
		cd "$collection" || exit 125
		# shellcheck disable=SC2086 # one word per argument
		exec setsid timeout -k 10 "$(cd .. && time_of "$collection")" "./$program" $arguments </dev/null
	) &
	wait "$!"
	status=$?
	# On a line of its own, though the program may have ended within one.
	printf '\n# ktask-program: end %s %s\n' "$collection/$program" "$status"
	# What it left running would hold devices and memory that the next needs.
	pkill -KILL -s "$!"
	after_program "$collection/$program"
done <run
exit 0
