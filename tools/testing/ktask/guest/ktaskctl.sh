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
	says 0 '^/ +max +1 +cpu.max +0 ' ktaskctl --root /sys/fs/cgroup/web show
	says 0 '^/shop +2 +1 +cpu.max / +0 ' ktaskctl --root /sys/fs/cgroup/web show
	says 0 '^/ +2 +1 +cpu.max ancestor +0 ' ktaskctl --root /sys/fs/cgroup/web/shop show
	says 3 'no directory of cgroup v2' ktaskctl --root /proc show
	is "JSON has what the file has" "$(cat $top/web/cpu.ktask.stat)" \
		"$(ktaskctl show --json web | jq -r '.[0].stat | to_entries[] | "\(.key) \(.value)"')"
	is "JSON has what binds" '{"helpers":1,"limit":"cpu.max","cgroup":"/web"}' \
		"$(ktaskctl show --json web/shop | jq -c '.[0].effective')"
	is "JSON has what binds from elsewhere" null \
		"$(ktaskctl --root $top/web/shop show --json | jq -c '.[0].effective.cgroup')"
	is "JSON has caps" '"max" 2' \
		"$(ktaskctl show --json web | jq -c '.[].max' | paste -sd' ')"
	says 0 '^ktask_helpers_max\{cgroup="/web"\} \+Inf$' ktaskctl show --prometheus
	says 0 '^ktask_helpers_max\{cgroup="/web/shop"\} 2$' ktaskctl show --prometheus
	says 0 '^ktask_helpers_effective\{cgroup="/web/shop",limit="cpu.max"\} 1$' ktaskctl show --prometheus
	says 0 '^ktask_tasks_refused_total\{cgroup="/web/shop",limit="cpu.max"\} 0$' ktaskctl show --prometheus
}

# What others call their cgroups
test_names()
{
	local names=('we "b' $'e\e]0;scape' $'by\xfftes' $'t\tab' 'ümlaut' '.dot' 'x; id' "it's")
	local shown='.dot by\xfftes e\x1b]0;scape it'\''s t\x09ab we "b x; id ümlaut' name

	mkdir $top/names
	echo +cpu >$top/names/cgroup.subtree_control
	for name in "${names[@]}"; do mkdir "$top/names/$name"; done
	is "names are shown whole, and nothing that a terminal obeys" "$shown" \
		"$(ktaskctl show names | sed -n 's,^/names/\(.*\)  max .*,\1,p' | sed 's/ *$//' | LC_ALL=C sort | paste -sd' ')"
	is "JSON has all of them" 9 "$(ktaskctl show --json names | jq length)"
	is "a blank and a quote in JSON" '/names/we "b' \
		"$(ktaskctl show --json names | jq -r '.[].cgroup' | grep we)"
	is "Prometheus' samples are in its format, and UTF-8" 0 \
		"$(ktaskctl show --prometheus | LC_ALL=C.UTF-8 grep -cvE '^(# (HELP|TYPE) ktask_[a-z_]+ .*|ktask_[a-z_]+\{cgroup="([^"\\]|\\.)*"(,limit="[a-z_.]+")?\} (\+Inf|[0-9.]+))$')"
	is "Prometheus has all of them" 9 \
		"$(ktaskctl show --prometheus names | grep -c '^ktask_helpers{')"
	echo 1 >"$top/names/x; id/cpu.ktask.max"
	says 0 "ktaskctl set '/names/x; id' 2\$" ktaskctl explain 'names/x; id'
	says 0 - ktaskctl set "names/it's" 1
	is "set takes any name" 1 "$(cat "$top/names/it's/cpu.ktask.max")"
	rmdir $top/names/* $top/names/.dot $top/names
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
	mkdir $top/closed $top/closed/below
	chmod 700 $top/closed
	says 1 'closed: Permission denied' setpriv --reuid 1000 --regid 1000 --clear-groups ./ktaskctl show
	says 1 '^/web/shop ' setpriv --reuid 1000 --regid 1000 --clear-groups ./ktaskctl show
	rmdir $top/closed/below $top/closed
	says 1 'is mounted read-only' unshare -m bash -c \
		"mount -o bind,remount,ro $top && exec ktaskctl set web/shop 1"
	says 3 '/none: no such cgroup' ktaskctl set none 1
	says 3 'not below' ktaskctl set ../../../etc 1
	says 4 'the root cgroup has no limits' ktaskctl set / 1
	says 4 'has no cpu controller, so the limits of /web/shop limit its tasks' ktaskctl set web/shop/bare 1
	says 4 'has no cpu controller, so the limits of /web/shop limit' ktaskctl explain web/shop/bare
	ktaskctl set web/shop 2
}

# advice CGROUP: what it says for one helper more, in a line
advice()
{
	ktaskctl explain "$1" | sed -n '/^For one more/,/^$/p' | sed '/^$/d; s/^ *//' | paste -sd'|'
}

test_explain()
{
	local refused='refused a helper: (cpu.max of|other threads)'

	says 0 '^A task in /web/shop can have 1 helper\.$' ktaskctl explain web/shop
	says 0 '^\* +1  cpu.max of /web is 150000 100000: 2 CPUs' ktaskctl explain web/shop
	says 0 '^  +2  cpu.ktask.max of /web/shop is 2$' ktaskctl explain web/shop
	is "advice about a quota" 'For one more:|raise cpu.max of /web above 200000 100000' "$(advice web/shop)"
	echo 200001 100000 >$top/web/cpu.max
	is "it gives one more, and both limits bind now" \
		"2 For one more, all of these:|ktaskctl set /web/shop 3|raise cpu.max of /web above 300000 100000" \
		"$(cut -d' ' -f1 $top/web/shop/cpu.ktask.effective) $(advice web/shop)"
	ktaskctl set /web/shop 3
	echo 300001 100000 >$top/web/cpu.max
	is "all that it advises gives one more" 3 "$(cut -d' ' -f1 $top/web/shop/cpu.ktask.effective)"
	echo 150000 100000 >$top/web/cpu.max
	ktaskctl set web/shop 2
	is "with --root it is about the same cgroups" 'For one more:|raise cpu.max of / above 200000 100000' \
		"$(ktaskctl --root $top/web explain shop | sed -n '/^For/,/^$/p' | sed '/^$/d; s/^ *//' | paste -sd'|')"
	says 0 'whoever manages that cgroup can raise it' ktaskctl --root $top/web/shop explain /

	is "where there are no more CPUs it says so" \
		'For one more, all of these:|the machine has no more CPUs that are not isolated|sysctl -w debug.ktask_max_threads=5' "$(advice plain)"
	echo 1 >$top/plain/cpuset.cpus
	is "advice about a cpuset" 'For one more:|widen cpuset.cpus of this cgroup or of those above' "$(advice plain)"
	echo 0-3 >$top/plain/cpuset.cpus
	echo 2 >/proc/sys/debug/ktask_max_threads
	is "advice about the system's limit" 'For one more:|sysctl -w debug.ktask_max_threads=3' "$(advice plain)"
	echo 4 >/proc/sys/debug/ktask_max_threads

	says 0 'No task has ended here' ktaskctl explain web/shop
	echo 0 >$top/plain/cpu.ktask.max
	says 0 'No task is counted where no helper is allowed' ktaskctl explain plain
	echo max >$top/plain/cpu.ktask.max
	# On a busy host one may end before it asks for more helpers than it may have.
	for _ in 1 2 3 4 5; do
		tear_down web/shop 200
		! ktaskctl explain web/shop | grep -qE "$refused" || break
	done
	says 0 '^[1-9][0-9]* tasks? ha' ktaskctl explain web/shop
	says 0 "$refused" ktaskctl explain web/shop
	says 2 'too few arguments' ktaskctl explain
	# shellcheck disable=SC2016 # for the shell inside
	says 0 'whoever manages that cgroup can raise it' in_cgroup $top/web/shop unshare -Cm \
		bash -c 'mount --make-rprivate / && umount /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec ktaskctl explain /'
}

# Cgroups that come and go
churn()
{
	while :; do
		mkdir $top/brief && mkdir $top/brief/below
		rmdir $top/brief/below $top/brief
	done
}

test_vanishing()
{
	local pid rc=0 i

	churn 2>/dev/null &
	pid=$!
	for i in $(seq 20); do
		ktaskctl show --json >json && jq -e 'map(select(.effective.limit == "")) == []' json >/dev/null &&
			[ "$(jq -c 'map(select(.cgroup | startswith("/web"))) | length' json)" = 2 ] || rc=$i
	done
	is "one that vanishes is left out, or whole, and the others are there" 0 "$rc"
	timeout 100 ktaskctl top --delay 0.01 --times 20 >top.said 2>&1
	is "top goes on while cgroups come and go" "0 20" "$? $(grep -c '^/web/shop ' top.said)"
	kill $pid
	wait $pid 2>/dev/null
	rmdir $top/brief/below $top/brief 2>/dev/null
	mkdir $top/brief
	timeout 100 ktaskctl top --delay 0.1 brief >said 2>&1 &
	sleep 1
	rmdir $top/brief
	wait $!
	is "top of one that vanishes ends" 3 $?
}

test_top()
{
	local ended='^/web/shop +[0-9]+ +2 +([1-9]|0\.[1-9])' pid

	says 0 '^/web/shop ' timeout 100 ktaskctl top --delay 1 --times 3
	# A busy host may take seconds for one task: so until top has seen one.
	ktaskctl top --delay 1 --times 60 >top.said &
	pid=$!
	while ! grep -qE "$ended" top.said && kill -0 $pid 2>/dev/null; do
		tear_down web/shop 300
	done
	kill $pid 2>/dev/null
	wait $pid 2>/dev/null
	cp top.said said
	if grep -qE "$ended" top.said; then
		ok "top has seen tasks end"
	else
		not_ok "top has seen tasks end"
	fi
	is "top tells nothing of cgroups without the files" 0 "$(grep -c '^/ ' top.said)"
	says 1 'not all could be written' timeout 20 bash -c 'ktaskctl top --delay 0.1 >/dev/full'
	# shellcheck disable=SC2016 # for the shell inside
	says 0 '^CGROUP ' timeout 20 bash -c 'trap "" PIPE; ktaskctl top --delay 0.1 2>/dev/null | head -n 1'
	says 2 '--delay 0: not a number of seconds' ktaskctl top --delay 0
	says 2 '--times x: not a number' ktaskctl top --times x
	says 2 '--times  -1: not a number' ktaskctl top --times ' -1'
}

test_terminal()
{
	on_terminal 40 'ktaskctl show' >narrow
	is "a line has no more than 40 columns there" 40 \
		"$(sed 's/\x1b\[[0-9]*m//g' narrow | awk '{ n = length($0) > n ? length($0) : n } END { print n }')"
	if grep -q '^\.\.\.' narrow && grep -q 'HELPERS' narrow; then
		ok "long paths lose their beginning there"
	else
		not_ok "long paths lose their beginning there"
	fi
	is "titles are bold on a terminal" 1 "$(on_terminal 80 'ktaskctl show' | grep -c $'^\x1b\\[1mCGROUP')"
	is "but not with NO_COLOR" 1 "$(NO_COLOR=1 on_terminal 80 'ktaskctl show' | grep -c '^CGROUP')"
	is "nor in a pipe, where nothing is cut" 1 "$(ktaskctl show | grep -c "^/plain/$long ")"
	says 1 'not all could be written' bash -c 'ktaskctl show >/dev/full'
}

# completed LINE...: what completion makes of the last word
completed()
{
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
	_ktaskctl 2>/dev/null
	echo "${COMPREPLY[*]}"
}

test_completion()
{
	# shellcheck source=/dev/null
	source ./completion.bash
	is "completion of commands" "set show" "$(completed ktaskctl s | xargs -n 1 | sort | xargs)"
	is "completion of cgroups" "web/" "$(completed ktaskctl show we)"
	is "completion of cgroups with a slash before them" "/web/shop/" "$(completed ktaskctl explain /web/sh)"
	is "completion below --root" "shop/" "$(completed ktaskctl --root $top/web set sh)"
	is "completion of a cap" "max" "$(completed ktaskctl set web m)"
	is "completion of options" "--json" "$(completed ktaskctl show --j)"
}

test_arguments()
{
	says 0 '^usage: ktaskctl show' ktaskctl --help
	says 2 'no command' ktaskctl
	says 2 'shew: no such command' ktaskctl shew
	says 2 'unrecognized option' ktaskctl --foo
	says 2 'unrecognized option' ktaskctl show --foo
	says 2 'not with these options' ktaskctl top --json
	says 2 'not both' ktaskctl show --json --prometheus
	says 2 'too many arguments' ktaskctl show web plain
	says 3 'no such cgroup' ktaskctl show web/none
	says 3 '/no/such: No such file' ktaskctl --root /no/such show
}

test_many()
{
	local deep=$top/many i before after

	for i in $(seq 1000); do mkdir "$top/many/$i"; done
	is "a thousand cgroups" 1001 "$(ktaskctl show many | grep -c '^/many')"
	is "top has a screen of lines" 23 "$(on_terminal 80 'ktaskctl top --delay 0.1 --times 1' | wc -l)"
	before=$(awk '{ print $16 + $17 }' /proc/$$/stat)
	on_terminal 80 'ktaskctl top --delay 1 --times 10' >/dev/null
	after=$(awk '{ print $16 + $17 }' /proc/$$/stat)
	echo "# top of them, 10 looks: $((after - before)) hundredths of a second of CPU time"
	for i in $(seq 100); do
		echo +cpu >"$deep/cgroup.subtree_control"
		deep=$deep/d
		mkdir "$deep"
	done
	is "a hundred levels" 101 "$(ulimit -Sn 64; ktaskctl show many | grep -c '^/many\(/d\)*  ')"
	says 1 'Too many open files' bash -c 'ulimit -n 64; ktaskctl show many'
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
mkdir -p $top/plain/$long $top/many
echo "+cpu +cpuset" >$top/web/cgroup.subtree_control
echo "+cpu" >$top/plain/cgroup.subtree_control
echo "+cpu" >$top/many/cgroup.subtree_control
mkdir -p $top/web/shop/bare
echo 150000 100000 >$top/web/cpu.max
echo 2 >$top/web/shop/cpu.ktask.max
test_show
test_names
test_set
test_explain
test_top
test_vanishing
test_terminal
test_arguments
test_completion
test_many
echo "# ktask-program: end ktaskctl 0"
exit 0
