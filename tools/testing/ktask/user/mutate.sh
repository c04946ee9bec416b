#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Break math.c or gain.c in a copy, one way at a time; each has to turn a test red.

cd "$(dirname "$0")" || exit 1
top=../../../..
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

# One mutant a line, as a sed expression.
math_mutants=(
	's|left / threads / 2|left / threads|'
	's|max(left / threads / 2, chunk / 8)|left / threads / 2|'
	's|chunk / 8|chunk / 2|'
	's|threads > 1)|threads > 2)|'
	's|chunk -= chunk % min_chunk;||'
	's|chunk = max(chunk, min_chunk);||'
	's|return min(chunk, left);|return chunk;|'
	's|return units >= chunk |return units > chunk |'
	's|ns > KTASK_CHUNK_NS;|ns >= KTASK_CHUNK_NS;|'
	's/units >= chunk || ns/(0 \&\& units >= chunk) || ns/'
	's/ns > KTASK_CHUNK_NS;/(0 \&\& ns);/'
	's|ns = max(ns, KTASK_CHUNK_NS / 2)|ns = max(ns, 1ULL)|'
	's|ns = max(ns, KTASK_CHUNK_NS / 2)|ns = max(ns, KTASK_CHUNK_NS / 4)|'
	's|ns = max(ns, KTASK_CHUNK_NS / 2)|ns = max(ns, KTASK_CHUNK_NS)|'
	's|ns < KTASK_CHUNK_NS \&\& units > SIZE_MAX / 2|0|'
	's|units > SIZE_MAX / 2|units > SIZE_MAX / 4|'
	's|ns < KTASK_CHUNK_NS \&\& units|units|'
	's|u64_div_u64(units, KTASK_CHUNK_NS, ns)|u64_div_u64(units, ns, KTASK_CHUNK_NS)|'
	's|clamp(chunk, min_chunk, max_chunk)|clamp(chunk, min_chunk, SIZE_MAX - 0 * max_chunk)|'
	's|return chunk - chunk % min_chunk;|return chunk;|'
	's|left / min_chunk + !!(left % min_chunk)|(left + min_chunk - 1) / min_chunk|'
	's|return min(chunks - 1, (size_t)INT_MAX);|return min(chunks, (size_t)INT_MAX);|'
	's|return min(chunks - 1, (size_t)INT_MAX);|return chunks - 1;|'
	's|if (!chunks)|if (0)|'
	's|ns \&\& left / units >= .*|0)|'
	's|ns \&\& left / units|left / units|'
	's|left / units >=|left / units >|'
	's|KTASK_SHARE_NS);|KTASK_CHUNK_NS);|'
	's|return min(shares - 1, (u64)INT_MAX)|return min(shares, (u64)INT_MAX)|'
	's|if (!shares)|if (0)|'
	's|quota == KTASK_QUOTA_INF|0|'
	's| + !!(quota % period)||'
	's|if (!cpus)|if (0)|'
	's/each < rest->slice || each - rest->slice < rest->period_left/each < rest->slice/'
	's/each < rest->slice || each - rest->slice < rest->period_left/each - rest->slice < rest->period_left/'
	's/each - rest->slice < rest->period_left/each < rest->period_left/'
	's|(rest->period_left + rest->slice) \*|rest->period_left *|'
	's|u64 each = div64_u64(rest->ns, rest->threads)|u64 each = rest->ns|'
	's|rest->threads, rest->slice);|rest->threads, 1);|'
	's|lend - min(lend, others)|lend|'
	's|stay - min(stay, others)|stay|'
	's|less.ns -= min(less.ns, 2 . KTASK_CHUNK_NS);||'
	's|less.ns -= min(less.ns, 2 . KTASK_CHUNK_NS);|less.ns -= 2 * KTASK_CHUNK_NS;|'
)

gain_mutants=(
	's|GAIN_SUSPICIOUS\t3|GAIN_SUSPICIOUS\t2|'
	's|GAIN_SUSPICIOUS\t3|GAIN_SUSPICIOUS\t30|'
	's|GAIN_TRUSTED\t16|GAIN_TRUSTED\t1600|'
	's|GAIN_OLD\t\t256|GAIN_OLD\t\t25600|'
	's|GAIN_CHECKS\t2|GAIN_CHECKS\t1|'
	's|GAIN_PATIENCE\t16|GAIN_PATIENCE\t1600|'
	's|GAIN_PAUSE_MIN\t32U|GAIN_PAUSE_MIN\t1U|'
	's|GAIN_PAUSE_FACTOR\t4|GAIN_PAUSE_FACTOR\t1|'
	's|> own / 8 \* 5;|> own / 8;|'
	's|> own / 8 \* 5;|> own * 4;|'
	's|cost - min(cost, own)|cost - own|'
	's|4 \* (helpers + 1ULL)|8 * (helpers + 1ULL)|'
	's|(quarters + 3) / 4|(quarters + 2) / 4|'
	's|max((quarters + 3) / 4, (u64)1) - 1|max((quarters + 3) / 4, (u64)1)|'
	's|if (helpers <= gain->max_helpers / 2)|if (helpers \&\& 0)|'
	'/_gain_resume(struct/,/^}/s|gain->max_helpers = gain->trusted;||'
	'/_gain_grow(struct/,/^}/s|gain->max_helpers = gain->trusted;||'
	's|GAIN_FIRST\t3|GAIN_FIRST\t63|'
	's|GAIN_FACTOR\t4|GAIN_FACTOR\t1|'
	's|GAIN_FACTOR\t4|GAIN_FACTOR\t1000|'
	's|gain->trusted = ktask_gain_more(gain->max_helpers);||'
	's|if (!gain->own) {|if (0) {|'
	's|helpers \* KTASK_GAIN_FACTOR, 1,|helpers * KTASK_GAIN_FACTOR, 3,|'
	's|helpers \* KTASK_GAIN_FACTOR, 1,|helpers * KTASK_GAIN_FACTOR, 0,|'
	's|uneven ? KTASK_GAIN_UNEVEN_NS|uneven ? KTASK_GAIN_SAMPLE_NS|'
	's|helper_ns += ns|helper_ns = ns|'
	's|^\tgain->own = least;|(void)least;|'
	's|^\t\tgain->own = least;|;|'
	's|min(gain->last ?: cost, cost)|cost|'
	's|if (!ktask_gain_costs_more(gain->high, most))|if (most \&\& 0)|'
	's|if (!ktask_gain_costs_more(gain->high, most))|if (1 + most)|'
	's|gain->pause = gain->next_pause;|gain->pause = 0;|'
	's|max(gain->last, cost)|cost|'
	's|if (!--gain->checks)|if (!--gain->checks \&\& 0)|'
	's/!gain->nr_high || cost < gain->high/1/'
	's|^\tgain->max_helpers = 0;|\t;|'
	's|if (gain->pause)|if (0)|'
	's|paused \&\& !--gain->pause|paused \&\& 0|'
	's|!gain->helper_ns != !helpers|0|'
	's|gain->ns < gain->sample_ns|0|'
	's|gain->units) ?: 1;|gain->units);|'
	's|gain->units += min|gain->units = min|'
	's|gain->units += min(units, .*|gain->units += units;|'
)

if ! make -s OUT="$dir/build" COMPILERS=gcc test >/dev/null 2>&1; then
	echo "Bail out! the tests fail without a mutant"
	exit 1
fi

survivors=0
nr=0

# try FILE MUTANT
try()
{
	nr=$((nr + 1))
	cp "$top"/kernel/ktask/{math,gain}.[ch] "$dir"
	sed "$2" "$top/kernel/ktask/$1" >"$dir/$1"
	if cmp -s "$dir/$1" "$top/kernel/ktask/$1"; then
		echo "not ok $nr - $2 # fits no line of $1 any more"
		survivors=$((survivors + 1))
	elif make -s KTASK="$dir" OUT="$dir/build" COMPILERS=gcc test >"$dir/log" 2>&1; then
		echo "not ok $nr - $2 # no test noticed"
		survivors=$((survivors + 1))
	elif ! grep -q '^ *not ok' "$dir/log"; then
		echo "not ok $nr - $2 # does not compile"
		survivors=$((survivors + 1))
	else
		echo "ok $nr - $2 # $(grep -m 1 '^    not ok' "$dir/log" | sed 's/.* - //')"
	fi
}

echo "TAP version 13"
echo "1..$((${#math_mutants[@]} + ${#gain_mutants[@]}))"
for mutant in "${math_mutants[@]}"; do
	try math.c "$mutant"
done
for mutant in "${gain_mutants[@]}"; do
	try gain.c "$mutant"
done
exit $((survivors > 0))
