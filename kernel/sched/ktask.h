/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ktask's data in each task group: the cap on helpers, its use and statistics.
 * See ktask_cgroup.c.
 */
#ifndef _KERNEL_SCHED_KTASK_H
#define _KERNEL_SCHED_KTASK_H

#include <linux/cgroup-defs.h>

#include "../ktask/internal.h"

/* fair.c: run time of a quota that a CPU takes at a time, in nanoseconds */
u64 sched_cfs_bandwidth_slice(void);

/* A cap of "max" */
#define KTASK_CAP_MAX		INT_MAX

/**
 * struct ktask_others - number of runnable threads that are not helpers
 * @seen: upper half: when the threads were counted; lower half: their number.
 *	One word, so that the time always belongs to the number
 * @working: helpers at work, which are not included in @seen
 */
struct ktask_others {
	atomic64_t		seen;
	atomic_t		working;
};

#ifdef CONFIG_CGROUP_KTASK

/**
 * struct ktask_claim - claim to a helper that was refused as a level is full
 * @claimant: a child of the level, or a loan of a task in the level
 *	itself. Only compared, never dereferenced
 * @nr: helpers that the claimant had
 * @at: when the claim was made, in jiffies
 * @served_at: when a helper of a sharer with more last left for it, in jiffies
 *
 * A hint, accessed without a lock. The caller that is refused first writes it,
 * and all helpers below the level read it. If the fields do not belong together,
 * one helper more or less changes hands.
 */
struct ktask_claim {
	const void		*claimant;
	int			nr;
	unsigned long		at;
	unsigned long		served_at;
};

/**
 * struct ktask_group - helpers of a cgroup and its descendants
 * @others: threads of the cgroup and its descendants
 * @use: upper half: cpu.ktask.max; lower half: how many helpers are charged, on
 *	loan or about to be lent, and above that how many of these leave for a
 *	cap. One word, so that no charge can use a cap that has just been replaced
 * @claim: the next claim to a helper
 * @peak: largest number of helpers on loan at the same time
 * @capped: tasks to which this cap or a descendant's cap refused a helper
 * @capped_local: tasks to which this cap refused a helper
 * @events_file: cpu.ktask.events
 * @events_local_file: cpu.ktask.events.local
 * @stats: sums over tasks that have ended
 */
struct ktask_group {
	struct ktask_others	others;
	atomic64_t		use;
	struct ktask_claim	claim;
	atomic_t		peak;
	atomic64_t		capped;
	atomic64_t		capped_local;
	struct cgroup_file	events_file;
	struct cgroup_file	events_local_file;
	atomic64_t		stats[NR_KTASK_STATS];
};

void ktask_group_init(struct ktask_group *kg);

#else

struct ktask_group {
	struct ktask_others	others;
};

static inline void ktask_group_init(struct ktask_group *kg)
{
}

#endif /* CONFIG_CGROUP_KTASK */
#endif /* _KERNEL_SCHED_KTASK_H */
