// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask pools: the helper threads of each NUMA node that wait for work
 *
 * A task takes an idle helper or does without: nobody waits for one to be
 * created. The manager of a pool adds helpers in the background when tasks
 * found too few, and stops those that stay idle.
 */
#include <linux/cpuhotplug.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/workqueue.h>

#include "helper.h"

/* Helpers that a node's pool has for its CPUs, needed or not */
#define KTASK_POOL_MIN		4U

/**
 * struct ktask_pool - the helpers of a NUMA node
 * @nid: the node
 * @lock: protects the fields below
 * @idle: idle helpers, the one that worked last comes first
 * @nr: helpers, lent ones and those being created included
 * @nr_idle: length of @idle
 * @nr_unused: the least that @nr_idle was since the pool was last looked at
 * @nr_missed: helpers that a task found missing since then
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

static struct ktask_pool *ktask_pool_of(int nid)
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
		if (!node_isset(nid, *seen) && ktask_pool_of(nid) &&
		    (nearest == NUMA_NO_NODE ||
		     node_distance(from, nid) < node_distance(from, nearest)))
			nearest = nid;
	if (nearest == NUMA_NO_NODE)
		return NULL;

	node_set(nearest, *seen);
	return ktask_pool_of(nearest);
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
static struct ktask_helper *ktask_pool_take_from(struct ktask_pool *pool)
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

/**
 * ktask_pool_take - take an idle helper, of the nearest node that has one
 * @nid: the node to begin with
 *
 * Context: any, but for hard interrupts.
 *
 * Return: the helper, or NULL if there is none.
 */
struct ktask_helper *ktask_pool_take(int nid)
{
	nodemask_t seen = NODE_MASK_NONE;
	struct ktask_helper *helper = NULL;
	struct ktask_pool *pool;

	while (!helper && (pool = ktask_pool_next(nid, &seen)))
		helper = ktask_pool_take_from(pool);
	return helper;
}

/**
 * ktask_pool_put - put a helper into its pool
 * @helper: the helper; it may be lent from then on
 *
 * Context: any, but for hard interrupts.
 */
void ktask_pool_put(struct ktask_helper *helper)
{
	struct ktask_pool *pool = ktask_pool_of(helper->nid);

	guard(raw_spinlock)(&pool->lock);
	list_add(&helper->node, &pool->idle);
	pool->nr_idle++;
}

/*
 * Have a pool grow by so many helpers, as far as it may. Returns how many more
 * are missing. Each caller that misses some says so before each of its chunks, so
 * this is no sum.
 */
static unsigned int ktask_pool_missed_by(struct ktask_pool *pool, unsigned int nr)
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

/**
 * ktask_pool_missed - let pools grow, the nearest first
 * @nid: the node to begin with
 * @nr: helpers that a caller might have had, but did not find
 *
 * Each caller gets as many helpers as there are, and the root's cap, one for each
 * CPU, is what there can be.
 *
 * Context: any, but for hard interrupts.
 */
void ktask_pool_missed(int nid, unsigned int nr)
{
	nodemask_t seen = NODE_MASK_NONE;
	struct ktask_pool *pool;

	while (nr && (pool = ktask_pool_next(nid, &seen)))
		nr = ktask_pool_missed_by(pool, nr);
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

	if (ktask_helper_create(pool->nid))
		return true;

	guard(raw_spinlock)(&pool->lock);
	pool->nr--;
	return false;
}

/* Stop one idle helper. Returns false if all have been needed. */
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

	ktask_helper_stop(helper);
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

	/* Pairs with smp_load_acquire() in ktask_pool_of(). */
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
	struct ktask_pool *pool = ktask_pool_of(nid);

	if (!pool && nid != NUMA_NO_NODE)
		pool = ktask_pool_create(nid);
	if (pool)
		mod_delayed_work(system_unbound_wq, &pool->manager, 0);
	return 0;
}

static int __init ktask_pool_init(void)
{
	int state;

	state = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "ktask:online",
				  ktask_cpu_online, NULL);
	return min(state, 0);
}
core_initcall(ktask_pool_init);
