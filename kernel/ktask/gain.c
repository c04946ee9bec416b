// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask gain: do helpers make a task faster, or only busier?
 *
 * Where the work spends its time spinning for one lock, a chunk takes each thread
 * longer the more threads there are. Then helpers use up CPU time and gain
 * nothing. So compare the CPU time that a unit costs the caller while it has
 * helpers with what one cost it without:
 *
 *  - The caller takes on no helper before it knows the latter.
 *  - Some samples in a row that cost much more raise a suspicion: all helpers
 *    leave, and the caller works without them for two samples.
 *  - If the costlier of these cost as much, the units have become costlier, or
 *    the host is busy, and helpers come back at once. If not, only as many threads
 *    go on as have been doing the work of all.
 *  - After a pause, more are tried again. Pauses get longer each time that the
 *    suspicion proves right, and are short again once helpers have gained for a
 *    while.
 *  - From time to time the caller works without helpers all the same, as what it
 *    knows of that gets old.
 *
 * So one slow chunk does nothing, no mistake lasts, and what it costs to find out
 * is bounded. That two threads on one core, or with one memory bus, slow each
 * other down by half is no reason to send one away. Preemption is not CPU time.
 *
 * All of this is the caller's own and needs no lock. Clients that state what units
 * cost have helpers before the caller has worked alone, and judge for themselves.
 */
#include <linux/limits.h>
#include <linux/math64.h>
#include <linux/minmax.h>

#include "gain.h"

/* So many samples in a row raise a suspicion. */
#define KTASK_GAIN_SUSPICIOUS	3

/* So many samples in a row that are not suspicious show that helpers gain. */
#define KTASK_GAIN_TRUSTED	16

/* And after so many it is time to look what units cost without them. */
#define KTASK_GAIN_OLD		256

/* Samples without helpers that follow a suspicion */
#define KTASK_GAIN_CHECKS	2

/* Samples that the caller waits for helpers to leave: one may be kept for long. */
#define KTASK_GAIN_PATIENCE	16

/* Samples that a pause has at first and at most, and what it grows by */
#define KTASK_GAIN_PAUSE_MIN	32U
#define KTASK_GAIN_PAUSE_MAX	512U
#define KTASK_GAIN_PAUSE_FACTOR	4

/**
 * ktask_gain_init - nothing is known yet
 * @gain: what to initialise
 */
void ktask_gain_init(struct ktask_gain *gain)
{
	*gain = (struct ktask_gain) {
		.max_helpers = INT_MAX,
		.next_pause = KTASK_GAIN_PAUSE_MIN,
	};
}

/**
 * ktask_gain_known - is it known what units cost without helpers?
 * @gain: what is known
 *
 * Return: true if so.
 */
bool ktask_gain_known(const struct ktask_gain *gain)
{
	return gain->own;
}

/* Does so much more CPU time go into a unit that helpers are in doubt? */
static bool ktask_gain_costs_more(u64 cost, u64 own)
{
	return cost - min(cost, own) > own / 8 * 5;
}

/* Of @helpers and the caller, as many as have been doing the work of all. */
static unsigned int ktask_gain_useful(unsigned int helpers, u64 own, u64 cost)
{
	u64 halves = mul_u64_u64_div_u64(2 * (helpers + 1ULL), own, cost);

	return max((halves + 1) / 2, (u64)1) - 1;
}

/* All helpers are to leave, so that the caller sees what units cost without. */
static void ktask_gain_suspect(struct ktask_gain *gain)
{
	gain->max_helpers = 0;
	gain->checks = KTASK_GAIN_CHECKS;
	gain->patience = KTASK_GAIN_PATIENCE;
	gain->own = 0;
}

/* Try all helpers again. */
static void ktask_gain_lift(struct ktask_gain *gain)
{
	gain->max_helpers = INT_MAX;
	gain->pause = 0;
	gain->checks = 0;
	gain->nr_high = 0;
	gain->nr_good = 0;
}

/* The caller has worked without helpers after a suspicion. */
static void ktask_gain_judge(struct ktask_gain *gain)
{
	if (!ktask_gain_costs_more(gain->high, gain->own)) {
		ktask_gain_lift(gain);
		return;
	}

	gain->nr_high = 0;
	gain->max_helpers = ktask_gain_useful(gain->high_helpers, gain->own,
					      gain->high);
	gain->pause = gain->next_pause;
	gain->next_pause = min(gain->next_pause * KTASK_GAIN_PAUSE_FACTOR,
			       KTASK_GAIN_PAUSE_MAX);
}

static void ktask_gain_sample_alone(struct ktask_gain *gain, u64 cost)
{
	if (!gain->checks) {
		gain->own = cost;
		return;
	}
	gain->own = max(gain->own, cost);
	if (!--gain->checks)
		ktask_gain_judge(gain);
}

static void ktask_gain_sample_helped(struct ktask_gain *gain, u64 cost,
				     unsigned int helpers)
{
	if (gain->checks) {
		if (!--gain->patience)
			ktask_gain_lift(gain);
		return;
	}
	/* Fewer helpers than there might be are no new reason for any doubt. */
	if (!gain->own || gain->pause)
		return;

	if (!ktask_gain_costs_more(cost, gain->own)) {
		gain->nr_high = 0;
		if (++gain->nr_good >= KTASK_GAIN_TRUSTED)
			gain->next_pause = KTASK_GAIN_PAUSE_MIN;
		if (gain->nr_good < KTASK_GAIN_OLD)
			return;
		gain->nr_good = 0;
		gain->high = cost;
		gain->high_helpers = helpers;
		ktask_gain_suspect(gain);
		return;
	}

	gain->nr_good = 0;
	gain->high = gain->nr_high ? min(gain->high, cost) : cost;
	gain->high_helpers = helpers;
	if (++gain->nr_high >= KTASK_GAIN_SUSPICIOUS)
		ktask_gain_suspect(gain);
}

static void ktask_gain_sample(struct ktask_gain *gain, u64 cost,
			      unsigned int helpers)
{
	if (gain->pause && !--gain->pause)
		ktask_gain_lift(gain);

	if (helpers)
		ktask_gain_sample_helped(gain, cost, helpers);
	else
		ktask_gain_sample_alone(gain, cost);
}

/**
 * ktask_gain_add - learn from a chunk of the caller
 * @gain: what is known; its @max_helpers says what follows
 * @units: of the chunk, in minimum chunks; not 0
 * @ns: CPU time that it took, in nanoseconds
 * @helpers: helpers on loan from its start to its end
 *
 * Not to be told of chunks during which the number of helpers changed.
 */
void ktask_gain_add(struct ktask_gain *gain, u64 units, u64 ns,
		    unsigned int helpers)
{
	u64 cost;

	if (gain->helpers != helpers) {
		gain->helpers = helpers;
		gain->units = 0;
		gain->ns = 0;
	}
	gain->units += units;
	gain->ns += ns;
	if (gain->ns < KTASK_GAIN_SAMPLE_NS)
		return;

	/* Never 0: that would mean that nothing is known. */
	cost = div64_u64(gain->ns << 10, gain->units) ?: 1;
	gain->units = 0;
	gain->ns = 0;
	ktask_gain_sample(gain, cost, helpers);
}
