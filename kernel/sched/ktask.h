/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ktask keeps in each task group: the cap on helpers and what became of
 * it. See ktask_cgroup.c.
 */
#ifndef _KERNEL_SCHED_KTASK_H
#define _KERNEL_SCHED_KTASK_H

#include <linux/cgroup-defs.h>

#include "../ktask/internal.h"

/* fair.c: nanoseconds of a quota that a CPU takes at a time */
u64 sched_cfs_bandwidth_slice(void);

/* A cap of "max" */
#define KTASK_CAP_MAX		INT_MAX

/**
 * struct ktask_others - how many threads that are no helpers could run
 * @seen: when they were counted in the upper half, and in the lower half their
 *	number; in one word, so that no time goes with another's number
 * @working: helpers at work, which are not part of that
 */
struct ktask_others {
	atomic64_t		seen;
	atomic_t		working;
};

#ifdef CONFIG_CGROUP_KTASK

/**
 * struct ktask_claim - who was refused a helper because a level had no room
 * @by: one of the level's children, or a loan of a task of its own. Only ever
 *	compared
 * @nr: helpers that it had
 * @at: when, in jiffies
 * @served_at: when a helper of somebody who has more last left for it, in
 *	jiffies
 *
 * A hint, written by whoever is refused first and read by all who have helpers
 * below that level, without a lock: what does not fit together makes one
 * helper more or less change hands.
 */
struct ktask_claim {
	const void		*by;
	int			nr;
	unsigned long		at;
	unsigned long		served_at;
};

/**
 * struct ktask_group - helpers of a cgroup and its descendants
 * @others: its threads and those of its descendants
 * @use: cpu.ktask.max in the upper half, and in the lower half how many helpers
 *	are charged: those on loan, and one that is being looked for. In one word,
 *	so that no charge can go by a cap that was just replaced
 * @claim: who is next to have a helper
 * @peak: most helpers on loan at once
 * @capped: tasks that this or a descendant's cap refused a helper
 * @capped_local: tasks that this cap refused a helper
 * @events_file: cpu.ktask.events
 * @events_local_file: cpu.ktask.events.local
 * @stats: sums over ended tasks
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
