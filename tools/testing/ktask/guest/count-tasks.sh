#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest, before tests: count the tasks that each program makes, whichever
# cgroups it goes to, into $OUT/tasks. By its name: what starts and ends around it
# makes tasks as well. A kernel without ktask has none to count.

tasks=/sys/kernel/tracing/instances/tasks

# Tasks so far, be their events still in the buffer or not
tasks_so_far()
{
	cat "$tasks"/per_cpu/cpu*/stats | awk '/^(entries|overrun):/ { n += $2 } END { print n + 0 }'
}

if [ -d /sys/kernel/tracing/events/ktask ]; then
	mkdir "$tasks"
	echo 1 >"$tasks/events/ktask/ktask_end/enable"
	counted=0

	# shellcheck disable=SC2317 # selftests.sh calls it
	before_program()
	{
		local name=${1##*/}

		# The kernel knows so much of a name.
		echo "comm == \"${name:0:15}\"" >"$tasks/events/ktask/ktask_end/filter"
	}

	# shellcheck disable=SC2317 # selftests.sh calls it
	after_program()
	{
		local now

		now=$(tasks_so_far)
		echo "$1 $((now - counted))" >>"$OUT/tasks"
		counted=$now
	}
fi
