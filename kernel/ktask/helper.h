/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A helper thread, for the code that keeps it (pool.c), lends it (loan.c), waits
 * for it (wait.c) and runs in it (helper.c).
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
 * The lender sets LENT and wakes the helper. Then either the helper starts and
 * sets WORKING, or the lender cancels it and sets IDLE; the first of the two to
 * replace LENT succeeds. A helper that is in its pool, or on its way to it, is
 * IDLE.
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
 * @loan: the loan that the helper works for, while it is on loan
 * @lock: protects @cset, @working, @over_cap and the charges for the helper, which
 *	ktask_helper_follow() changes when the caller moves to another cgroup
 * @cset: the caller's css_set; NULL when the helper is no longer charged
 * @attached: value of @cset when the helper attached the caller's memcg
 * @working: the helper is counted by ktask_account_working()
 * @cpus: the CPUs of the caller that the helper was placed on
 * @lent_at: when the helper was lent, in jiffies
 * @leaving: the helper is no longer counted in &ktask_loan.staying
 * @over_cap: the helper leaves because of a cap
 * @mempolicy: copy of the caller's memory policy, or a substitute if it has none
 * @worker: the helper's work on the task; used by the core only
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
	bool			over_cap;
#ifdef CONFIG_NUMA
	struct mempolicy	mempolicy;
#endif
	struct ktask_worker	worker;
};

/* pool.c */
struct ktask_helper *ktask_pool_take(int nid);
void ktask_pool_put(struct ktask_helper *helper);
void ktask_pool_request(int nid, unsigned int nr);

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
