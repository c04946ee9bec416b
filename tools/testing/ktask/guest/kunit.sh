#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: the KUnit suites ran at boot; hand on what they found.

suites=0
for results in /sys/kernel/debug/kunit/*/results; do
	suite=$(basename "$(dirname "$results")")
	grep -q . "$results" || continue
	suites=$((suites + 1))
	echo "# ktask-program: begin kunit/$suite"
	cat "$results"
	echo "# ktask-program: end kunit/$suite 0"
done
[ "$suites" -gt 0 ] || echo "not ok - no KUnit suite of ktask ran"
exit 0
