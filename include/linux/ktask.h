/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ktask - run one big job of the kernel on several CPUs, within the limits of
 * the task that asked for it
 *
 * A client describes its job as a task: a range of equal units (pages, bytes,
 * PFNs) and a thread function that can do any part of that range. ktask cuts
 * the task into chunks and hands them to the calling thread and to helper
 * threads, as many as the caller's cgroup, CPUs and caps allow at that moment.
 * See Documentation/core-api/ktask.rst.
 */
#ifndef _LINUX_KTASK_H
#define _LINUX_KTASK_H

#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/lockdep_types.h>
#include <linux/numa.h>
#include <linux/types.h>

struct mm_struct;
struct task_struct;

/**
 * typedef ktask_thread_func - do one chunk of a task
 * @start: position of the chunk's first unit
 * @end: position just past the chunk's last unit
 * @arg: &ktask_ctl.kc_func_arg
 *
 * Called from the thread that called ktask_run() and from helper threads, for
 * several chunks at the same time. May sleep. If it fails, it has to leave its
 * chunk as if the chunk had never been started.
 *
 * Expensive setup, such as an mmu_gather, can be kept across chunks: call
 * ktask_next_chunk() instead of returning. An error then refers to the last
 * chunk only; the chunks before it are done.
 *
 * Return: 0, or an error that ends the task.
 */
typedef int (*ktask_thread_func)(void *start, void *end, void *arg);

/**
 * typedef ktask_undo_func - undo chunks that were completed
 * @start: position of the first unit to undo
 * @end: position just past the last unit to undo
 * @arg: &ktask_ctl.kc_func_arg
 *
 * Called only by the thread that called ktask_run(), after all threads have
 * stopped working. One call may cover several adjacent chunks. Cannot fail.
 */
typedef void (*ktask_undo_func)(void *start, void *end, void *arg);

/*
 * ktask_iter_func - advance a position (kernel-doc cannot parse this typedef)
 * @position: where to start from
 * @nsteps: units to advance by
 * @arg: &ktask_ctl.kc_func_arg
 *
 * For tasks whose positions are not plain numbers. Called with a spinlock held:
 * must not sleep.
 *
 * Return: the position @nsteps units after @position.
 */
typedef void *(*ktask_iter_func)(void *position, size_t nsteps, void *arg);

#ifdef CONFIG_KTASK
/* Not inline: a task is a plain range if its iterator has this address. */
void *ktask_iter_range(void *position, size_t nsteps, void *arg);
#else
static inline void *ktask_iter_range(void *position, size_t nsteps, void *arg)
{
	return (void *)((unsigned long)position + nsteps);
}
#endif

/**
 * struct ktask_node - the part of a task that is best done on one NUMA node
 * @kn_start: position of the first unit
 * @kn_task_size: number of units
 * @kn_nid: NUMA node, or NUMA_NO_NODE
 */
struct ktask_node {
	void		*kn_start;
	size_t		kn_task_size;
	int		kn_nid;
/* private: for the core. Units handed out so far; position of the next unit */
	atomic_long_t	kn_next;
	void		*kn_position;	/* protected by the job's lock */
};

/**
 * struct ktask_ctl - how to run a task
 * @kc_thread_func: does a chunk
 * @kc_undo_func: undoes completed chunks after an error, or NULL if that is not
 *	needed
 * @kc_iter_func: advances a position; ktask_iter_range() by default
 * @kc_func_arg: passed to all three
 * @kc_min_chunk_size: in units. The size of every chunk is a multiple of this,
 *	except the last chunk of each &struct ktask_node. 0 counts as 1
 * @kc_max_chunk_size: in units, 0 for no limit. Bounds a chunk if the cost of
 *	a unit varies a lot within a task
 * @kc_max_threads: maximum number of threads that work on the task at the same
 *	time, including the caller; 0 for no limit
 * @kc_max_helpers: maximum number of helpers that the task gets in total,
 *	including those that have left, except those that left so that ktask can
 *	measure whether helpers gain; 0 for no limit
 * @kc_cost_units: units that take one thread about @kc_cost_ns nanoseconds, if
 *	the client knows; else 0. With 0 the core measures the caller's first
 *	chunks before it adds helpers
 * @kc_cost_ns: see @kc_cost_units
 * @kc_uneven: the cost of a chunk depends on work that other chunks deferred.
 *	So use many chunks to judge whether helpers gain, and the sum of the
 *	caller's chunks to decide how many helpers the task is worth
 * @kc_killable: stop with -EINTR when the caller gets a fatal signal. Not for
 *	work that has to be done before the caller can exit: such a task keeps
 *	its helpers
 * @kc_mm: address space that helpers have to use (kthread_use_mm()), or NULL.
 *	The caller holds a reference on its mm_users
 */
struct ktask_ctl {
	ktask_thread_func	kc_thread_func;
	ktask_undo_func		kc_undo_func;
	ktask_iter_func		kc_iter_func;
	void			*kc_func_arg;
	size_t			kc_min_chunk_size;
	size_t			kc_max_chunk_size;
	unsigned int		kc_max_threads;
	unsigned int		kc_max_helpers;
	size_t			kc_cost_units;
	u64			kc_cost_ns;
	bool			kc_uneven;
	bool			kc_killable;
	struct mm_struct	*kc_mm;
};

#define KTASK_CTL_INITIALIZER(thread_func, func_arg, min_chunk_size)	\
	{								\
		.kc_thread_func = (thread_func),			\
		.kc_iter_func = ktask_iter_range,			\
		.kc_func_arg = (func_arg),				\
		.kc_min_chunk_size = (min_chunk_size),			\
	}

/**
 * DEFINE_KTASK_CTL - define a &struct ktask_ctl with the required fields
 * @name: name of the variable
 * @thread_func: &ktask_ctl.kc_thread_func
 * @func_arg: &ktask_ctl.kc_func_arg
 * @min_chunk_size: &ktask_ctl.kc_min_chunk_size
 */
#define DEFINE_KTASK_CTL(name, thread_func, func_arg, min_chunk_size)	\
	struct ktask_ctl name =						\
		KTASK_CTL_INITIALIZER(thread_func, func_arg, min_chunk_size)

/**
 * ktask_ctl_set_undo_func - set the function that undoes completed chunks
 * @ctl: the control block
 * @undo_func: &ktask_ctl.kc_undo_func
 */
static inline void ktask_ctl_set_undo_func(struct ktask_ctl *ctl,
					   ktask_undo_func undo_func)
{
	ctl->kc_undo_func = undo_func;
}

/**
 * ktask_ctl_set_iter_func - set the function that advances a position
 * @ctl: the control block
 * @iter_func: &ktask_ctl.kc_iter_func
 */
static inline void ktask_ctl_set_iter_func(struct ktask_ctl *ctl,
					   ktask_iter_func iter_func)
{
	ctl->kc_iter_func = iter_func;
}

/**
 * ktask_ctl_set_max_threads - limit the threads that work at the same time
 * @ctl: the control block
 * @max_threads: &ktask_ctl.kc_max_threads
 */
static inline void ktask_ctl_set_max_threads(struct ktask_ctl *ctl,
					     unsigned int max_threads)
{
	ctl->kc_max_threads = max_threads;
}

/**
 * ktask_ctl_set_max_helpers - limit the helpers that a task gets in total
 * @ctl: the control block
 * @max_helpers: &ktask_ctl.kc_max_helpers
 */
static inline void ktask_ctl_set_max_helpers(struct ktask_ctl *ctl,
					     unsigned int max_helpers)
{
	ctl->kc_max_helpers = max_helpers;
}

/**
 * ktask_ctl_set_cost - state the cost of units, so that helpers start at once
 * @ctl: the control block
 * @units: &ktask_ctl.kc_cost_units
 * @ns: &ktask_ctl.kc_cost_ns
 */
static inline void ktask_ctl_set_cost(struct ktask_ctl *ctl, size_t units,
				      u64 ns)
{
	ctl->kc_cost_units = units;
	ctl->kc_cost_ns = ns;
}

/**
 * ktask_ctl_set_killable - let a fatal signal end a task
 * @ctl: the control block
 */
static inline void ktask_ctl_set_killable(struct ktask_ctl *ctl)
{
	ctl->kc_killable = true;
}

#ifdef CONFIG_DEBUG_KTASK
extern bool ktask_debug_eager;
#endif

/**
 * ktask_eager - should jobs of any size become tasks, for a test?
 *
 * Return: true if ktask.eager is on, which needs CONFIG_DEBUG_KTASK.
 */
static inline bool ktask_eager(void)
{
#ifdef CONFIG_DEBUG_KTASK
	return READ_ONCE(ktask_debug_eager);
#else
	return false;
#endif
}

#ifdef CONFIG_KTASK

int __ktask_run_numa(struct ktask_node *nodes, size_t nr_nodes,
		     struct ktask_ctl *ctl, struct lock_class_key *key,
		     const char *name);

static inline int __ktask_run(void *start, size_t task_size,
			      struct ktask_ctl *ctl, struct lock_class_key *key,
			      const char *name)
{
	struct ktask_node node = {
		.kn_start = start,
		.kn_task_size = task_size,
		.kn_nid = NUMA_NO_NODE,
	};

	return __ktask_run_numa(&node, 1, ctl, key, name);
}

/**
 * ktask_run - run one task
 * @start: position of the first unit
 * @task_size: number of units; 0 is not an error
 * @ctl: how to run the task
 *
 * The calling thread works on the task too, so the task ends even if there is
 * no helper. Helpers work for as long, and on as many CPUs, as the caller's
 * limits allow. The call does not allocate memory and does not wait for a
 * thread to be created. A call from within a thread function runs serially.
 *
 * Locks that the caller holds stay locked while helpers work: a thread function
 * must not take them. For lockdep, each call site is a lock class of its own.
 *
 * Context: process context, may sleep. Also allowed within memalloc_*_save()
 * scopes and in early boot.
 *
 * Return: 0, the error of the first chunk that failed, or -EINTR if the task is
 * killable and its caller was killed. After an error, all completed chunks have
 * been undone, if @ctl has an undo function.
 */
#define ktask_run(start, task_size, ctl)				\
({									\
	static struct lock_class_key __ktask_key;			\
									\
	__ktask_run(start, task_size, ctl, &__ktask_key, "ktask_run:" #ctl); \
})

/**
 * ktask_run_numa - run one task whose parts belong to different NUMA nodes
 * @nodes: the parts; their positions need not be contiguous
 * @nr_nodes: number of @nodes, at least 1
 * @ctl: how to run the task
 *
 * As ktask_run(). A helper runs on the node of the part that it starts with, if
 * the caller's CPUs allow this. It continues with other parts when its part is
 * done.
 *
 * Context: as ktask_run().
 *
 * Return: as ktask_run().
 */
#define ktask_run_numa(nodes, nr_nodes, ctl)				\
({									\
	static struct lock_class_key __ktask_key;			\
									\
	__ktask_run_numa(nodes, nr_nodes, ctl, &__ktask_key,		\
			 "ktask_run_numa:" #ctl);			\
})

bool ktask_next_chunk(void **start, void **end);
unsigned int ktask_nr_helpers(void);
bool ktask_enabled(void);
bool ktask_available(void);
bool ktask_would_help(size_t left, size_t done, u64 ns);
void ktask_caller_moved(struct task_struct *caller);

#else /* CONFIG_KTASK */

static inline int ktask_run(void *start, size_t task_size,
			    struct ktask_ctl *ctl)
{
	void *end;

	if (!task_size)
		return 0;

	end = ctl->kc_iter_func(start, task_size, ctl->kc_func_arg);
	return ctl->kc_thread_func(start, end, ctl->kc_func_arg);
}

static inline int ktask_run_numa(struct ktask_node *nodes, size_t nr_nodes,
				 struct ktask_ctl *ctl)
{
	size_t i, done;
	int err;

	for (i = 0; i < nr_nodes; i++) {
		err = ktask_run(nodes[i].kn_start, nodes[i].kn_task_size, ctl);
		if (err)
			break;
	}
	if (i == nr_nodes || !ctl->kc_undo_func)
		return i == nr_nodes ? 0 : err;

	for (done = 0; done < i; done++) {
		struct ktask_node *kn = &nodes[done];

		if (kn->kn_task_size)
			ctl->kc_undo_func(kn->kn_start,
					  ctl->kc_iter_func(kn->kn_start,
							    kn->kn_task_size,
							    ctl->kc_func_arg),
					  ctl->kc_func_arg);
	}
	return err;
}

static inline bool ktask_next_chunk(void **start, void **end)
{
	return false;
}

static inline unsigned int ktask_nr_helpers(void)
{
	return 0;
}

static inline bool ktask_enabled(void)
{
	return false;
}

static inline bool ktask_available(void)
{
	return false;
}

static inline void ktask_caller_moved(struct task_struct *caller)
{
}

#endif /* CONFIG_KTASK */
#endif /* _LINUX_KTASK_H */
