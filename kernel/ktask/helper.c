// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask helpers: threads that work for a caller within the caller's limits
 *
 * While on loan, a helper is scheduled and charged as if it belonged to the
 * caller's cgroups: it has the caller's css_set, runs on the caller's CPUs, and
 * allocates with the caller's memcg, memory policy and mems_allowed. The lender
 * sets everything that decides where the helper runs before the helper starts,
 * so that the helper never works outside the caller's limits. The helper sets
 * the rest itself.
 *
 * Helpers run at nice 19 with the minimum slice, so that a waking thread
 * preempts them at once. A caller that waits for a helper lends the helper its
 * own priority (wait.c).
 */
#include <linux/cpuset.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/sched/cputime.h>
#include <linux/sched/isolation.h>
#include <linux/sched/mm.h>
#include <linux/sched/rt.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <uapi/linux/sched/types.h>

#include "helper.h"

/* Nice 19, and the minimum slice */
static void ktask_reset_prio(struct task_struct *task)
{
	static const struct sched_attr attr = {
		.sched_policy	= SCHED_NORMAL,
		.sched_nice	= MAX_NICE,
		.sched_runtime	= NSEC_PER_MSEC / 10,
	};

	WARN_ON_ONCE(sched_setattr_nocheck(task, &attr));
}

/* Work for a SCHED_IDLE caller is not more urgent than the caller. */
static void ktask_set_idle(struct task_struct *task, bool idle)
{
	static const struct sched_param param;
	int policy = idle ? SCHED_IDLE : SCHED_NORMAL;

	if (task->policy != policy)
		sched_setscheduler_nocheck(task, policy, &param);
}

/* Returns false if the helper already has this priority. */
static bool ktask_set_fifo(struct task_struct *task, int prio)
{
	struct sched_param param = { .sched_priority = MAX_RT_PRIO - 1 - prio };

	return !(task->policy == SCHED_FIFO &&
		 task->rt_priority == param.sched_priority) &&
	       !sched_setscheduler_nocheck(task, SCHED_FIFO, &param);
}

/* Returns false if the helper already is as nice as current, or SCHED_IDLE. */
static bool ktask_set_fair(struct task_struct *task)
{
	bool idle = current->policy == SCHED_IDLE;

	/* A real-time thread that waited for current may have given up. */
	if (task->policy == SCHED_FIFO)
		ktask_reset_prio(task);
	ktask_set_idle(task, idle);
	/* Not prio: a waiter for the helper's lock raises that, not the weight. */
	if (idle || task_nice(current) == task_nice(task))
		return false;

	set_user_nice(task, task_nice(current));
	return true;
}

/**
 * ktask_helper_set_prio - give a helper the present priority of its caller
 * @helper: a helper of current, at work
 *
 * This is the caller's nice value, or the real-time priority of a thread that
 * waits for the caller, for example for an mmap_lock on PREEMPT_RT. A deadline
 * cannot be inherited, so use the highest real-time priority instead. The nice
 * value of a SCHED_IDLE caller is ignored: its weight is lower.
 */
void ktask_helper_set_prio(struct ktask_helper *helper)
{
	int prio = max(current->prio, 0);
	bool changed;

	if (rt_prio(prio))
		changed = ktask_set_fifo(helper->task, prio);
	else
		changed = ktask_set_fair(helper->task);
	if (!changed)
		return;

	helper->loan->stats[KTASK_STAT_RENICED]++;
	ktask_trace_renice(helper->loan, helper->task, prio);
}

/**
 * ktask_helper_place - put a helper on its caller's CPUs
 * @helper: an idle helper
 * @loan: the loan that needs the helper
 * @nid: the NUMA node to prefer, or NUMA_NO_NODE
 *
 * If the caller may use CPUs of the node, place the helper on these; otherwise
 * on all CPUs that the caller may use.
 *
 * Context: process context, may sleep until the helper is off a CPU that it may
 * not use.
 *
 * Return: false if these CPUs have just gone offline.
 */
bool ktask_helper_place(struct ktask_helper *helper, struct ktask_loan *loan,
			int nid)
{
	ktask_set_idle(helper->task, loan->caller->policy == SCHED_IDLE);
	/* data_race: the helper checks the mask again before each chunk. */
	data_race(ktask_usable_cpus(&loan->caller->cpus_mask, helper->cpus,
				    UINT_MAX));
	if (nid >= 0 && nid < MAX_NUMNODES && node_online(nid) &&
	    cpumask_intersects(helper->cpus, cpumask_of_node(nid)))
		cpumask_and(helper->cpus, helper->cpus, cpumask_of_node(nid));

	return cpumask_equal(helper->task->cpus_ptr, helper->cpus) ||
	       !set_cpus_allowed_ptr(helper->task, helper->cpus);
}

/**
 * ktask_helper_start - start a helper for its loan
 * @helper: an idle helper, fully prepared
 */
void ktask_helper_start(struct ktask_helper *helper)
{
	/* A helper that is awake may work, return and exit before the wakeup. */
	struct task_struct *task = get_task_struct(helper->task);

	/* Pairs with the acquire in ktask_helper_main(). */
	atomic_set_release(&helper->state, KTASK_HELPER_LENT);
	wake_up_process(task);
	put_task_struct(task);
}

/**
 * ktask_helper_cancel - take back a helper that has not started
 * @helper: a helper on loan to current
 *
 * Return: false if it has started.
 */
bool ktask_helper_cancel(struct ktask_helper *helper)
{
	return atomic_cmpxchg(&helper->state, KTASK_HELPER_LENT,
			      KTASK_HELPER_IDLE) == KTASK_HELPER_LENT;
}

static void ktask_helper_reset_prio(struct ktask_helper *helper)
{
	if (helper->task->policy == SCHED_FIFO ||
	    task_nice(helper->task) != MAX_NICE)
		ktask_reset_prio(helper->task);
}

/* Wake the caller that waited for a helper, or NULL, and drop the reference. */
static void ktask_wake_waiter(struct task_struct *waiter)
{
	if (!waiter)
		return;

	wake_up_process(waiter);
	put_task_struct(waiter);
}

/**
 * ktask_helper_uncharge - stop charging a helper to its caller's cgroup
 * @helper: the helper that is current, or one that was cancelled
 *
 * From here on the helper does not follow its caller. So the cgroup that the
 * helper is still in may be removed, but that cgroup does not go offline before
 * the RCU read lock is dropped, in ktask_helper_return() or ktask_helper_serve().
 *
 * Return: the css_set of the helper, with a reference.
 */
struct css_set *ktask_helper_uncharge(struct ktask_helper *helper)
	__acquires(RCU)
{
	struct css_set *cset;

	rcu_read_lock();
	guard(raw_spinlock)(&helper->lock);
	cset = helper->cset;
	WRITE_ONCE(helper->cset, NULL);
	if (helper->working)
		ktask_account_working(cset, -1);
	helper->working = false;
	ktask_cap_uncharge(cset, helper->over_cap);
	return cset;
}

/*
 * Drop the css_set of a helper that has left. Until its next context switch perf
 * may refer to the cgroup, and nothing else keeps that from being freed.
 */
static void ktask_helper_put_cset(struct task_struct *task, struct css_set *cset)
{
	perf_cgroup_move(task);
	ktask_cset_put(cset);
}

/**
 * ktask_helper_return - put a helper back into the root cgroups and into its pool
 * @helper: the helper that is current, or one that was cancelled
 * @cset: what ktask_helper_uncharge() returned for it
 * @waiter: what ktask_loan_take_back() returned for it
 *
 * In the root cgroups the helper has the lowest priority, so a preemption may
 * take long. Before it can be preempted, it has to be in the pool, where others
 * can lend it, has to wake the waiter, and has to leave the RCU read section.
 */
void ktask_helper_return(struct ktask_helper *helper, struct css_set *cset,
			 struct task_struct *waiter)
	__releases(RCU)
{
	/* A helper that is in its pool may exit. */
	struct task_struct *task = get_task_struct(helper->task);

	preempt_disable();
	rcu_read_unlock();
	ktask_helper_reset_prio(helper);
	ktask_sched_leave(task);
	/* From here on the helper may be on loan again. */
	ktask_pool_put(helper);
	ktask_wake_waiter(waiter);
	preempt_enable();
	ktask_helper_put_cset(task, cset);
	put_task_struct(task);
}

/**
 * ktask_helper_follow - move a helper to the cgroup that its caller is in now
 * @helper: a helper of @caller
 * @caller: the task
 *
 * As when a thread moves, no limit prevents this. If there are more helpers
 * than a cap allows then, some leave. Memory is charged to the previous cgroup
 * until the helper leaves, at the end of its chunk.
 *
 * Context: any except hard interrupts.
 *
 * Return: false if there was nothing to do.
 */
bool ktask_helper_follow(struct ktask_helper *helper,
			 struct task_struct *caller)
{
	struct css_set *cset;
	bool moved = false;

	/* Unlocked: only the thread that moves @caller sets another css_set. */
	if (ktask_cset_is_current(READ_ONCE(helper->cset), caller))
		return false;

	cset = ktask_cset_get(caller);
	scoped_guard(raw_spinlock, &helper->lock) {
		if (!helper->cset)
			break;
		ktask_cap_move(helper->cset, cset, helper->over_cap);
		if (helper->working) {
			ktask_account_working(cset, 1);
			ktask_account_working(helper->cset, -1);
		}
		ktask_sched_enter(helper->task, cset);
		swap(helper->cset, cset);
		moved = true;
	}
	ktask_cset_put(cset);
	return moved;
}

/**
 * ktask_helper_release - allow a helper to be lent again
 * @helper: a helper that was kept because &ktask_loan.work returned true; its
 *	loan was settled
 */
void ktask_helper_release(struct ktask_helper *helper)
{
	ktask_helper_reset_prio(helper);
	ktask_pool_put(helper);
}

/* The helper's own values of what it takes over from its caller */
struct ktask_context {
	struct mempolicy	*mempolicy;
	struct mem_cgroup	*memcg;
	unsigned int		memalloc_flags;
};

/* Nodes whose memory the cpuset of a task allows */
static nodemask_t ktask_mems_of(struct task_struct *task)
{
#ifdef CONFIG_CPUSETS
	guard(task_lock)(task);
	return task->mems_allowed;
#else
	return node_states[N_MEMORY];
#endif
}

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
 * Copy the caller's policy. It cannot be shared: a cpuset may rebind the policy
 * of its tasks in place. If the policy prefers memory near the running thread,
 * the copy prefers memory near the caller, wherever the helper runs.
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

static void ktask_context_attach(struct ktask_context *old,
				 struct ktask_helper *helper)
{
	struct task_struct *caller = helper->loan->caller;

	old->memalloc_flags = memalloc_flags_save(READ_ONCE(caller->flags) &
						  (PF_MEMALLOC_NOIO |
						   PF_MEMALLOC_NOFS |
						   PF_MEMALLOC_PIN));
	scoped_guard(raw_spinlock, &helper->lock) {
		helper->working = true;
		ktask_account_working(helper->cset, 1);
		helper->attached = helper->cset;
		ktask_cset_hold(helper->attached);
	}
	old->memcg = set_active_memcg(ktask_cset_memcg(helper->attached));
	/* If a cpuset changes both now, the helper notices that and leaves. */
	set_mems_allowed(ktask_mems_of(caller));
	old->mempolicy = ktask_swap_mempolicy(ktask_copy_mempolicy(helper, caller));
	if (helper->loan->mm)
		kthread_use_mm(helper->loan->mm);
}

static void ktask_context_detach(struct ktask_context *old,
				 struct ktask_helper *helper)
{
	if (helper->loan->mm)
		kthread_unuse_mm(helper->loan->mm);
	set_mems_allowed(node_states[N_MEMORY]);
	ktask_swap_mempolicy(old->mempolicy);
	set_active_memcg(old->memcg);
	memalloc_flags_restore(old->memalloc_flags);
	ktask_cset_put(helper->attached);
}

static struct ktask_faults ktask_faults_of_current(void)
{
	return (struct ktask_faults) {
		.min_flt = current->min_flt,
		.maj_flt = current->maj_flt,
#ifdef CONFIG_MEMCG
		.over_high = current->memcg_nr_pages_over_high,
#endif
	};
}

/* Page faults of current since @before, for the caller to account. */
static struct ktask_faults ktask_faults_since(const struct ktask_faults *before)
{
	struct ktask_faults faults = ktask_faults_of_current();

	faults.min_flt -= before->min_flt;
	faults.maj_flt -= before->maj_flt;
#ifdef CONFIG_MEMCG
	current->memcg_nr_pages_over_high = 0;
#endif
	return faults;
}

/* No one can kill current any more: see ktask_loan_kill(). */
static void ktask_clear_kill(void)
{
	if (signal_pending(current))
		flush_signals(current);
	WRITE_ONCE(current->signal->oom_mm, NULL);
}

/* Serve a loan from start to end. */
static void ktask_helper_serve(struct ktask_helper *helper)
{
	struct ktask_faults faults = ktask_faults_of_current();
	struct ktask_loan *loan = helper->loan;
	u64 ns = task_sched_runtime(current);
	struct task_struct *waiter;
	struct ktask_context own;
	struct css_set *cset;
	bool keep;

	ktask_context_attach(&own, helper);
	keep = loan->work(&helper->worker, loan->job);
	ktask_context_detach(&own, helper);

	ns = task_sched_runtime(current) - ns;
	faults = ktask_faults_since(&faults);
	cset = ktask_helper_uncharge(helper);

	/*
	 * All helpers may return at the same time, so hold no lock of the loan
	 * while one of them changes cgroups.
	 */
	if (keep) {
		preempt_disable();
		rcu_read_unlock();
		ktask_sched_leave(current);
		preempt_enable();
		ktask_helper_put_cset(current, cset);
		/* From here on the caller may release the helper. */
		waiter = ktask_loan_take_back(loan, helper, ns, &faults);
		ktask_clear_kill();
		ktask_wake_waiter(waiter);
	} else {
		waiter = ktask_loan_take_back(loan, helper, ns, &faults);
		ktask_clear_kill();
		ktask_helper_return(helper, cset, waiter);
	}
}

static int ktask_helper_main(void *data)
{
	struct ktask_helper *helper = data;

	/* Only the kernel can send this signal: see ktask_loan_kill(). */
	allow_kernel_signal(SIGKILL);
	ktask_pool_put(helper);

	for (;;) {
		set_current_state(TASK_IDLE);
		if (kthread_should_stop())
			break;
		/* Pairs with the release in ktask_helper_start(). */
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

static void ktask_helper_free(struct ktask_helper *helper)
{
	free_cpumask_var(helper->cpus);
	kfree(helper);
}

/**
 * ktask_helper_create - create a helper thread, which adds itself to its pool
 * @nid: the NUMA node of the pool
 *
 * Context: process context, may sleep.
 *
 * Return: true if the helper was created.
 */
bool ktask_helper_create(int nid)
{
	struct ktask_helper *helper;

	helper = kzalloc_node(sizeof(*helper), GFP_KERNEL, nid);
	if (!helper)
		return false;
	if (!zalloc_cpumask_var_node(&helper->cpus, GFP_KERNEL, nid)) {
		kfree(helper);
		return false;
	}
	helper->nid = nid;
	raw_spin_lock_init(&helper->lock);
	helper->task = kthread_create_on_node(ktask_helper_main, helper, nid,
					      "ktask/%d", nid);
	if (IS_ERR(helper->task)) {
		ktask_helper_free(helper);
		return false;
	}
	ktask_reset_prio(helper->task);
	/* Only ktask may move it: no cpuset, no cgroup, no administrator. */
	kthread_bind_mask(helper->task, housekeeping_cpumask(HK_TYPE_KTHREAD));
	wake_up_process(helper->task);
	return true;
}

/**
 * ktask_is_helper - is a task a helper thread?
 * @task: the task
 *
 * User space may not change a helper's scheduling policy: helpers of another
 * class than the caller's would escape the caller's quota, and a deadline could
 * not be taken back without sleeping.
 *
 * Return: true if it is.
 */
bool ktask_is_helper(struct task_struct *task)
{
	return kthread_func(task) == ktask_helper_main;
}

/**
 * ktask_helper_stop - stop a helper thread
 * @helper: an idle helper that is not in a pool any more
 *
 * Context: process context, may sleep.
 */
void ktask_helper_stop(struct ktask_helper *helper)
{
	/* On the CPUs of its last caller it might never run again. */
	set_cpus_allowed_ptr(helper->task,
			     housekeeping_cpumask(HK_TYPE_KTHREAD));
	kthread_stop(helper->task);
	ktask_helper_free(helper);
}
