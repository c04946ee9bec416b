#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# build.sh [VARIANT]: build a test kernel and print the path of its vmlinux.

. "$(dirname "$0")/lib.sh"
. "$KT_DIR/variants.sh"

variant=${1:-default}
dir=$(variant_dir "$variant")
log=$(kt_home)/log/build-$variant.log

export KBUILD_BUILD_USER=ktask KBUILD_BUILD_HOST=ktask

# Objects are kept by content, so that another checkout, or another variant that
# an option does not matter to, need not compile them again. Paths below this
# checkout's part of the cache are made relative for that; the macro prefix map
# names it, too, and what it makes of file names does not.
export PATH=/usr/lib/ccache:$PATH
CCACHE_BASEDIR=$(kt_home)
export CCACHE_BASEDIR CCACHE_DIR=$KT_CACHE/ccache CCACHE_NOHASHDIR=1
export CCACHE_IGNOREOPTIONS='-fmacro-prefix-map=*' CCACHE_DEPEND=1
export CCACHE_SLOPPINESS=time_macros,include_file_mtime,include_file_ctime

kmake()
{
	make -C "$tree" O="$dir" "$@"
}

# A first build starts from one that differs little, where there is one.
seed()
{
	local s

	[ ! -f "$dir/Makefile" ] || return 0
	mkdir -p "$(dirname "$dir")"
	rm -rf "$dir" "$dir.tmp"
	for s in $(variant_siblings "$variant"); do
		[ -f "$(variant_dir "$s")/objects" ] || continue
		say "starting $variant from the build of $s"
		cp -a "$(variant_dir "$s")" "$dir.tmp"
		rm -f "$dir.tmp/vmlinux" "$dir.tmp/config-key"
		break
	done
	mkdir -p "$dir.tmp"
	mv "$dir.tmp" "$dir"
}

# A later build makes some of the objects again; how many, nobody can tell.
how_far()
{
	local compiled

	compiled=$(grep -c '^  \(CC\|AS\) ' "$log" || :)
	if [ -f "$dir/objects" ]; then
		echo "$compiled objects compiled, of $(cat "$dir/objects") at most"
	else
		echo "$compiled objects compiled, $(objects) of about 1720 there"
	fi
}

objects()
{
	find "$dir" -name '*.o' | wc -l
}

# progress START: what keep_saying says while it compiles.
# shellcheck disable=SC2317 # it is called by that name
progress()
{
	echo "building $variant: $(how_far), $((SECONDS - $1)) s"
}

compile()
{
	local start=$SECONDS rc=0 watcher

	mkdir -p "$(dirname "$log")"
	say "building the $variant kernel (log: $log)"
	keep_saying 30 progress "$start"
	kmake -j"$KT_JOBS" KCFLAGS="${KCFLAGS:-}" vmlinux >"$log" 2>&1 </dev/null || rc=$?
	kill "$watcher" 2>/dev/null || :
	if [ "$rc" -ne 0 ]; then
		{ grep -E -A8 'error:|Error [0-9]|undefined reference' "$log" || tail -n 20 "$log"; } | sed -n 1,60p >&2
		die "building the $variant kernel failed; the whole log is $log"
	fi
	grep -E -A6 'warning:' "$log" >&2 || :
	objects >"$dir/objects"
	say "the $variant kernel is built: $(how_far), in $((SECONDS - start)) s"
}

# In braces, as in the other scripts that run for long: bash reads all of it
# before it starts, so that an edit meanwhile does not reach this run.
{
	lock_home
	if variant_is_stock "$variant"; then
		tree=$("$KT_DIR/fetch.sh")
	else
		tree=$("$KT_DIR/prepare.sh")
	fi
	seed
	"$KT_DIR/config.sh" "$variant" "$tree"
	compile
	echo "$dir/vmlinux"
	exit
}
