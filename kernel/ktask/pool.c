// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask pools: the idle helper threads of each NUMA node
 *
 * If there is no idle helper, a task does without: it does not wait until one
 * is created. The manager of a pool creates helpers in the background when
 * tasks found too few, and stops helpers that stay idle.
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

/* Helpers that a pool keeps even if unused; fewer if its node has fewer CPUs */
#define KTASK_POOL_MIN		4U

/**
 * struct ktask_pool - the helpers of a NUMA node
 * @nid: the node
 * @lock: protects the fields below
 * @idle: idle helpers; the one that worked last comes first
 * @nr: all helpers, including those on loan and those being created
 * @nr_idle: length of @idle
 * @nr_unused: minimum of @nr_idle since the manager last ran
 * @nr_missed: helpers to create because a task found too few
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
 * The pool nearest to node @from that is not in @seen; add its node to @seen.
 * A node that never had a CPU has no pool.
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

/* Skip helpers that are on their way to sleep and cannot be migrated at once. */
static struct ktask_helper *ktask_pool_take_from(struct ktask_pool *pool)
{
	struct ktask_helper *helper;

	guard(raw_spinlock)(&pool->lock);
	list_for_each_entry(helper, &pool->idle, node) {
		if (!ktask_sched_can_migrate(helper->task))
			continue;
		list_del(&helper->node);
		pool->nr_idle--;
		pool->nr_unused = min(pool->nr_unused, pool->nr_idle);
		return helper;
	}
	return NULL;
}

/**
 * ktask_pool_take - take an idle helper from the nearest node that has one
 * @nid: the node to begin with
 *
 * Context: any except hard interrupts.
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
 * Context: any except hard interrupts.
 */
void ktask_pool_put(struct ktask_helper *helper)
{
	struct ktask_pool *pool = ktask_pool_of(helper->nid);

	guard(raw_spinlock)(&pool->lock);
	list_add(&helper->node, &pool->idle);
	pool->nr_idle++;
}

/*
 * Let a pool grow by @nr helpers, up to its maximum. Returns how many are still
 * missing. Callers report missing helpers before each of their chunks, so take
 * the maximum of the reports, not the sum.
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
 * ktask_pool_request - let pools grow, the nearest first
 * @nid: the node to begin with
 * @nr: helpers that a caller was allowed, but did not find
 *
 * A single caller may take all helpers that there are. Pools grow up to one
 * helper per CPU, which is the cap of the root cgroup.
 *
 * Context: any except hard interrupts.
 */
void ktask_pool_request(int nid, unsigned int nr)
{
	nodemask_t seen = NODE_MASK_NONE;
	struct ktask_pool *pool;

	while (nr && (pool = ktask_pool_next(nid, &seen)))
		nr = ktask_pool_missed_by(pool, nr);
}

/*
 * Create a helper if there are too few, or if a task missed one. Returns false
 * if there is no need to, or if that fails.
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

/* Stop one unused helper. Returns false if there is none to stop. */
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

/* Grow at once when a task missed a helper; shrink after a time without use. */
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
 * Called for one CPU at a time, at first for those that are online already. If
 * the pool cannot be created, the CPU comes online all the same: its tasks use
 * the helpers of other nodes.
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
