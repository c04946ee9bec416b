#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# ktask's tests where freed pages are written over, and the kernel's text is patched

. "$(dirname "$0")/common.sh"
# With poisoning there is no init_on_free, so that gets a boot of its own.
run_kunit poison --append 'page_owner=on page_poison=1'
run_ktask_selftests poison --append 'page_owner=on page_poison=1'
BEFORE=probes.sh run_selftests poison probes '^ktask:unmap_(content|hostile)$' \
	--append 'page_owner=on init_on_free=1'
