// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask helpers: a pool of threads per NUMA node, lent to tasks and taken back
 *
 * For as long as it is on loan a helper is scheduled and charged as if it
 * belonged to the caller's cgroups: it wears the caller's css_set, runs on the
 * caller's CPUs, and allocates with the caller's memcg, memory policy and
 * mems_allowed. Everything that decides where it runs is set by the lender
 * before the helper starts, so that it never works a cycle outside the caller's
 * limits; the rest it puts on itself.
 *
 * Nobody who needs a helper waits for one to be created: a task takes an idle
 * one or does without, and the pool's manager grows the pool in the
 * background and shrinks it again when helpers stay idle.
 *
 * Helpers work at nice 19 and with the shortest slice. A caller that has run
 * out of chunks takes back the helpers that have not started, and lends its own
 * nice value to one of those that have, then to the next: so that waiting never
 * depends on more than one thread at the caller's priority. Where that is a
 * real-time one, of a caller that is boosted, it is lent as well.
 */
#include <linux/cgroup.h>
#include <linux/cpuhotplug.h>
#include <linux/cpuset.h>
#include <linux/hrtimer.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/moduleparam.h>
#include <linux/oom.h>
#include <linux/resume_user_mode.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/cputime.h>
#include <linux/sched/isolation.h>
#include <linux/sched/mm.h>
#include <linux/sched/rt.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/sysctl.h>
#include <linux/topology.h>
#include <linux/workqueue.h>
#include <uapi/linux/sched/types.h>

#include "internal.h"

/* Helpers that a node's pool has for its CPUs, needed or not */
#define KTASK_POOL_MIN		4U

/* For how long a caller at first relies on what it saw of other threads */
#define KTASK_LOOK_NS		500000ULL

enum ktask_helper_state {
	KTASK_HELPER_IDLE,	/* in the pool, or cancelled on its way to it */
	KTASK_HELPER_LENT,	/* woken for a loan, has not started */
	KTASK_HELPER_WORKING,
};

/**
 * struct ktask_helper - a helper thread
 * @task: the thread
 * @pool: where it belongs
 * @state: &enum ktask_helper_state. The lender's release of LENT pairs with
 *	the helper's acquire when it starts, and publishes what is below
 * @node: entry in the pool's idle list, or in the loan's list of helpers
 * @loan: what it works for, while on loan
 * @cset: the caller's css_set as it was when the helper was lent
 * @cpus: room for the CPUs that the caller may run on
 * @since: when it was lent, in jiffies
 * @looked: when it last looked at what else runs, in jiffies
 * @leaving: it found that it is one too many, and is part of the loan's count
 *	of those
 * @over_cap: the cgroup whose cap it leaves for, or NULL
 * @mempolicy: copy of the caller's memory policy, or one that stands for none
 * @worker: the core's
 */
struct ktask_helper {
	struct task_struct	*task;
	struct ktask_pool	*pool;
	atomic_t		state;
	struct list_head	node;
	struct ktask_loan	*loan;
	struct css_set		*cset;
	cpumask_var_t		cpus;
	unsigned long		since;
	unsigned long		looked;
	bool			leaving;
	struct task_group	*over_cap;
#ifdef CONFIG_NUMA
	struct mempolicy	mempolicy;
#endif
	struct ktask_worker	worker;
};

/**
 * struct ktask_pool - the helpers of a NUMA node
 * @nid: the node
 * @lock: protects the fields below
 * @idle: idle helpers, the one that worked last comes first
 * @nr: helpers, lent ones and those being created included
 * @nr_idle: length of @idle
 * @nr_unused: the least that @nr_idle was since the pool was last looked at
 * @nr_missed: tasks that found no idle helper since then
 * @manager: grows and shrinks the pool
 */
struct ktask_pool {
	int			nid;
	raw_spinlock_t		lock;	/* see above */
	struct list_head	idle;
	unsigned int		nr;
	unsigned int		nr_idle;
	unsigned int		nr_unused;
	unsigned int		nr_missed;
	struct delayed_work	manager;
};

/* Set once, when a node gets its first CPU; NULL before that */
static struct ktask_pool *ktask_pools[MAX_NUMNODES] __read_mostly;

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "ktask."

/* How long helpers stay idle before the pool shrinks */
static unsigned int ktask_pool_idle_ms = 30 * MSEC_PER_SEC;
module_param_named(pool_idle_ms, ktask_pool_idle_ms, uint, 0644);
MODULE_PARM_DESC(pool_idle_ms, "Milliseconds after which unused helper threads end");

#ifdef CONFIG_DEBUG_KTASK
bool ktask_debug_eager __read_mostly;
module_param_named(eager, ktask_debug_eager, bool, 0444);
MODULE_PARM_DESC(eager, "Make tasks of jobs of any size, with helpers at once");
#endif

static int ktask_helper_main(void *data);

static struct ktask_pool *ktask_pool_get(int nid)
{
	if (nid < 0 || nid >= MAX_NUMNODES)
		return NULL;
	/* Pairs with smp_store_release() in ktask_pool_create(). */
	return smp_load_acquire(&ktask_pools[nid]);
}

/*
 * The pool nearest to a node, apart from those of @seen, to which it is added.
 * Nodes without CPUs have none.
 */
static struct ktask_pool *ktask_pool_next(int from, nodemask_t *seen)
{
	int nid, nearest = NUMA_NO_NODE;

	for_each_online_node(nid)
		if (!node_isset(nid, *seen) && ktask_pool_get(nid) &&
		    (nearest == NUMA_NO_NODE ||
		     node_distance(from, nid) < node_distance(from, nearest)))
			nearest = nid;
	if (nearest == NUMA_NO_NODE)
		return NULL;

	node_set(nearest, *seen);
	return ktask_pool_get(nearest);
}

static unsigned int ktask_pool_max(struct ktask_pool *pool)
{
	return max(cpumask_weight(cpumask_of_node(pool->nid)), 1U);
}

/*
 * One that is on its way to sleep is left alone: what perf counts for a cgroup
 * it tells apart when threads are switched, so a helper must not come from one
 * cgroup to the next without that.
 */
static struct ktask_helper *ktask_pool_take(struct ktask_pool *pool)
{
	struct ktask_helper *helper;

	guard(raw_spinlock)(&pool->lock);
	list_for_each_entry(helper, &pool->idle, node) {
		if (task_curr(helper->task))
			continue;
		list_del(&helper->node);
		pool->nr_idle--;
		pool->nr_unused = min(pool->nr_unused, pool->nr_idle);
		return helper;
	}
	return NULL;
}

static void ktask_pool_put(struct ktask_helper *helper)
{
	struct ktask_pool *pool = helper->pool;

	guard(raw_spinlock)(&pool->lock);
	list_add(&helper->node, &pool->idle);
	pool->nr_idle++;
}

/*
 * Have a pool grow by so many helpers, as far as it may. Returns how many more
 * are missing. Each caller that misses some says so before each of its chunks, so
 * this is no sum.
 */
static unsigned int ktask_pool_missed(struct ktask_pool *pool, unsigned int nr)
{
	scoped_guard(raw_spinlock, &pool->lock) {
		unsigned int room = ktask_pool_max(pool);

		room -= min(room, pool->nr);
		pool->nr_missed = max(pool->nr_missed, min(nr, room));
		nr -= min(nr, room);
		if (!pool->nr_missed)
			return nr;
	}
	mod_delayed_work(system_unbound_wq, &pool->manager, 0);
	return nr;
}

/*
 * The nearest pools are to grow: each caller gets as many helpers as there are,
 * and the root's cap, one for each CPU, is what there can be.
 */
static void ktask_pools_missed(int nid, unsigned int nr)
{
	nodemask_t seen = NODE_MASK_NONE;
	struct ktask_pool *pool;

	while (nr && (pool = ktask_pool_next(nid, &seen)))
		nr = ktask_pool_missed(pool, nr);
}

/* An idle helper, of the nearest node that has one. */
static struct ktask_helper *ktask_pools_take(int nid)
{
	nodemask_t seen = NODE_MASK_NONE;
	struct ktask_helper *helper = NULL;
	struct ktask_pool *pool;

	while (!helper && (pool = ktask_pool_next(nid, &seen)))
		helper = ktask_pool_take(pool);
	return helper;
}

static void ktask_helper_free(struct ktask_helper *helper)
{
	free_cpumask_var(helper->cpus);
	kfree(helper);
}

/*
 * As nice as can be; and with the shortest slice that there is: while a thread
 * is within its slice hardly anybody who wakes up can preempt it.
 */
static void ktask_helper_be_nice(struct task_struct *helper)
{
	static const struct sched_attr attr = {
		.sched_policy	= SCHED_NORMAL,
		.sched_nice	= MAX_NICE,
		.sched_runtime	= NSEC_PER_MSEC / 10,
	};

	WARN_ON_ONCE(sched_setattr_nocheck(helper, &attr));
}

static bool ktask_helper_create(struct ktask_pool *pool)
{
	struct ktask_helper *helper;

	helper = kzalloc_node(sizeof(*helper), GFP_KERNEL, pool->nid);
	if (!helper)
		return false;
	if (!zalloc_cpumask_var_node(&helper->cpus, GFP_KERNEL, pool->nid)) {
		kfree(helper);
		return false;
	}
	helper->pool = pool;
	helper->task = kthread_create_on_node(ktask_helper_main, helper,
					      pool->nid, "ktask/%d", pool->nid);
	if (IS_ERR(helper->task)) {
		ktask_helper_free(helper);
		return false;
	}
	ktask_helper_be_nice(helper->task);
	/* Nobody but ktask moves it: no cpuset, no cgroup, no administrator. */
	kthread_bind_mask(helper->task, housekeeping_cpumask(HK_TYPE_KTHREAD));
	/* It puts itself into the pool. */
	wake_up_process(helper->task);
	return true;
}

/*
 * Add a helper if there are too few, or tasks missed one. Returns false when
 * there is no need to.
 */
static bool ktask_pool_grow(struct ktask_pool *pool)
{
	scoped_guard(raw_spinlock, &pool->lock) {
		if (pool->nr >= ktask_pool_max(pool) ||
		    (!pool->nr_missed && pool->nr >= KTASK_POOL_MIN)) {
			pool->nr_missed = 0;
			return false;
		}
		if (pool->nr_missed)
			pool->nr_missed--;
		pool->nr++;
	}

	if (ktask_helper_create(pool))
		return true;

	guard(raw_spinlock)(&pool->lock);
	pool->nr--;
	return false;
}

/* End one of the helpers that nobody has needed of late. */
static bool ktask_pool_shrink(struct ktask_pool *pool)
{
	struct ktask_helper *helper;

	scoped_guard(raw_spinlock, &pool->lock) {
		if (!pool->nr_unused || pool->nr <= KTASK_POOL_MIN) {
			pool->nr_unused = pool->nr_idle;
			return false;
		}
		helper = list_last_entry(&pool->idle, struct ktask_helper,
					 node);
		list_del(&helper->node);
		pool->nr_idle--;
		pool->nr_unused--;
		pool->nr--;
	}

	/* Where its last caller had it, it might never run again. */
	set_cpus_allowed_ptr(helper->task,
			     housekeeping_cpumask(HK_TYPE_KTHREAD));
	kthread_stop(helper->task);
	ktask_helper_free(helper);
	return true;
}

/* Grow at once when a task missed a helper, shrink after a time of rest. */
static void ktask_pool_manage(struct work_struct *work)
{
	struct ktask_pool *pool = container_of(to_delayed_work(work),
					       struct ktask_pool, manager);
	bool grown = false;

	while (ktask_pool_grow(pool))
		grown = true;

	if (grown)
		scoped_guard(raw_spinlock, &pool->lock)
			pool->nr_unused = 0;
	else
		while (ktask_pool_shrink(pool))
			;

	scoped_guard(raw_spinlock, &pool->lock)
		if (pool->nr <= KTASK_POOL_MIN)
			return;
	queue_delayed_work(system_unbound_wq, &pool->manager,
			   msecs_to_jiffies(READ_ONCE(ktask_pool_idle_ms)) + 1);
}

/* Work for a SCHED_IDLE caller is no more urgent than the caller. */
static void ktask_helper_set_idle(struct task_struct *helper, bool idle)
{
	static const struct sched_param param;
	int policy = idle ? SCHED_IDLE : SCHED_NORMAL;

	if (helper->policy != policy)
		sched_setscheduler_nocheck(helper, policy, &param);
}

/*
 * Put a helper on the CPUs of its node, if the caller may use any of them, or
 * on all that the caller may use. Fails if these CPUs have just gone.
 */
static bool ktask_helper_place(struct ktask_helper *helper,
			       struct ktask_loan *loan, int nid)
{
	ktask_helper_set_idle(helper->task, loan->caller->policy == SCHED_IDLE);
	/* data_race: a mask that changes just now is seen after a chunk. */
	data_race(ktask_usable_cpus(&loan->caller->cpus_mask, helper->cpus,
				    UINT_MAX));
	if (nid >= 0 && nid < MAX_NUMNODES && node_online(nid) &&
	    cpumask_intersects(helper->cpus, cpumask_of_node(nid)))
		cpumask_and(helper->cpus, helper->cpus, cpumask_of_node(nid));

	return cpumask_equal(helper->task->cpus_ptr, helper->cpus) ||
	       !set_cpus_allowed_ptr(helper->task, helper->cpus);
}

/*
 * Put a helper back into the root cgroups and into its pool: current, or one
 * cancelled. In the root cgroups it is nicer than all others, so it has to be in
 * the pool before it can be preempted: else nobody can lend it for a while.
 */
static void ktask_helper_go_home(struct ktask_helper *helper, bool keep)
{
	struct css_set *cset = helper->cset;

	helper->cset = NULL;
	preempt_disable();
	if (helper->task->policy == SCHED_FIFO ||
	    task_nice(helper->task) != MAX_NICE)
		ktask_helper_be_nice(helper->task);
	ktask_cset_leave(helper->task);
	if (!keep)
		ktask_pool_put(helper);
	preempt_enable();
	/* From here on it may be on loan again. */
	ktask_cset_put(cset);
}

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
		.look_at = local_clock(),
		.look_wait = KTASK_LOOK_NS,
		.spread = jiffies - 1,
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
 * Do the caller's limits have a CPU that nobody of its cgroups uses? All CPUs
 * are looked at for that, so once per tick. At first more often: whoever woke
 * the caller, or has just killed it, still runs when the task starts, and many
 * tasks take no longer than a tick.
 */
static bool ktask_loan_has_cpu(struct ktask_loan *loan)
{
	u64 now = local_clock();

	/* The clocks of two CPUs may differ by a little. */
	if ((s64)(now - loan->look_at) >= 0) {
		loan->spare = ktask_spare_cpus(loan->caller);
		loan->look_at = now + loan->look_wait;
		loan->look_wait = min(2 * loan->look_wait, (u64)TICK_NSEC);
	}
	return loan->spare > 0 || ktask_eager();
}

/**
 * ktask_loan_is_full - is there a helper for each CPU?
 * @loan: the loan of current
 *
 * Tells without a look at the budget that one more would be refused. Not before
 * that has been refused once: it is on record which limit did so.
 *
 * Return: true if so; false if only ktask_loan_extend() can tell.
 */
bool ktask_loan_is_full(struct ktask_loan *loan)
{
	/* data_race: what changes just now is seen before the next chunk. */
	int cpus = min_t(int, data_race(current->nr_cpus_allowed),
			 num_online_cpus());

	return loan->last_refused != NR_KTASK_LIMITS &&
	       atomic_read(&loan->nr) >= cpus - 1;
}

/* The caller's budget, less helpers that gain nothing. */
static void ktask_loan_budget(struct ktask_loan *loan,
			      struct ktask_budget *budget, unsigned int want,
			      bool lend)
{
	ktask_budget_make(budget, loan->caller, want);
	ktask_budget_runtime(budget, loan->caller, atomic_read(&loan->nr),
			     lend);
	ktask_budget_narrow(budget, READ_ONCE(loan->max_helpers),
			    KTASK_LIMIT_GAIN, NULL);
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
	int near = nid == NUMA_NO_NODE ? numa_node_id() : nid;
	struct ktask_budget budget;
	struct ktask_helper *helper;
	enum ktask_limit limit;
	struct css_set *cset;

	ktask_loan_budget(loan, &budget, want, true);
	if (atomic_read(&loan->nr) >= budget.helpers)
		return ktask_loan_refused(loan, budget.limit);

	if (!ktask_loan_has_cpu(loan))
		return ktask_loan_refused(loan, KTASK_LIMIT_BUSY);

	cset = ktask_cset_get(loan->caller);
	if (!ktask_cap_charge(loan, cset, &limit)) {
		ktask_cset_put(cset);
		return ktask_loan_refused(loan, limit);
	}

	helper = ktask_pools_take(near);
	if (!helper || !ktask_helper_place(helper, loan, nid)) {
		ktask_cap_return(cset, NULL);
		ktask_cset_put(cset);
		if (!helper) {
			ktask_pools_missed(near, budget.helpers -
						 atomic_read(&loan->nr));
			return ktask_loan_refused(loan, KTASK_LIMIT_POOL);
		}
		ktask_pool_put(helper);
		return ktask_loan_refused(loan, KTASK_LIMIT_CPUS);
	}

	helper->loan = loan;
	helper->cset = cset;
	helper->since = jiffies;
	helper->looked = jiffies;
	helper->leaving = false;
	helper->over_cap = NULL;
	helper->worker.helper = helper;
	helper->worker.nid = nid == NUMA_NO_NODE ? helper->pool->nid : nid;
	ktask_cap_update_peak(cset);
	ktask_cset_enter(helper->task, cset);

	loan->last_refused = NR_KTASK_LIMITS;
	loan->spare--;
	atomic_inc(&loan->nr);
	ktask_trace_lend(loan, helper->task);

	/* Under the lock a helper that is awake cannot be back in its pool. */
	guard(spinlock)(&loan->lock);
	list_add_tail(&helper->node, &loan->helpers);
	loan->stats[KTASK_STAT_HELPERS]++;
	/* Pairs with the acquire in ktask_helper_main(). */
	atomic_set_release(&helper->state, KTASK_HELPER_LENT);
	wake_up_process(helper->task);
	return true;
}

/**
 * ktask_loan_spread - leave a CPU that is shared for that of a helper
 * @loan: the loan of current
 *
 * A CPU is not idle with a helper on it, at whatever nice value. So the load
 * balancer is in no hurry to bring the caller there from a CPU that it shares
 * with others; without helpers it would. So look here, once per tick; if it is
 * like that twice, go: it is the helper who is to take turns with others.
 *
 * Context: process context, may sleep.
 */
void ktask_loan_spread(struct ktask_loan *loan)
{
	int here = raw_smp_processor_id(), better = -1;
	struct ktask_helper *helper;
	unsigned int nr_here = 0;

	if (!atomic_read(&loan->nr) || !time_after(jiffies, loan->spread) ||
	    rt_or_dl_task(current))
		return;

	loan->spread = jiffies;
	scoped_guard(spinlock, &loan->lock)
		list_for_each_entry(helper, &loan->helpers, node) {
			if (task_cpu(helper->task) == here)
				nr_here++;
			else if (ktask_sched_has_cpu(helper->task))
				better = task_cpu(helper->task);
		}

	if (better < 0 || !ktask_sched_shares_cpu(nr_here)) {
		loan->shares_cpu = false;
	} else if (!loan->shares_cpu) {
		loan->shares_cpu = true;
	} else {
		loan->shares_cpu = false;
		ktask_sched_go_to(better);
	}
}

/* Take back the helpers that have not started. */
static void ktask_loan_cancel(struct ktask_loan *loan)
{
	struct ktask_helper *helper, *tmp;
	LIST_HEAD(cancelled);

	scoped_guard(spinlock, &loan->lock) {
		list_for_each_entry_safe(helper, tmp, &loan->helpers, node) {
			/* Whoever moves the state away from LENT has it. */
			if (atomic_cmpxchg(&helper->state, KTASK_HELPER_LENT,
					   KTASK_HELPER_IDLE) !=
			    KTASK_HELPER_LENT)
				continue;
			list_move(&helper->node, &cancelled);
			loan->stats[KTASK_STAT_CANCELLED]++;
		}
	}

	list_for_each_entry_safe(helper, tmp, &cancelled, node) {
		list_del(&helper->node);
		ktask_cap_return(helper->cset, helper->over_cap);
		ktask_trace_cancel(loan, helper->task, KTASK_LIMIT_END);
		ktask_trace_return(loan, helper->task, 0);
		atomic_dec(&loan->nr);
		ktask_helper_go_home(helper, false);
	}
}

/* Returns false if the helper has that priority already, or more. */
static bool ktask_helper_set_fifo(struct task_struct *helper, int prio)
{
	struct sched_param param = { .sched_priority = MAX_RT_PRIO - 1 - prio };

	return prio < helper->prio &&
	       !sched_setscheduler_nocheck(helper, SCHED_FIFO, &param);
}

/* Returns false if the helper is no nicer than current, or both are SCHED_IDLE. */
static bool ktask_helper_set_fair(struct task_struct *helper)
{
	bool idle = current->policy == SCHED_IDLE;

	/* Who waited for current may have given up. */
	if (helper->policy == SCHED_FIFO)
		ktask_helper_be_nice(helper);
	ktask_helper_set_idle(helper, idle);
	/* Not prio: who waits for a lock of the helper may raise that, not its weight. */
	if (idle || task_nice(current) >= task_nice(helper))
		return false;

	set_user_nice(helper, task_nice(current));
	return true;
}

/*
 * Give a helper what rights current has now: its nice value, or the real-time
 * priority of who waits for it, as for an mmap_lock on PREEMPT_RT. A deadline cannot
 * be given; the highest priority for the rest of a chunk is next to it. The nice
 * value of a SCHED_IDLE caller means nothing: its weight is less.
 */
static void ktask_helper_renice(struct ktask_helper *helper)
{
	int prio = max(current->prio, 0);
	bool lent;

	if (rt_prio(prio))
		lent = ktask_helper_set_fifo(helper->task, prio);
	else
		lent = ktask_helper_set_fair(helper->task);
	if (!lent)
		return;

	helper->loan->stats[KTASK_STAT_RENICED]++;
	ktask_trace_renice(helper->loan, helper->task, prio);
}

/*
 * Wait for a helper, but look again soon: one that cannot run where it is gets the
 * CPU that current leaves. So this takes no longer than the rest of a chunk takes
 * the caller itself. Whatever keeps threads from this CPU meanwhile, the timer goes
 * off: on PREEMPT_RT, too, in the interrupt itself.
 */
static void ktask_loan_wait(struct ktask_loan *loan,
			    struct ktask_helper *helper)
	__must_hold(&loan->lock)
{
	ktime_t tick = TICK_NSEC;

	if (ktask_sched_fetch(helper->task))
		ktask_trace_fetch(loan, helper->task);
	set_current_state(TASK_UNINTERRUPTIBLE);
	spin_unlock(&loan->lock);
	schedule_hrtimeout(&tick, HRTIMER_MODE_REL_HARD);
	spin_lock(&loan->lock);
}

/*
 * A caller that was killed is to end soon, but its helpers may wait for a page
 * to be read, or for memory below a limit that only the caller's death will
 * free. So they have to know. All of them have started by now.
 */
static void ktask_loan_kill(struct ktask_loan *loan)
	__must_hold(&loan->lock)
{
	struct ktask_helper *helper;

	if (!loan->killable || !fatal_signal_pending(current))
		return;

	list_for_each_entry(helper, &loan->helpers, node) {
		/* So that it may use the reserves, and has nobody else killed */
		if (tsk_is_oom_victim(current))
			WRITE_ONCE(helper->task->signal->oom_mm, loan->mm);
		if (!loan->killed)
			send_sig(SIGKILL, helper->task, 1);
	}
	loan->killed = true;
}

/* The caller answers for the page faults of its helpers as for its own. */
static void ktask_loan_own_up(const struct ktask_owed *owed)
{
	current->min_flt += owed->min_flt;
	current->maj_flt += owed->maj_flt;
#ifdef CONFIG_MEMCG
	if (owed->over_high) {
		current->memcg_nr_pages_over_high += owed->over_high;
		set_notify_resume(current);
	}
#endif
}

/**
 * ktask_loan_settle - end a loan
 * @loan: the loan of current, which has no work left
 *
 * Cancels the helpers that have not started and waits for the others to end
 * their chunks, for which they get a fatal signal if the caller has one and the
 * task is killable. The one that was lent first runs at the caller's priority
 * meanwhile, whatever that is at the moment.
 */
void ktask_loan_settle(struct ktask_loan *loan)
{
	struct ktask_helper *helper;
	struct css_set *cset = NULL;

	ktask_loan_cancel(loan);

	spin_lock(&loan->lock);
	loan->waiting = true;
	while (!list_empty(&loan->helpers)) {
		if (!cset) {
			cset = ktask_cset_get(current);
			ktask_count_working(cset, -1);
		}
		helper = list_first_entry(&loan->helpers, struct ktask_helper,
					  node);
		ktask_loan_kill(loan);
		ktask_helper_renice(helper);
		ktask_loan_wait(loan, helper);
	}
	spin_unlock(&loan->lock);
	if (cset) {
		ktask_count_working(cset, 1);
		ktask_cset_put(cset);
	}
	ktask_loan_own_up(&loan->owed);
}

/* Leave because there are more helpers than the budget has room for? */
static bool ktask_over_budget(struct ktask_loan *loan, enum ktask_limit *limit)
{
	/* Pairs with the release in ktask_helper_serve(). */
	int nr = atomic_read_acquire(&loan->nr);
	int leaving = atomic_read(&loan->leaving);
	struct ktask_budget budget;

	ktask_loan_budget(loan, &budget, nr, false);
	*limit = budget.limit;
	do {
		/* Only as many leave as are too many. */
		if (nr - leaving <= (int)budget.helpers)
			return false;
	} while (!atomic_try_cmpxchg(&loan->leaving, &leaving, leaving + 1));

	return true;
}

/* Do more threads run than the caller's limits have CPUs? Once per tick. */
static bool ktask_too_busy(struct ktask_helper *helper)
{
	if (!time_after(jiffies, helper->looked) || ktask_eager())
		return false;

	helper->looked = jiffies;
	return ktask_spare_cpus(helper->loan->caller) < 0;
}

/* Nodes that a task may have memory from, as its cpuset says */
static nodemask_t ktask_mems_of(struct task_struct *task)
{
#ifdef CONFIG_CPUSETS
	guard(task_lock)(task);
	return task->mems_allowed;
#else
	return node_states[N_MEMORY];
#endif
}

static bool ktask_has_mems_of(struct task_struct *caller)
{
#ifdef CONFIG_CPUSETS
	/* data_race: what changes just now is seen before the next chunk. */
	return data_race(nodes_equal(current->mems_allowed,
				     caller->mems_allowed));
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

	helper->over_cap = ktask_cap_reclaim(helper->cset);
	if (helper->over_cap)
		return KTASK_LIMIT_CAP;
	if (!ktask_cset_is_current(helper->cset, loan->caller) ||
	    !ktask_has_mems_of(loan->caller))
		return KTASK_LIMIT_MOVED;
	if (!ktask_helper_has_cpus(helper))
		return KTASK_LIMIT_CPUS;
	helper->leaving = ktask_over_budget(loan, &limit);
	if (helper->leaving)
		return limit;
	if (ktask_too_busy(helper))
		return KTASK_LIMIT_BUSY;
	if (ktask_share_asked(loan, helper->cset, helper->since))
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

/**
 * ktask_helper_release - let a helper be lent again
 * @helper: one that was kept because &ktask_loan.work returned true; its loan
 *	was settled
 */
void ktask_helper_release(struct ktask_helper *helper)
{
	ktask_pool_put(helper);
}

/* What a helper takes over from its caller, and had before that */
struct ktask_outfit {
	struct mempolicy	*mempolicy;
	struct mem_cgroup	*memcg;
	unsigned int		memalloc_flags;
};

static struct mempolicy *ktask_swap_mempolicy(struct mempolicy *policy)
{
#ifdef CONFIG_NUMA
	guard(task_lock)(current);
	swap(current->mempolicy, policy);
	return policy;
#else
	return NULL;
#endif
}

/*
 * A copy of the caller's policy, which cpusets may rebind in place, each that of
 * its own tasks. Where it says that memory is to come from near the thread that
 * runs, what is meant is the caller, wherever the helper runs.
 */
static struct mempolicy *ktask_copy_mempolicy(struct ktask_helper *helper,
					      struct task_struct *caller)
{
#ifdef CONFIG_NUMA
	struct mempolicy *policy = &helper->mempolicy;
	int nid = cpu_to_node(task_cpu(caller));

	*policy = (struct mempolicy) {
		.mode = MPOL_PREFERRED,
		.flags = MPOL_F_MOF | MPOL_F_MORON,
		.nodes = nodemask_of_node(nid),
	};
	scoped_guard(task_lock, caller)
		if (caller->mempolicy && caller->mempolicy->mode != MPOL_LOCAL)
			*policy = *caller->mempolicy;

	atomic_set(&policy->refcnt, 1);
	if (policy->home_node == NUMA_NO_NODE)
		policy->home_node = nid;
	return policy;
#else
	return NULL;
#endif
}

static void ktask_outfit_wear(struct ktask_outfit *old,
			      struct ktask_helper *helper)
{
	struct task_struct *caller = helper->loan->caller;

	old->memalloc_flags = memalloc_flags_save(READ_ONCE(caller->flags) &
						  (PF_MEMALLOC_NOIO |
						   PF_MEMALLOC_NOFS |
						   PF_MEMALLOC_PIN));
	old->memcg = set_active_memcg(ktask_cset_memcg(helper->cset));
	/* If a cpuset changes both in between, the helper will see and leave. */
	set_mems_allowed(ktask_mems_of(caller));
	old->mempolicy = ktask_swap_mempolicy(ktask_copy_mempolicy(helper, caller));
	if (helper->loan->mm)
		kthread_use_mm(helper->loan->mm);
}

static struct ktask_owed ktask_owed_by_current(void)
{
	return (struct ktask_owed) {
		.min_flt = current->min_flt,
		.maj_flt = current->maj_flt,
#ifdef CONFIG_MEMCG
		.over_high = current->memcg_nr_pages_over_high,
#endif
	};
}

/* What current did since it had @before goes to its caller. */
static void ktask_hand_over(struct ktask_loan *loan,
			    const struct ktask_owed *before)
	__must_hold(&loan->lock)
{
	struct ktask_owed now = ktask_owed_by_current();

	loan->owed.min_flt += now.min_flt - before->min_flt;
	loan->owed.maj_flt += now.maj_flt - before->maj_flt;
	loan->owed.over_high += now.over_high;
#ifdef CONFIG_MEMCG
	current->memcg_nr_pages_over_high = 0;
#endif
}

static void ktask_outfit_return(struct ktask_outfit *old,
				struct ktask_helper *helper)
{
	if (helper->loan->mm)
		kthread_unuse_mm(helper->loan->mm);
	set_mems_allowed(node_states[N_MEMORY]);
	ktask_swap_mempolicy(old->mempolicy);
	set_active_memcg(old->memcg);
	memalloc_flags_restore(old->memalloc_flags);
}

/* The loan is without a helper from here on. */
static void ktask_loan_take_back(struct ktask_loan *loan,
				 struct ktask_helper *helper)
	__must_hold(&loan->lock)
{
	/*
	 * The release pairs with the acquire in ktask_over_budget(): one helper
	 * too many may think that it has to leave, but none that it may stay.
	 */
	if (helper->leaving)
		atomic_dec(&loan->leaving);
	atomic_dec_return_release(&loan->nr);
	atomic_set(&helper->state, KTASK_HELPER_IDLE);
	list_del(&helper->node);
}

/* Serve a loan from start to end. */
static void ktask_helper_serve(struct ktask_helper *helper)
{
	struct ktask_loan *loan = helper->loan;
	struct ktask_owed before = ktask_owed_by_current();
	u64 ns = task_sched_runtime(current);
	struct ktask_outfit own;
	bool keep;

	ktask_outfit_wear(&own, helper);
	ktask_count_working(helper->cset, 1);
	keep = loan->work(&helper->worker, loan->job);
	ktask_count_working(helper->cset, -1);
	ktask_outfit_return(&own, helper);

	ns = task_sched_runtime(current) - ns;

	ktask_cap_return(helper->cset, helper->over_cap);

	/*
	 * The loan is on the caller's stack, and the caller leaves once it
	 * holds the lock and finds the list empty: so wake it under the lock,
	 * and do not touch the loan after that. The lock is not held while the
	 * helper moves between groups, as all may end at once; but for one that
	 * failed, which the caller may release from then on.
	 */
	scoped_guard(spinlock, &loan->lock) {
		if (keep)
			ktask_helper_go_home(helper, true);
		ktask_trace_return(loan, current, ns);
		ktask_loan_take_back(loan, helper);
		loan->stats[KTASK_STAT_HELPER_NS] += ns;
		ktask_hand_over(loan, &before);
		if (signal_pending(current))
			flush_signals(current);
		WRITE_ONCE(current->signal->oom_mm, NULL);
		if (loan->waiting)
			wake_up_process(loan->caller);
	}

	if (!keep)
		ktask_helper_go_home(helper, false);
}

static int ktask_helper_main(void *data)
{
	struct ktask_helper *helper = data;

	/* Only the kernel can send it: see ktask_loan_kill(). */
	allow_kernel_signal(SIGKILL);
	ktask_pool_put(helper);

	for (;;) {
		set_current_state(TASK_IDLE);
		if (kthread_should_stop())
			break;
		/* Pairs with the release in ktask_loan_extend(). */
		if (atomic_cmpxchg_acquire(&helper->state, KTASK_HELPER_LENT,
					   KTASK_HELPER_WORKING) ==
		    KTASK_HELPER_LENT) {
			__set_current_state(TASK_RUNNING);
			ktask_helper_serve(helper);
			continue;
		}
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

static struct ktask_pool *ktask_pool_create(int nid)
{
	struct ktask_pool *pool;

	pool = kzalloc_node(sizeof(*pool), GFP_KERNEL, nid);
	if (!pool)
		return NULL;

	pool->nid = nid;
	raw_spin_lock_init(&pool->lock);
	INIT_LIST_HEAD(&pool->idle);
	INIT_DELAYED_WORK(&pool->manager, ktask_pool_manage);

	/* Pairs with smp_load_acquire() in ktask_pool_get(). */
	smp_store_release(&ktask_pools[nid], pool);
	return pool;
}

/*
 * Called for one CPU at a time, at first for those that are there already. A
 * CPU is welcome even if its node gets no pool: other nodes have helpers too.
 */
static int ktask_cpu_online(unsigned int cpu)
{
	int nid = cpu_to_node(cpu);
	struct ktask_pool *pool = ktask_pool_get(nid);

	if (!pool && nid != NUMA_NO_NODE)
		pool = ktask_pool_create(nid);
	if (pool)
		mod_delayed_work(system_unbound_wq, &pool->manager, 0);
	return 0;
}

static struct ctl_table ktask_sysctls[] = {
	{
		.procname	= "ktask_max_threads",
		.data		= &ktask_max_threads,
		.maxlen		= sizeof(ktask_max_threads),
		.mode		= 0644,
		.proc_handler	= proc_dointvec_minmax,
		.extra1		= SYSCTL_ONE,
		.extra2		= SYSCTL_INT_MAX,
	},
};

static int __init ktask_init(void)
{
	int state;

	ktask_max_threads = nr_cpu_ids;
	register_sysctl("debug", ktask_sysctls);

	state = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "ktask:online",
				  ktask_cpu_online, NULL);
	return min(state, 0);
}
core_initcall(ktask_init);
