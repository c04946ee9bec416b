// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lend a task's cgroups to a ktask helper
 *
 * A helper on loan points at its caller's css_set and holds a reference on it,
 * but is not on its list of tasks. So everything that is charged by css goes
 * where the caller's would, while cgroup.procs, the populated state and rmdir
 * know nothing of the helper: a migration does not have to move it and the
 * removal of the cgroup does not have to wait for it. The css_set keeps its
 * csses, and with them the caller's task_group and memcg, for as long as the
 * loan lasts; but they may be offline. Who charges to a css without keeping a
 * reference has to look: hugetlb_cgroup charges the next one above instead. No
 * lock of the cgroup core is taken, but by the last reference to go.
 */
#include <linux/memcontrol.h>
#include <linux/psi.h>

#include "cgroup-internal.h"
#ifdef CONFIG_CPUSETS
#include "cpuset-internal.h"
#endif

#include "../ktask/internal.h"

/**
 * ktask_cset_get - get the css_set that a caller has now
 * @caller: the task
 *
 * Return: the css_set, with a reference for ktask_cset_put().
 */
struct css_set *ktask_cset_get(struct task_struct *caller)
{
	struct css_set *cset;

	/* A css_set whose last reference is gone was left by the caller. */
	guard(rcu)();
	do {
		cset = task_css_set(caller);
	} while (!refcount_inc_not_zero(&cset->refcount));

	return cset;
}

/**
 * ktask_cset_put - give back what ktask_cset_get() returned
 * @cset: the css_set
 */
void ktask_cset_put(struct css_set *cset)
{
	put_css_set(cset);
}

/**
 * ktask_cset_is_current - is the caller still where it was?
 * @cset: the css_set that ktask_cset_get() returned for it
 * @caller: the task
 *
 * Return: false once the caller was moved to another cgroup.
 */
bool ktask_cset_is_current(struct css_set *cset, struct task_struct *caller)
{
	guard(rcu)();
	return task_css_set(caller) == cset;
}

/**
 * ktask_cset_enter - put a helper into a caller's cgroups
 * @helper: the helper, in the root cgroups
 * @cset: the caller's css_set; the reference on it has to outlast
 *	ktask_cset_leave()
 */
void ktask_cset_enter(struct task_struct *helper, struct css_set *cset)
{
	cgroup_move_task(helper, cset);
	ktask_sched_move(helper);
}

/**
 * ktask_cset_leave - put a helper back into the root cgroups
 * @helper: the helper
 */
void ktask_cset_leave(struct task_struct *helper)
{
	cgroup_move_task(helper, &init_css_set);
	ktask_sched_move(helper);
}

/**
 * ktask_cset_memcg - the memory cgroup of a css_set
 * @cset: the css_set
 *
 * Return: the memcg, valid for as long as @cset is; NULL without CONFIG_MEMCG.
 */
struct mem_cgroup *ktask_cset_memcg(struct css_set *cset)
{
#ifdef CONFIG_MEMCG
	return mem_cgroup_from_css(cset->subsys[memory_cgrp_id]);
#else
	return NULL;
#endif
}

/**
 * ktask_cgroup_id - the cgroup that a caller is in, for traces
 * @caller: the task
 *
 * Return: its id, which is the inode number of its directory.
 */
u64 ktask_cgroup_id(struct task_struct *caller)
{
	guard(rcu)();
	return cgroup_id(task_dfl_cgroup(caller));
}

#ifdef CONFIG_CGROUP_KTASK
/**
 * ktask_cgroup_cpus - CPUs on which helpers of a cgroup's tasks may run
 * @cgrp: the cgroup
 *
 * For display: the mask may change while it is counted.
 *
 * Context: RCU read lock held.
 *
 * Return: their number, for a task that is not restricted any further.
 */
unsigned int ktask_cgroup_cpus(struct cgroup *cgrp)
{
#ifdef CONFIG_CPUSETS
	struct cgroup_subsys_state *css = cgroup_e_css(cgrp, &cpuset_cgrp_subsys);

	return ktask_usable_cpus(css_cs(css)->effective_cpus, NULL, UINT_MAX);
#else
	return ktask_usable_cpus(cpu_online_mask, NULL, UINT_MAX);
#endif
}
#endif
