#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Make sure that the Debian packages which building, booting and testing need
# are there: root gets them installed, anyone else gets the command to run.

. "$(dirname "$0")/lib.sh"

packages=(
	# the kernel
	gcc ccache make libc6-dev flex bison bc libelf-dev libssl-dev xz-utils patch
	perl python3 rsync cpio kmod git mawk dwarves
	# ktaskctl
	libjson-c-dev
	# the virtual machine
	qemu-system-x86 mmdebstrap uidmap e2fsprogs fakeroot
	# the checks
	shellcheck sparse
)

missing()
{
	local p

	for p in "${packages[@]}"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] ||
			echo "$p"
	done
}

command -v dpkg-query >/dev/null ||
	die "not a Debian system: the root image is made of Debian's packages, so use one, or a container of one"

mapfile -t todo < <(missing)
[ "${#todo[@]}" -gt 0 ] || exit 0
[ "$(id -u)" -eq 0 ] || die "packages are missing; run: sudo apt-get install ${todo[*]}"

install_all()
{
	# A source that does not answer matters only if it is the one needed.
	apt-get update || :
	DEBIAN_FRONTEND=noninteractive \
		apt-get install -y --no-install-recommends "${todo[@]}"
}

step "installing ${todo[*]}" "$KT_CACHE/log/apt.log" install_all
