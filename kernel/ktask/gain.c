// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask gain: do helpers make a task faster, or do they only use more CPU time?
 *
 * If the threads spin for one lock, a chunk takes longer the more threads work.
 * Then helpers use CPU time and gain nothing. So compare the CPU time of a unit
 * in the caller with helpers and without them:
 *
 *  - The caller works alone for two samples. Then it takes on a few helpers,
 *    and several times as many after each sample that is not suspicious. So the
 *    cost of this test does not grow with the number of CPUs.
 *  - If the cost is much higher for some samples in a row, a check starts: all
 *    helpers leave, and the caller works without them for two samples.
 *  - If the higher cost of these two is as high, the units are more expensive or
 *    the host is busy, and the helpers come back at once. Otherwise the caller
 *    keeps only as many threads as could do the same work without contention,
 *    and a pause starts.
 *  - After a pause, more helpers are tried. Each check that confirms the
 *    suspicion makes the next pause longer. Pauses are short again after helpers
 *    have gained for a while.
 *  - From time to time a check starts without suspicion, because the known cost
 *    without helpers gets out of date.
 *
 * So a single slow chunk has no effect, and no wrong decision is permanent. Two
 * threads that share a core or a memory bus may each take 1.5 times as long;
 * that is no reason to remove one. Preemption is not CPU time.
 *
 * Uneven chunks need long samples. Such tasks start with helpers, and measure
 * the cost without helpers later, if the task takes long.
 *
 * Only the caller uses this data, so there is no lock. Clients that state the
 * cost of their units decide for themselves; see ktask_ctl_set_cost().
 */
#include <linux/limits.h>
#include <linux/math64.h>
#include <linux/minmax.h>

#include "gain.h"

/* Length of a sample if a chunk may also do deferred work of earlier chunks */
#define KTASK_GAIN_UNEVEN_NS	20000000ULL

/* Suspicious samples in a row that start a check */
#define KTASK_GAIN_SUSPICIOUS	3

/* Good samples in a row that show that helpers gain */
#define KTASK_GAIN_TRUSTED	16

/* Good samples in a row after which the cost without helpers is out of date */
#define KTASK_GAIN_OLD		256

/* Samples without helpers in a check */
#define KTASK_GAIN_CHECKS	2

/* Samples that a check waits for helpers to leave: a chunk may take long */
#define KTASK_GAIN_PATIENCE	16

/* Number of helpers at first, and the factor by which it grows */
#define KTASK_GAIN_FIRST	3
#define KTASK_GAIN_FACTOR	4

/* Samples in the first and in the longest pause, and the factor of growth */
#define KTASK_GAIN_PAUSE_MIN	32U
#define KTASK_GAIN_PAUSE_MAX	512U
#define KTASK_GAIN_PAUSE_FACTOR	4

/**
 * ktask_gain_init - start with nothing known
 * @gain: the state to initialise
 * @uneven: &ktask_ctl.kc_uneven
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

/* Is the cost so much higher than without helpers that it is suspicious? */
static bool ktask_gain_costs_more(u64 cost, u64 own)
{
	return cost - min(cost, own) > own / 8 * 5;
}

/*
 * How many of @helpers are useful? All threads together did as much work as
 * (@helpers + 1) * @own / @cost threads would do without contention.
 */
static unsigned int ktask_gain_useful(unsigned int helpers, u64 own, u64 cost)
{
	u64 quarters = mul_u64_u64_div_u64(4 * (helpers + 1ULL), own, cost);

	/* Round up: one thread and a half are still better than one. */
	return max((quarters + 3) / 4, (u64)1) - 1;
}

/* The next number of helpers to try, at least one */
static unsigned int ktask_gain_more(unsigned int helpers)
{
	return clamp_t(u64, (u64)helpers * KTASK_GAIN_FACTOR, 1, INT_MAX);
}

/* Make all helpers leave, to measure the cost without them. */
static void ktask_gain_start_check(struct ktask_gain *gain)
{
	gain->max_helpers = 0;
	gain->checks = KTASK_GAIN_CHECKS;
	gain->patience = KTASK_GAIN_PATIENCE;
}

/* A check or a pause is over: allow helpers again. */
static void ktask_gain_resume(struct ktask_gain *gain)
{
	gain->max_helpers = gain->trusted;
	gain->pause = 0;
	gain->checks = 0;
	gain->nr_high = 0;
	gain->nr_good = 0;
}

/* A check has its two samples without helpers, which cost @least and @most. */
static void ktask_gain_judge(struct ktask_gain *gain, u64 least, u64 most)
{
	gain->own = least;
	if (!ktask_gain_costs_more(gain->high, most)) {
		ktask_gain_resume(gain);
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
	 * The higher cost of two samples decides, in favour of helpers. The
	 * lower one is kept as the cost without helpers: a value that is too
	 * low soon leads to another check, a value that is too high does not.
	 */
	gain->last = cost;
	if (!gain->checks)
		gain->own = least;
	else if (!--gain->checks)
		ktask_gain_judge(gain, least, most);
}

/* A sample is good: try more helpers if most of the allowed ones have come. */
static void ktask_gain_grow(struct ktask_gain *gain, unsigned int helpers)
{
	if (helpers <= gain->max_helpers / 2)
		return;

	gain->trusted = ktask_gain_more(gain->trusted);
	gain->max_helpers = gain->trusted;
}

/* Start a check that compares the cost without helpers with @cost. */
static void ktask_gain_check(struct ktask_gain *gain, u64 cost,
			     unsigned int helpers)
{
	gain->nr_good = 0;
	gain->high = cost;
	gain->high_helpers = helpers;
	ktask_gain_start_check(gain);
}

/*
 * A helper does not leave, so the cost without helpers stays unknown. If
 * samples were suspicious, allow only half of the helpers.
 */
static void ktask_gain_give_up(struct ktask_gain *gain)
{
	if (gain->nr_high)
		gain->trusted = max(gain->high_helpers / 2, 1U);
	ktask_gain_resume(gain);
}

static void ktask_gain_sample_helped(struct ktask_gain *gain, u64 cost,
				     unsigned int helpers)
{
	if (gain->checks) {
		if (!--gain->patience)
			ktask_gain_give_up(gain);
		return;
	}
	/* A pause has fewer helpers already: start no further check. */
	if (gain->pause)
		return;
	if (!gain->own) {
		if (++gain->nr_good >= KTASK_GAIN_TRUSTED)
			ktask_gain_check(gain, cost, helpers);
		return;
	}

	if (!ktask_gain_costs_more(cost, gain->own)) {
		gain->nr_high = 0;
		ktask_gain_grow(gain, helpers);
		if (++gain->nr_good >= KTASK_GAIN_TRUSTED)
			gain->next_pause = KTASK_GAIN_PAUSE_MIN;
		if (gain->nr_good >= KTASK_GAIN_OLD)
			ktask_gain_check(gain, cost, helpers);
		return;
	}

	gain->nr_good = 0;
	if (!gain->nr_high || cost < gain->high) {
		gain->high = cost;
		gain->high_helpers = helpers;
	}
	if (++gain->nr_high >= KTASK_GAIN_SUSPICIOUS)
		ktask_gain_start_check(gain);
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
		ktask_gain_resume(gain);
}

/**
 * ktask_gain_add - learn from a chunk of the caller
 * @gain: the state; its @max_helpers is the result
 * @units: size of the chunk in minimum chunks; not 0
 * @ns: CPU time of the chunk, or elapsed time if it slept, in nanoseconds
 * @helpers: helpers at work at its end; if 0, there was none at its start
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
	/* In a task of SIZE_MAX units the sum may overflow. */
	gain->units += min(units, U64_MAX - gain->units);
	gain->ns += ns;
	gain->helper_ns += ns * helpers;
	if (gain->ns < gain->sample_ns)
		return;

	/* Not 0: that would mean that the cost is unknown. */
	cost = div64_u64(gain->ns << 10, gain->units) ?: 1;
	if (helpers)
		helpers = max(div64_u64(gain->helper_ns + gain->ns / 2,
					gain->ns), 1ULL);
	gain->units = 0;
	gain->ns = 0;
	gain->helper_ns = 0;
	ktask_gain_sample(gain, cost, helpers);
}
