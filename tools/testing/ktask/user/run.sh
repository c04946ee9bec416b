#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Run test programs, each a subtest of one TAP stream.

echo "TAP version 13"
echo "1..$#"
nr=0
failed=0
for program in "$@"; do
	nr=$((nr + 1))
	verdict=ok
	# A sanitizer's report goes into the stream too, as comments.
	timeout 60 "$program" 2>&1 | sed -E '/^(ok|not ok|#|[0-9]+\.\.|TAP)/!s/^/# /; s/^/    /'
	if [ "${PIPESTATUS[0]}" -ne 0 ]; then
		verdict="not ok"
		failed=$((failed + 1))
	fi
	echo "$verdict $nr - $(basename "$program")"
done
exit $((failed > 0))
