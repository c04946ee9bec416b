# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest, sourced: a teardown that waits for the word when its memory is
# in use. One at a time.

# hold COMMAND...: run it, and return when it has its memory.
hold()
{
	local word

	coproc "$@"
	held=$COPROC_PID
	exec {to_held}>&"${COPROC[1]}" {from_held}<&"${COPROC[0]}"
	read -r word <&"$from_held"
	[ "$word" = ready ] || { echo "teardown is not ready: $word"; exit 1; }
}

# let_go VARIABLE: tear its memory down, and say how long that took, in ns.
let_go()
{
	let_go_start
	let_go_end "$1"
}

# The same in two steps, for what has to be done meanwhile.
let_go_start()
{
	echo go >&"$to_held"
}

let_go_end()
{
	read -r "$1" <&"$from_held"
}

# hold_end: wait until it is gone.
hold_end()
{
	exec {to_held}>&- {from_held}<&-
	wait "$held"
}

# mark: an emulator that counts instructions looks out for the kernel function that this runs.
mark()
{
	echo ktask >/proc/sys/kernel/hostname
}
