# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Completion of ktaskctl's arguments, for bash

_ktaskctl_cgroups()
{
	local root=$1 current=$2 slash=

	[ -n "$root" ] || root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
	[ -d "$root" ] || return 0
	[ "${current#/}" = "$current" ] || slash=/
	mapfile -t COMPREPLY < <(cd "$root" && compgen -d -S / -P "$slash" -- "${current#/}")
	compopt -o nospace
}

_ktaskctl()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local command='' root='' arguments=0 i word words=("${COMP_WORDS[@]}") at=$COMP_CWORD

	# Of bash-completion: names of cgroups may have these characters.
	if declare -F _get_comp_words_by_ref >/dev/null; then
		_get_comp_words_by_ref -n :@ -c current -p previous -w words -i at
	fi
	for ((i = 1; i < at; i++)); do
		word=${words[i]}
		case $word in
		--root)				root=${words[++i]} ;;
		--delay | --times)		((++i)) ;;
		-*)				;;
		*)
			if [ -z "$command" ]; then command=$word; else ((++arguments)); fi
			;;
		esac
	done

	case $previous in
	--root)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -d -- "$current")
		return
		;;
	--delay | --times)
		return
		;;
	esac
	case $command:$arguments:$current in
	:*:-*)	mapfile -t COMPREPLY < <(compgen -W '--root --help' -- "$current") ;;
	:*)	mapfile -t COMPREPLY < <(compgen -W 'show explain set top' -- "$current") ;;
	show:0:-*) mapfile -t COMPREPLY < <(compgen -W '--json --prometheus' -- "$current") ;;
	top:0:-*) mapfile -t COMPREPLY < <(compgen -W '--delay --times' -- "$current") ;;
	set:1:*) mapfile -t COMPREPLY < <(compgen -W 'max' -- "$current") ;;
	*:0:*)	_ktaskctl_cgroups "$root" "$current" ;;
	esac
	if declare -F __ltrim_colon_completions >/dev/null; then
		__ltrim_colon_completions "$current"
	fi
}

complete -F _ktaskctl ktaskctl
