/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ktask gain: do helpers make a task faster, or only busier? Pure functions, so
 * that the kernel, KUnit and a user-space harness (tools/testing/ktask/user)
 * share one copy.
 */
#ifndef _KTASK_GAIN_H
#define _KTASK_GAIN_H

#include <linux/types.h>

/* Chunks are put together until they make a sample of this time. */
#define KTASK_GAIN_SAMPLE_NS	100000ULL

/**
 * struct ktask_gain - what a caller has learned about its helpers
 * @max_helpers: helpers that it may have
 * @trusted: helpers that it may have again when a check or a pause ends
 * @sample_ns: time that a sample takes, in nanoseconds
 * @own: what a unit costs without helpers; 0 if that is not known
 * @last: what it cost in the last sample without; 0 before the first
 * @high: the least of the last costs with helpers that were suspiciously high
 * @high_helpers: helpers at work then
 * @nr_high: how many such samples there were in a row
 * @nr_good: how many samples there were in a row that were not
 * @checks: samples without helpers that a check still waits for
 * @patience: samples with helpers that it may wait for
 * @pause: samples until more helpers are tried again; 0 if there is no pause
 * @next_pause: what the next pause will have
 * @units: minimum chunks that the sample which is being made has so far
 * @ns: what these took, in nanoseconds
 * @helper_ns: the same, each chunk's multiplied by the helpers that there were
 *
 * A cost is the time of a minimum chunk in nanoseconds / 1024.
 */
struct ktask_gain {
	unsigned int	max_helpers;
	unsigned int	trusted;
	u64		sample_ns;
	u64		own;
	u64		last;
	u64		high;
	unsigned int	high_helpers;
	unsigned int	nr_high;
	unsigned int	nr_good;
	unsigned int	checks;
	unsigned int	patience;
	unsigned int	pause;
	unsigned int	next_pause;
	u64		units;
	u64		ns;
	u64		helper_ns;
};

void ktask_gain_init(struct ktask_gain *gain, bool uneven);
void ktask_gain_add(struct ktask_gain *gain, u64 units, u64 ns,
		    unsigned int helpers);

#endif /* _KTASK_GAIN_H */
