#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# ktask's tests where freed pages are written over, and the kernel's text is patched

. "$(dirname "$0")/common.sh"
run_kunit poison
run_ktask_selftests poison
# With poisoning there is no init_on_free, so that gets a boot of its own.
BEFORE=probes.sh run_selftests poison probes '^ktask:unmap_(content|hostile)$' \
	--append page_poison=0
