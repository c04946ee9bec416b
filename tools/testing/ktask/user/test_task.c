// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whole tasks, simulated: threads with clocks of their own take chunks as
 * kernel/ktask/core.c has them do, of sizes that kernel/ktask/math.c says.
 */
#include <linux/limits.h>
#include <linux/minmax.h>

#include "math.h"
#include "tap.h"

#define MAX_THREADS	64
#define MAX_CHUNKS	1000000
#define NR(array)	(sizeof(array) / sizeof((array)[0]))

/* A task and what has become of it */
struct sim {
	size_t		size;
	size_t		min_chunk;
	size_t		max_chunk;
	unsigned int	threads;
	u64		unit_ns;

	size_t		left;
	size_t		chunk;
	unsigned int	chunks;
	u64		clock[MAX_THREADS];
};

static void sim_init(struct sim *sim)
{
	unsigned int i;

	sim->left = sim->size;
	sim->chunk = sim->min_chunk;
	sim->chunks = 0;
	for (i = 0; i < sim->threads; i++)
		sim->clock[i] = 0;
}

/* The thread that is done first is the one to take the next chunk. */
static u64 *sim_next_thread(struct sim *sim)
{
	unsigned int i, first = 0;

	for (i = 1; i < sim->threads; i++)
		if (sim->clock[i] < sim->clock[first])
			first = i;
	return &sim->clock[first];
}

static size_t sim_take(struct sim *sim)
{
	size_t units = ktask_chunk_size(sim->left, sim->chunk, sim->min_chunk,
					sim->threads);

	check(units >= 1 && units <= sim->left, "%llu of %llu", (u64)units,
	      (u64)sim->left);
	check(units == sim->left || units % sim->min_chunk == 0,
	      "%llu with a minimum of %llu", (u64)units, (u64)sim->min_chunk);
	check(units <= sim->max_chunk, "%llu with a maximum of %llu", (u64)units,
	      (u64)sim->max_chunk);

	/* Wrong sizes have been told of; end anyway. */
	units = clamp(units, (size_t)1, sim->left);
	if (++sim->chunks == MAX_CHUNKS) {
		check(false, "does not end: %llu units left", (u64)sim->left);
		units = sim->left;
	}
	sim->left -= units;
	return units;
}

static void sim_run(struct sim *sim)
{
	sim_init(sim);
	while (sim->left && !case_failed()) {
		u64 *clock = sim_next_thread(sim);
		size_t units = sim_take(sim);
		u64 ns = max(units * sim->unit_ns, 1ULL);

		*clock += ns;
		if (ktask_chunk_is_representative(sim->chunk, units, ns))
			sim->chunk = ktask_chunk_adapt(units, ns, sim->min_chunk,
						       sim->max_chunk);
	}
}

/* Every unit is handed out once, whatever a chunk seems to have cost. */
static void covers_task(void)
{
	int i;

	for (i = 0; i < 20000 && !case_failed(); i++) {
		struct sim sim = {
			.size = rnd_scale(1, SIZE_MAX),
			.threads = rnd_range(1, MAX_THREADS),
		};
		u128 sum = 0;

		sim.min_chunk = rnd_scale(sim.size / 1000 + 1, SIZE_MAX);
		sim.max_chunk = rnd_scale(sim.min_chunk, SIZE_MAX);
		sim_init(&sim);
		while (sim.left && !case_failed()) {
			size_t units = sim_take(&sim);

			sum += units;
			sim.chunk = ktask_chunk_adapt(units, rnd_scale(1, U64_MAX),
						      sim.min_chunk, sim.max_chunk);
		}
		/* So many minimum chunks there are at most. */
		check(sim.chunks <= 1000, "%llu units: %u chunks", (u64)sim.size,
		      sim.chunks);
		check(sum == sim.size, "%llu units", (u64)sim.size);
	}
}

/* A task of any size ends in a number of steps that its cost bounds. */
static void huge_tasks_end(void)
{
	static const size_t sizes[] = {
		1, 2, 97, INT_MAX, UINT_MAX, SIZE_MAX / 2, SIZE_MAX - 1, SIZE_MAX,
	};
	unsigned int threads;
	size_t i;

	for (i = 0; i < NR(sizes); i++) {
		for (threads = 1; threads <= MAX_THREADS; threads *= 2) {
			struct sim sim = {
				.size = sizes[i],
				.min_chunk = 1,
				.max_chunk = SIZE_MAX,
				.threads = threads,
			};

			/* Up by doubling, down by a share of what is left. */
			sim_run(&sim);
			check(sim.chunks <= 64 + 2 * threads * 64,
			      "%llu units: %u chunks", (u64)sim.size, sim.chunks);
		}
	}
}

static struct sim rnd_even_task(void)
{
	struct sim sim = {
		.unit_ns = rnd_range(1, 1000),
		.max_chunk = SIZE_MAX,
		.threads = rnd_range(2, 16),
	};

	/* A minimum of up to 20 us, a task of up to 100 ms. */
	sim.min_chunk = rnd_range(1, 20000 / sim.unit_ns);
	sim.size = rnd_range(64 * sim.min_chunk * sim.threads,
			     100000000 / sim.unit_ns);
	return sim;
}

/*
 * Nobody waits long for the last thread: where all units cost the same, all
 * threads end within two minimum chunks or an eighth of a whole one.
 */
static void threads_end_together(void)
{
	int i;

	for (i = 0; i < 2000 && !case_failed(); i++) {
		struct sim sim = rnd_even_task();
		u64 first = U64_MAX, last = 0;
		unsigned int t;

		sim_run(&sim);
		for (t = 0; t < sim.threads; t++) {
			first = min(first, sim.clock[t]);
			last = max(last, sim.clock[t]);
		}
		check(last - first <= max(2 * sim.min_chunk * sim.unit_ns,
					  KTASK_CHUNK_NS / 8),
		      "size %llu min %llu unit %llu ns threads %u: %llu ns apart",
		      (u64)sim.size, (u64)sim.min_chunk, sim.unit_ns, sim.threads,
		      last - first);
	}
}

/* Handing out stays cheap: not many more chunks than their target calls for. */
static void few_chunks(void)
{
	int i;

	for (i = 0; i < 2000 && !case_failed(); i++) {
		struct sim sim = rnd_even_task();
		u64 total = sim.size * sim.unit_ns;

		sim_run(&sim);
		/*
		 * Doubled up to the target at the start; at the end each thread
		 * has two chunks more for each halving down to an eighth of it.
		 */
		check(sim.chunks <= 2 * total / KTASK_CHUNK_NS + 20 +
				    2 * sim.threads * 8,
		      "size %llu min %llu unit %llu ns threads %u: %u chunks",
		      (u64)sim.size, (u64)sim.min_chunk, sim.unit_ns, sim.threads,
		      sim.chunks);
	}
}

/* With helpers as math.c wants them, each thread has a share worth coming for. */
static void shares_are_worth_it(void)
{
	int i;

	for (i = 0; i < 200000 && !case_failed(); i++) {
		size_t left = rnd_scale(1, 1U << 30);
		size_t min_chunk = rnd_scale(1, 1U << 30);
		size_t units = rnd_scale(1, 1U << 20);
		u64 ns = rnd_scale(1, 1U << 30);
		unsigned int helpers = min(ktask_helpers_for_size(left, min_chunk),
					   ktask_helpers_for_time(left, units, ns));
		u128 total = (u128)left * ns / units;

		check(!helpers || total / (helpers + 1) >= KTASK_SHARE_NS,
		      "%u helpers for %llu ns", helpers, (u64)total);
		check(helpers <= left / min_chunk,
		      "%u helpers for %llu units", helpers, (u64)left);
	}
}

static const struct test_case cases[] = {
	{ "a task is handed out once and whole", covers_task },
	{ "tasks of any size end", huge_tasks_end },
	{ "threads end together", threads_end_together },
	{ "few chunks", few_chunks },
	{ "shares are worth a helper", shares_are_worth_it },
};

int main(void)
{
	return run_cases(cases, NR(cases));
}
