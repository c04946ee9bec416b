// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask budget: how many helpers a caller may have, and which limit says so
 *
 * The budget is the minimum of the following limits. Each of them counts the
 * caller as well, so it has room for one helper less:
 *
 *  - what the task is worth, which the core decides;
 *  - the CPUs that the caller's affinity and cpuset allow, less the CPUs that
 *    are isolated from kernel work;
 *  - cpu.max of the caller's cgroup and of every ancestor, rounded up to whole
 *    CPUs;
 *  - debug.ktask_max_threads.
 *
 * The rest of a quota in this period counts too, and so do the threads that the
 * cgroup runs already: if as many threads can run as these limits have CPUs, a
 * helper would only take turns with them.
 *
 * The caps of cpu.ktask.max are checked when a helper is lent (ktask_cgroup.c).
 * There is no notification when a limit changes: a loan renews its budget
 * several times per chunk (../ktask/loan.c).
 */
#include <linux/cpuset.h>
#include <linux/mmu_context.h>
#include <linux/sched/isolation.h>

#include "sched.h"

#include "../ktask/math.h"

const char *const ktask_limit_names[NR_KTASK_LIMITS] = {
	[KTASK_LIMIT_TASK]	= "task",
	[KTASK_LIMIT_CPUS]	= "cpus",
	[KTASK_LIMIT_CPU_MAX]	= "cpu.max",
	[KTASK_LIMIT_QUOTA]	= "quota",
	[KTASK_LIMIT_CAP]	= "cpu.ktask.max",
	[KTASK_LIMIT_SYSTEM]	= "debug.ktask_max_threads",
	[KTASK_LIMIT_CLASS]	= "class",
	[KTASK_LIMIT_BUSY]	= "busy",
	[KTASK_LIMIT_SHARE]	= "share",
	[KTASK_LIMIT_POOL]	= "pool",
	[KTASK_LIMIT_GAIN]	= "gain",
	[KTASK_LIMIT_MOVED]	= "moved",
	[KTASK_LIMIT_END]	= "end",
};

/* Threads that may work on a task, the caller included; 1 means no helpers */
unsigned int ktask_max_threads __read_mostly = 1;

/**
 * ktask_budget_narrow - narrow a budget by one limit
 * @budget: the budget
 * @helpers: number of helpers that the limit allows
 * @limit: which limit it is
 * @tg: the level that the limit belongs to, or NULL
 */
void ktask_budget_narrow(struct ktask_budget *budget, unsigned int helpers,
			 enum ktask_limit limit, struct task_group *tg)
{
	if (helpers >= budget->helpers)
		return;

	budget->helpers = helpers;
	budget->limit = limit;
	budget->tg = tg;
}

/*
 * Isolated CPUs are reserved for what an administrator puts there. No load is
 * balanced between them, and real-time threads may use them without limit. So
 * helpers do not run there, not even for a caller that may run nowhere else.
 */
static bool ktask_cpu_isolated(int cpu)
{
	return !housekeeping_cpu(cpu, HK_TYPE_DOMAIN) ||
	       !housekeeping_cpu(cpu, HK_TYPE_KTHREAD) ||
	       cpuset_cpu_is_isolated(cpu);
}

/**
 * ktask_usable_cpus - find the CPUs on which helpers may work for a caller
 * @allowed: CPUs that the caller may run on
 * @usable: where to put the result, or NULL
 * @enough: stop counting at this number, at least 1
 *
 * Return: their number, or @enough.
 */
unsigned int ktask_usable_cpus(const struct cpumask *allowed,
			       struct cpumask *usable, unsigned int enough)
{
	unsigned int nr = 0;
	int cpu;

	if (usable)
		cpumask_clear(usable);

	for_each_cpu_and(cpu, allowed, cpu_active_mask) {
		if (ktask_cpu_isolated(cpu))
			continue;
		if (usable)
			cpumask_set_cpu(cpu, usable);
		if (++nr == enough)
			break;
	}
	return nr;
}

#ifdef CONFIG_CFS_BANDWIDTH
static void ktask_budget_quota(struct ktask_budget *budget,
			       struct task_group *tg)
{
	u64 quota, period;

	for (; tg; tg = tg->parent) {
		quota = READ_ONCE(tg->cfs_bandwidth.quota);
		period = ktime_to_ns(READ_ONCE(tg->cfs_bandwidth.period));
		ktask_budget_narrow(budget,
				    ktask_helpers_for_quota(quota, period),
				    KTASK_LIMIT_CPU_MAX, tg);
	}
}

#else
static void ktask_budget_quota(struct ktask_budget *budget,
			       struct task_group *tg)
{
}

#endif /* CONFIG_CFS_BANDWIDTH */

/* The task group of the caller's cgroup, not its autogroup */
static struct task_group *ktask_caller_tg(struct task_struct *caller)
{
#ifdef CONFIG_CGROUP_SCHED
	return container_of(task_css(caller, cpu_cgrp_id), struct task_group,
			    css);
#else
	return NULL;
#endif
}

/**
 * ktask_budget_limits - narrow a budget by CPUs, bandwidth and the system
 * @budget: the budget
 * @tg: the caller's group
 * @cpus: CPUs that the caller's helpers may run on
 *
 * Context: RCU read lock held.
 */
void ktask_budget_limits(struct ktask_budget *budget, struct task_group *tg,
			 unsigned int cpus)
{
	/* Of equal limits the first one is named: that of the cgroup. */
	ktask_budget_quota(budget, tg);
	ktask_budget_narrow(budget, cpus ? cpus - 1 : 0, KTASK_LIMIT_CPUS,
			    NULL);
	ktask_budget_narrow(budget, READ_ONCE(ktask_max_threads) - 1,
			    KTASK_LIMIT_SYSTEM, NULL);
	/*
	 * A BPF scheduler runs its threads only if the fair class has none, so
	 * helpers would take precedence over all of them.
	 */
	if (scx_enabled())
		ktask_budget_narrow(budget, 0, KTASK_LIMIT_CLASS, NULL);
}

/*
 * Helpers are threads of the fair class. A real-time caller that waits for a
 * helper loses its turn among the threads of its priority. So real-time callers
 * have no helpers; nor has a fair caller while its priority is boosted.
 */
static bool ktask_is_fair(struct task_struct *caller)
{
	return READ_ONCE(caller->sched_class) == &fair_sched_class;
}

/* Threads with a cookie share a core with no others. Helpers have none. */
static bool ktask_has_cookie(struct task_struct *caller)
{
#ifdef CONFIG_SCHED_CORE
	return READ_ONCE(caller->core_cookie);
#else
	return false;
#endif
}

/**
 * ktask_budget_configured - make a budget from the configured limits only
 * @budget: the budget
 * @caller: the task that calls ktask_run(), not necessarily current
 * @want: maximum number of helpers of use
 *
 * Context: any except hard interrupts.
 */
void ktask_budget_configured(struct ktask_budget *budget,
			     struct task_struct *caller, unsigned int want)
{
	unsigned int cpus;

	guard(rcu)();
	*budget = (struct ktask_budget) {
		.helpers = want,
		.limit = KTASK_LIMIT_TASK,
	};
	/* data_race: a change that is missed is seen the next time. */
	cpus = data_race(ktask_usable_cpus(&caller->cpus_mask, NULL, want + 1));
	ktask_budget_limits(budget, ktask_caller_tg(caller), cpus);
	if (!ktask_is_fair(caller) || ktask_has_cookie(caller))
		ktask_budget_narrow(budget, 0, KTASK_LIMIT_CLASS, NULL);
	/* The group may go away after the read lock is dropped. */
	budget->tg = NULL;
}

/*
 * Runnable threads on a CPU: those of a group, or those of all classes in the
 * root group. The value of the last enqueue is precise enough.
 */
static unsigned int ktask_runnable_on(struct task_group *tg, int cpu)
{
#ifdef CONFIG_FAIR_GROUP_SCHED
	if (tg->parent)
		return READ_ONCE(tg->se[cpu]->runnable_weight);
#endif
	return READ_ONCE(cpu_rq(cpu)->nr_running);
}

/**
 * ktask_account_working - count a helper that starts to work, or one that ends
 * @cset: the caller's css_set; a reference is held
 * @nr: 1 or -1
 *
 * A caller that sleeps until its helpers have ended will soon run again. It
 * removes one helper while it sleeps, so that ktask_others() still counts it.
 */
void ktask_account_working(struct css_set *cset, int nr)
{
#ifdef CONFIG_CGROUP_SCHED
	struct task_group *tg;

	tg = container_of(cset->subsys[cpu_cgrp_id], struct task_group, css);
	for (; tg; tg = tg->parent)
		atomic_add(nr, &tg->ktask.others.working);
#endif
}

/*
 * CPUs that helpers may use, less the group's runnable threads there. At most
 * two threads count per CPU: more wait for that CPU, and use no other one.
 */
static long ktask_spare_of_cpus(struct task_group *tg,
				const struct cpumask *allowed)
{
	long spare = 0;
	int cpu;

	for_each_cpu_and(cpu, allowed, cpu_active_mask)
		if (!ktask_cpu_isolated(cpu))
			spare += 1L - min(ktask_runnable_on(tg, cpu), 2U);
	return spare;
}

#ifdef CONFIG_CFS_BANDWIDTH
/* ktask_others() counts time in units of 2^20 ns, about a millisecond. */
#define KTASK_OTHERS_SHIFT	20

/*
 * Runnable threads of a group on all CPUs, without helpers, as of at most about
 * a millisecond ago. All callers below the group share one count. A helper that
 * has not started, or has ended but not left yet, counts as such a thread.
 */
static long ktask_others(struct task_group *tg, u64 now)
{
	struct ktask_others *others = &tg->ktask.others;
	u64 seen = atomic64_read(&others->seen);
	u32 ms = now >> KTASK_OTHERS_SHIFT;
	s32 nr = 0;
	int cpu;

	if (upper_32_bits(seen) == ms)
		return (s32)lower_32_bits(seen);

	for_each_cpu(cpu, cpu_active_mask)
		nr += ktask_runnable_on(tg, cpu);
	nr -= atomic_read(&others->working);
	/* Unless another thread has stored a count since @seen was read */
	atomic64_cmpxchg(&others->seen, seen, (u64)ms << 32 | (u32)nr);
	return nr;
}

/* CPUs of a level's cpu.max, less the runnable threads below that level */
static long ktask_spare_of_quota(struct task_group *tg)
{
	u64 period = ktime_to_ns(READ_ONCE(tg->cfs_bandwidth.period));
	u64 quota = READ_ONCE(tg->cfs_bandwidth.quota);

	if (quota == RUNTIME_INF)
		return LONG_MAX;

	return 1L + ktask_helpers_for_quota(quota, period) -
	       ktask_others(tg, ktime_get_ns()) -
	       atomic_read(&tg->ktask.others.working);
}
#endif

/**
 * ktask_spare_cpus - CPUs within a caller's limits that its cgroups do not use
 * @caller: the task
 *
 * These are the CPUs that helpers may use, less the runnable threads of the
 * caller's cgroup there; and at each level with a cpu.max, the CPUs of cpu.max
 * less the runnable threads below that level. Helpers on loan count as threads.
 *
 * Context: any except hard interrupts.
 *
 * Return: the minimum of these; negative if there are more threads than CPUs.
 */
int ktask_spare_cpus(struct task_struct *caller)
{
	struct task_group *tg;
	long spare;

	guard(rcu)();
	tg = ktask_caller_tg(caller);
	/* data_race: a change that is missed is seen the next time. */
	spare = data_race(ktask_spare_of_cpus(tg, &caller->cpus_mask));
#ifdef CONFIG_CFS_BANDWIDTH
	for (; tg; tg = tg->parent)
		spare = min(spare, ktask_spare_of_quota(tg));
#endif
	return spare;
}

#ifdef CONFIG_CFS_BANDWIDTH
/* Helpers that a level's quota allows a caller that has @own of them already */
static unsigned int ktask_room_of_quota(struct task_group *tg, unsigned int own,
					u64 now)
{
	struct cfs_bandwidth *cfs_b = &tg->cfs_bandwidth;
	struct ktask_runtime rest;
	s64 left, others;

	if (READ_ONCE(cfs_b->quota) == RUNTIME_INF || !READ_ONCE(cfs_b->period_active))
		return INT_MAX;

	/* data_race: a torn or stale value affects only one decision. */
	left = data_race(hrtimer_get_expires_ns(&cfs_b->period_timer)) - now;
	others = atomic_read(&tg->ktask.others.working) - (s64)own;
	rest = (struct ktask_runtime) {
		.ns = READ_ONCE(cfs_b->runtime),
		.slice = sched_cfs_bandwidth_slice(),
		.period_left = max(left, 0LL),
		/* At least the caller, even if it does not run now */
		.threads = max(ktask_others(tg, now), 1L),
	};
	return ktask_helpers_within_runtime(&rest, own, max(others, 0LL));
}

/*
 * Narrow a budget by the rest of the quota at each level with a cpu.max:
 * helpers must not use run time that other threads can still use in this period.
 */
static void ktask_budget_runtime(struct ktask_budget *budget,
				 struct task_group *tg, unsigned int own)
{
	u64 now = ktime_get_ns();

	for (; tg; tg = tg->parent)
		ktask_budget_narrow(budget, ktask_room_of_quota(tg, own, now),
				    KTASK_LIMIT_QUOTA, NULL);
}
#else
static void ktask_budget_runtime(struct ktask_budget *budget,
				 struct task_group *tg, unsigned int own)
{
}
#endif

/**
 * ktask_budget_make - make the budget of a caller
 * @budget: the budget
 * @caller: the task that calls ktask_run(), not necessarily current
 * @own: helpers that @caller has; they are included in the budget
 *
 * The budget includes the configured limits and the rest of quotas.
 *
 * Context: any except hard interrupts.
 */
void ktask_budget_make(struct ktask_budget *budget, struct task_struct *caller,
		       unsigned int own)
{
	ktask_budget_configured(budget, caller, INT_MAX);
	guard(rcu)();
	ktask_budget_runtime(budget, ktask_caller_tg(caller), own);
}

/**
 * ktask_sched_enter - put a helper into a caller's cgroups
 * @helper: the helper
 * @cset: the caller's css_set; a reference is held until the helper has left
 *
 * The task group changes in the same way as with autogroup: a BPF scheduler is
 * not told. Once a budget made after it was loaded is used, no helper is lent,
 * and those at work leave.
 *
 * Context: any except hard interrupts. Takes @helper's pi_lock and the locks of
 * run queues.
 */
void ktask_sched_enter(struct task_struct *helper, struct css_set *cset)
{
#ifdef CONFIG_CGROUPS
	cgroup_move_task(helper, cset);
#endif
#ifdef CONFIG_CGROUP_SCHED
	sched_move_task(helper, true);
#endif
}

/**
 * ktask_sched_leave - put a helper back into the root cgroups
 * @helper: the helper
 *
 * Context: as ktask_sched_enter().
 */
void ktask_sched_leave(struct task_struct *helper)
{
#ifdef CONFIG_CGROUPS
	ktask_sched_enter(helper, &init_css_set);
#endif
}

/**
 * ktask_sched_can_migrate - can a helper be migrated without waiting for it?
 * @helper: an idle helper
 *
 * Context: any; the result may be out of date when this returns.
 *
 * Return: false if it runs, or was preempted where it must stay on its CPU.
 */
bool ktask_sched_can_migrate(struct task_struct *helper)
{
	/* data_race: after a stale value the lender waits for the helper. */
	return !task_curr(helper) && !data_race(is_migration_disabled(helper));
}

/* Does @helper wait for a CPU other than current's? Its rq is locked. */
static bool ktask_waits_elsewhere(struct task_struct *helper)
{
	int cpu = smp_processor_id();

	return cpu_active(cpu) && task_cpu(helper) != cpu &&
	       task_on_rq_queued(helper) && !helper->se.sched_delayed &&
	       !task_on_cpu(task_rq(helper), helper) &&
	       !is_migration_disabled(helper) &&
	       !task_on_scx(helper);
}

/**
 * ktask_sched_migrate_here - migrate a helper that waits for its CPU
 * @helper: a helper of current
 *
 * A helper may wait long for its CPU: because of real-time threads, threads of
 * other cgroups, or a cpu.max that is used up on that CPU, as run time is handed
 * out per CPU. The caller that waits for the helper could do the chunk itself.
 * So the caller gives the helper its own CPU, and with it the run time that its
 * cgroup has left there.
 *
 * To be called before current sleeps. The helper stays on that CPU until it is
 * placed for another loan.
 *
 * Context: process context. Takes @helper's pi_lock and the locks of run queues.
 *
 * Return: true if the helper was migrated.
 */
bool ktask_sched_migrate_here(struct task_struct *helper)
{
	struct affinity_context here = { };
	struct rq_flags rf;
	struct rq *rq;

	/* Check without locks first, as most helpers run. */
	if (data_race(task_curr(helper)))
		return false;

	rq = task_rq_lock(helper, &rf);
	if (!ktask_waits_elsewhere(helper)) {
		task_rq_unlock(rq, helper, &rf);
		return false;
	}

	update_rq_clock(rq);
	deactivate_task(rq, helper, DEQUEUE_NOCLOCK);
	here.new_mask = cpumask_of(smp_processor_id());
	set_cpus_allowed_common(helper, &here);
	set_task_cpu(helper, smp_processor_id());
	rq_unlock(rq, &rf);

	rq = this_rq();
	rq_lock(rq, &rf);
	update_rq_clock(rq);
	activate_task(rq, helper, ENQUEUE_NOCLOCK);
	wakeup_preempt(rq, helper, 0);
	task_rq_unlock(rq, helper, &rf);
	return true;
}

/**
 * ktask_sched_shares_cpu - does current share its CPU?
 * @nr_helpers: helpers of current that are on that CPU, and do not count
 *
 * Context: any; current may have migrated when this returns.
 *
 * Return: true if other threads are runnable there.
 */
bool ktask_sched_shares_cpu(unsigned int nr_helpers)
{
	return READ_ONCE(raw_rq()->nr_running) > 1 + nr_helpers;
}

/**
 * ktask_sched_has_cpu - does a helper have a CPU to itself?
 * @helper: the helper
 *
 * Context: any; the result may be out of date when this returns.
 *
 * Return: true if the helper runs and no other thread is runnable on its CPU.
 */
bool ktask_sched_has_cpu(struct task_struct *helper)
{
	return task_curr(helper) &&
	       READ_ONCE(cpu_rq(task_cpu(helper))->nr_running) == 1;
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

static int __init ktask_budget_init(void)
{
	ktask_max_threads = nr_cpu_ids;
	register_sysctl("debug", ktask_sysctls);
	return 0;
}
core_initcall(ktask_budget_init);
