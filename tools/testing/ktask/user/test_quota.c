// SPDX-License-Identifier: GPL-2.0-only
/*
 * A cpu.max in simulated time, as the scheduler of Linux 6.12 does it: threads that
 * always run, callers among them, and helpers that come and go by math.c. Threads
 * that do not use the quota up alone must always find something left of it.
 */
#include <linux/minmax.h>
#include <stdio.h>
#include <string.h>

#include "math.h"
#include "tap.h"

#define NR(array)	(sizeof(array) / sizeof((array)[0]))
#define USEC		1000ULL
#define MSEC		(1000 * USEC)
#define MAX_CPUS	128
#define MAX_CALLERS	8

/* How long a caller's number stands, and by how much the longest chunk is too long */
#define AGE		(KTASK_CHUNK_NS / 4)
#define LONGEST_CHUNK	(KTASK_CHUNK_NS * 5 / 4)
#define STEP		(50 * USEC)
#define TICK		MSEC
#define PERIODS		20

struct setting {
	const char	*what;
	u64		quota, period, slice;
	unsigned int	threads;	/* that always run; callers are the first */
	unsigned int	callers;
	unsigned int	cpus;		/* more than threads: room for helpers */
	bool		too_short;	/* slices in reserve leave nothing to helpers */
};

struct cpu {
	int	caller;		/* it has a helper of this one's, or -1 */
	bool	throttled;
	s64	runtime;	/* what it has of the quota */
	u64	ran;		/* and what ran since that was looked at */
	u64	tick;		/* when that is */
	u64	chunk_end;
};

struct caller {
	unsigned int	own, allowed;
	u64		made_at;
	u64		chunk_end;
};

struct sim {
	const struct setting	*set;
	struct cpu		cpu[MAX_CPUS];
	struct caller		caller[MAX_CALLERS];
	u64			now, period_end;
	u64			left;		/* of the quota, and no CPU has it */
	unsigned int		throttled;	/* threads that found nothing left */
	u64			helped;
};

/* What ran is charged when somebody looks: each tick, and at the end of a chunk. */
static void charge(struct sim *s, struct cpu *cpu)
{
	u64 more;

	cpu->runtime -= cpu->ran;
	cpu->ran = 0;
	if (cpu->runtime > 0)
		return;

	more = min(s->left, (u64)(s->set->slice - cpu->runtime));
	s->left -= more;
	cpu->runtime += more;
	if (cpu->runtime > 0 || cpu->throttled)
		return;
	cpu->throttled = true;
	s->throttled++;
}

static void begin_period(struct sim *s)
{
	unsigned int i;

	s->left = s->set->quota;
	s->period_end += s->set->period;
	for (i = 0; i < s->set->cpus; i++)
		s->cpu[i].throttled = false;
}

static void make_number(struct sim *s, struct caller *caller)
{
	struct ktask_runtime rest;
	unsigned int i, others = 0;

	if (caller->made_at && s->now - caller->made_at < AGE)
		return;

	for (i = 0; i < s->set->callers; i++)
		if (&s->caller[i] != caller)
			others += s->caller[i].own;
	caller->made_at = s->now;
	rest = (struct ktask_runtime){ s->left, s->set->slice,
				       s->period_end - s->now, s->set->threads };
	caller->allowed = ktask_helpers_within_runtime(&rest, caller->own, others);
}

static u64 chunk(struct sim *s)
{
	return s->now + rnd_range(KTASK_CHUNK_NS / 8, LONGEST_CHUNK);
}

static void helper_chunk_end(struct sim *s, struct cpu *cpu)
{
	struct caller *caller = &s->caller[cpu->caller];

	charge(s, cpu);
	make_number(s, caller);
	cpu->chunk_end = chunk(s);
	if (caller->own <= caller->allowed)
		return;
	caller->own--;
	cpu->caller = -1;
}

static void caller_chunk_end(struct sim *s, int nr)
{
	struct caller *caller = &s->caller[nr];
	unsigned int i;

	charge(s, &s->cpu[nr]);
	make_number(s, caller);
	for (i = s->set->threads; i < s->set->cpus; i++) {
		if (caller->own >= caller->allowed)
			break;
		if (s->cpu[i].caller >= 0)
			continue;
		s->cpu[i].caller = nr;
		s->cpu[i].chunk_end = chunk(s);
		caller->own++;
	}
	caller->chunk_end = chunk(s);
}

static bool is_busy(struct sim *s, unsigned int i)
{
	return !s->cpu[i].throttled &&
	       (i < s->set->threads || s->cpu[i].caller >= 0);
}

static void step(struct sim *s)
{
	unsigned int i;

	s->now += STEP;
	if (s->now >= s->period_end)
		begin_period(s);

	for (i = 0; i < s->set->cpus; i++) {
		struct cpu *cpu = &s->cpu[i];

		if (!is_busy(s, i))
			continue;
		cpu->ran += STEP;
		if (cpu->caller >= 0)
			s->helped += STEP;
		if (s->now >= cpu->tick) {
			cpu->tick += TICK;
			charge(s, cpu);
		}
		if (cpu->caller >= 0 && s->now >= cpu->chunk_end)
			helper_chunk_end(s, cpu);
		else if (i < s->set->callers && s->now >= s->caller[i].chunk_end)
			caller_chunk_end(s, i);
	}
}

static void simulate(struct sim *s, const struct setting *set)
{
	unsigned int i;

	memset(s, 0, sizeof(*s));
	s->set = set;
	s->now = MSEC;
	s->period_end = MSEC;
	begin_period(s);
	for (i = 0; i < set->cpus; i++) {
		s->cpu[i].caller = -1;
		s->cpu[i].tick = s->now + rnd_range(0, TICK);
	}
	while (s->now < PERIODS * set->period)
		step(s);
}

static const struct setting settings[] = {
	{ "one caller", 250, 100, 5 * MSEC, 1, 1, 4, false },
	{ "a caller and a busy thread", 250, 100, 5 * MSEC, 2, 1, 4, false },
	{ "two callers", 250, 100, 5 * MSEC, 2, 2, 4, false },
	{ "one caller, three helpers", 400, 100, 5 * MSEC, 1, 1, 4, false },
	{ "3 CPUs: a caller and a busy thread", 250, 100, 5 * MSEC, 2, 1, 3, false },
	{ "10 ms: one caller", 25, 10, 5 * MSEC, 1, 1, 4, false },
	{ "10 ms: a caller and a busy thread", 35, 10, 5 * MSEC, 2, 1, 4, true },
	{ "10 ms: two callers", 35, 10, 5 * MSEC, 2, 2, 4, true },
	{ "30 ms: one caller", 75, 30, 5 * MSEC, 1, 1, 4, false },
	{ "30 ms: a caller and a busy thread", 75, 30, 5 * MSEC, 2, 1, 4, true },
	{ "30 ms: two callers", 75, 30, 5 * MSEC, 2, 2, 4, true },
	{ "64 helpers", 4000, 100, 5 * MSEC, 1, 1, 66, false },
	{ "64 helpers, 10 ms", 400, 10, 5 * MSEC, 1, 1, 66, false },
	{ "64 helpers, eight callers", 4000, 100, 5 * MSEC, 8, 8, 72, false },
	{ "64 helpers, eight callers and as many others", 4000, 100, 5 * MSEC, 16, 8, 80, false },
	{ "64 helpers, eight callers, 30 ms", 1200, 30, 5 * MSEC, 8, 8, 72, false },
	{ "slices of 0.1 ms: one caller", 250, 100, 100 * USEC, 1, 1, 4, false },
	{ "slices of 0.1 ms: a caller and a busy thread", 250, 100, 100 * USEC, 2, 1, 4, false },
	{ "slices of 0.1 ms: 64 helpers, eight callers", 4000, 100, 100 * USEC, 8, 8, 72, false },
	{ "slices of 1 us: one caller", 250, 100, USEC, 1, 1, 4, false },
};

/* Nor would they be without helpers: but these are to have what there is for them. */
static void never_throttled(void)
{
	static struct sim s;
	unsigned int i;

	for (i = 0; i < NR(settings); i++) {
		struct setting set = settings[i];
		u64 rest;

		set.quota *= MSEC;
		set.period *= MSEC;
		rest = PERIODS * (set.quota - set.threads * set.period);
		simulate(&s, &set);
		check(!s.throttled, "%s: %u", set.what, s.throttled);
		check(set.too_short || s.helped > rest / 4, "%s: %llu ms of %llu",
		      set.what, s.helped / MSEC, rest / MSEC);
	}
}

static const struct test_case cases[] = {
	{ "never throttled for helpers", never_throttled },
};

int main(void)
{
	return run_cases(cases, NR(cases));
}
