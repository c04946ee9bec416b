# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest, sourced: the same in cgroups with ktask off and on in turn.

switch=/proc/sys/debug/ktask_max_threads
all=$(<"$switch")

# ktask_set on|off
ktask_set()
{
	case $1 in
	on)	echo "$all" >"$switch" ;;
	off)	echo 1 >"$switch" ;;
	esac
}

# in_group CGROUP COMMAND...
in_group()
{
	echo "$BASHPID" >"$1/cgroup.procs"
	shift
	exec "$@"
}

# in_turn REPS COMMAND...: COMMAND REP MODE ... for each repetition and mode.
# The first repetition warms up. Who comes first changes with each.
in_turn()
{
	local reps=$1 command=$2 rep mode modes

	shift 2
	for ((rep = 0; rep <= reps; rep++)); do
		modes='off on'
		[ $((rep % 2)) -eq 0 ] || modes='on off'
		for mode in $modes; do
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
