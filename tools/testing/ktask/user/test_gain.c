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
	u64			used;		/* CPU time of all threads */
	u64			work;		/* what one thread alone would use */
};

static void sim_init(struct sim *s, unsigned int cpus)
{
	*s = (struct sim){ .cpus = cpus };
	ktask_gain_init(&s->gain, false);
}

static unsigned int sim_allowed(const struct sim *s)
{
	return min(s->gain.max_helpers, s->cpus - 1);
}

/* @units of the caller; @ns of CPU time with the helpers that it has. */
static void sim_units(struct sim *s, u64 units, u64 ns)
{
	ktask_gain_add(&s->gain, units, ns, s->helpers);
	if (s->helpers)
		s->helped++;
	else
		s->alone++;
	s->helper_sum += s->helpers;
	s->departures += s->helpers && !sim_allowed(s);
	/* Those that are too many leave, and others come, between two chunks. */
	s->helpers = sim_allowed(s);
}

/* A chunk of @ns, where no more than @useful threads get anything done at once. */
static void sim_use(struct sim *s, u64 ns, unsigned int useful)
{
	s->used += ns * (1 + s->helpers);
	s->work += ns * min(1 + s->helpers, useful);
}

static void sim_chunk(struct sim *s, u64 ns)
{
	sim_units(s, 4, ns);
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

/*
 * What it costs to find that out does not grow with the number of CPUs, though the
 * chunks of all take each of them as many times as long: chunks get smaller.
 */
static void lock_bound_on_many(void)
{
	u64 unit = MSEC / 1000, chunk, ns, used, work;
	unsigned int cpus, threads;
	struct sim s;
	int i;

	for (cpus = 2; cpus <= 1024; cpus *= 2) {
		sim_init(&s, cpus);
		/* All of them gain until now. */
		for (i = 0; i < 10; i++)
			sim_units(&s, 1000, 1000 * unit);
		for (i = 0; s.gain.max_helpers && i < 10; i++)
			sim_units(&s, 100, 100 * unit * (1 + s.helpers));
		chunk = 1000;
		used = 0;
		work = 0;
		for (i = 0; i < 300; i++) {
			threads = 1 + s.helpers;
			ns = chunk * unit * threads;
			work += chunk * unit * threads;
			used += ns * threads;
			sim_units(&s, chunk, ns);
			chunk = max(1000 / threads, 1U);
		}
		check(used < work * 17 / 16, "%u CPUs used %llu for %llu", cpus,
		      used, work);
	}
}

/* The same with helpers that start long after the caller was lent them. */
static void lock_bound_and_late(void)
{
	unsigned int late, working, allowed[8];
	u64 ns;
	struct sim s;
	int i;

	for (late = 1; late <= NR(allowed); late++) {
		sim_init(&s, 64);
		for (i = 0; i < 3000; i++) {
			working = i < (int)late ? 0 : allowed[i % late];
			allowed[i % late] = sim_allowed(&s);
			s.helpers = min(working, sim_allowed(&s));
			ns = MSEC * (1 + s.helpers);
			sim_use(&s, ns, 1);
			ktask_gain_add(&s.gain, 4, ns, s.helpers);
		}
		check(s.used < s.work * 17 / 16, "%u late: used %llu for %llu", late,
		      s.used, s.work);
	}
}

/* And on a host that keeps its CPUs to itself for a while, now and then. */
static void lock_bound_on_busy_host(void)
{
	u64 ns;
	struct sim s;
	int i;

	sim_init(&s, 64);
	for (i = 0; i < 20000; i++) {
		ns = MSEC * (1 + s.helpers);
		sim_use(&s, ns, 1);
		sim_chunk(&s, ns + (rnd_range(0, 99) ? 0 : 50 * MSEC));
	}
	check(s.used < s.work * 3 / 2, "used %llu for %llu", s.used, s.work);
}

/* Four threads do all the work that there is: many more are hardly ever tried. */
static void four_of_many(void)
{
	u64 ns;
	struct sim s;
	int i;

	sim_init(&s, 64);
	for (i = 0; i < 3000; i++) {
		ns = MSEC * max(1U + s.helpers, 4U) / 4;
		sim_use(&s, ns, 4);
		sim_chunk(&s, ns);
	}
	check(s.used < s.work * 9 / 8, "used %llu for %llu", s.used, s.work);
	check(s.helper_sum >= 2700 * 3, "sum %llu", s.helper_sum);
}

/* The same where one helper starts at once and all others do much later. */
static void four_of_many_late(void)
{
	unsigned int allowed[8] = { 0 };
	u64 ns;
	struct sim s;
	int i;

	sim_init(&s, 64);
	for (i = 0; i < 200; i++) {
		s.helpers = max(allowed[i % 8], 1U);
		s.helpers = min(s.helpers, sim_allowed(&s));
		allowed[i % 8] = sim_allowed(&s);
		ns = MSEC * max(1U + s.helpers, 4U) / 4;
		sim_use(&s, ns, 4);
		ktask_gain_add(&s.gain, 4, ns, s.helpers);
	}
	check(s.used < s.work * 3 / 2, "used %llu for %llu", s.used, s.work);
}

/* Work under one lock that becomes cheaper while nobody helps. */
static void cheaper_in_pause(void)
{
	u64 ns;
	struct sim s;
	int i;

	sim_init(&s, 64);
	while (!s.gain.pause)
		sim_chunk(&s, MSEC * (1 + s.helpers));
	for (i = 0; i < 500; i++) {
		ns = MSEC / 8 * (1 + s.helpers);
		sim_use(&s, ns, 1);
		sim_chunk(&s, ns);
	}
	check(s.used < s.work * 3 / 2, "used %llu for %llu", s.used, s.work);
}

/* A helper gains a third: it stays, whatever more of them would do. */
static void third_gained(void)
{
	u64 units = 0, time = 0, ns;
	unsigned int cpus;
	struct sim s;
	int i;

	for (cpus = 2; cpus <= 64; cpus *= 2) {
		sim_init(&s, cpus);
		for (i = 0; i < 3000; i++) {
			ns = MSEC * max(3 * (1 + s.helpers), 4U) / 4;
			time += ns;
			units += 1 + s.helpers;
			sim_chunk(&s, ns);
		}
		check(time < units * MSEC * 4 / 5, "%u CPUs took %llu for %llu",
		      cpus, time, units);
	}
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
	check(s.alone > 2 && s.alone <= 10, "alone %u", s.alone);
	check_eq(s.helper_sum, 3 + 12 + 48 + 63 * (1000 - 3 - s.alone), "sum");
}

/* What one slow chunk says, or two, or every third, is nothing. */
static void slow_chunks(void)
{
	struct sim s;
	int i;

	sim_init(&s, 2);
	for (i = 0; i < 200; i++)
		sim_chunk(&s, i % 3 ? 50 * MSEC : MSEC);
	check_eq(s.alone, 2, "alone");
}

/* Where memory gets denser helpers are away for a moment and come back. */
static void costlier_units(void)
{
	struct sim s;
	int i;

	sim_init(&s, 2);
	for (i = 0; i < 200; i++)
		sim_chunk(&s, i < 100 ? MSEC : 9 * MSEC);
	check_eq(s.alone, 4, "alone");
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
	check_eq(s.alone, 2, "alone");
}

/* Of several suspicious samples the least is the one that counts. */
static void least_suspicious(void)
{
	struct ktask_gain gain;

	ktask_gain_init(&gain, false);
	ktask_gain_add(&gain, 1, 10 * MSEC, 0);
	ktask_gain_add(&gain, 1, 10 * MSEC, 0);
	ktask_gain_add(&gain, 1, 20 * MSEC, 1);
	ktask_gain_add(&gain, 1, 20 * MSEC, 1);
	ktask_gain_add(&gain, 1, 500 * MSEC, 1);
	check_eq(gain.max_helpers, 0, "suspicion");
	ktask_gain_add(&gain, 1, 15 * MSEC, 0);
	ktask_gain_add(&gain, 1, 15 * MSEC, 0);
	check_eq(gain.max_helpers, 3, "not by that much");
}

/* Of the first two samples one was cold, or interrupted. */
static void dear_at_first(void)
{
	struct ktask_gain gain;

	ktask_gain_init(&gain, false);
	ktask_gain_add(&gain, 1, 5 * MSEC, 0);
	check_eq(gain.max_helpers, 0, "after one");
	ktask_gain_add(&gain, 1, MSEC, 0);
	check_eq(gain.max_helpers, 3, "after two");
	check_eq(gain.own, MSEC << 10, "the cheaper");

	ktask_gain_init(&gain, false);
	ktask_gain_add(&gain, 1, MSEC, 0);
	ktask_gain_add(&gain, 1, 5 * MSEC, 0);
	check_eq(gain.own, MSEC << 10, "the cheaper, which was the first");
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

	ktask_gain_init(&gain, false);
	ktask_gain_add(&gain, 1, MSEC, 0);
	ktask_gain_add(&gain, 1, MSEC, 0);
	for (i = 0; gain.max_helpers && i < 10; i++)
		ktask_gain_add(&gain, 1, 9 * MSEC, 3);
	check_eq(gain.max_helpers, 0, "suspicion");
	for (; !gain.max_helpers && chunks < 100; chunks++)
		ktask_gain_add(&gain, 1, 9 * MSEC, 1);
	check(chunks > 4 && chunks < 30, "chunks %d", chunks);
	check_eq(gain.max_helpers, 1, "half of them");
	/* What units cost without helpers is not forgotten over it. */
	for (i = 0; gain.max_helpers && i < 10; i++)
		ktask_gain_add(&gain, 1, 9 * MSEC, 3);
	check_eq(gain.max_helpers, 0, "suspicion again");
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

/* Chunks that are too short to tell are put together, those with helpers apart. */
static void short_chunks(void)
{
	struct ktask_gain gain;
	int i;

	ktask_gain_init(&gain, false);
	for (i = 0; i < 15; i++)
		ktask_gain_add(&gain, 1, MSEC / 100, 0);
	ktask_gain_add(&gain, 1, MSEC / 100, 1);
	for (i = 0; i < 9; i++) {
		ktask_gain_add(&gain, 1, MSEC / 100, 0);
		check_eq(gain.max_helpers, 0, "began anew, %d", i);
	}
	ktask_gain_add(&gain, 1, MSEC / 100, 0);
	check_eq(gain.max_helpers, 3, "at last");
	check_eq(gain.own, MSEC / 100 << 10, "at last");
}

/* Helpers come and go all the time, but there are some. */
static void helpers_in_turn(void)
{
	struct ktask_gain gain;
	int i;

	ktask_gain_init(&gain, false);
	ktask_gain_add(&gain, 100, MSEC, 0);
	ktask_gain_add(&gain, 100, MSEC, 0);
	for (i = 0; gain.max_helpers && i < 20; i++)
		ktask_gain_add(&gain, 1, MSEC / 25, 3 + i % 2);
	check_eq(gain.max_helpers, 0, "suspicion");
	ktask_gain_add(&gain, 100, MSEC, 0);
	ktask_gain_add(&gain, 100, MSEC, 0);
	check_eq(gain.high_helpers, 3, "helpers");
	check_eq(gain.max_helpers, 0, "four to five threads do the work of one");
}

/* Uneven chunks have helpers first. A long task under one lock loses them. */
static void uneven_chunks(void)
{
	struct sim s = { .cpus = 2, .helpers = 1 };
	struct ktask_gain gain;
	int i;

	ktask_gain_init(&s.gain, true);
	for (i = 0; i < 100; i++)
		sim_chunk(&s, i % 10 ? MSEC : 19 * MSEC);
	check_eq(s.alone, 0, "alone");
	for (i = 0; i < 1000; i++)
		sim_chunk(&s, MSEC * (1 + s.helpers));
	check(s.helped < 300, "helped %u", s.helped);

	/* To look is no suspicion, if a helper stays meanwhile. */
	ktask_gain_init(&gain, true);
	for (i = 0; gain.max_helpers && i < 100; i++)
		ktask_gain_add(&gain, 20, 20 * MSEC, 15);
	check_eq(gain.max_helpers, 0, "a look");
	for (i = 0; !gain.max_helpers && i < 100; i++)
		ktask_gain_add(&gain, 20, 20 * MSEC, 1);
	check_eq(gain.max_helpers, INT_MAX, "all are back");
}

static void extremes(void)
{
	struct ktask_gain gain;
	int i;

	ktask_gain_init(&gain, false);
	ktask_gain_add(&gain, U64_MAX / 2, MSEC, 0);
	ktask_gain_add(&gain, U64_MAX / 2, MSEC, 0);
	check(gain.own, "a unit that costs nothing");
	for (i = 0; i < 10; i++)
		ktask_gain_add(&gain, 1ULL << 63, MSEC / 15, 0);
	check(gain.own, "more units than there are numbers");
	for (i = 0; i < 100; i++) {
		ktask_gain_add(&gain, 1, 1ULL << 53, 1 << 10);
		ktask_gain_add(&gain, 1, 1ULL << 53, 0);
	}
	check(gain.max_helpers, "costs the same with and without");
	for (i = 0; i < 100; i++)
		ktask_gain_add(&gain, 1, MSEC, gain.max_helpers ?: 1);
	check_eq(gain.max_helpers, INT_MAX, "as many as there are");
}

static const struct test_case cases[] = {
	{ "gain: work under one lock", lock_bound },
	{ "gain: work under one lock on many CPUs", lock_bound_on_many },
	{ "gain: work under one lock, late helpers", lock_bound_and_late },
	{ "gain: work under one lock on a busy host", lock_bound_on_busy_host },
	{ "gain: four threads of many", four_of_many },
	{ "gain: four threads of many, late", four_of_many_late },
	{ "gain: cheaper units in a pause", cheaper_in_pause },
	{ "gain: a third is gained", third_gained },
	{ "gain: half of the work under one lock", half_bound },
	{ "gain: two threads on one core", shared_core },
	{ "gain: work that scales", scales },
	{ "gain: single slow chunks", slow_chunks },
	{ "gain: units that cost more", costlier_units },
	{ "gain: units that cost more in turn", uneven_units },
	{ "gain: cheaper units under a lock", bound_and_cheaper },
	{ "gain: units that cost less", cheaper_units },
	{ "gain: the least suspicious sample", least_suspicious },
	{ "gain: a first sample that is dear", dear_at_first },
	{ "gain: a short pause again", short_pause_again },
	{ "gain: a helper that stays", helper_that_stays },
	{ "gain: a lock for a while", bound_for_a_while },
	{ "gain: a busy host", busy_host },
	{ "gain: short chunks", short_chunks },
	{ "gain: helpers that take turns", helpers_in_turn },
	{ "gain: uneven chunks", uneven_chunks },
	{ "gain: extremes", extremes },
};

int main(void)
{
	return run_cases(cases, NR(cases));
}
