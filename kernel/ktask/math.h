/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ktask's arithmetic: chunk sizes and numbers of helpers. Pure functions of
 * their arguments, so that the kernel, KUnit and a user-space harness
 * (tools/testing/ktask/user) share one copy.
 */
#ifndef _KTASK_MATH_H
#define _KTASK_MATH_H

#include <linux/types.h>

/*
 * Target cost of a chunk. A helper that has to leave does so at the end of its
 * chunk, so it leaves within about this time. To hand out a chunk costs a few
 * microseconds, which is less than 1 % of this.
 */
#define KTASK_CHUNK_NS		1000000ULL

/*
 * Minimum share of a task's remaining time for each thread: below it, another
 * helper costs more than it gains. To wake a helper, move it between cgroups and
 * wait for it at the end costs some tens of microseconds.
 */
#define KTASK_SHARE_NS		250000ULL

/* An unlimited quota; the same as the scheduler's RUNTIME_INF */
#define KTASK_QUOTA_INF		(~0ULL)

/**
 * struct ktask_runtime - the rest of a quota in this period
 * @ns: run time that no CPU has taken yet, in nanoseconds
 * @slice: run time that a CPU takes at a time, in nanoseconds; not 0
 * @period_left: time until the next period, in nanoseconds
 * @threads: threads that may use the quota until then, without helpers; not 0
 */
struct ktask_runtime {
	u64		ns;
	u64		slice;
	u64		period_left;
	unsigned int	threads;
};

size_t ktask_chunk_size(size_t left, size_t chunk, size_t min_chunk,
			unsigned int threads);
bool ktask_chunk_is_representative(size_t chunk, size_t units, u64 ns);
size_t ktask_chunk_adapt(size_t units, u64 ns, size_t min_chunk,
			 size_t max_chunk);
unsigned int ktask_helpers_for_size(size_t left, size_t min_chunk);
unsigned int ktask_helpers_for_time(size_t left, size_t units, u64 ns);
unsigned int ktask_helpers_for_quota(u64 quota, u64 period);
unsigned int ktask_helpers_for_runtime(const struct ktask_runtime *rest);
unsigned int ktask_helpers_within_runtime(const struct ktask_runtime *rest,
					  unsigned int own, unsigned int others);

#endif /* _KTASK_MATH_H */
