// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask loans: who works for a caller now, and how many may
 *
 * A loan has one number: how many helpers its caller may have. Whoever ends a
 * chunk and finds that number old makes it anew. All others only read it: the
 * caller, who takes on helpers below it, and the helpers, of whom those leave
 * that are too many. So the end of a chunk costs the same with any number of
 * helpers and CPUs, and as many helpers leave as have to.
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
 * @work: what they do, &ktask_loan.work
 * @job: passed to @work
 *
 * The loan is current's.
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
	/* It may be asked for again and again before each chunk. */
	if (limit != loan->last_refused)
		ktask_trace_refuse(loan, limit);
	loan->last_refused = limit;
	loan->refused |= BIT(limit);
	return false;
}

/*
 * How old a loan's number may be, in nanoseconds: a quarter of a chunk. To make one
 * is to look at all CPUs, each of which takes some 0.1 us where another CPU uses
 * that memory. On large machines that should be a few percent of one thread's time.
 */
static s64 ktask_loan_min_age(void)
{
	return max(KTASK_CHUNK_NS / 4, num_online_cpus() * 4ULL * NSEC_PER_USEC);
}

/* A caller that can have no helper looks less and less often, up to once per tick. */
static void ktask_loan_set_age(struct ktask_loan *loan, bool alone)
{
	s64 age = ktask_loan_min_age();

	if (alone)
		age = max(age, min(2 * READ_ONCE(loan->age), (s64)TICK_NSEC));
	WRITE_ONCE(loan->age, age);
}

/*
 * Helpers for which there are CPUs that nobody else of the caller's cgroups uses.
 * Threads that run for less than a chunk are no reason to leave.
 */
static unsigned int ktask_loan_room(struct ktask_loan *loan, unsigned int own,
				    s64 now)
{
	int spare = ktask_spare_cpus(loan->caller);
	s64 since = READ_ONCE(loan->busy_since);

	if (ktask_eager())
		return INT_MAX;
	if (spare >= 0) {
		WRITE_ONCE(loan->busy_since, 0);
		return own + spare;
	}
	if (!since)
		WRITE_ONCE(loan->busy_since, now);
	if (!since || now - since < (s64)KTASK_CHUNK_NS)
		return own;
	/* One by one: other callers of the cgroup see the same. */
	return max(own, 1U) - 1;
}

/* Make the number anew, unless it is young or somebody else does so. */
static void ktask_loan_renew(struct ktask_loan *loan)
{
	/* Who is about to leave still uses a CPU, and what is left of a quota. */
	unsigned int own = atomic_read(&loan->nr);
	s64 allowed = atomic64_read(&loan->allowed);
	s64 made_at = atomic64_read(&loan->made_at);
	s64 now = local_clock();
	struct ktask_budget budget;

	/* The clocks of two CPUs may differ by a little. */
	if (made_at && now - made_at < READ_ONCE(loan->age))
		return;
	if (!atomic64_try_cmpxchg(&loan->made_at, &made_at, now))
		return;

	ktask_budget_make(&budget, loan->caller, own);
	if (budget.helpers)
		ktask_budget_narrow(&budget, ktask_loan_room(loan, own, now),
				    KTASK_LIMIT_BUSY, NULL);
	/* What is left of a quota is more as soon as a period begins. */
	ktask_loan_set_age(loan, !own && !budget.helpers &&
			   budget.limit != KTASK_LIMIT_QUOTA);

	/* Not if this took so long that it is about another time: there is a next. */
	if (atomic64_read(&loan->made_at) == now && atomic_read(&loan->nr) == own)
		atomic64_try_cmpxchg(&loan->allowed, &allowed,
				     (u64)budget.limit << 32 | budget.helpers);
}

/**
 * ktask_loan_budget - how many helpers may a loan's caller have?
 * @loan: the loan
 * @budget: where to put the answer
 * @want: as many as anybody has a use for
 *
 * By all limits but cpu.ktask.max and what shares of it others have: these are
 * asked for each helper (../sched/ktask_cgroup.c).
 */
void ktask_loan_budget(struct ktask_loan *loan, struct ktask_budget *budget,
		       unsigned int want)
{
	u64 allowed;

	*budget = (struct ktask_budget) {
		.helpers = want,
		.limit = KTASK_LIMIT_TASK,
	};
	ktask_loan_renew(loan);
	allowed = atomic64_read(&loan->allowed);
	ktask_budget_narrow(budget, lower_32_bits(allowed),
			    upper_32_bits(allowed), NULL);
	ktask_budget_narrow(budget, READ_ONCE(loan->max_helpers),
			    KTASK_LIMIT_GAIN, NULL);
}

/* Take a helper out of a pool, and put it where the caller may run. */
static struct ktask_helper *ktask_loan_find(struct ktask_loan *loan, int nid,
					    unsigned int missing,
					    enum ktask_limit *limit)
{
	int near = nid == NUMA_NO_NODE ? numa_node_id() : nid;
	struct ktask_helper *helper = ktask_pool_take(near);

	if (!helper) {
		ktask_pool_missed(near, missing);
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
 * Who moves current to another cgroup is to find its helpers. There is no other loan:
 * tasks within tasks have no helpers.
 */
static void ktask_loan_attach(struct ktask_loan *loan)
{
	if (current->ktask_loan == loan)
		return;

	guard(task_lock)(current);
	current->ktask_loan = loan;
}

/**
 * ktask_loan_detach - nobody finds a loan any more
 * @loan: the loan of current, without helpers
 */
void ktask_loan_detach(struct ktask_loan *loan)
{
	if (current->ktask_loan != loan)
		return;

	guard(task_lock)(current);
	current->ktask_loan = NULL;
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
 * ktask_caller_moved - a task was moved to another cgroup: so are its helpers
 * @caller: the task
 *
 * One that is just leaving does so in the cgroup before, but while that is online:
 * whoever removes it waits for a grace period.
 *
 * Context: process context, may sleep. cgroup_mutex is held.
 */
void ktask_caller_moved(struct task_struct *caller)
{
	struct task_struct *helper;

	while ((helper = ktask_loan_move_one(caller))) {
		/* What is counted for a cgroup is told apart when threads are switched. */
		perf_cgroup_move(helper);
		put_task_struct(helper);
		cond_resched();
	}
}

/* Put a helper into the caller's cgroup, if it still is the one of @cset. */
static bool ktask_loan_enter(struct ktask_loan *loan, struct ktask_helper *helper,
			     struct css_set *cset)
{
	ktask_loan_attach(loan);
	/* Either ktask_caller_moved() finds the helper, or the move is seen here. */
	guard(spinlock)(&loan->lock);
	if (!ktask_cset_is_current(cset, current))
		return false;

	helper->cset = cset;
	ktask_sched_enter(helper->task, cset);
	list_add_tail(&helper->node, &loan->helpers);
	loan->stats[KTASK_STAT_HELPERS]++;
	/* After the unlock it may already have another one. */
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
	helper->over_cap = NULL;
	helper->worker.helper = helper;
	helper->worker.nid = nid == NUMA_NO_NODE ? helper->nid : nid;
	if (!ktask_loan_enter(loan, helper, cset))
		return false;

	/* It was preempted as it went to sleep, and runs again. */
	if (task_curr(helper->task))
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
	if (ktask_loan_add(loan, helper, cset, nid))
		return true;

	ktask_pool_put(helper);
	limit = KTASK_LIMIT_MOVED;
uncharge:
	ktask_cap_return(cset, NULL);
put_cset:
	ktask_cset_put(cset);
	return ktask_loan_refused(loan, limit);
}

/**
 * ktask_loan_take_back - a loan is without a helper from here on
 * @loan: the loan
 * @helper: current's, or one that was cancelled; it is in the pool no sooner
 * @ns: CPU time that it used
 * @faults: what the caller is to account for
 *
 * The loan is on the caller's stack, and the caller leaves once it holds the lock
 * and finds the list empty. So nothing here touches the loan after the unlock.
 *
 * Return: the caller, with a reference, if it waits for this helper and is to be
 * woken; else NULL.
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
 * Leave because there are more helpers than the budget has room for? Only as many
 * do as are too many.
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

/* Has current the memory nodes that its caller's cpuset gives it? */
static bool ktask_helper_has_mems(struct ktask_helper *helper)
{
#ifdef CONFIG_CPUSETS
	/* data_race: what changes just now is seen before the next chunk. */
	return data_race(nodes_equal(current->mems_allowed,
				     helper->loan->caller->mems_allowed));
#else
	return true;
#endif
}

/* May its caller still use the helper's CPUs, and is it still on these? */
static bool ktask_helper_has_cpus(struct ktask_helper *helper)
{
	/*
	 * Who loses all its CPUs to hotplug is let run on any.
	 * data_race: what changes just now is seen before the next chunk.
	 */
	return data_race(cpumask_subset(helper->cpus,
					&helper->loan->caller->cpus_mask) &&
			 cpumask_subset(&current->cpus_mask, helper->cpus));
}

/* The limit that a helper has to leave for, NR_KTASK_LIMITS if there is none. */
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
	if (ktask_share_claimed(loan, helper->cset, helper->lent_at))
		return KTASK_LIMIT_SHARE;
	return NR_KTASK_LIMITS;
}

/**
 * ktask_helper_may_stay - ask whether a helper may do another chunk
 * @helper: current's
 *
 * Return: false if it has to leave: because its caller has moved to another
 * cgroup, to other CPUs, to other memory nodes or to another scheduling class, a
 * cap was lowered below what is on loan, the caller's CPUs or quota have shrunk,
 * what is left of the quota is the caller's to use, the cgroup's own threads need
 * the CPUs, somebody else has less of a cap or of the pool, or there is no gain.
 */
bool ktask_helper_may_stay(struct ktask_helper *helper)
{
	enum ktask_limit limit = ktask_helper_limit(helper);
	struct ktask_loan *loan = helper->loan;

	if (limit == NR_KTASK_LIMITS)
		return true;

	ktask_trace_cancel(loan, helper->task, limit);
	guard(spinlock)(&loan->lock);
	loan->stats[KTASK_STAT_CANCELLED]++;
	if (limit == KTASK_LIMIT_GAIN)
		WRITE_ONCE(loan->sent_away, loan->sent_away + 1);
	return false;
}

/* Look for the CPU that a helper has for itself, and count those on current's. */
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
 * ktask_loan_leave_shared_cpu - leave a CPU that is shared for that of a helper
 * @loan: the loan of current
 *
 * A CPU is not idle with a helper on it, at whatever nice value. So the load
 * balancer is in no hurry to bring the caller there from a CPU that it shares
 * with others; without helpers it would. So look here, once per tick; if it is
 * like that twice, go: it is the helper who is to take turns with others.
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
