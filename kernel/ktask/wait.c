// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask waiting: the end of a loan
 *
 * A caller that has run out of chunks takes back the helpers that have not
 * started, and waits for the others to end their chunks. While it sleeps, it
 * lends its priority and its CPU to the helper that was lent first, then to the
 * next. So the wait takes no longer than the caller itself would need for the
 * rest of these chunks, whatever else runs. At most one thread at a time has the
 * caller's priority.
 *
 * There are two exceptions. On PREEMPT_RT a thread that holds a spinlock may be
 * preempted, and then not move. And a helper that sleeps for a lock gets neither
 * to the thread that holds it.
 */
#include <linux/hrtimer.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/oom.h>
#include <linux/resume_user_mode.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "helper.h"

/* Cancel a helper that has not started, if there is one. */
static struct ktask_helper *ktask_loan_cancel_one(struct ktask_loan *loan)
{
	struct ktask_helper *helper;

	guard(spinlock)(&loan->lock);
	list_for_each_entry(helper, &loan->helpers, node) {
		if (!ktask_helper_cancel(helper))
			continue;
		loan->stats[KTASK_STAT_CANCELLED]++;
		return helper;
	}
	return NULL;
}

/* Take back the helpers that have not started. */
static void ktask_loan_cancel(struct ktask_loan *loan)
{
	static const struct ktask_faults none;
	struct ktask_helper *helper;
	struct css_set *cset;

	while ((helper = ktask_loan_cancel_one(loan))) {
		ktask_trace_cancel(loan, helper->task, KTASK_LIMIT_END);
		cset = ktask_helper_uncharge(helper);
		ktask_loan_take_back(loan, helper, 0, &none);
		ktask_helper_return(helper, cset, NULL);
	}
}

/*
 * Wait for a helper, at most one tick: a helper that cannot run on its CPU gets
 * the one that current leaves. The timer is a hard one, so that it expires in
 * the interrupt itself, on PREEMPT_RT too, whatever keeps threads off this CPU.
 */
static void ktask_loan_wait_for(struct ktask_loan *loan,
				struct ktask_helper *helper)
	__must_hold(&loan->lock)
{
	ktime_t tick = TICK_NSEC;

	ktask_helper_set_prio(helper);
	if (ktask_sched_migrate_here(helper->task))
		ktask_trace_migrate(loan, helper->task);
	loan->waits_for = helper;
	set_current_state(TASK_UNINTERRUPTIBLE);
	spin_unlock(&loan->lock);
	schedule_hrtimeout(&tick, HRTIMER_MODE_REL_HARD);
	spin_lock(&loan->lock);
}

/*
 * A killed caller has to end soon, but its helpers may wait for a page to be
 * read, or for memory below a limit that only the caller's exit will free. So
 * kill the helpers, too. All helpers that are still on loan have started.
 */
static void ktask_loan_kill(struct ktask_loan *loan)
	__must_hold(&loan->lock)
{
	struct ktask_helper *helper;

	if (!loan->killable || !fatal_signal_pending(current))
		return;

	list_for_each_entry(helper, &loan->helpers, node) {
		/* Let it use memory reserves, and trigger no further OOM kill. */
		if (tsk_is_oom_victim(current))
			WRITE_ONCE(helper->task->signal->oom_mm, loan->mm);
		if (!loan->killed)
			send_sig(SIGKILL, helper->task, 1);
	}
	loan->killed = true;
}

/* Account the page faults of helpers to current. */
static void ktask_account_faults(const struct ktask_faults *faults)
{
	current->min_flt += faults->min_flt;
	current->maj_flt += faults->maj_flt;
#ifdef CONFIG_MEMCG
	if (faults->over_high) {
		current->memcg_nr_pages_over_high += faults->over_high;
		set_notify_resume(current);
	}
#endif
}

/**
 * ktask_loan_settle - end a loan
 * @loan: the loan of current, which has no work left
 *
 * Cancels the helpers that have not started and waits until the others have
 * ended their chunks. If the task is killable and the caller gets a fatal
 * signal, the helpers get one too, so that they end sooner.
 *
 * Context: process context, may sleep.
 */
void ktask_loan_settle(struct ktask_loan *loan)
{
	struct css_set *cset = NULL;

	ktask_loan_cancel(loan);

	spin_lock(&loan->lock);
	while (!list_empty(&loan->helpers)) {
		if (!cset) {
			cset = ktask_cset_get(current);
			ktask_account_working(cset, -1);
		}
		ktask_loan_kill(loan);
		ktask_loan_wait_for(loan, list_first_entry(&loan->helpers,
							   struct ktask_helper,
							   node));
	}
	spin_unlock(&loan->lock);
	ktask_loan_detach(loan);
	if (cset) {
		ktask_account_working(cset, 1);
		ktask_cset_put(cset);
	}
	ktask_account_faults(&loan->faults);
}
