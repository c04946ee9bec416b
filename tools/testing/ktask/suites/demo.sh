#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The main job, as 'make run' does it: containers within their limits

. "$(dirname "$0")/common.sh"

table=$(kt_home)/log/demo

# The demonstration itself fails where a container had more helpers than it was
# allowed, or none though it was allowed some.
if CPUS=2 MEM=4G PAIRS=2 MIB=256 "$KT_DIR/demo/demo.sh" 2>&1 >"$table" | tee "$table.said" >&2; then
	echo "ok - demo: all containers kept to their limits"
else
	echo "not ok - demo: $(tail -n 1 "$table.said")"
fi

# row NAME ALLOWED WHY: both halves of the table have one.
row()
{
	if [ "$(grep -cE "^$1 .* $2 +\($3\) +$2 " "$table")" -eq 2 ]; then
		echo "ok - demo: $1 has $2 helpers"
	else
		echo "not ok - demo: $1 has $2 helpers ($3): $(grep "^$1 " "$table" | paste -sd'|')"
	fi
}

row plain 1 'it has 2 CPUs'
row quota 1 'cpu\.max'
row one-cpu 0 'it has 1 CPU'
row serial 0 'cpu\.ktask\.max'
row one-helper 1 'cpu\.ktask\.max'
row child 0 'cpu\.ktask\.max of /tenant'
