/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ktask gain: do helpers make a task faster, or do they only use more CPU time?
 * Pure functions, so that the kernel, KUnit and a user-space harness
 * (tools/testing/ktask/user) share one copy.
 */
#ifndef _KTASK_GAIN_H
#define _KTASK_GAIN_H

#include <linux/types.h>

/* Chunks are summed up into samples of at least this time. */
#define KTASK_GAIN_SAMPLE_NS	100000ULL

/**
 * struct ktask_gain - what a caller has learned about its helpers
 * @max_helpers: helpers that the caller may have
 * @trusted: helpers that the caller may have when a check or a pause ends
 * @sample_ns: minimum time of a sample, in nanoseconds
 * @own: cost without helpers; 0 if unknown
 * @last: cost in the last sample without helpers; 0 before the first
 * @high: cost with helpers that a check compares with: that of the last sample,
 *	or the lowest of the suspicious samples in a row
 * @high_helpers: helpers at work in the sample of @high
 * @nr_high: suspicious samples in a row
 * @nr_good: samples in a row that were not suspicious
 * @checks: samples without helpers that the current check still needs
 * @patience: samples with helpers after which the current check gives up
 * @pause: samples until more helpers are tried again; 0 if there is no pause
 * @next_pause: length of the next pause, in samples
 * @units: size of the current sample so far, in minimum chunks
 * @ns: time of the current sample so far, in nanoseconds
 * @helper_ns: the same, with the time of each chunk multiplied by its helpers
 *
 * A cost is the time of a minimum chunk in nanoseconds / 1024. A sample is
 * suspicious if its cost is much higher than @own.
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
