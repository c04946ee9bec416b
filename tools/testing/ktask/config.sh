#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# config.sh VARIANT TREE: configure a build, from tinyconfig plus the fragments
# of the variant, and make sure that every line of them has stuck.

. "$(dirname "$0")/lib.sh"
. "$KT_DIR/variants.sh"

variant=$1
tree=$2
dir=$(variant_dir "$variant")
tmp=$(kt_home)/kconfig
log=$(kt_home)/log/config-$variant.log

lock_home
fragments=()
for f in $(variant_fragments "$variant"); do
	fragments+=("$KT_DIR/configs/$f.config")
done

# The configuration depends on the fragments and on every Kconfig file: ours, and
# those of Linux. There may come to be another one in KSRC; its version tells.
config_key()
{
	{
		cat "${fragments[@]}" "$KT_DIR/config.sh"
		echo "$tree"
		head -n 5 "$tree/Makefile"
		[ ! -f "$(kt_home)/manifest" ] || variant_is_stock "$variant" ||
			(cd "$tree" && grep Kconfig "$(kt_home)/manifest" | xargs -r cat)
		gcc --version
		pahole --version
	} | hash_of
}

# Apart from the build, so that a configuration that does not pass the check
# touches nothing, and in one place, so that conf is compiled once.
configure()
{
	mkdir -p "$tmp"
	make -C "$tree" O="$tmp" tinyconfig
	"$tree/scripts/kconfig/merge_config.sh" -m -O "$tmp" "$tmp/.config" "${fragments[@]}"
	make -C "$tree" O="$tmp" olddefconfig
}

# The lines that the fragments ask for, one per option, the last one winning.
wanted()
{
	cat "${fragments[@]}" | awk '
		match($0, /^# CONFIG_[A-Za-z0-9_]+ is not set$/) { want[$2] = $0; next }
		/^#/ || /^$/ { next }
		{ split($0, part, "="); want[part[1]] = $0 }
		END { for (option in want) print want[option] }' | sort
}

# An option that does not exist here, or that is invisible, is off as well.
check()
{
	local line option bad=()

	while read -r line; do
		grep -qxF -- "$line" "$1" && continue
		option=${line#\# }
		option=${option%% *}
		case $line in
		"# "*) grep -q "^$option=" "$1" || continue ;;
		esac
		bad+=("$line")
	done < <(wanted)
	[ "${#bad[@]}" -eq 0 ] && return
	printf '\t%s\n' "${bad[@]}" >&2
	die "these lines of ${fragments[*]##*/} did not stick in the $variant configuration: correct them or what they depend on"
}

mkdir -p "$dir"
key=$(config_key)
[ "$(cat "$dir/config-key" 2>/dev/null)" != "$key" ] || [ ! -f "$dir/.config" ] || exit 0
step "configuring the $variant kernel" "$log" configure
check "$tmp/.config"
cmp -s "$tmp/.config" "$dir/.config" || cp "$tmp/.config" "$dir/.config"
echo "$key" >"$dir/config-key"
