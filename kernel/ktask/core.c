// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask core: a task is a range of units; cut it into chunks, hand them out,
 * stop at the first error, undo.
 *
 * The caller of ktask_run() works on its own task. Before each of its chunks
 * it tries to take on helpers, for as long as what is left is worth it and its
 * budget has room; each helper asks before each of its chunks whether it may
 * stay (loan.c). Everything that a running task needs is on the caller's
 * stack or part of a helper: nothing is allocated and nobody is waited for,
 * but for the last chunks of helpers at the end.
 *
 * The size of a chunk follows the measured cost of the chunks before it, so
 * that a helper can be taken away within about KTASK_CHUNK_NS; the first one
 * is the client's minimum.
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
 * One call of ktask_run(). Legend of the letters:
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

	/* Where the next helper starts; spreads helpers over nodes */
	size_t			next_node;	/* O */

	/* The caller's last chunk, or what the client said; 0: not known */
	size_t			cost_units;	/* O */
	u64			cost_ns;	/* O */

	/* What the caller's chunks told, and who worked as the last one began */
	struct ktask_gain	gain;		/* O */
	unsigned int		chunk_working;	/* O */

	/* Helpers on loan that have started. Those yet to come cost nothing */
	atomic_t		working;	/* A */

	/* Units that the next chunk should have. A hint: any value will do */
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
 * For clients with a path of their own for serial work. The answer may change
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
 * For clients that do something else where they will have none: with ktask
 * switched off, with a cpu.ktask.max of 0 somewhere above, with one CPU or less
 * by affinity, cpuset or cpu.max, in a class other than the fair one, and within
 * another task. The answer may change at any time.
 *
 * Context: any, but for hard interrupts.
 *
 * Return: false if not.
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
 * @left: units that are left
 * @done: units done so far, at least 1
 * @ns: what these took current, in nanoseconds
 *
 * For clients that begin by themselves, where a task might cost more than it gains.
 *
 * Context: any.
 *
 * Return: true if what is left should take long enough for two threads.
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
 * The default of &ktask_ctl.kc_iter_func. Tasks that use it get their chunks
 * without taking a lock.
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
 * Cut the next units off a part of the task: a compare and exchange instead
 * of an addition, because chunks get smaller as the rest does, and because it
 * cannot run past the end of a task of almost SIZE_MAX units.
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

/* Is no more of the task to be started? */
static bool ktask_stopped(struct ktask_job *job)
{
	if (job->ctl->kc_killable && fatal_signal_pending(job->loan.caller))
		cmpxchg(&job->error, 0, -EINTR);

	return READ_ONCE(job->error);
}

/* Take the next chunk of the worker's own node, or of another one. */
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
	return current->sched_info.run_delay;
#else
	return 0;
#endif
}

/* What current has used so far, and how often it has gone to sleep */
static void ktask_used_start(struct ktask_used *used)
{
	used->since = local_clock();
	used->cpu_ns = task_sched_runtime(current);
	used->waited_ns = ktask_waited_for_cpu();
	used->sleeps = current->nvcsw;
}

/* What current has used since @start. */
static void ktask_used_since(const struct ktask_used *start,
			     struct ktask_used *used)
{
	/* The clocks of two CPUs may differ by a little, if it migrated. */
	used->since = max_t(s64, local_clock() - start->since, 1);
	used->cpu_ns = max_t(s64, task_sched_runtime(current) - start->cpu_ns,
			     1);
	used->waited_ns = ktask_waited_for_cpu() - start->waited_ns;
	used->sleeps = current->nvcsw - start->sleeps;
}

/* Is it the core that finds out whether helpers gain? */
static bool ktask_is_judged(struct ktask_job *job)
{
	return !job->ctl->kc_cost_units && !ktask_eager();
}

/* The caller has done a chunk: are helpers worth taking on, and how many? */
static void ktask_caller_learns(struct ktask_job *job,
				const struct ktask_chunk *chunk, u64 elapsed,
				u64 ns)
{
	unsigned int working = atomic_read(&job->working);
	u64 units = chunk->units / job->min_chunk;

	if (job->ctl->kc_uneven) {
		/* One says nothing, and may be short; all together do. */
		job->cost_units = size_add(job->cost_units, chunk->units);
		job->cost_ns += elapsed;
	} else {
		job->cost_units = chunk->units;
		job->cost_ns = elapsed;
	}
	if (!ktask_is_judged(job))
		return;
	/* A chunk that helpers took part in for a while is not one of the caller's. */
	if (units && !working == !job->chunk_working)
		ktask_gain_add(&job->gain, units, ns, working);
	WRITE_ONCE(job->loan.max_helpers, job->gain.max_helpers);
}

/*
 * A chunk is done: learn what it cost. What it waited for a CPU says nothing about
 * its size, nor about helpers. What it slept does, for that is a part of the work.
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
	if (ktask_chunk_tells(READ_ONCE(job->chunk), chunk->units, ns))
		WRITE_ONCE(job->chunk, ktask_chunk_adapt(chunk->units, ns,
							 job->min_chunk,
							 job->max_chunk));
	if (!worker->helper)
		ktask_caller_learns(job, chunk, used.since, ns);
	chunk->units = 0;
}

/* Whose part is the next helper to start with? Not one that is done. */
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
 * Has a task had as many helpers as its client wants for it in all? Others may come
 * for those that left to show whether they gain.
 */
static bool ktask_lent_all(struct ktask_job *job)
{
	unsigned int in_all = job->ctl->kc_max_helpers;

	return in_all && job->loan.stats[KTASK_STAT_HELPERS] >=
			 (u64)in_all + READ_ONCE(job->loan.sent_away);
}

/* How many helpers is the rest of a task worth? */
static unsigned int ktask_helpers_worth(struct ktask_job *job)
{
	size_t left = ktask_job_left(job);
	unsigned int helpers = min(job->max_helpers,
				   ktask_helpers_for_size(left, job->min_chunk));

	if (ktask_eager())
		return helpers;
	/* The caller is to know what units cost before it has any helper. */
	if (!job->cost_units ||
	    (job->ctl->kc_uneven && job->cost_ns < KTASK_GAIN_SAMPLE_NS))
		return 0;
	return min(helpers, ktask_helpers_for_time(left, job->cost_units,
						   job->cost_ns));
}

/* Take on helpers, as many as the rest is worth and the budget allows. */
static void ktask_add_helpers(struct ktask_job *job)
{
	unsigned int gain = job->loan.max_helpers, want;

	if (!job->max_helpers || READ_ONCE(job->error))
		return;

	/* Those that came first may have left little, or nothing. */
	want = ktask_helpers_worth(job);
	while (atomic_read(&job->loan.nr) < min(want, gain) &&
	       !ktask_lent_all(job) && !READ_ONCE(job->error) &&
	       ktask_loan_extend(&job->loan, want, ktask_next_node(job)->kn_nid))
		want = ktask_helpers_worth(job);
	/* A check is over soon. In a pause it is known that more do not gain. */
	if (job->gain.pause && want > gain && atomic_read(&job->loan.nr) >= gain)
		ktask_loan_refused(&job->loan, KTASK_LIMIT_GAIN);
	ktask_loan_leave_shared_cpu(&job->loan);
}

/*
 * Give current its next chunk. Before that a helper asks whether it may stay,
 * and the caller whether it may have more helpers.
 */
static bool ktask_next(struct ktask_worker *worker)
{
	/* Tasks RCU as well: a task may take long, and its helpers are kernel threads. */
	cond_resched_tasks_rcu_qs();
	if (!worker->helper)
		ktask_add_helpers(worker->job);
	else if (!ktask_helper_may_stay(worker->helper))
		return false;

	/* Handing out may be dear as well, and threads wait for each other there. */
	ktask_used_start(&worker->start);
	if (!ktask_take_chunk(worker))
		return false;
	if (!worker->helper)
		worker->job->chunk_working = atomic_read(&worker->job->working);
	return true;
}

/**
 * ktask_next_chunk - go on with another chunk in the same call
 * @start: where to put the position of its first unit
 * @end: where to put the position just past its last unit
 *
 * For thread functions that keep something from chunk to chunk; see
 * &ktask_thread_func. To be called when the chunk before is done; that is when
 * ktask looks at the limits.
 *
 * Context: the thread function of a task, may sleep.
 *
 * Return: true with another chunk to do; false if current is to return 0, and
 * not to ask again.
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
 * ktask_nr_helpers - the helpers that work on current's task
 *
 * For thread functions that have something to do only where others work at the
 * same time. Helpers may come between two chunks of the caller, and leave at any
 * moment.
 *
 * Context: the thread function of a task.
 *
 * Return: the number on loan.
 */
unsigned int ktask_nr_helpers(void)
{
	struct ktask_worker *worker = current->ktask_worker;

	if (WARN_ON_ONCE(!worker))
		return 0;
	return atomic_read(&worker->job->loan.nr);
}

/* Have the thread function do a chunk, and those that it asks for itself. */
static bool ktask_do(struct ktask_worker *worker)
{
	struct ktask_ctl *ctl = worker->job->ctl;
	int error;

	error = ctl->kc_thread_func(worker->chunk.start, worker->chunk.end,
				    ctl->kc_func_arg);
	/* It has asked already, and there are no more. */
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

/* A thread's part of a task. */
static void ktask_work(struct ktask_worker *worker)
{
	struct ktask_worker *outer = current->ktask_worker;

	current->ktask_worker = worker;
	while (ktask_next(worker) && ktask_do(worker))
		;
	current->ktask_worker = outer;
}

/* A helper's part of a task; see &ktask_loan.work. */
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

/* Position of the first unit of @kn that was not handed out. */
static void *ktask_handed_out(struct ktask_job *job, struct ktask_node *kn)
{
	if (!ktask_is_range(job))
		return kn->kn_position;

	return ktask_iter_range(kn->kn_start, atomic_long_read(&kn->kn_next),
				job->ctl->kc_func_arg);
}

/*
 * Undo what was done of one node's part: all that was handed out, less the
 * chunks that failed. All threads have stopped, so no lock is needed.
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
 * A nested task is serial, in the caller as in a helper: the outer one has
 * taken what the budget allows, and a helper that waited for helpers could
 * starve the pool.
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

	/* Waiting for helpers depends on whatever locks they take. */
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
