#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: run the scheduler's kselftest, where the kernel has what it tests.

echo "# ktask-program: begin sched/cs_prctl_test"
if zgrep -q '^CONFIG_SCHED_CORE=y' /proc/config.gz; then
	./cs_prctl_test </dev/null | sed 's/^/# /'
	status=${PIPESTATUS[0]}
else
	echo "1..0 # SKIP the kernel has no core scheduling (CONFIG_SCHED_CORE)"
	status=4
fi
echo "# ktask-program: end sched/cs_prctl_test $status"
exit 0
