// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask loans: which helpers work for a caller, and how many may do so
 *
 * A loan has one number: how many helpers its caller may have. A thread that
 * ends a chunk and finds the number too old renews it. All other threads only
 * read it: the caller takes on helpers up to this number, and helpers above it
 * leave. So the cost of the end of a chunk does not depend on the number of
 * helpers and CPUs, and exactly as many helpers leave as have to.
 */
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/moduleparam.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/rt.h>
#include <linux/sched/task.h>
#include <linux/topology.h>

#include "helper.h"
#include "math.h"

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "ktask."

#ifdef CONFIG_DEBUG_KTASK
bool ktask_debug_eager __read_mostly;
module_param_named(eager, ktask_debug_eager, bool, 0444);
MODULE_PARM_DESC(eager, "Make tasks of jobs of any size, with helpers at once");
#endif

/**
 * ktask_loan_init - prepare a caller's loan
 * @loan: the loan
 * @mm: address space that helpers use, or NULL
 * @work: &ktask_loan.work
 * @job: passed to @work
 *
 * The loan belongs to current.
 */
void ktask_loan_init(struct ktask_loan *loan, struct mm_struct *mm,
		     bool (*work)(struct ktask_worker *worker, void *job),
		     void *job)
{
	*loan = (struct ktask_loan) {
		.caller = current,
		.mm = mm,
		.work = work,
		.job = job,
		.helpers = LIST_HEAD_INIT(loan->helpers),
		.last_refused = NR_KTASK_LIMITS,
		.max_helpers = INT_MAX,
		.shared_at = jiffies - 1,
	};
	spin_lock_init(&loan->lock);
}

/**
 * ktask_loan_refused - record that a limit refuses current another helper
 * @loan: the loan of current
 * @limit: which limit
 *
 * Return: false.
 */
bool ktask_loan_refused(struct ktask_loan *loan, enum ktask_limit limit)
{
	/* The caller may ask before each chunk: trace a refusal only once. */
	if (limit != loan->last_refused)
		ktask_trace_refuse(loan, limit);
	loan->last_refused = limit;
	loan->refused |= BIT(limit);
	return false;
}

/*
 * How old a loan's number may be, in nanoseconds: a quarter of a chunk. A
 * renewal reads data of all CPUs, which takes some 0.1 us for each CPU that uses
 * it. On large machines the age grows with the number of CPUs, so that renewals
 * use only a few percent of one thread's time.
 */
static s64 ktask_loan_min_age(void)
{
	return max(KTASK_CHUNK_NS / 4, num_online_cpus() * 4ULL * NSEC_PER_USEC);
}

/* If no helper is allowed, renew less and less often, down to once per tick. */
static void ktask_loan_set_age(struct ktask_loan *loan, bool alone)
{
	s64 age = ktask_loan_min_age();

	if (alone)
		age = max(age, min(2 * READ_ONCE(loan->number.age), (s64)TICK_NSEC));
	WRITE_ONCE(loan->number.age, age);
}

/*
 * How many helpers have CPUs that no other thread of the caller's cgroups uses.
 * If threads run for less than a chunk, helpers do not leave for them.
 */
static unsigned int ktask_loan_room(struct ktask_loan *loan, unsigned int own,
				    s64 now)
{
	int spare = ktask_spare_cpus(loan->caller);
	s64 since = READ_ONCE(loan->number.busy_since);

	if (ktask_eager())
		return INT_MAX;
	if (spare >= 0) {
		WRITE_ONCE(loan->number.busy_since, 0);
		return own + spare;
	}
	if (!since)
		WRITE_ONCE(loan->number.busy_since, now);
	if (!since || now - since < (s64)KTASK_CHUNK_NS)
		return own;
	/* Remove one at a time: other callers of the cgroup do the same. */
	return max(own, 1U) - 1;
}

/*
 * The renewals that are part of the number keep a thread that another one has
 * overtaken from storing an old result, even if the number is the same again.
 */
static s64 ktask_number_next(s64 number, const struct ktask_budget *budget)
{
	u64 renewals = upper_32_bits(number) >> KTASK_LIMIT_BITS;

	return (renewals + 1) << (32 + KTASK_LIMIT_BITS) |
	       (u64)budget->limit << 32 | budget->helpers;
}

static enum ktask_limit ktask_number_limit(s64 number)
{
	return upper_32_bits(number) & GENMASK(KTASK_LIMIT_BITS - 1, 0);
}

/* Renew the number, unless it is recent or another thread is renewing it. */
static void ktask_loan_renew(struct ktask_loan *loan)
{
	/* Not staying: a helper that leaves still uses a CPU and the quota. */
	unsigned int own = atomic_read(&loan->nr);
	struct ktask_number *number = &loan->number;
	s64 allowed = atomic64_read(&number->allowed);
	s64 made_at = atomic64_read(&number->made_at);
	s64 now = local_clock();
	struct ktask_budget budget;

	/* Signed: the clocks of two CPUs may differ slightly. */
	if (made_at && now - made_at < READ_ONCE(number->age))
		return;
	if (!atomic64_try_cmpxchg(&number->made_at, &made_at, now))
		return;

	ktask_budget_make(&budget, loan->caller, own);
	if (budget.helpers)
		ktask_budget_narrow(&budget, ktask_loan_room(loan, own, now),
				    KTASK_LIMIT_BUSY, NULL);
	/* A quota is refilled when the next period begins, so keep checking. */
	ktask_loan_set_age(loan, !own && !budget.helpers &&
			   budget.limit != KTASK_LIMIT_QUOTA);

	if (atomic_read(&loan->nr) == own &&
	    atomic64_try_cmpxchg(&number->allowed, &allowed,
				 ktask_number_next(allowed, &budget)))
		return;
	/* Not stored: whoever asks next renews, unless another thread does. */
	atomic64_cmpxchg(&number->made_at, now, 0);
}

/**
 * ktask_loan_budget - how many helpers may a loan's caller have?
 * @loan: the loan
 * @budget: where to put the result
 * @want: maximum number of helpers of use
 *
 * This includes all limits except cpu.ktask.max and its sharing, which are
 * checked for each helper (../sched/ktask_cgroup.c).
 */
void ktask_loan_budget(struct ktask_loan *loan, struct ktask_budget *budget,
		       unsigned int want)
{
	s64 allowed;

	*budget = (struct ktask_budget) {
		.helpers = want,
		.limit = KTASK_LIMIT_TASK,
	};
	ktask_loan_renew(loan);
	allowed = atomic64_read(&loan->number.allowed);
	ktask_budget_narrow(budget, lower_32_bits(allowed),
			    ktask_number_limit(allowed), NULL);
	ktask_budget_narrow(budget, READ_ONCE(loan->max_helpers),
			    KTASK_LIMIT_GAIN, NULL);
}

/* Take a helper out of a pool, and place it where the caller may run. */
static struct ktask_helper *ktask_loan_find(struct ktask_loan *loan, int nid,
					    unsigned int missing,
					    enum ktask_limit *limit)
{
	int near = nid == NUMA_NO_NODE ? numa_node_id() : nid;
	struct ktask_helper *helper = ktask_pool_take(near);

	if (!helper) {
		ktask_pool_request(near, missing);
		*limit = KTASK_LIMIT_POOL;
		return NULL;
	}
	if (!ktask_helper_place(helper, loan, nid)) {
		ktask_pool_put(helper);
		*limit = KTASK_LIMIT_CPUS;
		return NULL;
	}
	return helper;
}

/*
 * Let a thread that moves current to another cgroup find current's helpers.
 * There is at most one loan with helpers: nested tasks have none.
 */
static void ktask_loan_attach(struct ktask_loan *loan)
{
	if (current->ktask_loan == loan)
		return;

	guard(task_lock)(current);
	current->ktask_loan = loan;
}

/**
 * ktask_loan_detach - hide a loan from threads that move current
 * @loan: the loan of current, without helpers
 */
void ktask_loan_detach(struct ktask_loan *loan)
{
	if (current->ktask_loan != loan)
		return;

	guard(task_lock)(current);
	current->ktask_loan = NULL;
}

/* The limits of the previous cgroup do not hold any more. */
static void ktask_loan_outdate(struct task_struct *caller)
{
	guard(task_lock)(caller);
	if (caller->ktask_loan)
		atomic64_set(&caller->ktask_loan->number.made_at, 0);
}

/* Move one of a caller's helpers. Returns it, with a reference, or NULL. */
static struct task_struct *ktask_loan_move_one(struct task_struct *caller)
{
	struct ktask_helper *helper;

	guard(task_lock)(caller);
	if (!caller->ktask_loan)
		return NULL;

	guard(spinlock)(&caller->ktask_loan->lock);
	list_for_each_entry(helper, &caller->ktask_loan->helpers, node)
		if (ktask_helper_follow(helper, caller))
			return get_task_struct(helper->task);
	return NULL;
}

/**
 * ktask_caller_moved - move the helpers of a task to the task's new cgroup
 * @caller: the task
 *
 * A helper that is just leaving stays in the previous cgroup until it has left.
 * That cgroup is still online then: its removal waits for a grace period.
 *
 * Context: process context, may sleep. cgroup_mutex is held.
 */
void ktask_caller_moved(struct task_struct *caller)
{
	struct task_struct *helper;

	ktask_loan_outdate(caller);
	while ((helper = ktask_loan_move_one(caller))) {
		/* perf switches cgroup events only at a context switch. */
		perf_cgroup_move(helper);
		put_task_struct(helper);
		cond_resched();
	}
}

/* Move a helper to the caller's cgroups, if these still are those of @cset. */
static bool ktask_loan_enter(struct ktask_loan *loan, struct ktask_helper *helper,
			     struct css_set *cset)
{
	ktask_loan_attach(loan);
	/* Either ktask_caller_moved() finds the helper, or this sees the move. */
	guard(spinlock)(&loan->lock);
	if (!ktask_cset_is_current(cset, current))
		return false;

	helper->cset = cset;
	ktask_sched_enter(helper->task, cset);
	list_add_tail(&helper->node, &loan->helpers);
	loan->stats[KTASK_STAT_HELPERS]++;
	/* Before the unlock: after it the helper may have another css_set. */
	ktask_cap_update_peak(cset);
	return true;
}

/* Lend a helper that is charged to @cset. */
static bool ktask_loan_add(struct ktask_loan *loan, struct ktask_helper *helper,
			   struct css_set *cset, int nid)
{
	helper->loan = loan;
	helper->lent_at = jiffies;
	helper->leaving = false;
	helper->over_cap = false;
	helper->worker.helper = helper;
	helper->worker.nid = nid == NUMA_NO_NODE ? helper->nid : nid;
	if (!ktask_loan_enter(loan, helper, cset))
		return false;

	/* It may still be on its way to sleep. */
	perf_cgroup_move(helper->task);
	loan->last_refused = NR_KTASK_LIMITS;
	atomic_inc(&loan->nr);
	atomic_inc(&loan->staying);
	ktask_trace_lend(loan, helper->task);
	ktask_helper_start(helper);
	return true;
}

/**
 * ktask_loan_extend - take on one more helper, if the caller's budget has room
 * @loan: the loan of current
 * @want: helpers that the task is worth
 * @nid: NUMA node that the helper should run on, or NUMA_NO_NODE
 *
 * Context: process context, may sleep until the helper is off a CPU that it may
 * not use. Allocates nothing, waits for no thread to be created.
 *
 * Return: true if a helper was lent.
 */
bool ktask_loan_extend(struct ktask_loan *loan, unsigned int want, int nid)
{
	unsigned int nr = atomic_read(&loan->nr);
	struct ktask_budget budget;
	struct ktask_helper *helper;
	enum ktask_limit limit;
	struct css_set *cset;

	ktask_loan_budget(loan, &budget, want);
	if (nr >= budget.helpers)
		return ktask_loan_refused(loan, budget.limit);

	cset = ktask_cset_get(loan->caller);
	if (!ktask_cap_charge(loan, cset, &limit))
		goto put_cset;

	helper = ktask_loan_find(loan, nid, budget.helpers - nr, &limit);
	if (!helper)
		goto uncharge;
	ktask_claim_end(loan, cset);
	if (ktask_loan_add(loan, helper, cset, nid))
		return true;

	ktask_pool_put(helper);
	limit = KTASK_LIMIT_MOVED;
uncharge:
	ktask_cap_uncharge(cset, false);
put_cset:
	ktask_cset_put(cset);
	return ktask_loan_refused(loan, limit);
}

/**
 * ktask_loan_take_back - remove a helper from a loan
 * @loan: the loan
 * @helper: the helper that is current, or one that was cancelled; not yet in
 *	the pool
 * @ns: CPU time that the helper used
 * @faults: page faults for the caller to account
 *
 * The loan is on the caller's stack. The caller leaves once it holds the lock
 * and finds the list empty, so nothing here touches the loan after the unlock.
 *
 * Return: the caller, with a reference, if it waits for this helper and has to
 * be woken; else NULL.
 */
struct task_struct *ktask_loan_take_back(struct ktask_loan *loan,
					 struct ktask_helper *helper, u64 ns,
					 const struct ktask_faults *faults)
{
	ktask_trace_return(loan, helper->task, ns);
	guard(spinlock)(&loan->lock);
	if (!helper->leaving)
		atomic_dec(&loan->staying);
	atomic_dec(&loan->nr);
	atomic_set(&helper->state, KTASK_HELPER_IDLE);
	list_del(&helper->node);
	loan->stats[KTASK_STAT_HELPER_NS] += ns;
	loan->faults.min_flt += faults->min_flt;
	loan->faults.maj_flt += faults->maj_flt;
	loan->faults.over_high += faults->over_high;
	return loan->waits_for == helper ? get_task_struct(loan->caller) : NULL;
}

/*
 * Does a helper have to leave because the budget has room for fewer helpers?
 * If so, it is no longer counted in &ktask_loan.staying, so that only as many
 * helpers leave as are too many.
 */
static bool ktask_over_budget(struct ktask_helper *helper,
			      enum ktask_limit *limit)
{
	struct ktask_loan *loan = helper->loan;
	int staying = atomic_read(&loan->staying);
	struct ktask_budget budget;

	ktask_loan_budget(loan, &budget, INT_MAX);
	*limit = budget.limit;
	do {
		if (staying <= (int)budget.helpers)
			return false;
	} while (!atomic_try_cmpxchg(&loan->staying, &staying, staying - 1));

	helper->leaving = true;
	return true;
}

/* A helper leaves because of a limit: the budget need not make another leave. */
static void ktask_helper_leave(struct ktask_helper *helper)
{
	if (!helper->leaving)
		atomic_dec(&helper->loan->staying);
	helper->leaving = true;
}

/* Does current still have the memory nodes of its caller? */
static bool ktask_helper_has_mems(struct ktask_helper *helper)
{
#ifdef CONFIG_CPUSETS
	/* data_race: a change that is missed is seen before the next chunk. */
	return data_race(nodes_equal(current->mems_allowed,
				     helper->loan->caller->mems_allowed));
#else
	return true;
#endif
}

/* May the caller still use the helper's CPUs, and is current still on these? */
static bool ktask_helper_has_cpus(struct ktask_helper *helper)
{
	/*
	 * A helper that loses all its CPUs to hotplug may run on any CPU.
	 * data_race: a change that is missed is seen before the next chunk.
	 */
	return data_race(cpumask_subset(helper->cpus,
					&helper->loan->caller->cpus_mask) &&
			 cpumask_subset(&current->cpus_mask, helper->cpus));
}

/* The limit because of which a helper has to leave, or NR_KTASK_LIMITS. */
static enum ktask_limit ktask_helper_limit(struct ktask_helper *helper)
{
	struct ktask_loan *loan = helper->loan;
	enum ktask_limit limit;

	scoped_guard(raw_spinlock, &helper->lock) {
		helper->over_cap = ktask_cap_reclaim(helper->cset);
		if (helper->over_cap)
			return KTASK_LIMIT_CAP;
		if (helper->cset != helper->attached)
			return KTASK_LIMIT_MOVED;
	}
	if (!ktask_helper_has_mems(helper))
		return KTASK_LIMIT_MOVED;
	if (!ktask_helper_has_cpus(helper))
		return KTASK_LIMIT_CPUS;
	if (ktask_over_budget(helper, &limit))
		return limit;
	guard(raw_spinlock)(&helper->lock);
	if (ktask_share_reclaim(loan, helper->cset, helper->lent_at))
		return KTASK_LIMIT_SHARE;
	return NR_KTASK_LIMITS;
}

/**
 * ktask_helper_may_stay - check whether a helper may do another chunk
 * @helper: the helper that is current
 *
 * A helper has to leave if its caller has moved to another cgroup, other CPUs,
 * other memory nodes or another scheduling class, if a cap was lowered below
 * the helpers on loan, if the caller's CPUs or quota have shrunk, if the rest of
 * the quota is needed by other threads, if the cgroup's own threads need the
 * CPUs, if another caller or cgroup has less of a cap or of the pool, or if the
 * helper does not make the task faster.
 *
 * Return: false if the helper has to leave.
 */
bool ktask_helper_may_stay(struct ktask_helper *helper)
{
	enum ktask_limit limit = ktask_helper_limit(helper);
	struct ktask_loan *loan = helper->loan;

	if (limit == NR_KTASK_LIMITS)
		return true;

	ktask_helper_leave(helper);
	ktask_trace_cancel(loan, helper->task, limit);
	guard(spinlock)(&loan->lock);
	loan->stats[KTASK_STAT_CANCELLED]++;
	if (limit == KTASK_LIMIT_GAIN)
		WRITE_ONCE(loan->nr_left_for_gain, loan->nr_left_for_gain + 1);
	return false;
}

/* Find a CPU that a helper has to itself; count helpers on current's CPU. */
static int ktask_loan_better_cpu(struct ktask_loan *loan, unsigned int *nr_here)
{
	int here = raw_smp_processor_id(), better = -1;
	struct ktask_helper *helper;

	*nr_here = 0;
	guard(spinlock)(&loan->lock);
	list_for_each_entry(helper, &loan->helpers, node) {
		if (task_cpu(helper->task) == here)
			++*nr_here;
		else if (ktask_sched_has_cpu(helper->task))
			better = task_cpu(helper->task);
	}
	return better;
}

/**
 * ktask_loan_leave_shared_cpu - move from a shared CPU to the CPU of a helper
 * @loan: the loan of current
 *
 * A CPU with a helper on it is not idle, whatever the nice value. So the load
 * balancer does not soon move the caller there from a CPU that it shares with
 * others, as it would do without the helper. Check this here, once per tick. If
 * two checks in a row find it, move: the helper should share a CPU with others,
 * not the caller.
 *
 * Context: process context, may sleep.
 */
void ktask_loan_leave_shared_cpu(struct ktask_loan *loan)
{
	unsigned int nr_here;
	bool shared;
	int better;

	if (!atomic_read(&loan->nr) || !time_after(jiffies, loan->shared_at) ||
	    rt_or_dl_task(current))
		return;

	loan->shared_at = jiffies;
	better = ktask_loan_better_cpu(loan, &nr_here);
	shared = better >= 0 && ktask_sched_shares_cpu(nr_here);
	if (shared && loan->shares_cpu) {
		loan->shares_cpu = false;
		ktask_sched_move_current(better);
	} else {
		loan->shares_cpu = shared;
	}
}
