#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: a shell's life and that of a build, each in a cgroup of its own,
# and how many tasks came of it.
# shellcheck disable=SC2317 # what "live" runs

errors=0

# same WHAT GOT WANT
same()
{
	[ "$2" = "$3" ] && return
	echo "# $1: got '$2', not '$3'"
	errors=$((errors + 1))
}

# Fork, exec and exit, as a shell does all day
shell_once()
{
	local out

	same 'a pipe' "$(printf '%s\n' c a b | sort | tr -d '\n')" abc
	out=$(sh -c 'exit 7'; echo $?)
	same 'a status' "$out" 7
	out=$(: | (read -r _ || (exit 3); echo $?))
	same 'subshells' "$out" 3
	out=$(bash -c 'f() { echo "$(($1 + 1))"; }; f "$(f "$(f 1)")"')
	same 'substitutions' "$out" 4
	out=$(seq 200 | xargs -n 50 sh -c 'echo $#' - | paste -sd+ -)
	same 'xargs' "$out" 50+50+50+50
	sleep 60 &
	kill $!
	wait $! 2>/dev/null
	same 'a signal' $? 143
}

shells()
{
	local i

	for ((i = 0; i < 40; i++)); do
		shell_once
	done
	[ "$errors" -eq 0 ]
}

build()
{
	make -s -j4 && sha256sum --quiet -c sums && gzip -t sources.tar.gz
}

# processes: that were started since boot
processes()
{
	awk '$1 == "processes" { print $2 }' /proc/stat
}

stat_of()
{
	awk -v name="$2" '$1 == name { print $2 }' "/sys/fs/cgroup/$1/cpu.ktask.stat"
}

# live NAME COMMAND: in a cgroup; every process makes a task when it ends, if not
# when it becomes another program, and many have helpers.
live()
{
	local name=$1 before started tasks serial

	shift
	mkdir "/sys/fs/cgroup/$name"
	before=$(processes)
	if (echo "$BASHPID" >"/sys/fs/cgroup/$name/cgroup.procs" && "$@"); then
		echo "ok - $name: all that they did is right"
	else
		echo "not ok - $name: all that they did is right"
	fi
	started=$(($(processes) - before))
	tasks=$(stat_of "$name" tasks)
	serial=$(stat_of "$name" serial_tasks)
	echo "# $name: $started processes, $tasks tasks, $((tasks - serial)) of them with helpers"
	if [ "$tasks" -ge $((started * 9 / 10)) ] && [ "$tasks" -ge 300 ]; then
		echo "ok - $name: each process made a task"
	else
		echo "not ok - $name: each process made a task ($tasks of $started)"
	fi
	if [ "$serial" -lt "$tasks" ]; then
		echo "ok - $name: tasks had helpers"
	else
		echo "not ok - $name: tasks had helpers"
	fi
}

echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
cp -an root/. /
live shells shells
live build build
exit 0
