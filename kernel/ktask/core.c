// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask core: cut a task, which is a range of units, into chunks, hand them
 * out, stop at the first error, and undo.
 *
 * The caller of ktask_run() works on its own task. Before each of its chunks
 * it tries to take on helpers, as long as the rest of the task is large enough
 * and the budget has room. Each helper checks before each of its chunks whether
 * it may stay (loan.c). Everything that a running task needs is on the caller's
 * stack or part of a helper. So nothing is allocated. The caller waits only at
 * the end, for the last chunks of its helpers.
 *
 * The first chunk has the client's minimum size. The size of later chunks
 * follows the measured cost, so that a helper can leave within about
 * KTASK_CHUNK_NS.
 */
#include <linux/kernel.h>
#include <linux/ktask.h>
#include <linux/lockdep.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/cputime.h>
#include <linux/sched/signal.h>
#include <linux/topology.h>

#include "gain.h"
#include "internal.h"
#include "math.h"

/*
 * One call of ktask_run(). The letters beside the fields mean:
 *
 * C: constant once the first helper was lent
 * O: only the caller uses it
 * L: protected by lock
 * A: read and written without a lock, with READ_ONCE(), WRITE_ONCE() or
 *    atomics
 */
struct ktask_job {
	struct ktask_ctl	*ctl;		/* C */
	struct ktask_node	*nodes;		/* C */
	size_t			nr_nodes;	/* C */
	size_t			min_chunk;	/* C */
	size_t			max_chunk;	/* C */
	unsigned int		max_helpers;	/* C: 0 if it has to be serial */

	/* Node for the next helper; distributes helpers over nodes */
	size_t			next_node;	/* O */

	/* The caller's last chunk, all if uneven, or the client's; 0: unknown */
	size_t			cost_units;	/* O */
	u64			cost_ns;	/* O */

	/* Whether helpers gain; how many worked when the last chunk began */
	struct ktask_gain	gain;		/* O */
	unsigned int		chunk_working;	/* O */

	/* Helpers on loan that have started. Others do not affect the cost */
	atomic_t		working;	/* A */

	/* Units that the next chunk should have. A hint: any value is valid */
	size_t			chunk;		/* A */

	int			error;		/* A: the first one stays */
	atomic_long_t		chunks;		/* A: chunks done */

	spinlock_t		lock;		/* see L */
	struct list_head	failed;		/* L: in order of hand-out */

	struct ktask_loan	loan;
#ifdef CONFIG_LOCKDEP
	struct lockdep_map	lockdep_map;	/* C */
#endif
};

/**
 * ktask_enabled - may any task have helpers?
 *
 * For clients that have their own path for serial work. The result may change
 * at any time.
 *
 * Return: false while debug.ktask_max_threads is 1.
 */
bool ktask_enabled(void)
{
	return READ_ONCE(ktask_max_threads) > 1;
}

/**
 * ktask_available - could a task of current have a helper?
 *
 * For clients that use another path when they cannot have helpers. That is so
 * if ktask is switched off, cpu.ktask.max is 0 in the cgroup or an ancestor,
 * affinity, cpuset or cpu.max leave at most one CPU, current is not in the fair
 * class, or current is within another task. The result may change at any time.
 *
 * Context: any except hard interrupts.
 *
 * Return: true if it could.
 */
bool ktask_available(void)
{
	struct ktask_budget budget;

	if (!ktask_enabled() || current->ktask_worker)
		return false;

	ktask_budget_configured(&budget, current, 1);
	return budget.helpers && ktask_caps_allow(current);
}

/**
 * ktask_would_help - would a helper have enough to do?
 * @left: units not done yet
 * @done: units done so far, at least 1
 * @ns: time that current needed for @done, in nanoseconds
 *
 * For clients that start without a task, because a task might cost more than it
 * gains.
 *
 * Context: any.
 *
 * Return: true if the rest should take long enough for two threads.
 */
bool ktask_would_help(size_t left, size_t done, u64 ns)
{
	return ktask_helpers_for_time(left, done, ns);
}

/**
 * ktask_iter_range - advance a position that is a plain number
 * @position: where to start from
 * @nsteps: units to advance by
 * @arg: not used
 *
 * The default of &ktask_ctl.kc_iter_func. Tasks that use it hand out chunks
 * without a lock.
 *
 * Return: @position + @nsteps.
 */
void *ktask_iter_range(void *position, size_t nsteps, void *arg)
{
	return (void *)((unsigned long)position + nsteps);
}

static size_t ktask_node_left(struct ktask_node *kn)
{
	return kn->kn_task_size - (size_t)atomic_long_read(&kn->kn_next);
}

static size_t ktask_job_left(struct ktask_job *job)
{
	size_t i, left = 0;

	for (i = 0; i < job->nr_nodes; i++)
		left = size_add(left, ktask_node_left(&job->nodes[i]));

	return left;
}

static bool ktask_is_range(struct ktask_job *job)
{
	return job->ctl->kc_iter_func == ktask_iter_range;
}

/*
 * Cut the next chunk off a part of the task. This is a compare and exchange
 * instead of an addition, because the chunk size depends on the rest, and so
 * that kn_next cannot pass the end of a task of almost SIZE_MAX units.
 */
static bool ktask_cut(struct ktask_job *job, struct ktask_node *kn,
		      struct ktask_chunk *chunk)
{
	unsigned int threads = 1 + atomic_read(&job->loan.nr);
	long next = atomic_long_read(&kn->kn_next);
	size_t first, units;

	do {
		first = next;
		if (first >= kn->kn_task_size)
			return false;
		units = ktask_chunk_size(kn->kn_task_size - first,
					 READ_ONCE(job->chunk), job->min_chunk,
					 threads);
	} while (!atomic_long_try_cmpxchg_relaxed(&kn->kn_next, &next,
						  first + units));

	chunk->node = kn;
	chunk->first = first;
	chunk->units = units;
	return true;
}

static bool ktask_take_from(struct ktask_job *job, struct ktask_node *kn,
			    struct ktask_chunk *chunk)
{
	ktask_iter_func iter = job->ctl->kc_iter_func;
	void *arg = job->ctl->kc_func_arg;

	if (ktask_is_range(job)) {
		if (!ktask_cut(job, kn, chunk))
			return false;
		chunk->start = iter(kn->kn_start, chunk->first, arg);
		chunk->end = iter(chunk->start, chunk->units, arg);
		return true;
	}

	guard(spinlock)(&job->lock);
	if (!ktask_cut(job, kn, chunk))
		return false;
	chunk->start = kn->kn_position;
	chunk->end = iter(chunk->start, chunk->units, arg);
	kn->kn_position = chunk->end;
	return true;
}

/* Must no further chunk be started? */
static bool ktask_stopped(struct ktask_job *job)
{
	if (job->ctl->kc_killable && fatal_signal_pending(job->loan.caller))
		cmpxchg(&job->error, 0, -EINTR);

	return READ_ONCE(job->error);
}

/* Take the next chunk of the worker's own node, or else of another node. */
static bool ktask_take_chunk(struct ktask_worker *worker)
{
	struct ktask_job *job = worker->job;
	size_t i, home = 0;

	if (ktask_stopped(job))
		return false;

	while (home < job->nr_nodes - 1 &&
	       job->nodes[home].kn_nid != worker->nid)
		home++;

	for (i = 0; i < job->nr_nodes; i++)
		if (ktask_take_from(job,
				    &job->nodes[(home + i) % job->nr_nodes],
				    &worker->chunk))
			return true;

	return false;
}

static bool ktask_chunk_before(const struct ktask_chunk *a,
			       const struct ktask_chunk *b)
{
	return a->node != b->node ? a->node < b->node : a->first < b->first;
}

static void ktask_chunk_failed(struct ktask_worker *worker, int error)
{
	struct ktask_job *job = worker->job;
	struct ktask_worker *next;

	cmpxchg(&job->error, 0, error);

	guard(spinlock)(&job->lock);
	list_for_each_entry(next, &job->failed, failed_node)
		if (ktask_chunk_before(&worker->chunk, &next->chunk))
			break;
	list_add_tail(&worker->failed_node, &next->failed_node);
}

static u64 ktask_waited_for_cpu(void)
{
#ifdef CONFIG_SCHED_INFO
	/* data_race: a preemption of current just here adds to it. */
	return data_race(current->sched_info.run_delay);
#else
	return 0;
#endif
}

static void ktask_used_start(struct ktask_used *used)
{
	used->since = local_clock();
	used->cpu_ns = task_sched_runtime(current);
	used->waited_ns = ktask_waited_for_cpu();
	used->sleeps = current->nvcsw;
}

static void ktask_used_since(const struct ktask_used *start,
			     struct ktask_used *used)
{
	/* If current migrated, the clocks of the CPUs may differ slightly. */
	used->since = max_t(s64, local_clock() - start->since, 1);
	used->cpu_ns = max_t(s64, task_sched_runtime(current) - start->cpu_ns,
			     1);
	used->waited_ns = ktask_waited_for_cpu() - start->waited_ns;
	used->sleeps = current->nvcsw - start->sleeps;
}

/* Does the core have to find out whether helpers gain? */
static bool ktask_is_judged(struct ktask_job *job)
{
	return !job->ctl->kc_cost_units && !ktask_eager();
}

/* Learn from a chunk of the caller how many helpers the task is worth. */
static void ktask_caller_learns(struct ktask_job *job,
				const struct ktask_chunk *chunk, u64 elapsed,
				u64 ns)
{
	unsigned int working = atomic_read(&job->working);
	u64 units = chunk->units / job->min_chunk;

	if (job->ctl->kc_uneven) {
		/* A single chunk may be unusually short, so use the sum. */
		job->cost_units = size_add(job->cost_units, chunk->units);
		job->cost_ns += elapsed;
	} else {
		job->cost_units = chunk->units;
		job->cost_ns = elapsed;
	}
	if (!ktask_is_judged(job))
		return;
	/* Skip a chunk during which the first helper came or the last one left. */
	if (units && !working == !job->chunk_working)
		ktask_gain_add(&job->gain, units, ns, working);
	WRITE_ONCE(job->loan.max_helpers, job->gain.max_helpers);
}

/*
 * A chunk is done: learn its cost. The time in a run queue depends neither on
 * the chunk size nor on helpers, so it does not count. Time asleep does: it is
 * part of the work.
 */
static void ktask_chunk_done(struct ktask_worker *worker)
{
	struct ktask_chunk *chunk = &worker->chunk;
	struct ktask_job *job = worker->job;
	struct ktask_used used;
	u64 ns;

	ktask_used_since(&worker->start, &used);
	if (used.sleeps)
		ns = max_t(s64, used.since - used.waited_ns, 1);
	else
		ns = used.cpu_ns;

	atomic_long_inc(&job->chunks);
	ktask_trace_chunk(&job->loan, chunk, used.since);
	if (ktask_chunk_is_representative(READ_ONCE(job->chunk), chunk->units, ns))
		WRITE_ONCE(job->chunk, ktask_chunk_adapt(chunk->units, ns,
							 job->min_chunk,
							 job->max_chunk));
	if (!worker->helper)
		ktask_caller_learns(job, chunk, used.since, ns);
	chunk->units = 0;
}

/* Pick the part that the next helper starts with; skip parts that are done. */
static struct ktask_node *ktask_next_node(struct ktask_job *job)
{
	struct ktask_node *kn;
	size_t i;

	for (i = 0; i < job->nr_nodes; i++) {
		kn = &job->nodes[job->next_node];
		job->next_node = (job->next_node + 1) % job->nr_nodes;
		if (ktask_node_left(kn))
			break;
	}
	return kn;
}

/*
 * Has the task had kc_max_helpers helpers in total? Helpers that left because
 * of KTASK_LIMIT_GAIN do not count and may be replaced.
 */
static bool ktask_lent_all(struct ktask_job *job)
{
	unsigned int in_all = job->ctl->kc_max_helpers;

	return in_all && job->loan.stats[KTASK_STAT_HELPERS] >=
			 (u64)in_all + READ_ONCE(job->loan.nr_left_for_gain);
}

/* How many helpers is the rest of a task worth? */
static unsigned int ktask_helpers_worth(struct ktask_job *job)
{
	size_t left = ktask_job_left(job);
	unsigned int helpers = min(job->max_helpers,
				   ktask_helpers_for_size(left, job->min_chunk));

	if (ktask_eager())
		return helpers;
	/* The caller has to know the cost of units before it has any helper. */
	if (!job->cost_units ||
	    (job->ctl->kc_uneven && job->cost_ns < KTASK_GAIN_SAMPLE_NS))
		return 0;
	return min(helpers, ktask_helpers_for_time(left, job->cost_units,
						   job->cost_ns));
}

/* Take on as many helpers as the rest is worth and the budget allows. */
static void ktask_add_helpers(struct ktask_job *job)
{
	unsigned int useful = job->loan.max_helpers, want;

	if (!job->max_helpers || READ_ONCE(job->error))
		return;

	/* Helpers that have just started may already have taken the rest. */
	want = ktask_helpers_worth(job);
	while (atomic_read(&job->loan.nr) < min(want, useful) &&
	       !ktask_lent_all(job) && !READ_ONCE(job->error) &&
	       ktask_loan_extend(&job->loan, want, ktask_next_node(job)->kn_nid))
		want = ktask_helpers_worth(job);
	/* A check is short: report only a pause, when more helpers do not gain. */
	if (job->gain.pause && want > useful &&
	    atomic_read(&job->loan.nr) >= useful)
		ktask_loan_refused(&job->loan, KTASK_LIMIT_GAIN);
	ktask_loan_leave_shared_cpu(&job->loan);
}

/*
 * Give current its next chunk. Before that, a helper checks whether it may
 * stay, and the caller takes on more helpers if it may.
 */
static bool ktask_next(struct ktask_worker *worker)
{
	/* Report to Tasks RCU too: helpers are kernel threads and may run long. */
	cond_resched_tasks_rcu_qs();
	if (!worker->helper)
		ktask_add_helpers(worker->job);
	else if (!ktask_helper_may_stay(worker->helper))
		return false;

	/* Count the hand-out too: it may be expensive and contend for the lock. */
	ktask_used_start(&worker->start);
	if (!ktask_take_chunk(worker))
		return false;
	if (!worker->helper)
		worker->job->chunk_working = atomic_read(&worker->job->working);
	return true;
}

/**
 * ktask_next_chunk - continue with another chunk in the same call
 * @start: where to put the position of its first unit
 * @end: where to put the position just past its last unit
 *
 * For thread functions that keep state across chunks; see &ktask_thread_func.
 * Call this when the current chunk is done. ktask then checks the limits.
 *
 * Context: the thread function of a task, may sleep.
 *
 * Return: true if there is another chunk to do; false if the thread function
 * must return 0 and not call this again.
 */
bool ktask_next_chunk(void **start, void **end)
{
	struct ktask_worker *worker = current->ktask_worker;

	if (WARN_ON_ONCE(!worker || !worker->chunk.units))
		return false;

	ktask_chunk_done(worker);
	if (!ktask_next(worker))
		return false;

	*start = worker->chunk.start;
	*end = worker->chunk.end;
	return true;
}

/**
 * ktask_nr_helpers - number of helpers that work on current's task
 *
 * For thread functions that have extra work only if other threads work at the
 * same time. Helpers may be added between two chunks of the caller, and may
 * leave at any time.
 *
 * Context: the thread function of a task.
 *
 * Return: the number of helpers on loan.
 */
unsigned int ktask_nr_helpers(void)
{
	struct ktask_worker *worker = current->ktask_worker;

	if (WARN_ON_ONCE(!worker))
		return 0;
	return atomic_read(&worker->job->loan.nr);
}

/* Call the thread function for a chunk; it may take further chunks itself. */
static bool ktask_do(struct ktask_worker *worker)
{
	struct ktask_ctl *ctl = worker->job->ctl;
	int error;

	error = ctl->kc_thread_func(worker->chunk.start, worker->chunk.end,
				    ctl->kc_func_arg);
	/* ktask_next_chunk() has already returned false. */
	if (!worker->chunk.units) {
		WARN_ON_ONCE(error);
		return false;
	}
	if (error) {
		ktask_chunk_failed(worker, error);
		return false;
	}

	ktask_chunk_done(worker);
	return true;
}

static void ktask_work(struct ktask_worker *worker)
{
	struct ktask_worker *outer = current->ktask_worker;

	current->ktask_worker = worker;
	while (ktask_next(worker) && ktask_do(worker))
		;
	current->ktask_worker = outer;
}

/* &ktask_loan.work of all helpers */
static bool ktask_help(struct ktask_worker *worker, void *arg)
{
	struct ktask_job *job = arg;

	worker->job = job;
	INIT_LIST_HEAD(&worker->failed_node);

	lock_map_acquire(&job->lockdep_map);
	atomic_inc(&job->working);
	ktask_work(worker);
	atomic_dec(&job->working);
	lock_map_release(&job->lockdep_map);

	return !list_empty(&worker->failed_node);
}

/* Position just past the last unit of @kn that was handed out */
static void *ktask_handed_out(struct ktask_job *job, struct ktask_node *kn)
{
	if (!ktask_is_range(job))
		return kn->kn_position;

	return ktask_iter_range(kn->kn_start, atomic_long_read(&kn->kn_next),
				job->ctl->kc_func_arg);
}

/*
 * Undo the part of one node: all units that were handed out, except the chunks
 * that failed. All threads have stopped, so no lock is needed.
 */
static void ktask_undo_node(struct ktask_job *job, struct ktask_node *kn)
{
	struct ktask_ctl *ctl = job->ctl;
	void *start = kn->kn_start;
	struct ktask_worker *worker;
	size_t first = 0;

	list_for_each_entry(worker, &job->failed, failed_node) {
		struct ktask_chunk *failed = &worker->chunk;

		if (failed->node != kn)
			continue;
		if (failed->first > first)
			ctl->kc_undo_func(start, failed->start,
					  ctl->kc_func_arg);
		first = failed->first + failed->units;
		start = failed->end;
	}

	if ((size_t)atomic_long_read(&kn->kn_next) > first)
		ctl->kc_undo_func(start, ktask_handed_out(job, kn),
				  ctl->kc_func_arg);
}

static void ktask_undo(struct ktask_job *job)
{
	struct ktask_worker *worker, *tmp;
	size_t i;

	if (job->ctl->kc_undo_func)
		for (i = 0; i < job->nr_nodes; i++)
			ktask_undo_node(job, &job->nodes[i]);

	list_for_each_entry_safe(worker, tmp, &job->failed, failed_node) {
		list_del(&worker->failed_node);
		if (worker->helper)
			ktask_helper_release(worker->helper);
	}
}

/*
 * A nested task is serial, both in the caller and in a helper. The outer task
 * already uses what the budget allows, and a helper that waits for helpers
 * could starve the pool.
 */
static unsigned int ktask_max_helpers(struct ktask_ctl *ctl)
{
	if (current->ktask_worker || !ktask_enabled())
		return 0;

	return min((ctl->kc_max_threads ?: INT_MAX) - 1,
		   ctl->kc_max_helpers ?: INT_MAX);
}

static void ktask_job_init(struct ktask_job *job, struct ktask_node *nodes,
			   size_t nr_nodes, struct ktask_ctl *ctl,
			   struct lock_class_key *key, const char *name)
{
	size_t min_chunk = max_t(size_t, ctl->kc_min_chunk_size, 1);
	size_t i;

	*job = (struct ktask_job) {
		.ctl = ctl,
		.nodes = nodes,
		.nr_nodes = nr_nodes,
		.min_chunk = min_chunk,
		.max_chunk = max(ctl->kc_max_chunk_size ?: SIZE_MAX, min_chunk),
		.max_helpers = ktask_max_helpers(ctl),
		.chunk = min_chunk,
		.cost_units = ctl->kc_cost_units,
		.cost_ns = ctl->kc_cost_ns,
		.failed = LIST_HEAD_INIT(job->failed),
	};

	for (i = 0; i < nr_nodes; i++) {
		atomic_long_set(&nodes[i].kn_next, 0);
		nodes[i].kn_position = nodes[i].kn_start;
	}

	spin_lock_init(&job->lock);
	lockdep_init_map(&job->lockdep_map, name, key, 0);
	ktask_loan_init(&job->loan, ctl->kc_mm, ktask_help, job);
	ktask_gain_init(&job->gain, ctl->kc_uneven);
	if (ktask_is_judged(job))
		job->loan.max_helpers = job->gain.max_helpers;
	job->loan.killable = ctl->kc_killable;
}

static void ktask_job_account(struct ktask_job *job)
{
	u64 *stats = job->loan.stats;
	unsigned int limit;

	stats[KTASK_STAT_TASKS] = 1;
	/* A helper that never started used no time. */
	stats[KTASK_STAT_SERIAL] = !stats[KTASK_STAT_HELPER_NS];
	stats[KTASK_STAT_CHUNKS] = atomic_long_read(&job->chunks);
	if (!ktask_enabled())
		job->loan.refused |= BIT(KTASK_LIMIT_SYSTEM);
	for (limit = 0; limit < NR_KTASK_LIMITS; limit++)
		stats[KTASK_STAT_REFUSED + limit] =
			!!(job->loan.refused & BIT(limit));

	ktask_account(job->loan.caller, stats);
}

int __ktask_run_numa(struct ktask_node *nodes, size_t nr_nodes,
		     struct ktask_ctl *ctl, struct lock_class_key *key,
		     const char *name)
{
	struct ktask_job job;
	struct ktask_worker caller = { .job = &job, .nid = numa_node_id() };

	might_sleep();

	ktask_job_init(&job, nodes, nr_nodes, ctl, key, name);
	if (!ktask_job_left(&job))
		return 0;

	/* For lockdep: current waits for helpers, and so for their locks. */
	if (job.max_helpers) {
		lock_map_acquire(&job.lockdep_map);
		lock_map_release(&job.lockdep_map);
	}

	ktask_trace_start(&job.loan, ctl->kc_thread_func,
			  ktask_job_left(&job), job.min_chunk);
	ktask_work(&caller);
	ktask_loan_settle(&job.loan);
	if (job.error)
		ktask_undo(&job);
	ktask_trace_end(&job.loan, job.error, atomic_long_read(&job.chunks));
	ktask_job_account(&job);

	return job.error;
}
