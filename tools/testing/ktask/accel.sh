# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# KVM or emulation? /dev/kvm may exist and yet not run a guest, so try one and
# remember the answer until the host is booted again. To be sourced.

accel_cpu()
{
	case $1 in
	kvm)	echo host ;;
	# TCG's rep stosb is several times too slow: clearing pages would drown
	# all else.
	*)	echo max,erms=off ;;
	esac
}

# The emulator's threads race with a kernel that patches its own text, so one has
# to do for all virtual CPUs.
accel_threads()
{
	local config

	config=$(dirname "$2")/.config
	if [ "$1" = tcg ] && grep -qsE '^CONFIG_(JUMP_LABEL|DYNAMIC_FTRACE|KPROBES)=y' "$config"; then
		echo "$1,thread=single"
	else
		echo "$1"
	fi
}

accel_kvm_boots()
{
	local dir rc=0

	dir=$(mktemp -d)
	timeout 40 "$KT_DIR/vm.sh" --kernel "$1" --accel kvm --cpus 2 --mem 1G \
		--timeout 25 --job true --result "$dir" >/dev/null 2>&1 || rc=$?
	rm -rf "$dir"
	return "$rc"
}

accel_choose()
{
	local memo

	[ -w /dev/kvm ] || { echo tcg; return; }
	memo=$KT_CACHE/accel-$(cat /proc/sys/kernel/random/boot_id)
	if [ ! -s "$memo" ]; then
		say "does KVM run a guest here? trying"
		if accel_kvm_boots "$1"; then
			echo kvm >"$memo"
		else
			echo tcg >"$memo"
		fi
	fi
	cat "$memo"
}
