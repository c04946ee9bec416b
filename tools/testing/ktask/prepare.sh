#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Bring the work tree of this checkout up to date and print its path: the
# untouched Linux tree, plus the overlay, plus the patches.
#
# The work tree consists of hard links to the untouched one. Files of ours are
# put there by renaming, and only where their content differs, so that the
# untouched tree stays so and make sees no change where there is none. What an
# earlier run has put there and this one does not is put back.

. "$(dirname "$0")/lib.sh"

home=$(kt_home)
tree=$home/tree
stage=$home/stage
manifest=$home/manifest

# The overlay is what lies in a directory that Linux has too, such as kernel/.
# Not overlaid: files of the top directory, all other directories, and what
# builds and boots the result.
overlay_files()
{
	(
		cd "$KT_TOP"
		if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
			git ls-files -co --exclude-standard
		else
			find . -type f -printf '%P\n'
		fi
	) | grep / | grep -v '^tools/testing/ktask/' | sort -u | while read -r f; do
		[ ! -d "$pristine/${f%%/*}" ] || echo "$f"
	done
}

patches()
{
	find "$KT_TOP/patches/6.12" -name '*.patch' 2>/dev/null | sort
}

# Files of another Linux may be older than what was built of this one, and look
# as if nothing had changed; so that goes, too.
make_tree()
{
	[ "$(cat "$home/pristine" 2>/dev/null)" != "$pristine" ] || return 0
	rm -rf "$home"/{pristine,build,kconfig,headers,selftests} "$tree" "$manifest"
	cp -al "$pristine" "$tree"
	echo "$pristine" >"$home/pristine"
}

# A tree named with KSRC may have changed since: follow it, but for our files. What
# is new here is new to make, however old it was there.
follow_ksrc()
{
	[ -n "${KSRC:-}" ] || return 0
	sed 's|^|/|' "$manifest" >"$home/exclude" 2>/dev/null || :>"$home/exclude"
	rsync -a --checksum --no-times --delete --exclude-from="$home/exclude" "$pristine/" "$tree/" >/dev/null
}

stage_overlay()
{
	local f

	while read -r f; do
		[ -f "$KT_TOP/$f" ] || continue
		[ ! -e "$pristine/$f" ] ||
			die "$f is a file of Linux already: change it with a patch in patches/6.12/"
		mkdir -p "$stage/$(dirname "$f")"
		cp "$KT_TOP/$f" "$stage/$f"
	done < <(overlay_files)
}

# Patches apply exactly: a hunk that has to be guessed at is one to look at.
stage_patch()
{
	local f

	while read -r f; do
		[ -e "$stage/$f" ] && continue
		[ -e "$pristine/$f" ] || die "$1 changes $f, which this Linux tree lacks"
		mkdir -p "$stage/$(dirname "$f")"
		cp "$pristine/$f" "$stage/$f"
	done < <(sed -n 's|^+++ b/\([^\t ]*\).*|\1|p' "$1")
	patch -d "$stage" -p1 -F0 -s --no-backup-if-mismatch <"$1" >&2 ||
		die "$1 does not apply to $pristine: refresh it"
}

# put SRC NAME: by renaming, so that no hard link is ever written through.
put()
{
	mkdir -p "$tree/$(dirname "$2")"
	cp "$1" "$tree/$2.ktask-tmp"
	mv -f "$tree/$2.ktask-tmp" "$tree/$2"
}

take_back()
{
	if cmp -s "$pristine/$1" "$tree/$1"; then
		return
	elif [ -e "$pristine/$1" ]; then
		put "$pristine/$1" "$1"
		say "put back $1"
	else
		rm -f "$tree/$1"
		rmdir -p --ignore-fail-on-non-empty "$(dirname "$tree/$1")"
		say "removed $1"
	fi
}

# Names say what a build is about to do, unless there are too many to read.
tell()
{
	if [ $# -gt 8 ]; then
		say "updated $# files of ktask in the work tree"
	elif [ $# -gt 0 ]; then
		say "updated $*"
	fi
}

sync_stage()
{
	local f changed=()

	(cd "$stage" && find . -type f -printf '%P\n' | sort) >"$manifest.new"
	touch "$manifest"
	# Both lists stay known until the work is done, should it be cut short.
	sort -u "$manifest" "$manifest.new" -o "$manifest.both"
	comm -23 "$manifest" "$manifest.new" >"$manifest.gone"
	mv "$manifest.both" "$manifest"
	while read -r f; do
		take_back "$f"
	done <"$manifest.gone"
	while read -r f; do
		cmp -s "$stage/$f" "$tree/$f" && continue
		put "$stage/$f" "$f"
		changed+=("$f")
	done <"$manifest.new"
	tell "${changed[@]}"
	mv "$manifest.new" "$manifest"
}

# Checkouts come and go; what one that is gone had in the cache goes as well.
forget_dead_checkouts()
{
	local d fd

	for d in "$KT_CACHE"/checkouts/*; do
		[ -f "$d/checkout" ] || continue
		[ ! -d "$(cat "$d/checkout")" ] || continue
		exec {fd}>"$KT_CACHE/locks/home-$(basename "$d")"
		! flock -n "$fd" || rm -rf "$d"
		exec {fd}>&-
	done
}

lock_home
forget_dead_checkouts
mkdir -p "$home"
echo "$KT_TOP" >"$home/checkout"
pristine=$("$KT_DIR/fetch.sh")
make_tree
follow_ksrc
rm -rf "$stage"
mkdir -p "$stage"
stage_overlay
while read -r p; do
	stage_patch "$p"
done < <(patches)
sync_stage
echo "$tree"
