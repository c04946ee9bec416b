#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest: ktaskctl on real cgroups. "kernel" says what the kernel has:
# all, or no files.

set -u
export PATH=$PWD:$PATH

top=/sys/fs/cgroup

ok()
{
	echo "ok - $1"
}

not_ok()
{
	echo "not ok - $1"
	sed 's/^/# /' said
}

# says STATUS PATTERN COMMAND...: it ends with that, and says that in a line, or
# whatever it likes: -
says()
{
	local status=$1 pattern=$2 rc=0

	shift 2
	"$@" >said 2>&1 </dev/null || rc=$?
	if [ "$rc" -eq "$status" ] && { [ "$pattern" = - ] || grep -qE -- "$pattern" said; }; then
		ok "$* (status $rc: $pattern)"
	else
		echo "status $rc, not $status, or no line with: $pattern" >>said
		not_ok "$*"
	fi
}

# is WHAT WANTED GOT
is()
{
	echo "$3, not $2" >said
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1"; fi
}

# in_cgroup DIRECTORY COMMAND...
in_cgroup()
{
	bash -c 'echo 0 >"$0/cgroup.procs" && exec "$@"' "$@"
}

# A process that ends with as many MiB.
tear_down()
{
	in_cgroup "$top/$1" dd if=/dev/zero of=/dev/null bs="$2M" count=1 2>/dev/null
}

# on_terminal COLUMNS COMMAND
on_terminal()
{
	TERM=xterm script -qec "stty cols $1 rows 24; $2" /dev/null </dev/null | tr -d '\r'
}

test_without_files()
{
	says 4 'no cgroup .* has cpu.ktask files' ktaskctl show
	says 4 'this kernel has no cpu.ktask files \(CONFIG_CGROUP_KTASK\)' ktaskctl explain web
	says 4 'this kernel has no cpu.ktask files' ktaskctl set web 1
}

test_show()
{
	says 0 '^/web +max +1 +cpu.max +0 ' ktaskctl show
	says 0 '^/web/shop +2 +1 +cpu.max /web +0 ' ktaskctl show
	says 0 '^/web/shop ' ktaskctl show web/shop
	is "show web/shop has no other line" 2 "$(ktaskctl show web/shop | wc -l)"
	says 0 '^/web/shop +2 ' ktaskctl show /sys/fs/cgroup/web/shop
	says 0 '^/web/shop +2 ' ktaskctl --root /sys/fs/cgroup/web/.. show /web/./shop
	is "a name with a blank and a quote is one name" '/we "b' \
		"$(ktaskctl show --json | jq -r '.[].cgroup' | grep '"')"
	is "JSON has what the file has" "$(cat $top/web/cpu.ktask.stat)" \
		"$(ktaskctl show --json web | jq -r '.[0].stat | to_entries[] | "\(.key) \(.value)"')"
	is "JSON has what binds" '{"helpers":1,"limit":"cpu.max","cgroup":"/web"}' \
		"$(ktaskctl show --json web/shop | jq -c '.[0].effective')"
	is "JSON has caps" '"max" 2' \
		"$(ktaskctl show --json web | jq -c '.[].max' | paste -sd' ')"
	says 0 '^ktask_helpers_max\{cgroup="/web"\} \+Inf$' ktaskctl show --prometheus
	says 0 '^ktask_helpers_max\{cgroup="/web/shop"\} 2$' ktaskctl show --prometheus
	says 0 '^ktask_helpers_effective\{cgroup="/web/shop",limit="cpu.max"\} 1$' ktaskctl show --prometheus
	says 0 '^ktask_helpers\{cgroup="/we \\"b"\} 0$' ktaskctl show --prometheus
	is "each line of Prometheus is a comment or a sample" 0 \
		"$(ktaskctl show --prometheus | grep -cvE '^(# (HELP|TYPE) ktask_[a-z_]+ .*|ktask_[a-z_]+\{cgroup="([^"\\]|\\.)*"(,limit="[a-z_.]+")?\} (\+Inf|[0-9.]+))$')"
}

test_set()
{
	says 0 - ktaskctl set web/shop 3
	is "set writes the file" 3 "$(cat $top/web/shop/cpu.ktask.max)"
	says 0 - ktaskctl set web/shop max
	is "set takes max" max "$(cat $top/web/shop/cpu.ktask.max)"
	for value in -1 abc '' '2 3' 0x10 1.5; do
		says 1 'a number from 0, or max' ktaskctl set web/shop "$value"
	done
	says 1 'too large for a cap' ktaskctl set web/shop 99999999999
	is "what is refused changes nothing" max "$(cat $top/web/shop/cpu.ktask.max)"
	says 1 'you may not set its cap' setpriv --reuid 1000 --regid 1000 --clear-groups ./ktaskctl set web/shop 1
	says 1 'is mounted read-only' unshare -m bash -c \
		"mount -o bind,remount,ro $top && exec ktaskctl set web/shop 1"
	says 3 '/none: no such cgroup' ktaskctl set none 1
	says 3 'not below' ktaskctl set ../../../etc 1
	says 4 'the root cgroup has no limits' ktaskctl set / 1
	says 4 'try: echo \+cpu >/sys/fs/cgroup/web/shop/cgroup.subtree_control' ktaskctl set web/shop/bare 1
	ktaskctl set web/shop 2
}

test_explain()
{
	says 0 'A task in /web/shop may have 1 helper now, because' ktaskctl explain web/shop
	says 0 'cpu.max of /web is 150000 100000: 1.5 CPUs' ktaskctl explain web/shop
	says 0 'raise it above 200000 100000' ktaskctl explain web/shop
	says 0 '^ +1  cpu.max of /web is' ktaskctl explain web/shop
	says 0 '^ +2  cpu.ktask.max of /web/shop is 2' ktaskctl explain web/shop
	echo 200001 100000 >$top/web/cpu.max
	is "what it advises gives one more" "2 cpu.max /web" "$(cat $top/web/cpu.ktask.effective)"
	echo 0 >$top/web/shop/cpu.ktask.max
	says 0 'For one more: ktaskctl set /web/shop 1' ktaskctl explain web/shop
	ktaskctl set /web/shop 1
	is "so does what it advises for a cap" "1 cpu.ktask.max /web/shop" \
		"$(cat $top/web/shop/cpu.ktask.effective)"
	ktaskctl set web/shop 2
	echo 150000 100000 >$top/web/cpu.max
	says 0 'it may use 4 CPUs \(0-3' ktaskctl explain plain
	echo 1 >$top/plain/cpuset.cpus
	says 0 'it may use 1 CPU \(1,' ktaskctl explain plain
	echo 0-3 >$top/plain/cpuset.cpus
	echo 2 >/proc/sys/debug/ktask_max_threads
	says 0 'sysctl -w debug.ktask_max_threads=3' ktaskctl explain plain
	echo 4 >/proc/sys/debug/ktask_max_threads
	says 0 'No task of it has ended yet' ktaskctl explain web/shop
	tear_down web/shop 200
	says 0 '[12] tasks? of it ha' ktaskctl explain web/shop
	says 0 'refused one: (cpu.max|threads of its own|what was left)' ktaskctl explain web/shop
	says 2 'too few arguments' ktaskctl explain
	# shellcheck disable=SC2016 # for the shell inside
	says 0 'of a cgroup outside this namespace' in_cgroup $top/web/shop unshare -Cm \
		bash -c 'mount --make-rprivate / && umount /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec ktaskctl explain /'
}

test_top()
{
	local i

	ktaskctl top --delay 1 --times 3 >top.said &
	for i in 1 2 3 4 5 6; do
		tear_down web/shop 300
		mkdir $top/brief && rmdir $top/brief
	done
	wait $!
	is "top ends well while cgroups come and go" 0 $?
	cp top.said said
	if grep -qE '^/web/shop +[0-9]+ +2 +[0-9]*[1-9][0-9.]* |^/web/shop +[0-9]+ +2 +0\.[1-9]' top.said; then
		ok "top has seen tasks end"
	else
		not_ok "top has seen tasks end"
	fi
	is "top tells nothing of cgroups without the files" 0 "$(grep -c '^/ ' top.said)"
	says 2 '--delay 0: not a number of seconds' ktaskctl top --delay 0
	says 2 '--times x: not a number' ktaskctl top --times x
}

test_terminal()
{
	is "40 columns are enough" 40 "$(on_terminal 40 'ktaskctl show' | sed 's/\x1b\[[0-9]*m//g' |
		awk 'length > 40 { print length }' | sort -n | head -n 1 | grep . || echo 40)"
	on_terminal 40 'ktaskctl show' >said
	if grep -qF '...' said && grep -q 'HELPERS' said; then
		ok "long paths lose their beginning there"
	else
		not_ok "long paths lose their beginning there"
	fi
	is "titles are bold on a terminal" 1 "$(on_terminal 80 'ktaskctl show' | grep -c $'\x1b\[1m')"
	is "but not with NO_COLOR" 0 "$(NO_COLOR=1 on_terminal 80 'ktaskctl show' | grep -c $'\x1b\[1m')"
	is "nor in a pipe, where nothing is cut" 1 "$(ktaskctl show | grep -c "^/plain/$long ")"
	says 1 'standard output' bash -c 'ktaskctl show >/dev/full'
}

test_arguments()
{
	says 0 '^usage: ktaskctl show' ktaskctl --help
	says 2 'what is it to do' ktaskctl
	says 2 'shew: no such command' ktaskctl shew
	says 2 'unrecognized option' ktaskctl --foo
	says 2 'unrecognized option' ktaskctl show --foo
	says 2 'not with these options' ktaskctl top --json
	says 2 'not both' ktaskctl show --json --prometheus
	says 2 'too many arguments' ktaskctl show web plain
	says 3 'no such cgroup' ktaskctl show web/none
	says 3 '/no/such: No such file' ktaskctl --root /no/such show
}

# How much top takes: told, not judged
tell_cost()
{
	local before after

	for i in $(seq 1000); do mkdir "$top/many/$i"; done
	before=$(awk '{ print $16 + $17 }' /proc/$$/stat)
	on_terminal 80 'ktaskctl top --delay 1 --times 10' >/dev/null
	after=$(awk '{ print $16 + $17 }' /proc/$$/stat)
	echo "# top of 1000 cgroups, 10 looks: $((after - before)) hundredths of a second of CPU time"
}

echo "# ktask-program: begin ktaskctl"
echo "+cpu +cpuset" >$top/cgroup.subtree_control
mkdir -p $top/web
if [ "$(cat kernel)" = nocgroup ]; then
	test_without_files
	echo "# ktask-program: end ktaskctl 0"
	exit 0
fi

long=a-cgroup-whose-name-is-too-long-for-a-narrow-terminal
mkdir -p $top/plain/$long $top/many "$top/we \"b"
echo "+cpu +cpuset" >$top/web/cgroup.subtree_control
echo "+cpu" >$top/plain/cgroup.subtree_control
echo "+cpu" >$top/many/cgroup.subtree_control
mkdir -p $top/web/shop/bare
echo 150000 100000 >$top/web/cpu.max
echo 2 >$top/web/shop/cpu.ktask.max
test_show
test_set
test_explain
test_top
test_terminal
test_arguments
tell_cost
echo "# ktask-program: end ktaskctl 0"
exit 0
