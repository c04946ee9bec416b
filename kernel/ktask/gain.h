/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ktask gain: do helpers make a task faster, or only busier? Pure functions, so
 * that the kernel, KUnit and a user-space harness (tools/testing/ktask/user)
 * share one copy.
 */
#ifndef _KTASK_GAIN_H
#define _KTASK_GAIN_H

#include <linux/types.h>

/* Chunks are put together until they make a sample of this CPU time. */
#define KTASK_GAIN_SAMPLE_NS	100000ULL

/**
 * struct ktask_gain - what a caller has learned about its helpers
 * @max_helpers: helpers that it may have
 * @own: what a unit cost last without helpers; 0 if that is not known
 * @high: the least of the last costs with helpers that were suspiciously high
 * @high_helpers: helpers that it had then
 * @nr_high: how many such samples there were in a row
 * @nr_good: how many samples there were in a row that were not
 * @checks: samples without helpers that a suspicion still waits for
 * @patience: samples with helpers that it may wait for
 * @pause: samples until more helpers are tried again; 0 if there is no pause
 * @next_pause: what the next pause will have
 * @helpers: helpers during the sample that is being made
 * @units: minimum chunks that it has so far
 * @ns: CPU time that these took, in nanoseconds
 *
 * A cost is the CPU time of a minimum chunk in nanoseconds / 1024.
 */
struct ktask_gain {
	unsigned int	max_helpers;
	u64		own;
	u64		high;
	unsigned int	high_helpers;
	unsigned int	nr_high;
	unsigned int	nr_good;
	unsigned int	checks;
	unsigned int	patience;
	unsigned int	pause;
	unsigned int	next_pause;
	unsigned int	helpers;
	u64		units;
	u64		ns;
};

void ktask_gain_init(struct ktask_gain *gain);
bool ktask_gain_known(const struct ktask_gain *gain);
void ktask_gain_add(struct ktask_gain *gain, u64 units, u64 ns,
		    unsigned int helpers);

#endif /* _KTASK_GAIN_H */
