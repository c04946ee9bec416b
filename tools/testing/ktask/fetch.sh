#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Lay down the Linux tree that everything is built on, untouched, and print its
# path: the sources pinned in linux.lock, or with KSRC=/path a copy of that
# tree, brought up to date at every run.

. "$(dirname "$0")/lib.sh"

# shellcheck source=/dev/null
. "$KT_DIR/linux.lock"
: "${package:?}" "${version:?}" "${sha256:?}"

# What apt knows of one version: its checksum, empty where it is gone.
archive_sha256()
{
	apt-cache show "$package=$1" 2>/dev/null | sed -n 's/^SHA256: //p' | head -n 1
}

refresh_archive()
{
	[ "$(id -u)" -eq 0 ] || return 0
	step "apt-get update" "$KT_CACHE/log/apt-update.log" apt-get update
}

# The pinned version, or the newest one where the archive has dropped it.
choose_version()
{
	local newest

	[ -n "$(archive_sha256 "$version")" ] || refresh_archive
	[ -z "$(archive_sha256 "$version")" ] || return 0
	newest=$(apt-cache policy "$package" | sed -n 's/^  Candidate: //p')
	case $newest in "" | "(none)")
		die "$package is in no archive that apt knows: add Debian bookworm to the apt sources, or use KSRC=/path" ;;
	esac
	say "NOTE: $package $version is gone from the archive: using $newest instead"
	version=$newest
	sha256=$(archive_sha256 "$version")
}

download()
{
	local tmp=$KT_CACHE/deb.tmp.$$

	rm -rf "$tmp"
	mkdir -p "$tmp" "$KT_CACHE/deb"
	chmod 755 "$tmp"
	(cd "$tmp" && apt-get -o APT::Sandbox::User=root download "$package=$version")
	mv "$tmp"/*.deb "$1"
	rmdir "$tmp"
}

unpack()
{
	local deb=$1 dir=$2 tmp=$2.tmp.$$

	rm -rf "$tmp"
	mkdir -p "$tmp/deb" "$tmp/tree"
	dpkg-deb --fsys-tarfile "$deb" |
		tar -xf - -C "$tmp/deb" "./usr/src/$package.tar.xz"
	tar -xf "$tmp/deb/usr/src/$package.tar.xz" -C "$tmp/tree" --strip-components=1
	rm -rf "$tmp/deb"
	mv "$tmp/tree" "$dir"
	rmdir "$tmp"
}

fetch_pinned()
{
	local deb dir

	choose_version_offline || choose_version
	deb=$KT_CACHE/deb/${package}_$version.deb
	dir=$KT_CACHE/pristine/$sha256
	if [ ! -d "$dir" ]; then
		[ -f "$deb" ] || step "fetching $package $version" "$KT_CACHE/log/fetch.log" download "$deb"
		echo "$sha256  $deb" | sha256sum -c --quiet >/dev/null 2>&1 || {
			rm -f "$deb"
			die "$deb did not have the checksum of linux.lock and was removed: run this again"
		}
		mkdir -p "$KT_CACHE/pristine"
		step "unpacking $package $version" "$KT_CACHE/log/unpack.log" unpack "$deb" "$dir"
	fi
	echo "$dir"
}

# Nothing to ask the archive when the pinned version is already here.
choose_version_offline()
{
	[ -d "$KT_CACHE/pristine/$sha256" ] || [ -f "$KT_CACHE/deb/${package}_$version.deb" ]
}

# KSRC is only ever read. Its copy is what later steps link to, so an edit
# there cannot reach a work tree half-way through a build.
fetch_ksrc()
{
	local dir

	[ "$(sed -n 's/^\(VERSION\|PATCHLEVEL\) = //p' "$KSRC/Makefile" 2>/dev/null | xargs)" = "6 12" ] ||
		die "KSRC=$KSRC is no Linux 6.12 tree"
	if [ -e "$KSRC/.config" ] || [ -d "$KSRC/include/config" ]; then
		die "KSRC=$KSRC has been built in: run 'make mrproper' there, or use a fresh copy of it"
	fi
	dir=$KT_CACHE/pristine/ksrc-$(echo "$KSRC" | hash_of)
	mkdir -p "$dir"
	step "reading $KSRC" "$KT_CACHE/log/ksrc.log" \
		rsync -a --delete --exclude=/.git "$KSRC/" "$dir/"
	echo "$dir"
}

lock fetch
if [ -n "${KSRC:-}" ]; then
	fetch_ksrc
else
	fetch_pinned
fi
