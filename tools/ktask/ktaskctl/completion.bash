# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Completion of ktaskctl's arguments, for bash

_ktaskctl_cgroups()
{
	local root

	root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
	[ -n "$root" ] || return 0
	compopt -o filenames
	mapfile -t COMPREPLY < <(cd "$root" && compgen -d -S / -- "$1")
	compopt -o nospace
}

_ktaskctl()
{
	local current=${COMP_WORDS[COMP_CWORD]} command='' word

	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $word in
		show | explain | set | top)	command=$word; break ;;
		esac
	done
	case $command:$current in
	:-*)	mapfile -t COMPREPLY < <(compgen -W '--root --help' -- "$current") ;;
	:*)	mapfile -t COMPREPLY < <(compgen -W 'show explain set top' -- "$current") ;;
	show:-*) mapfile -t COMPREPLY < <(compgen -W '--json --prometheus' -- "$current") ;;
	top:-*)	mapfile -t COMPREPLY < <(compgen -W '--delay --times' -- "$current") ;;
	*)	_ktaskctl_cgroups "$current" ;;
	esac
}

complete -F _ktaskctl ktaskctl
