# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest, sourced: the same with ktask off and on in turn, in cgroups.

switch=/proc/sys/debug/ktask_max_threads
all=$(<"$switch")

# ktask_set on|off|own: own is what a program can do by itself.
ktask_set()
{
	case $1 in
	on)		echo "$all" >"$switch" ;;
	off|own)	echo 1 >"$switch" ;;
	esac
}

# in_group CGROUP COMMAND...
in_group()
{
	echo "$BASHPID" >"$1/cgroup.procs"
	shift
	exec "$@"
}

# turns REP MODE...: the modes in order. What a mode leaves behind (pages on the
# lists of a CPU, say) is found by the next one. So the first changes with each
# REP, and the direction once each was first: in twice as many repetitions as there
# are modes each follows each other equally often.
turns()
{
	local rep=$1 first

	shift
	if [ $((rep / $# % 2)) -eq 1 ]; then
		# shellcheck disable=SC2046 # one word per mode
		set -- $(printf '%s\n' "$@" | tac)
	fi
	first=$((rep % $# + 1))
	echo "${@:first}" "${@:1:first-1}"
}

# in_turn REPS MODES COMMAND...: COMMAND REP MODE ... for each repetition and
# mode, of which MODES are several words. The first repetition warms up.
in_turn()
{
	local reps=$1 modes=$2 command=$3 rep mode

	shift 3
	for ((rep = 0; rep <= reps; rep++)); do
		# shellcheck disable=SC2086 # one word per mode
		for mode in $(turns "$rep" $modes); do
			"$command" "$rep" "$mode" "$@"
		done
	done
}

# number FILE NAME: the number beside a name in a file of a cgroup.
number()
{
	awk -v name="$2" '$1 == name { print $2 }' "$1"
}

# charged GROUP COMMAND...: run it; leaves in $usage and $throttled what cpu.stat
# of GROUP counted meanwhile, in microseconds.
charged()
{
	local stat=$1/cpu.stat

	shift
	usage=$(number "$stat" usage_usec) throttled=$(number "$stat" throttled_usec)
	"$@"
	usage=$(($(number "$stat" usage_usec) - usage))
	throttled=$(($(number "$stat" throttled_usec) - throttled))
}
