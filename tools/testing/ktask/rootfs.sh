#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Make the root file system of the test machines and print its path: an ext4
# image of Debian packages with our own init. No mount, no loop device.
#
# usage: rootfs.sh [image]; image: just that step, by itself

. "$(dirname "$0")/lib.sh"

suite=bookworm
image_size=8G

packages=$(grep -v '^#' "$KT_DIR/guest/packages" | paste -sd,)
key=$(cat "$KT_DIR/guest/packages" "$KT_DIR/guest/init" "$KT_DIR/rootfs.sh" | hash_of)
image=$KT_CACHE/rootfs/$key.ext4
tarball=$KT_CACHE/rootfs/$(echo "$suite $packages" | hash_of).tar
log=$KT_CACHE/log/rootfs.log

# The packages only, as a tar file. Debian's archive as apt knows it here,
# where this is a Debian of that suite.
debootstrap()
{
	local mirror=()

	if grep -q "^VERSION_CODENAME=$suite\$" /etc/os-release && [ -f /etc/apt/sources.list.d/debian.sources ]; then
		mirror=(/etc/apt/sources.list.d/debian.sources)
	fi
	mmdebstrap --variant=extract --format=tar --include="$packages" \
		--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		"$suite" "$tarball.tmp" "${mirror[@]}"
	mv "$tarball.tmp" "$tarball"
}

# What maintainer scripts would have set up, as far as anything here needs it.
finish()
{
	local root=$1

	rm -rf "$root"/usr/share/{doc,man,locale} "$root"/var/cache/apt "$root"/var/lib/apt
	install -m 755 "$KT_DIR/guest/init" "$root/sbin/ktask-init"
	mkdir -p "$root"/{proc,sys,dev,run,tmp,root,mnt}
	printf 'root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n' >"$root/etc/passwd"
	printf 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n' >"$root/etc/group"
	printf '127.0.0.1 localhost ktask\n' >"$root/etc/hosts"
	ln -sf dash "$root/usr/bin/sh"
	ln -sf gawk "$root/usr/bin/awk"
	ldconfig -r "$root"
}

make_image()
{
	local root=$image.root

	rm -rf "$root"
	mkdir -p "$root"
	tar -xf "$tarball" -C "$root" --exclude='./dev/*'
	finish "$root"
	# Sparse: a guest may fill it with swap and test files. Nothing is left
	# for the kernel to initialise in the background of a measurement.
	rm -f "$image.tmp"
	mke2fs -q -t ext4 -N 65536 -E lazy_itable_init=0,lazy_journal_init=0 \
		-d "$root" "$image.tmp" "$image_size"
	rm -rf "$root"
	mv "$image.tmp" "$image"
}

if [ "${1:-}" = image ]; then
	make_image
	exit
fi

lock rootfs
mkdir -p "$KT_CACHE/rootfs"
[ -f "$tarball" ] || step "collecting Debian packages for the root file system" "$log" debootstrap
if [ ! -f "$image" ]; then
	# Its files are to be root's, whoever makes it.
	as_root=()
	[ "$(id -u)" -eq 0 ] || as_root=(fakeroot)
	step "making the root image" "$log" "${as_root[@]}" "$KT_DIR/rootfs.sh" image
fi
echo "$image"
