// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lend a task's cgroups to a ktask helper
 *
 * A helper on loan points to its caller's css_set and holds a reference on it,
 * but is not on its list of tasks. So the helper is charged to the same css as
 * the caller, while cgroup.procs, the populated state and rmdir ignore the
 * helper. A migration of the caller moves its helpers, too, before it ends
 * (../ktask/loan.c). So a helper is in a cgroup that is online and has a
 * member, the caller. The exception is a css that was disabled while the caller
 * was exiting: the caller keeps it. No lock of the cgroup core is taken, except
 * to drop the last reference on a css_set.
 */
#include <linux/memcontrol.h>

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

	/* If the css_set has no reference left, the caller has moved: retry. */
	guard(rcu)();
	do {
		cset = task_css_set(caller);
	} while (!refcount_inc_not_zero(&cset->refcount));

	return cset;
}

/**
 * ktask_cset_hold - get another reference on a css_set
 * @cset: the css_set; a reference is held
 */
void ktask_cset_hold(struct css_set *cset)
{
	get_css_set(cset);
}

/**
 * ktask_cset_put - drop a reference on a css_set
 * @cset: the css_set
 */
void ktask_cset_put(struct css_set *cset)
{
	put_css_set(cset);
}

/**
 * ktask_cset_is_current - is a css_set still that of the caller?
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
 * ktask_cgroup_cpus - CPUs on which the tasks of a cgroup may run
 * @cgrp: the cgroup
 *
 * Context: RCU read lock held.
 *
 * Return: the CPUs of its cpuset, which may change at any time.
 */
const struct cpumask *ktask_cgroup_cpus(struct cgroup *cgrp)
{
#ifdef CONFIG_CPUSETS
	struct cgroup_subsys_state *css = cgroup_e_css(cgrp, &cpuset_cgrp_subsys);

	return css_cs(css)->effective_cpus;
#else
	return cpu_online_mask;
#endif
}
#endif
