/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ktask keeps in each task group: the cap on helpers and what became of
 * it. See ktask_cgroup.c.
 */
#ifndef _KERNEL_SCHED_KTASK_H
#define _KERNEL_SCHED_KTASK_H

#include <linux/cgroup-defs.h>

#include "../ktask/internal.h"

/* A cap of "max" */
#define KTASK_CAP_MAX		INT_MAX

#ifdef CONFIG_CGROUP_KTASK

/**
 * struct ktask_claim - who was refused a helper because a level had no room
 * @by: one of the level's children, or a loan of a task of its own. Only ever
 *	compared
 * @nr: helpers that it had
 * @at: when, in jiffies
 * @answered: when a helper of somebody who has more last left for it, in
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
	unsigned long		answered;
};

/**
 * struct ktask_group - helpers of a cgroup and its descendants
 * @cap: cpu.ktask.max
 * @charged: helpers on loan or about to be. Never raised above @cap
 * @on_loan: helpers on loan now, those of @charged that were found
 * @leaving: those of @on_loan that leave because @cap was lowered
 * @claim: who is next to have a helper
 * @peak: most that @on_loan has ever been
 * @fd_peak: most since an open file of cpu.ktask.peak was last written to
 * @peaks_lock: protects @peaks
 * @peaks: those open files
 * @capped: tasks that this or a descendant's cap refused a helper
 * @capped_local: tasks that this cap refused a helper
 * @events_file: cpu.ktask.events
 * @events_local_file: cpu.ktask.events.local
 * @stats: sums over ended tasks
 */
struct ktask_group {
	int			cap;
	atomic_t		charged;
	atomic_t		on_loan;
	atomic_t		leaving;
	struct ktask_claim	claim;
	atomic_t		peak;
	atomic_t		fd_peak;
	spinlock_t		peaks_lock;	/* see above */
	struct list_head	peaks;
	atomic64_t		capped;
	atomic64_t		capped_local;
	struct cgroup_file	events_file;
	struct cgroup_file	events_local_file;
	atomic64_t		stats[NR_KTASK_STATS];
};

void ktask_group_init(struct ktask_group *kg);
void ktask_budget_caps(struct ktask_budget *budget, struct task_group *tg,
		       unsigned int own);

#else

struct ktask_group { };

static inline void ktask_group_init(struct ktask_group *kg)
{
}

#endif /* CONFIG_CGROUP_KTASK */
#endif /* _KERNEL_SCHED_KTASK_H */
