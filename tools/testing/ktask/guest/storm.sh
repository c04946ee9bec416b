#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: one storm, with the arguments in "storm-arguments", one a line.

mapfile -t arguments <storm-arguments
echo "# ktask-program: begin ktask/storm"
ktask/storm "${arguments[@]}" </dev/null
echo "# ktask-program: end ktask/storm $?"
exit 0
