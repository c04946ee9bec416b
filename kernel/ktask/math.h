/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ktask's arithmetic: sizes of chunks, numbers of helpers. Pure functions of
 * their arguments, so that the kernel, KUnit and a user-space harness
 * (tools/testing/ktask/user) share one copy.
 */
#ifndef _KTASK_MATH_H
#define _KTASK_MATH_H

#include <linux/types.h>

/*
 * What a chunk should cost. A helper that has to go leaves at the end of its
 * chunk, so this is how long that takes; handing a chunk out costs a few
 * microseconds, which stay below 1 % of it.
 */
#define KTASK_CHUNK_NS		1000000ULL

/*
 * The share of a task's remaining time that each thread has to get before
 * another helper is worth its loan: waking it, moving it between groups and
 * waiting for it at the end cost some tens of microseconds.
 */
#define KTASK_SHARE_NS		250000ULL

/* A quota without limit; the scheduler's RUNTIME_INF */
#define KTASK_QUOTA_INF		(~0ULL)

/**
 * struct ktask_runtime - what is left of a quota
 * @ns: run time that no CPU has taken yet, in nanoseconds
 * @slice: what a CPU takes of it at a time, in nanoseconds; not 0
 * @period_left: time until there is a new one, in nanoseconds
 * @threads: threads that may use it until then, without helpers; not 0
 */
struct ktask_runtime {
	u64		ns;
	u64		slice;
	u64		period_left;
	unsigned int	threads;
};

size_t ktask_chunk_size(size_t left, size_t chunk, size_t min_chunk,
			unsigned int threads);
bool ktask_chunk_tells(size_t chunk, size_t units, u64 ns);
size_t ktask_chunk_adapt(size_t units, u64 ns, size_t min_chunk,
			 size_t max_chunk);
unsigned int ktask_helpers_for_size(size_t left, size_t min_chunk);
unsigned int ktask_helpers_for_time(size_t left, size_t units, u64 ns);
unsigned int ktask_helpers_for_quota(u64 quota, u64 period);
unsigned int ktask_helpers_for_runtime(const struct ktask_runtime *rest);
unsigned int ktask_helpers_within_runtime(const struct ktask_runtime *rest,
					  unsigned int own, unsigned int others);

#endif /* _KTASK_MATH_H */
