// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask's arithmetic. This file needs no scheduler, cgroup or mm:
 * tools/testing/ktask/user compiles it unchanged.
 */
#include <linux/limits.h>
#include <linux/math64.h>
#include <linux/minmax.h>

#include "math.h"

/**
 * ktask_chunk_size - size of the next chunk to hand out
 * @left: units not handed out yet, at least 1
 * @chunk: units of a chunk with the target cost
 * @min_chunk: units of the client's minimum chunk, at least 1
 * @threads: threads that work on the task, at least 1
 *
 * Guided self-scheduling (Polychronopoulos and Kuck, 1987): towards the end of
 * a task chunks become a fraction of each thread's share, so that no thread is
 * left alone with a large chunk. The wait for an eighth of @chunk is short
 * enough; smaller chunks would only cost more.
 *
 * Return: units, at most @left; a multiple of @min_chunk unless it is @left.
 */
size_t ktask_chunk_size(size_t left, size_t chunk, size_t min_chunk,
			unsigned int threads)
{
	if (threads > 1)
		chunk = min(chunk, max(left / threads / 2, chunk / 8));
	chunk -= chunk % min_chunk;
	chunk = max(chunk, min_chunk);

	return min(chunk, left);
}

/**
 * ktask_chunk_is_representative - does the cost of a chunk show how large chunks should be?
 * @chunk: units of a full chunk
 * @units: units of the chunk just done
 * @ns: cost of the chunk just done, in nanoseconds
 *
 * A chunk may be shorter than a full one because the task ends or the cost was
 * not known. It shows nothing about the cost of a full chunk, unless it already
 * costs more than a full chunk should.
 *
 * Return: true if it does.
 */
bool ktask_chunk_is_representative(size_t chunk, size_t units, u64 ns)
{
	return units >= chunk || ns > KTASK_CHUNK_NS;
}

/**
 * ktask_chunk_adapt - adapt the chunk size to the cost of a chunk
 * @units: units of the chunk just done, at least 1
 * @ns: cost of the chunk just done, in nanoseconds
 * @min_chunk: units of the client's minimum chunk, at least 1
 * @max_chunk: units of the client's maximum chunk, at least @min_chunk
 *
 * Aims at KTASK_CHUNK_NS. Chunks shrink at once and grow at most by a factor of
 * two: after one slow chunk the size soon recovers, but the next units may cost
 * more than these did. If the units of a chunk cost k times as much as those
 * measured, the chunk takes k * KTASK_CHUNK_NS, or the time of a minimum chunk
 * if that is longer.
 *
 * Return: units, a multiple of @min_chunk.
 */
size_t ktask_chunk_adapt(size_t units, u64 ns, size_t min_chunk,
			 size_t max_chunk)
{
	size_t chunk;

	ns = max(ns, KTASK_CHUNK_NS / 2);
	if (ns < KTASK_CHUNK_NS && units > SIZE_MAX / 2)
		chunk = SIZE_MAX;	/* twice that might overflow */
	else
		chunk = mul_u64_u64_div_u64(units, KTASK_CHUNK_NS, ns);

	chunk = clamp(chunk, min_chunk, max_chunk);
	return chunk - chunk % min_chunk;
}

/**
 * ktask_helpers_for_size - helpers for which a task has minimum chunks
 * @left: units not handed out yet
 * @min_chunk: units of the client's minimum chunk, at least 1
 *
 * Return: number of minimum chunks, less one for the caller.
 */
unsigned int ktask_helpers_for_size(size_t left, size_t min_chunk)
{
	size_t chunks = left / min_chunk + !!(left % min_chunk);

	if (!chunks)
		return 0;
	return min(chunks - 1, (size_t)INT_MAX);
}

/**
 * ktask_helpers_for_time - helpers that the rest of a task is worth
 * @left: units not handed out yet
 * @units: units of the chunk measured last, at least 1
 * @ns: cost of that chunk, in nanoseconds
 *
 * Return: as many as leave each thread, the caller included, a share of
 * KTASK_SHARE_NS.
 */
unsigned int ktask_helpers_for_time(size_t left, size_t units, u64 ns)
{
	u64 shares;

	/* The product would overflow: the rest would take centuries. */
	if (ns && left / units >= div64_u64(U64_MAX, ns))
		return INT_MAX;

	shares = div64_u64(mul_u64_u64_div_u64(left, ns, units),
			   KTASK_SHARE_NS);
	if (!shares)
		return 0;
	return min(shares - 1, (u64)INT_MAX);
}

/**
 * ktask_helpers_for_quota - helpers that a CPU bandwidth limit has room for
 * @quota: run time per period, or KTASK_QUOTA_INF
 * @period: length of a period, in the same unit; not 0
 *
 * Return: the CPUs of the quota, rounded up, less one for the caller.
 */
unsigned int ktask_helpers_for_quota(u64 quota, u64 period)
{
	u64 cpus;

	if (quota == KTASK_QUOTA_INF)
		return INT_MAX;

	cpus = div64_u64(quota, period) + !!(quota % period);
	if (!cpus)
		return 0;
	return min(cpus - 1, (u64)INT_MAX);
}

/**
 * ktask_helpers_for_runtime - helpers that the rest of a quota has room for
 * @rest: the rest of the quota
 *
 * Helpers may use what remains if each of the threads runs until the end of the
 * period. If helpers used more, they would throttle threads that would not be
 * throttled without helpers. The scheduler hands out run time in slices: the
 * last slice of each thread and of each helper may reach beyond the period. And
 * a helper that may stay begins another chunk, however short the slices are.
 *
 * Return: the number of helpers.
 */
unsigned int ktask_helpers_for_runtime(const struct ktask_runtime *rest)
{
	u64 each = div64_u64(rest->ns, rest->threads), helpers;
	u64 last = max(rest->slice, 2 * KTASK_CHUNK_NS);

	if (each < rest->slice || each - rest->slice < rest->period_left)
		return 0;
	helpers = div64_u64(rest->ns - (rest->period_left + rest->slice) *
				       rest->threads, last);
	return min_t(u64, helpers, INT_MAX);
}

/**
 * ktask_helpers_within_runtime - helpers that one caller may have of a quota
 * @rest: the rest of the quota
 * @own: helpers that the caller has
 * @others: helpers of other callers that use the same quota
 *
 * A helper should be able to do more than one chunk before it has to leave. So
 * the limit for a new helper is stricter than the limit for one on loan.
 *
 * Return: the number of helpers.
 */
unsigned int ktask_helpers_within_runtime(const struct ktask_runtime *rest,
					  unsigned int own, unsigned int others)
{
	struct ktask_runtime less = *rest;
	unsigned int stay, lend;

	less.ns -= min(less.ns, 2 * KTASK_CHUNK_NS);
	stay = ktask_helpers_for_runtime(rest);
	lend = ktask_helpers_for_runtime(&less);
	return clamp(own, lend - min(lend, others), stay - min(stay, others));
}
