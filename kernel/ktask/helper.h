/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A helper thread, for those who keep it (pool.c), lend it (loan.c), wait for it
 * (wait.c) and run as it (helper.c).
 */
#ifndef _KTASK_HELPER_H
#define _KTASK_HELPER_H

#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/list.h>
#include <linux/mempolicy.h>
#include <linux/types.h>

#include "internal.h"

/*
 * The lender sets LENT and wakes the helper. Then either the helper starts, or
 * the lender cancels it: whoever moves the state away from LENT. Only a helper
 * that is IDLE is in its pool or on its way to it.
 */
enum ktask_helper_state {
	KTASK_HELPER_IDLE,
	KTASK_HELPER_LENT,
	KTASK_HELPER_WORKING,
};

/**
 * struct ktask_helper - a helper thread
 * @task: the thread
 * @nid: the NUMA node of its pool
 * @state: &enum ktask_helper_state
 * @node: entry in the pool's idle list, or in the loan's list of helpers
 * @loan: what it works for, while on loan
 * @lock: protects @cset, @working and @over_cap, and what is charged for it: whoever
 *	moves its caller to another cgroup changes these
 * @cset: the caller's css_set; NULL once the helper is not charged any more
 * @attached: what that was when the helper took over the caller's memcg
 * @working: it has begun and has not ended
 * @cpus: room for the CPUs that the caller may run on
 * @lent_at: when it was lent, in jiffies
 * @leaving: it is no longer part of &ktask_loan.staying
 * @over_cap: the cgroup whose cap it leaves for, or NULL
 * @mempolicy: copy of the caller's memory policy, or one that stands for none
 * @worker: the core's
 */
struct ktask_helper {
	struct task_struct	*task;
	int			nid;
	atomic_t		state;
	struct list_head	node;
	struct ktask_loan	*loan;
	raw_spinlock_t		lock;	/* see above */
	struct css_set		*cset;
	struct css_set		*attached;
	bool			working;
	cpumask_var_t		cpus;
	unsigned long		lent_at;
	bool			leaving;
	struct task_group	*over_cap;
#ifdef CONFIG_NUMA
	struct mempolicy	mempolicy;
#endif
	struct ktask_worker	worker;
};

/* pool.c */
struct ktask_helper *ktask_pool_take(int nid);
void ktask_pool_put(struct ktask_helper *helper);
void ktask_pool_missed(int nid, unsigned int nr);

/* loan.c */
void ktask_loan_detach(struct ktask_loan *loan);
struct task_struct *ktask_loan_take_back(struct ktask_loan *loan,
					 struct ktask_helper *helper, u64 ns,
					 const struct ktask_faults *faults);

/* helper.c */
bool ktask_helper_create(int nid);
void ktask_helper_stop(struct ktask_helper *helper);
bool ktask_helper_place(struct ktask_helper *helper, struct ktask_loan *loan,
			int nid);
void ktask_helper_start(struct ktask_helper *helper);
bool ktask_helper_cancel(struct ktask_helper *helper);
struct css_set *ktask_helper_uncharge(struct ktask_helper *helper);
void ktask_helper_return(struct ktask_helper *helper, struct css_set *cset,
			 struct task_struct *waiter);
bool ktask_helper_follow(struct ktask_helper *helper,
			 struct task_struct *caller);
void ktask_helper_set_prio(struct ktask_helper *helper);

#endif /* _KTASK_HELPER_H */
