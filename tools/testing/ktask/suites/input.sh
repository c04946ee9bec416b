#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Wrong input: one line that says what is wrong, and nothing done

. "$(dirname "$0")/common.sh"

# refused WANT COMMAND...: the last line on stderr begins with "ktask: WANT".
refused()
{
	local want=$1 rc=0 said

	shift
	said=$(timeout 60 "$@" 2>&1 >/dev/null </dev/null) || rc=$?
	said=$(tail -n 1 <<<"$said")
	case $rc-$said in
	1-"ktask: $want"*)	echo "ok - refused: ${*##*/} (it said: $said)" ;;
	*)			echo "not ok - refused: ${*##*/}: status $rc, it said: $said" ;;
	esac
}

vm=$KT_DIR/vm.sh
bench=$KT_DIR/bench/bench.sh
demo=$KT_DIR/demo/demo.sh
full=$(payload_dir input)
touch "$full/mine"

refused 'JOBS=abc' env JOBS=abc "$KT_DIR/build.sh" default
refused 'JOBS=0' env JOBS=0 "$KT_DIR/build.sh" default
refused 'no variant foo' "$KT_DIR/build.sh" foo
refused 'KSRC=/no/such/tree' env KSRC=/no/such/tree "$KT_DIR/clean.sh"
refused "KSRC=$full is no Linux 6.12" env KSRC="$full" "$KT_DIR/fetch.sh"
refused 'set HOME' env -u HOME -u XDG_CACHE_HOME -u KTASK_CACHE "$KT_DIR/fetch.sh"
refused 'no suite foo' "$KT_DIR/test.sh" tap foo
refused 'STORM=foo' env STORM=foo "$KT_DIR/suites/storm.sh"
refused 'MEM=xG' "$vm" --mem xG --job true
refused 'MEM=4.5G' "$vm" --mem 4.5G --job true
refused 'CPUS=two' "$vm" --cpus two --job true
refused '--cpus wants a value' "$vm" --cpus
refused '/no/such/job' "$vm" /no/such/job
refused 'PAIRS=0' env PAIRS=0 "$demo"
refused 'MIB=lots' env MIB=lots "$demo"
refused 'REPS=0' env REPS=0 "$bench"
refused 'no part foo' env PARTS='speed foo' "$bench"
refused "RESULTS=$full" env RESULTS="$full" "$bench"
if [ -e "$full/mine" ]; then
	echo "ok - what lay in RESULTS is still there"
else
	echo "not ok - what lay in RESULTS is still there"
fi
