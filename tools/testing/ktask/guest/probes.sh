#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest, before tests: trace ktask's functions, and those that it calls
# most, and put probes on others, so that the kernel's text gets patched there. An
# instance of its own leaves the trace alone that tests look at.

tracing=/sys/kernel/tracing
probes=$tracing/instances/probes

# Tasks so far. Any process that ends meets the other probes.
probed()
{
	awk '$1 ~ /run$/ { print $2 }' "$tracing/kprobe_profile"
}

# shellcheck disable=SC2016 # $retval is what the probed function returns
probes_on()
{
	mkdir "$probes" &&
		echo '*ktask*' >"$probes/set_ftrace_filter" &&
		echo unmap_page_range >>"$probes/set_ftrace_filter" &&
		echo 'p:ktask_probe/free free_pages_and_swap_cache' >"$tracing/kprobe_events" &&
		echo 'r:ktask_probe/run __ktask_run_numa $retval' >>"$tracing/kprobe_events" &&
		echo 1 >"$probes/events/ktask_probe/enable" &&
		echo function >"$probes/current_tracer"
}

if probes_on; then
	echo "ok - functions are traced and probed"
else
	echo "not ok - functions are traced and probed"
fi

# shellcheck disable=SC2317 # selftests.sh calls it
after_program()
{
	local now

	now=$(probed)
	if [ "$now" -gt "${before:-0}" ]; then
		echo "ok - $1 made $((now - ${before:-0})) tasks that met a probe"
	else
		echo "not ok - $1 made a task that met a probe"
	fi
	before=$now
}
