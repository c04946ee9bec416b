// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask gain: do helpers make a task faster, or only busier?
 *
 * Where the work spends its time spinning for one lock, a chunk takes each thread
 * longer the more threads there are. Then helpers use up CPU time and gain
 * nothing. So compare the CPU time that a unit costs the caller while it has
 * helpers with what one cost it without:
 *
 *  - The caller works alone for two samples, then takes on a few helpers, and
 *    several times as many after each sample that is not suspicious. So what it
 *    costs to find out does not grow with the number of CPUs.
 *  - Some samples in a row that cost much more raise a suspicion: all helpers
 *    leave, and the caller works without them for two samples.
 *  - If the costlier of these cost as much, the units have become costlier, or
 *    the host is busy, and helpers come back at once. If not, only as many threads
 *    go on as have been doing the work of all.
 *  - After a pause, some more are tried. Pauses get longer each time that the
 *    suspicion proves right, and are short again once helpers have gained for a
 *    while.
 *  - From time to time the caller works without helpers all the same, as what it
 *    knows of that gets old.
 *
 * So one slow chunk does nothing, and no mistake lasts. That two threads on one
 * core, or with one memory bus, slow each other down by half is no reason to send
 * one away. Preemption is not CPU time.
 *
 * Chunks that are uneven say something only where there are many. There helpers
 * come first, and what units cost without them is found out if a task takes long.
 *
 * All of this is the caller's own and needs no lock. Clients that state what units
 * cost judge for themselves.
 */
#include <linux/limits.h>
#include <linux/math64.h>
#include <linux/minmax.h>

#include "gain.h"

/* What a sample takes where a chunk costs something for those before it */
#define KTASK_GAIN_UNEVEN_NS	20000000ULL

/* So many samples in a row raise a suspicion. */
#define KTASK_GAIN_SUSPICIOUS	3

/* So many samples in a row that are not suspicious show that helpers gain. */
#define KTASK_GAIN_TRUSTED	16

/* And after so many it is time to look what units cost without them. */
#define KTASK_GAIN_OLD		256

/* Samples without helpers that a check has */
#define KTASK_GAIN_CHECKS	2

/* Samples that the caller waits for helpers to leave: one may be kept for long. */
#define KTASK_GAIN_PATIENCE	16

/* Helpers at first, and how many times as many as before are tried next */
#define KTASK_GAIN_FIRST	3
#define KTASK_GAIN_FACTOR	4

/* Samples that a pause has at first and at most, and what it grows by */
#define KTASK_GAIN_PAUSE_MIN	32U
#define KTASK_GAIN_PAUSE_MAX	512U
#define KTASK_GAIN_PAUSE_FACTOR	4

/**
 * ktask_gain_init - nothing is known yet
 * @gain: what to initialise
 * @uneven: chunks cost something else than their units do
 */
void ktask_gain_init(struct ktask_gain *gain, bool uneven)
{
	*gain = (struct ktask_gain) {
		.max_helpers = uneven ? INT_MAX : 0,
		.trusted = uneven ? INT_MAX : KTASK_GAIN_FIRST,
		.sample_ns = uneven ? KTASK_GAIN_UNEVEN_NS :
				      KTASK_GAIN_SAMPLE_NS,
		.checks = uneven ? 0 : KTASK_GAIN_CHECKS,
		.patience = KTASK_GAIN_PATIENCE,
		.next_pause = KTASK_GAIN_PAUSE_MIN,
	};
}

/* Does so much more CPU time go into a unit that helpers are in doubt? */
static bool ktask_gain_costs_more(u64 cost, u64 own)
{
	return cost - min(cost, own) > own / 8 * 5;
}

/* Of @helpers and the caller, as many as have been doing the work of all. */
static unsigned int ktask_gain_useful(unsigned int helpers, u64 own, u64 cost)
{
	u64 quarters = mul_u64_u64_div_u64(4 * (helpers + 1ULL), own, cost);

	/* Rounded up: a thread and a half gain something. */
	return max((quarters + 3) / 4, (u64)1) - 1;
}

/* Several times as many helpers as these, but at least one */
static unsigned int ktask_gain_more(unsigned int helpers)
{
	return clamp_t(u64, (u64)helpers * KTASK_GAIN_FACTOR, 1, INT_MAX);
}

/* All helpers are to leave, so that the caller sees what units cost without. */
static void ktask_gain_suspect(struct ktask_gain *gain)
{
	gain->max_helpers = 0;
	gain->checks = KTASK_GAIN_CHECKS;
	gain->patience = KTASK_GAIN_PATIENCE;
}

/* A check or a pause is over. */
static void ktask_gain_lift(struct ktask_gain *gain)
{
	gain->max_helpers = gain->trusted;
	gain->pause = 0;
	gain->checks = 0;
	gain->nr_high = 0;
	gain->nr_good = 0;
}

/* The caller has worked without helpers for a check: two samples, @least and @most */
static void ktask_gain_judge(struct ktask_gain *gain, u64 least, u64 most)
{
	gain->own = least;
	if (!ktask_gain_costs_more(gain->high, most)) {
		ktask_gain_lift(gain);
		return;
	}

	gain->nr_high = 0;
	gain->max_helpers = ktask_gain_useful(gain->high_helpers, gain->own,
					      gain->high);
	gain->trusted = ktask_gain_more(gain->max_helpers);
	gain->pause = gain->next_pause;
	gain->next_pause = min(gain->next_pause * KTASK_GAIN_PAUSE_FACTOR,
			       KTASK_GAIN_PAUSE_MAX);
}

static void ktask_gain_sample_alone(struct ktask_gain *gain, u64 cost)
{
	u64 least = min(gain->last ?: cost, cost);
	u64 most = max(gain->last, cost);

	/*
	 * In doubt, for helpers: the costlier of two decides. The cheaper is kept:
	 * what is too little is found out soon, what is too much is not.
	 */
	gain->last = cost;
	if (!gain->checks)
		gain->own = least;
	else if (!--gain->checks)
		ktask_gain_judge(gain, least, most);
}

/* A sample is good: if those that may come have come, try some more. */
static void ktask_gain_grow(struct ktask_gain *gain, unsigned int helpers)
{
	if (helpers <= gain->max_helpers / 2)
		return;

	gain->trusted = ktask_gain_more(gain->trusted);
	gain->max_helpers = gain->trusted;
}

/* See what units cost without helpers, and whether these cost more. */
static void ktask_gain_look(struct ktask_gain *gain, u64 cost,
			    unsigned int helpers)
{
	gain->nr_good = 0;
	gain->high = cost;
	gain->high_helpers = helpers;
	ktask_gain_suspect(gain);
}

/*
 * A helper does not leave, so nobody knows what units cost without. If they were
 * suspicious, half of the helpers may come back.
 */
static void ktask_gain_give_up(struct ktask_gain *gain)
{
	if (gain->nr_high)
		gain->trusted = max(gain->high_helpers / 2, 1U);
	ktask_gain_lift(gain);
}

static void ktask_gain_sample_helped(struct ktask_gain *gain, u64 cost,
				     unsigned int helpers)
{
	if (gain->checks) {
		if (!--gain->patience)
			ktask_gain_give_up(gain);
		return;
	}
	/* Fewer helpers than there might be are no new reason for any doubt. */
	if (gain->pause)
		return;
	if (!gain->own) {
		if (++gain->nr_good >= KTASK_GAIN_TRUSTED)
			ktask_gain_look(gain, cost, helpers);
		return;
	}

	if (!ktask_gain_costs_more(cost, gain->own)) {
		gain->nr_high = 0;
		ktask_gain_grow(gain, helpers);
		if (++gain->nr_good >= KTASK_GAIN_TRUSTED)
			gain->next_pause = KTASK_GAIN_PAUSE_MIN;
		if (gain->nr_good >= KTASK_GAIN_OLD)
			ktask_gain_look(gain, cost, helpers);
		return;
	}

	gain->nr_good = 0;
	if (!gain->nr_high || cost < gain->high) {
		gain->high = cost;
		gain->high_helpers = helpers;
	}
	if (++gain->nr_high >= KTASK_GAIN_SUSPICIOUS)
		ktask_gain_suspect(gain);
}

static void ktask_gain_sample(struct ktask_gain *gain, u64 cost,
			      unsigned int helpers)
{
	bool paused = gain->pause;

	if (helpers)
		ktask_gain_sample_helped(gain, cost, helpers);
	else
		ktask_gain_sample_alone(gain, cost);

	if (paused && !--gain->pause)
		ktask_gain_lift(gain);
}

/**
 * ktask_gain_add - learn from a chunk of the caller
 * @gain: what is known; its @max_helpers says what follows
 * @units: of the chunk, in minimum chunks; not 0
 * @ns: CPU time that it took, or all time if it slept, in nanoseconds
 * @helpers: helpers at work at its end; if 0, there was none at its start either
 */
void ktask_gain_add(struct ktask_gain *gain, u64 units, u64 ns,
		    unsigned int helpers)
{
	u64 cost;

	if (!gain->helper_ns != !helpers) {
		gain->units = 0;
		gain->ns = 0;
		gain->helper_ns = 0;
	}
	/* Of a task with SIZE_MAX units two chunks may have all and more. */
	gain->units += min(units, U64_MAX - gain->units);
	gain->ns += ns;
	gain->helper_ns += ns * helpers;
	if (gain->ns < gain->sample_ns)
		return;

	/* Never 0: that would mean that nothing is known. */
	cost = div64_u64(gain->ns << 10, gain->units) ?: 1;
	if (helpers)
		helpers = max(div64_u64(gain->helper_ns + gain->ns / 2,
					gain->ns), 1ULL);
	gain->units = 0;
	gain->ns = 0;
	gain->helper_ns = 0;
	ktask_gain_sample(gain, cost, helpers);
}
