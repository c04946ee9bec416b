// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data for ktask's tracepoints. Without a listener for the tracepoint these
 * functions do nothing; in particular, they make no budget.
 */
#include <linux/ktask.h>
#include <linux/sched.h>

#include "internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/ktask.h>

/* Budget of the caller of a loan, helpers on loan included; returns the limit */
static const char *ktask_trace_room(struct ktask_loan *loan,
				    struct ktask_budget *budget)
{
	ktask_loan_budget(loan, budget, INT_MAX);
	ktask_budget_caps(budget, loan->caller, atomic_read(&loan->nr));
	return ktask_limit_names[budget->limit];
}

void ktask_trace_start(struct ktask_loan *loan, ktask_thread_func func,
		       size_t units, size_t min_chunk)
{
	struct task_struct *caller = loan->caller;
	struct ktask_budget budget;
	const char *limit;

	if (!trace_ktask_start_enabled())
		return;

	limit = ktask_trace_room(loan, &budget);
	trace_ktask_start(caller->pid, ktask_cgroup_id(caller), func, units,
			  min_chunk, budget.helpers, limit);
}

void ktask_trace_end(struct ktask_loan *loan, int error, unsigned long chunks)
{
	struct task_struct *caller = loan->caller;
	struct ktask_budget budget;
	const char *limit;

	if (!trace_ktask_end_enabled())
		return;

	limit = ktask_trace_room(loan, &budget);
	trace_ktask_end(caller->pid, ktask_cgroup_id(caller), error, chunks,
			loan->stats[KTASK_STAT_HELPERS], budget.helpers, limit);
}

void ktask_trace_chunk(struct ktask_loan *loan, const struct ktask_chunk *chunk,
		       u64 ns)
{
	struct task_struct *caller = loan->caller;
	struct ktask_budget budget;
	const char *limit;

	if (!trace_ktask_chunk_enabled())
		return;

	limit = ktask_trace_room(loan, &budget);
	trace_ktask_chunk(caller->pid, ktask_cgroup_id(caller), current->pid,
			  (unsigned long)chunk->start, chunk->units, ns,
			  atomic_read(&loan->nr), budget.helpers, limit);
}

void ktask_trace_refuse(struct ktask_loan *loan, enum ktask_limit limit)
{
	struct task_struct *caller = loan->caller;

	if (!trace_ktask_refuse_enabled())
		return;

	trace_ktask_refuse(caller->pid, ktask_cgroup_id(caller),
			   atomic_read(&loan->nr), ktask_limit_names[limit]);
}

void ktask_trace_lend(struct ktask_loan *loan, struct task_struct *helper)
{
	struct task_struct *caller = loan->caller;

	if (!trace_ktask_lend_enabled())
		return;

	trace_ktask_lend(caller->pid, ktask_cgroup_id(caller), helper->pid,
			 atomic_read(&loan->nr));
}

void ktask_trace_cancel(struct ktask_loan *loan, struct task_struct *helper,
			enum ktask_limit limit)
{
	struct task_struct *caller = loan->caller;

	if (!trace_ktask_cancel_enabled())
		return;

	trace_ktask_cancel(caller->pid, ktask_cgroup_id(caller), helper->pid,
			   ktask_limit_names[limit]);
}

void ktask_trace_return(struct ktask_loan *loan, struct task_struct *helper,
			u64 ns)
{
	struct task_struct *caller = loan->caller;

	if (!trace_ktask_return_enabled())
		return;

	/* The helper is still counted in the loan at this point. */
	trace_ktask_return(caller->pid, ktask_cgroup_id(caller), helper->pid,
			   atomic_read(&loan->nr) - 1, ns);
}

void ktask_trace_renice(struct ktask_loan *loan, struct task_struct *helper,
			int prio)
{
	struct task_struct *caller = loan->caller;

	if (!trace_ktask_renice_enabled())
		return;

	trace_ktask_renice(caller->pid, ktask_cgroup_id(caller), helper->pid,
			   prio);
}

void ktask_trace_migrate(struct ktask_loan *loan, struct task_struct *helper)
{
	struct task_struct *caller = loan->caller;

	if (!trace_ktask_migrate_enabled())
		return;

	trace_ktask_migrate(caller->pid, ktask_cgroup_id(caller), helper->pid);
}
