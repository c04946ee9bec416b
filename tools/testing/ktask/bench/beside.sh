# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest, sourced: a program that runs beside a teardown and tells, when
# it gets a line, what it has seen since the last one. One at a time.

# beside COMMAND...: start it, and return when it is at work.
beside()
{
	local word

	mkfifo beside.in beside.out
	"$@" <beside.in >beside.out &
	beside_pid=$!
	exec {to_beside}>beside.in {from_beside}<beside.out
	rm beside.in beside.out
	read -r word <&"$from_beside"
	[ "$word" = ready ] || { echo "$* is not ready: $word"; exit 1; }
}

# ask VARIABLE: what it has seen.
ask()
{
	echo >&"$to_beside"
	read -r "$1" <&"$from_beside"
}

beside_end()
{
	exec {to_beside}>&- {from_beside}<&-
	wait "$beside_pid"
}
