// SPDX-License-Identifier: GPL-2.0-only
/*
 * kernel/ktask/math.c against bounds that its comments promise, against plain
 * definitions in 128-bit numbers, and in simulated tasks.
 */
#include <linux/limits.h>
#include <linux/minmax.h>

#include "math.h"
#include "tap.h"

#define ROUNDS		200000
#define NR(array)	(sizeof(array) / sizeof((array)[0]))

/* Large helper counts are cut off here, as they are an unsigned int. */
static u64 cut(u128 helpers)
{
	return helpers > INT_MAX ? INT_MAX : (u64)helpers;
}

static void chunk_size_bounds(void)
{
	static const struct {
		size_t left, chunk, min_chunk;
		unsigned int threads;
		size_t want;
	} t[] = {
		{ 1, 1, 1, 1, 1 },
		{ 1, 100, 1, 1, 1 },
		{ 100, 7, 10, 1, 10 },		/* never below the minimum */
		{ 100, 39, 10, 1, 30 },		/* a multiple of it */
		{ 9, 100, 10, 1, 9 },		/* minimum above what is left */
		{ 9, 100, 10, 8, 9 },
		{ 100, 100, 10, 1, 100 },	/* alone: no need to share */
		{ 100, 100, 10, 2, 20 },	/* half of a half, rounded down */
		{ 100, 100, 1, 2, 25 },
		{ 100, 100, 1, 50, 12 },	/* an eighth at least */
		{ 100, 100, 1, UINT_MAX, 12 },
		{ 100, 7, 1, UINT_MAX, 1 },
		{ 97, 97, 89, 2, 89 },
		{ 8, 0, 1, 1, 1 },		/* a hint of nothing */
		{ 8, 0, 3, 4, 3 },
		{ SIZE_MAX, SIZE_MAX, 1, 1, SIZE_MAX },
		{ SIZE_MAX, SIZE_MAX, 1, 2, SIZE_MAX / 4 },
		{ SIZE_MAX, SIZE_MAX, 2, 1, SIZE_MAX - 1 },
		{ SIZE_MAX, 1, SIZE_MAX, 1, SIZE_MAX },
		{ SIZE_MAX, SIZE_MAX, SIZE_MAX / 2 + 1, 1, SIZE_MAX / 2 + 1 },
		{ SIZE_MAX - 1, 0, SIZE_MAX, UINT_MAX, SIZE_MAX - 1 },
	};
	size_t i;

	for (i = 0; i < NR(t); i++)
		check_eq(ktask_chunk_size(t[i].left, t[i].chunk, t[i].min_chunk,
					  t[i].threads),
			 t[i].want, "row %u", (unsigned int)i);
}

static void chunk_size_definition(void)
{
	int i;

	for (i = 0; i < ROUNDS && !case_failed(); i++) {
		size_t left = rnd_scale(1, SIZE_MAX);
		size_t chunk = rnd_scale(0, SIZE_MAX);
		size_t min_chunk = rnd_scale(1, SIZE_MAX);
		unsigned int threads = rnd_scale(1, UINT_MAX);
		u128 bound = chunk, want;

		/* Each thread has two more chunks to come, or they are small. */
		if (threads > 1 && bound * 2 * threads > left)
			bound = max((u128)left / (2 * (u128)threads), bound / 8);
		want = bound / min_chunk * min_chunk;
		if (want < min_chunk)
			want = min_chunk;
		if (want > left)
			want = left;
		check_eq(ktask_chunk_size(left, chunk, min_chunk, threads), want,
			 "left %llu chunk %llu min %llu threads %u", (u64)left,
			 (u64)chunk, (u64)min_chunk, threads);
	}
}

static void chunk_size_monotonous(void)
{
	int i;

	for (i = 0; i < ROUNDS && !case_failed(); i++) {
		size_t left = rnd_scale(1, SIZE_MAX - 1);
		size_t chunk = rnd_scale(0, SIZE_MAX - 1);
		size_t min_chunk = rnd_scale(1, SIZE_MAX);
		unsigned int threads = rnd_scale(1, UINT_MAX - 1);
		size_t is = ktask_chunk_size(left, chunk, min_chunk, threads);

		check(ktask_chunk_size(rnd_range(left, SIZE_MAX), chunk,
				       min_chunk, threads) >= is, "more left");
		check(ktask_chunk_size(left, rnd_range(chunk, SIZE_MAX),
				       min_chunk, threads) >= is, "larger hint");
		check(ktask_chunk_size(left, chunk, min_chunk,
				       rnd_range(threads, UINT_MAX)) <= is,
		      "more threads");
	}
}

static void chunk_tells(void)
{
	check(ktask_chunk_is_representative(100, 100, 1), "a whole one");
	check(ktask_chunk_is_representative(100, 101, 1), "more than a whole one");
	check(!ktask_chunk_is_representative(100, 99, KTASK_CHUNK_NS), "cut short");
	check(ktask_chunk_is_representative(100, 99, KTASK_CHUNK_NS + 1), "short but dear");
}

static void chunk_adapt_bounds(void)
{
	static const struct {
		size_t units;
		u64 ns;
		size_t min_chunk, max_chunk, want;
	} t[] = {
		{ 1, 1, 1, SIZE_MAX, 2 },
		{ 100, KTASK_CHUNK_NS, 1, SIZE_MAX, 100 },	/* as it should be */
		{ 100, KTASK_CHUNK_NS / 2, 1, SIZE_MAX, 200 },
		{ 100, 0, 1, SIZE_MAX, 200 },
		{ 100, 1, 1, SIZE_MAX, 200 },		/* no more than doubled */
		{ 100, KTASK_CHUNK_NS * 2, 1, SIZE_MAX, 50 },
		{ 100, KTASK_CHUNK_NS * 4, 1, SIZE_MAX, 25 },	/* at once */
		{ 100, U64_MAX, 1, SIZE_MAX, 1 },
		{ 100, 1, 1, 150, 150 },		/* the client's maximum */
		{ 100, 1, 8, 150, 144 },
		{ 100, 1, 100, 100, 100 },
		{ 100, U64_MAX, 64, SIZE_MAX, 64 },	/* the client's minimum */
		{ 1, U64_MAX, 1, SIZE_MAX, 1 },
		{ 1, 1, 1000, SIZE_MAX, 1000 },
		{ SIZE_MAX, 1, 1, SIZE_MAX, SIZE_MAX },	/* nothing wraps */
		{ SIZE_MAX, KTASK_CHUNK_NS, 1, SIZE_MAX, SIZE_MAX },
		{ SIZE_MAX, KTASK_CHUNK_NS / 2, 1, SIZE_MAX, SIZE_MAX },
		{ SIZE_MAX, KTASK_CHUNK_NS - 1, 1, SIZE_MAX, SIZE_MAX },
		{ SIZE_MAX, KTASK_CHUNK_NS / 2, 1, SIZE_MAX, SIZE_MAX },
		{ SIZE_MAX, KTASK_CHUNK_NS * 2, 1, SIZE_MAX, SIZE_MAX / 2 },
		{ SIZE_MAX / 2 + 1, KTASK_CHUNK_NS / 2, 1, SIZE_MAX, SIZE_MAX },
		{ SIZE_MAX / 2 + 1, 1, 1, SIZE_MAX, SIZE_MAX },
		{ SIZE_MAX / 2, 1, 1, SIZE_MAX, SIZE_MAX - 1 },
		{ SIZE_MAX, 1, SIZE_MAX, SIZE_MAX, SIZE_MAX },
		{ 1, U64_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX },
	};
	size_t i;

	for (i = 0; i < NR(t); i++)
		check_eq(ktask_chunk_adapt(t[i].units, t[i].ns, t[i].min_chunk,
					   t[i].max_chunk),
			 t[i].want, "row %u", (unsigned int)i);
}

/* What a chunk was and took, and a client's limits */
struct adapt_args {
	size_t units, min_chunk, max_chunk;
	u64 ns;
};

static struct adapt_args rnd_adapt(void)
{
	struct adapt_args a;

	a.units = rnd_scale(1, SIZE_MAX);
	a.min_chunk = rnd_scale(1, SIZE_MAX);
	a.max_chunk = rnd_scale(a.min_chunk, SIZE_MAX);
	a.ns = rnd_range(0, 3) ? rnd_range(1, 5 * KTASK_CHUNK_NS) :
				 rnd_scale(1, U64_MAX);
	return a;
}

static size_t adapt(const struct adapt_args *a)
{
	return ktask_chunk_adapt(a->units, a->ns, a->min_chunk, a->max_chunk);
}

static void chunk_adapt_definition(void)
{
	int i;

	for (i = 0; i < ROUNDS && !case_failed(); i++) {
		struct adapt_args a = rnd_adapt();
		u128 want = (u128)a.units * KTASK_CHUNK_NS / max(a.ns, 1ULL);

		if (want > 2 * (u128)a.units)
			want = 2 * (u128)a.units;
		/* What might not fit when it is doubled is the most there is. */
		if (a.units > SIZE_MAX / 2 && a.ns < KTASK_CHUNK_NS)
			want = SIZE_MAX;
		if (want < a.min_chunk)
			want = a.min_chunk;
		if (want > a.max_chunk)
			want = a.max_chunk;
		want -= want % a.min_chunk;
		check_eq(adapt(&a), want, "units %llu ns %llu min %llu max %llu",
			 (u64)a.units, a.ns, (u64)a.min_chunk, (u64)a.max_chunk);
	}
}

static void chunk_adapt_monotonous(void)
{
	int i;

	for (i = 0; i < ROUNDS && !case_failed(); i++) {
		struct adapt_args a = rnd_adapt(), b = a;

		b.ns = rnd_range(a.ns, a.ns > U64_MAX / 2 ? U64_MAX : 2 * a.ns);
		check(adapt(&b) <= adapt(&a), "ns %llu, then %llu", a.ns, b.ns);

		b = a;
		b.units = rnd_range(a.units, max(a.units, SIZE_MAX / 2));
		check(adapt(&b) >= adapt(&a), "units %llu, then %llu",
		      (u64)a.units, (u64)b.units);

		b = a;
		b.max_chunk = rnd_range(a.max_chunk, SIZE_MAX);
		check(adapt(&b) >= adapt(&a), "max %llu, then %llu",
		      (u64)a.max_chunk, (u64)b.max_chunk);
	}
}

/*
 * The next chunk, of units @dearer times as dear, takes at most that many times
 * the target.
 */
static void chunk_adapt_keeps_bound(void)
{
	int i;

	for (i = 0; i < ROUNDS && !case_failed(); i++) {
		size_t units = rnd_scale(1, 1U << 30);
		u64 ns = rnd_scale(1, 1ULL << 40);
		u64 dearer = rnd_scale(1, 1U << 20);
		size_t next = ktask_chunk_adapt(units, ns, 1, SIZE_MAX);
		u128 cost = (u128)next * ns * dearer / units;

		/* The smallest chunk there is takes what it takes. */
		check(next == 1 || cost <= (u128)dearer * KTASK_CHUNK_NS,
		      "%llu units in %llu ns, then %llu units %llu times as dear",
		      (u64)units, ns, (u64)next, dearer);
	}
}

/* With a constant cost chunks reach their target, and soon. */
static void chunk_adapt_converges(void)
{
	int i;

	for (i = 0; i < ROUNDS / 10 && !case_failed(); i++) {
		u64 unit_ps = rnd_scale(1, 1ULL << 40);
		size_t units = rnd_scale(1, 1U << 30), was;
		unsigned int steps = 0;
		u64 ns;

		do {
			was = units;
			ns = max((u64)((u128)units * unit_ps / 1000), 1ULL);
			units = ktask_chunk_adapt(units, ns, 1, SIZE_MAX);
		} while (units != was && ++steps < 100);

		/* 2^70 lies between the smallest and the largest start. */
		check(steps <= 72, "%llu ps: %u steps", unit_ps, steps);
		check(units == 1 || units >= SIZE_MAX - 1 ||
		      (ns <= KTASK_CHUNK_NS + unit_ps / 1000 + 1 &&
		       ns + 2 * (unit_ps / 1000 + 1) >= KTASK_CHUNK_NS / 2),
		      "%llu ps: %llu units take %llu ns", unit_ps, (u64)units, ns);
	}
}

static void helpers_for_size(void)
{
	int i;

	check_eq(ktask_helpers_for_size(0, 1), 0, "nothing to do");
	check_eq(ktask_helpers_for_size(0, SIZE_MAX), 0, "nothing to do");
	check_eq(ktask_helpers_for_size(1, 1), 0, "one unit");
	check_eq(ktask_helpers_for_size(2, 1), 1, "two units");
	check_eq(ktask_helpers_for_size(1, 2), 0, "minimum above size");
	check_eq(ktask_helpers_for_size(10, 10), 0, "one chunk");
	check_eq(ktask_helpers_for_size(11, 10), 1, "one chunk and a bit");
	check_eq(ktask_helpers_for_size(SIZE_MAX, SIZE_MAX), 0, "one huge chunk");
	check_eq(ktask_helpers_for_size(SIZE_MAX, SIZE_MAX - 1), 1, "and a bit");
	check_eq(ktask_helpers_for_size(SIZE_MAX, 1), INT_MAX, "cut off");
	check_eq(ktask_helpers_for_size((size_t)INT_MAX + 1, 1), INT_MAX, "exact");
	check_eq(ktask_helpers_for_size(INT_MAX, 1), INT_MAX - 1, "not cut off");

	for (i = 0; i < ROUNDS && !case_failed(); i++) {
		size_t left = rnd_scale(0, SIZE_MAX);
		size_t min_chunk = rnd_scale(1, SIZE_MAX);
		u128 chunks = ((u128)left + min_chunk - 1) / min_chunk;

		check_eq(ktask_helpers_for_size(left, min_chunk),
			 chunks ? cut(chunks - 1) : 0, "left %llu min %llu",
			 (u64)left, (u64)min_chunk);
	}
}

static void check_helpers_for_time(size_t left, size_t units, u64 ns)
{
	u128 shares = (u128)left * ns / units / KTASK_SHARE_NS;

	check_eq(ktask_helpers_for_time(left, units, ns),
		 shares ? cut(shares - 1) : 0, "left %llu units %llu ns %llu",
		 (u64)left, (u64)units, ns);
}

static void helpers_for_time(void)
{
	int i;

	check_eq(ktask_helpers_for_time(0, 1, U64_MAX), 0, "nothing to do");
	check_eq(ktask_helpers_for_time(1, 1, 1), 0, "nothing much");
	check_eq(ktask_helpers_for_time(1, 1, KTASK_SHARE_NS), 0, "one share");
	check_eq(ktask_helpers_for_time(1, 1, 2 * KTASK_SHARE_NS - 1), 0, "less than two");
	check_eq(ktask_helpers_for_time(1, 1, 2 * KTASK_SHARE_NS), 1, "two shares");
	check_eq(ktask_helpers_for_time(10, 5, 5 * KTASK_SHARE_NS), 9, "ten shares");
	check_eq(ktask_helpers_for_time(SIZE_MAX, 1, U64_MAX), INT_MAX, "cut off");
	check_eq(ktask_helpers_for_time(1, SIZE_MAX, 1), 0, "a bit of a huge chunk");
	check_eq(ktask_helpers_for_time(SIZE_MAX, SIZE_MAX, 4 * KTASK_SHARE_NS), 3,
		 "a huge chunk");

	/* Where the product begins not to fit into 64 bits */
	check_helpers_for_time(SIZE_MAX, 1, U64_MAX / SIZE_MAX);
	check_helpers_for_time(SIZE_MAX / 3, 1, 3);
	check_helpers_for_time(SIZE_MAX / 3 * 2 + 1, 2, 3);
	check_helpers_for_time(SIZE_MAX, SIZE_MAX, U64_MAX);

	for (i = 0; i < ROUNDS && !case_failed(); i++) {
		size_t left = rnd_scale(0, SIZE_MAX);
		size_t units = rnd_scale(1, SIZE_MAX);

		check_helpers_for_time(left, units, rnd_scale(0, U64_MAX));
	}
}

static void helpers_for_quota(void)
{
	static const struct {
		unsigned int percent, want;
	} t[] = {
		{ 1, 0 }, { 50, 0 }, { 99, 0 }, { 100, 0 }, { 101, 1 },
		{ 150, 1 }, { 200, 1 }, { 201, 2 }, { 300, 2 }, { 6400, 63 },
	};
	static const u64 periods[] = { 100, 1000000, 100000000, 1000000000 };
	size_t i, j;

	for (i = 0; i < NR(t); i++)
		for (j = 0; j < NR(periods); j++)
			check_eq(ktask_helpers_for_quota(periods[j] / 100 * t[i].percent,
							 periods[j]),
				 t[i].want, "%u percent", t[i].percent);

	check_eq(ktask_helpers_for_quota(KTASK_QUOTA_INF, 1), INT_MAX, "max");
	check_eq(ktask_helpers_for_quota(KTASK_QUOTA_INF, U64_MAX), INT_MAX, "max");
	check_eq(ktask_helpers_for_quota(0, 1), 0, "none");
	check_eq(ktask_helpers_for_quota(1, U64_MAX), 0, "least");
	check_eq(ktask_helpers_for_quota(KTASK_QUOTA_INF - 1, 1), INT_MAX, "cut off");

	for (i = 0; i < ROUNDS && !case_failed(); i++) {
		u64 quota = rnd_scale(0, KTASK_QUOTA_INF - 1);
		u64 period = rnd_scale(1, U64_MAX);
		u128 cpus = ((u128)quota + period - 1) / period;

		check_eq(ktask_helpers_for_quota(quota, period),
			 cpus ? cut(cpus - 1) : 0, "%llu of %llu", quota, period);
	}
}

/* The scheduler's default */
#define SLICE	5000000ULL

static void helpers_for_runtime(void)
{
	const u64 period = 20 * SLICE;
	const struct {
		struct ktask_runtime	rest;
		unsigned int		helpers;
	} t[] = {
		{ { 0, SLICE, 0, 1 }, 0 },
		{ { 2 * SLICE - 1, SLICE, 0, 1 }, 0 },
		{ { 2 * SLICE, SLICE, 0, 1 }, 1 },
		{ { 2 * SLICE, 2 * SLICE, 0, 1 }, 0 },
		{ { 4 * SLICE, 2 * SLICE, 0, 1 }, 1 },
		{ { 50 * SLICE, SLICE, period, 1 }, 29 },
		{ { 50 * SLICE, SLICE, period, 2 }, 8 },
		{ { 50 * SLICE, SLICE, period, 3 }, 0 },
		{ { 20 * SLICE, SLICE, period, 1 }, 0 },
		{ { U64_MAX, SLICE, 0, 1 }, INT_MAX },
		{ { U64_MAX, SLICE, U64_MAX, UINT_MAX }, 0 },
		{ { U64_MAX, SLICE, U64_MAX, 1 }, 0 },
	};
	unsigned int i;

	for (i = 0; i < NR(t); i++)
		check_eq(ktask_helpers_for_runtime(&t[i].rest), t[i].helpers,
			 "case %u", i);

	for (i = 0; i < ROUNDS && !case_failed(); i++) {
		struct ktask_runtime r = {
			.ns = rnd_scale(0, U64_MAX),
			.slice = rnd_scale(1, UINT_MAX * 1000ULL),
			.period_left = rnd_scale(0, U64_MAX),
			.threads = rnd_scale(1, UINT_MAX),
		};
		s128 rest = (s128)r.ns - ((s128)r.period_left + r.slice) * r.threads;

		check_eq(ktask_helpers_for_runtime(&r),
			 rest < 0 ? 0 : cut((u128)rest / max(r.slice, 2 * KTASK_CHUNK_NS)),
			 "%llu, slice %llu, period %llu, threads %u", r.ns,
			 r.slice, r.period_left, r.threads);
	}
}

static void helpers_within_runtime(void)
{
	const u64 more = 2 * KTASK_CHUNK_NS;
	const struct {
		u64		ns;
		unsigned int	own, others, helpers;
	} t[] = {
		/* One thread, with a slice left in the period */
		{ 4 * SLICE + more, 0, 0, 2 },
		{ 4 * SLICE + more, 5, 0, 2 },
		{ 4 * SLICE + more, 0, 1, 1 },
		{ 4 * SLICE + more, 0, 3, 0 },
		{ 4 * SLICE + more - 1, 0, 0, 1 },
		{ 4 * SLICE + more - 1, 1, 0, 1 },
		{ 4 * SLICE + more - 1, 2, 0, 2 },
		{ 4 * SLICE + more - 1, 3, 0, 2 },
		{ 4 * SLICE, 1, 1, 1 },
		{ 4 * SLICE, 2, 1, 1 },
		{ 4 * SLICE, 2, 3, 0 },
		{ more - 1, 1, 0, 0 },
	};
	unsigned int i;

	for (i = 0; i < NR(t); i++) {
		struct ktask_runtime rest = { t[i].ns, SLICE, SLICE, 1 };

		check_eq(ktask_helpers_within_runtime(&rest, t[i].own,
						      t[i].others),
			 t[i].helpers, "case %u", i);
	}
}

static const struct test_case cases[] = {
	{ "chunk size: boundaries", chunk_size_bounds },
	{ "chunk size: definition", chunk_size_definition },
	{ "chunk size: monotonous", chunk_size_monotonous },
	{ "adaptation: when", chunk_tells },
	{ "adaptation: boundaries", chunk_adapt_bounds },
	{ "adaptation: definition", chunk_adapt_definition },
	{ "adaptation: monotonous", chunk_adapt_monotonous },
	{ "adaptation: next chunk's bound", chunk_adapt_keeps_bound },
	{ "adaptation: converges", chunk_adapt_converges },
	{ "helpers for size", helpers_for_size },
	{ "helpers for time", helpers_for_time },
	{ "helpers for quota", helpers_for_quota },
	{ "helpers for what is left of a quota", helpers_for_runtime },
	{ "helpers that come and stay within it", helpers_within_runtime },
};

int main(void)
{
	return run_cases(cases, NR(cases));
}
