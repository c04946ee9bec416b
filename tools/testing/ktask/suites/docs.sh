#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The documents as HTML, built by the kernel's own Sphinx, which has no warning

. "$(dirname "$0")/common.sh"

command -v sphinx-build >/dev/null ||
	die "Sphinx is missing; run: sudo apt-get install python3-sphinx"

lock_home
tree=$("$KT_DIR/prepare.sh")
out=$(kt_home)/docs
log=$(kt_home)/log/docs.log
rm -rf "$out"
mkdir -p "$out"

# built DIRECTORY PAGE...: other documents of the directory may have warnings.
built()
{
	local dir=$1 page warnings

	shift
	step "building Documentation/$dir" "$log" \
		make -C "$tree" O="$out" htmldocs SPHINXDIRS="$dir"
	for page; do
		if [ -s "$out/Documentation/output/$dir/$page.html" ]; then
			echo "ok - docs: $dir/$page"
		else
			echo "not ok - docs: $dir/$page was not built; see $log"
		fi
	done
	if warnings=$(sed "s,$tree/,," "$log" | grep ktask | grep -i "warning:\|error:"); then
		printf '%s\n' "not ok - docs: $dir: no warning" "# ${warnings//$'\n'/$'\n'# }"
	else
		echo "ok - docs: $dir: no warning"
	fi
}

built admin-guide/ktask index guide reference
built core-api ktask ktask-objections
say "the documents are in $out/Documentation/output"
