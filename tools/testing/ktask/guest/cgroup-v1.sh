#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest, before tests: mount hierarchies of cgroup v1 beside v2, which the
# kernel's command line names as ktask.v1=CONTROLLERS/CONTROLLERS/..., and go into
# a cgroup of each. Then what runs here has a css_set of many hierarchies.

# enter_v1 WHAT: options that the hierarchy is mounted with.
enter_v1()
{
	local dir=/run/cgroup-v1/${1//[,=]/-} file

	mkdir -p "$dir" || return
	mount -t cgroup -o "$1" cgroup "$dir" || return
	mkdir "$dir/tests" || return
	# One without CPUs and memory takes nobody.
	for file in cpuset.cpus cpuset.mems; do
		[ ! -e "$dir/$file" ] || cat "$dir/$file" >"$dir/tests/$file" || return
	done
	echo $$ >"$dir/tests/cgroup.procs"
}

for v1 in $(sed -n 's/.*\<ktask\.v1=\([^ ]*\).*/\1/p' /proc/cmdline | tr / ' '); do
	if enter_v1 "$v1"; then
		echo "ok - in a cgroup of v1 with $v1"
	else
		echo "not ok - in a cgroup of v1 with $v1"
	fi
done
