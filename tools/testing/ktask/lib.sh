# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What all scripts here share: where things lie, how a step is shown, and how
# one says that it cannot go on. To be sourced.

set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C

KT_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
KT_TOP=$(cd "$KT_DIR/../../.." && pwd -P)

# One line, to the point, with what to do; then give up.
die()
{
	printf 'ktask: %s\n' "$*" >&2
	exit 1
}

# positive NAME VALUE: VALUE, which has to be a number from 1.
positive()
{
	[[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || die "$1=$2 is not a number from 1"
	echo "$2"
}

# mebibytes SIZE: in MiB.
mebibytes()
{
	[[ $1 =~ ^[1-9][0-9]{0,6}[GgMm]$ ]] || die "MEM=$1 is not a size such as 4G or 512M"
	case $1 in
	*[Gg])	echo $((${1%?} * 1024)) ;;
	*)	echo "${1%?}" ;;
	esac
}

[ -n "${KTASK_CACHE:-${XDG_CACHE_HOME:-${HOME:-}}}" ] || die "set HOME, or KTASK_CACHE to where downloads and builds may go"
KT_CACHE=$(realpath -m "${KTASK_CACHE:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/ktask}")
KT_JOBS=$(positive JOBS "${JOBS:-$(nproc)}")
export KT_JOBS
# The same tree, wherever a script goes.
if [ -n "${KSRC:-}" ]; then
	[ -d "$KSRC" ] || die "KSRC=$KSRC is no directory"
	KSRC=$(realpath "$KSRC")
	export KSRC
fi

# Progress goes to stderr: stdout carries results only.
say()
{
	[ ! -t 2 ] || printf '\r\033[K' >&2
	printf '[%4ds] %s\n' "$SECONDS" "$*" >&2
}

hash_of()
{
	sha256sum | cut -c1-16
}

# The directory of this checkout in the cache, for one source tree. Two
# checkouts never share one, so neither can pull the tree from under the other.
kt_home()
{
	local id

	id=$(printf '%s\n' "$KT_TOP" "${KSRC:-}" | hash_of)
	printf '%s/checkouts/%s-%s\n' "$KT_CACHE" "$(basename "$KT_TOP")" "$id"
}

# lock NAME: hold it until this process and what it started have ended. A
# script that is called by one that holds the lock goes on under it.
lock()
{
	local file=$KT_CACHE/locks/$1 fd

	case " ${KT_HELD:-} " in *" $1 "*) return ;; esac
	mkdir -p "$KT_CACHE/locks"
	exec {fd}>"$file"
	if ! flock -n "$fd"; then
		say "waiting for another run that holds $file"
		flock "$fd"
	fi
	export KT_HELD="${KT_HELD:-} $1"
}

# The work tree and the builds of this checkout change under this lock only.
lock_home()
{
	lock "home-$(basename "$(kt_home)")"
}

# The same, on a line that the next one replaces, where a person looks on.
say_for_now()
{
	if [ -t 2 ]; then
		printf '\r\033[K[%4ds] %s' "$SECONDS" "$*" >&2
	else
		say "$@"
	fi
}

# Locks and pipes, whoever opened them, are not kept open by who only looks on.
close_all()
{
	local fd

	for fd in "/proc/$BASHPID/fd"/*; do
		fd=${fd##*/}
		case $fd in
		0 | 1 | 2 | 255) ;;
		*)	exec {fd}>&- ;;
		esac
	done
}

# keep_saying EVERY COMMAND...: every EVERY seconds, or two on a terminal, say what
# COMMAND prints, in the background, until $watcher is killed or this shell has
# ended.
keep_saying()
{
	local every=$1

	shift
	[ ! -t 2 ] || every=2
	(
		close_all
		# To wait without a process that stays when this one is killed.
		exec {never}<> <(:)
		while ! read -rt "$every" -u "$never" && kill -0 $$ 2>/dev/null; do
			say_for_now "$("$@")"
		done
	) >/dev/null &
	watcher=$!
	disown
}

# last_line TITLE FILE: what was written there last, short enough to be said.
last_line()
{
	echo "$1: $(tail -n 1 "$2" | tr -cd '[:print:]' | cut -c1-60)"
}

# step TITLE LOG COMMAND...: run a command with its output in a log, and the
# end of that log shown where it fails.
step()
{
	local title=$1 log=$2 start=$SECONDS rc watcher

	shift 2
	mkdir -p "$(dirname "$log")"
	say "$title ..."
	: >"$log"
	keep_saying 60 last_line "$title" "$log"
	# Not "... || rc=$?": within that, bash ignores what set -e is there for.
	set +e
	(set -e; "$@") >"$log" 2>&1 </dev/null
	rc=$?
	set -e
	kill "$watcher" 2>/dev/null || :
	if [ "$rc" -ne 0 ]; then
		say "$title:"
		tail -n 40 "$log" >&2
		die "$title failed ($rc); the whole log is $log"
	fi
	say "$title: done in $((SECONDS - start)) s"
}
