// SPDX-License-Identifier: GPL-2.0-only
/*
 * kernel/ktask/gain.c in simulated tasks: what units cost depends on how many
 * threads there are, on where in the task they lie, and on chance.
 */
#include <linux/limits.h>
#include <linux/minmax.h>

#include "gain.h"
#include "tap.h"

#define NR(array)	(sizeof(array) / sizeof((array)[0]))
#define MSEC		1000000ULL

/* A caller that takes on as many helpers as it may, up to @cpus - 1 */
struct sim {
	struct ktask_gain	gain;
	unsigned int		cpus;
	unsigned int		helpers;
	unsigned int		alone;		/* chunks without helpers */
	unsigned int		helped;		/* chunks with some */
	unsigned int		departures;	/* all helpers left */
	u64			helper_sum;	/* of helpers, over all chunks */
};

static void sim_init(struct sim *s, unsigned int cpus)
{
	*s = (struct sim){ .cpus = cpus };
	ktask_gain_init(&s->gain);
}

static unsigned int sim_allowed(const struct sim *s)
{
	if (!ktask_gain_known(&s->gain))
		return 0;
	return min(s->gain.max_helpers, s->cpus - 1);
}

/* One chunk of the caller; @ns of CPU time with the helpers that it has. */
static void sim_chunk(struct sim *s, u64 ns)
{
	ktask_gain_add(&s->gain, 4, ns, s->helpers);
	if (s->helpers)
		s->helped++;
	else
		s->alone++;
	s->helper_sum += s->helpers;
	s->departures += s->helpers && !sim_allowed(s);
	/* Those that are too many leave, and others come, between two chunks. */
	s->helpers = sim_allowed(s);
}

/* The work is done under one lock: each thread waits for all others. */
static void lock_bound(void)
{
	struct sim s;
	int i;

	sim_init(&s, 2);
	for (i = 0; i < 1000; i++)
		sim_chunk(&s, MSEC * (1 + s.helpers));
	check(s.helped > 3, "helped %u", s.helped);
	check(s.helped <= 20, "helped %u", s.helped);
}

/* Half of it is: eight threads do the work of two. */
static void half_bound(void)
{
	struct sim s;
	int i;

	sim_init(&s, 8);
	for (i = 0; i < 3000; i++)
		sim_chunk(&s, MSEC * max(1U + s.helpers, 2U) / 2);
	check(s.helper_sum >= 2800 && s.helper_sum <= 3500, "sum %llu",
	      s.helper_sum);
	check(s.departures <= 10, "departures %u", s.departures);
}

/* Two threads on one core are faster than one, though each is slower. */
static void shared_core(void)
{
	struct sim s;
	int i;

	sim_init(&s, 2);
	for (i = 0; i < 1000; i++)
		sim_chunk(&s, MSEC * (s.helpers ? 3 : 2) / 2);
	check(s.alone <= 10, "alone %u", s.alone);
}

static void scales(void)
{
	struct sim s;
	int i;

	sim_init(&s, 64);
	for (i = 0; i < 1000; i++)
		sim_chunk(&s, MSEC * (100 + s.helpers / 4) / 100);
	/* Now and then it looks what units cost without them. */
	check(s.alone > 1 && s.alone <= 10, "alone %u", s.alone);
	check_eq(s.helper_sum, 63 * (1000 - s.alone), "sum");
}

/* What one slow chunk says, or two, or every third, is nothing. */
static void slow_chunks(void)
{
	struct sim s;
	int i;

	sim_init(&s, 2);
	for (i = 0; i < 200; i++)
		sim_chunk(&s, i % 3 ? 50 * MSEC : MSEC);
	check_eq(s.alone, 1, "alone");
}

/* Where memory gets denser helpers are away for a moment and come back. */
static void costlier_units(void)
{
	struct sim s;
	int i;

	sim_init(&s, 2);
	for (i = 0; i < 200; i++)
		sim_chunk(&s, i < 100 ? MSEC : 9 * MSEC);
	check_eq(s.alone, 3, "alone");
}

/* Dense memory and sparse memory in turn: helpers work most of the time. */
static void uneven_units(void)
{
	unsigned int period;
	struct sim s;
	int i;

	for (period = 1; period < 40; period++) {
		sim_init(&s, 2);
		for (i = 0; i < 2000; i++)
			sim_chunk(&s, i / period % 2 ? MSEC : 9 * MSEC);
		check(s.helped > 2000 * 6 / 10, "helped %u, period %u",
		      s.helped, period);
	}
}

/* Cheap units that are fought for, after dear ones that were not */
static void bound_and_cheaper(void)
{
	unsigned int before;
	struct sim s;
	int i;

	sim_init(&s, 2);
	for (i = 0; i < 100; i++)
		sim_chunk(&s, 9 * MSEC);
	for (i = 0; i < 300; i++)
		sim_chunk(&s, MSEC * (1 + s.helpers));
	before = s.helped;
	for (i = 0; i < 300; i++)
		sim_chunk(&s, MSEC * (1 + s.helpers));
	check(s.helped - before < 30, "helped %u", s.helped - before);
}

/* Where units get cheaper there is nothing to suspect. */
static void cheaper_units(void)
{
	struct sim s;
	int i;

	sim_init(&s, 2);
	for (i = 0; i < 200; i++)
		sim_chunk(&s, i < 100 ? 9 * MSEC : MSEC);
	check_eq(s.alone, 1, "alone");
}

/* Of several suspicious samples the least is the one that counts. */
static void least_suspicious(void)
{
	struct ktask_gain gain;

	ktask_gain_init(&gain);
	ktask_gain_add(&gain, 1, 10 * MSEC, 0);
	ktask_gain_add(&gain, 1, 20 * MSEC, 1);
	ktask_gain_add(&gain, 1, 20 * MSEC, 1);
	ktask_gain_add(&gain, 1, 500 * MSEC, 1);
	check_eq(gain.max_helpers, 0, "suspicion");
	ktask_gain_add(&gain, 1, 15 * MSEC, 0);
	ktask_gain_add(&gain, 1, 15 * MSEC, 0);
	check_eq(gain.max_helpers, INT_MAX, "not by that much");
}

/* Pauses are short again where helpers have gained since the last long one. */
static void short_pause_again(void)
{
	unsigned int before;
	struct sim s;
	int i;

	sim_init(&s, 2);
	for (i = 0; i < 300; i++)
		sim_chunk(&s, MSEC * (1 + s.helpers));
	for (i = 0; i < 600; i++)
		sim_chunk(&s, MSEC);
	for (i = 0; i < 10; i++)
		sim_chunk(&s, MSEC * (1 + s.helpers));
	before = s.helped;
	for (i = 0; i < 60; i++)
		sim_chunk(&s, MSEC);
	check(s.helped > before + 10, "helped %u", s.helped - before);
}

/* A helper that is asked to leave and does not, or not for long */
static void helper_that_stays(void)
{
	struct ktask_gain gain;
	int i, chunks = 0;

	ktask_gain_init(&gain);
	ktask_gain_add(&gain, 1, MSEC, 0);
	for (i = 0; gain.max_helpers && i < 10; i++)
		ktask_gain_add(&gain, 1, 9 * MSEC, 3);
	check_eq(gain.max_helpers, 0, "suspicion");
	for (; !gain.max_helpers && chunks < 100; chunks++)
		ktask_gain_add(&gain, 1, 9 * MSEC, 1);
	check(chunks > 4 && chunks < 30, "chunks %d", chunks);
}

/* A lock that is fought for in the middle of a task only */
static void bound_for_a_while(void)
{
	unsigned int before;
	struct sim s;
	int i;

	sim_init(&s, 2);
	for (i = 0; i < 400; i++)
		sim_chunk(&s, i < 100 ? MSEC : MSEC * (1 + s.helpers));
	check(s.alone > 250, "alone %u", s.alone);
	before = s.helped;
	for (i = 0; i < 1000; i++)
		sim_chunk(&s, MSEC);
	check(s.helped - before > 400, "helped %u", s.helped - before);
	before = s.helped;
	for (i = 0; i < 1000; i++)
		sim_chunk(&s, MSEC);
	check(s.helped - before >= 990, "helped %u", s.helped - before);
}

/*
 * A host that is busy: each chunk takes up to three times as long, whoever works
 * on it. Helpers work most of the time all the same.
 */
static void busy_host(void)
{
	u64 helped = 0;
	struct sim s;
	int i, round;

	for (round = 0; round < 200; round++) {
		sim_init(&s, 2);
		for (i = 0; i < 500; i++)
			sim_chunk(&s, rnd_range(MSEC, 3 * MSEC));
		helped += s.helped;
	}
	check(helped > 200 * 500 * 8 / 10, "helped %llu of %u", helped,
	      200 * 500);
}

/* Chunks that are too short to tell are put together, per number of helpers. */
static void short_chunks(void)
{
	struct ktask_gain gain;
	int i;

	ktask_gain_init(&gain);
	for (i = 0; i < 5; i++) {
		ktask_gain_add(&gain, 1, MSEC / 100, 0);
		check(!ktask_gain_known(&gain), "after %d", i);
	}
	ktask_gain_add(&gain, 1, MSEC / 100, 1);
	for (i = 0; i < 9; i++) {
		ktask_gain_add(&gain, 1, MSEC / 100, 0);
		check(!ktask_gain_known(&gain), "began anew, %d", i);
	}
	ktask_gain_add(&gain, 1, MSEC / 100, 0);
	check_eq(gain.own, MSEC / 100 << 10, "at last");
}

static void extremes(void)
{
	struct ktask_gain gain;
	int i;

	ktask_gain_init(&gain);
	ktask_gain_add(&gain, U64_MAX / 2, MSEC, 0);
	check(ktask_gain_known(&gain), "a unit that costs nothing");
	for (i = 0; i < 100; i++) {
		ktask_gain_add(&gain, 1, 1ULL << 53, UINT_MAX);
		ktask_gain_add(&gain, 1, 1ULL << 53, 0);
	}
	check_eq(gain.max_helpers, INT_MAX, "costs the same with and without");
}

static const struct test_case cases[] = {
	{ "gain: work under one lock", lock_bound },
	{ "gain: half of the work under one lock", half_bound },
	{ "gain: two threads on one core", shared_core },
	{ "gain: work that scales", scales },
	{ "gain: single slow chunks", slow_chunks },
	{ "gain: units that cost more", costlier_units },
	{ "gain: units that cost more in turn", uneven_units },
	{ "gain: cheaper units under a lock", bound_and_cheaper },
	{ "gain: units that cost less", cheaper_units },
	{ "gain: the least suspicious sample", least_suspicious },
	{ "gain: a short pause again", short_pause_again },
	{ "gain: a helper that stays", helper_that_stays },
	{ "gain: a lock for a while", bound_for_a_while },
	{ "gain: a busy host", busy_host },
	{ "gain: short chunks", short_chunks },
	{ "gain: extremes", extremes },
};

int main(void)
{
	return run_cases(cases, NR(cases));
}
