/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of ktask, and what each of them does:
 *
 *   core.c		cuts a task into chunks; knows no cgroup, no mm, no thread
 *   gain.c		judges whether helpers make a task faster
 *   loan.c		lends helpers to a caller within its limits; knows no chunk
 *   wait.c		waits for the helpers of a loan
 *   helper.c		runs a helper thread in the context of its caller
 *   pool.c		keeps the idle helper threads; knows no caller
 *   ../sched/ktask_cgroup.c	charges helpers to the caps of cgroups
 *   ../sched/ktask.c	computes how many helpers a caller may have
 *   ../cgroup/ktask.c	the css_set that a caller lends to a helper
 *
 * Each of the last three files calls only the files below it.
 */
#ifndef _KTASK_INTERNAL_H
#define _KTASK_INTERNAL_H

#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/ktask.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct cgroup;
struct css_set;
struct ktask_helper;
struct ktask_job;
struct ktask_node;
struct mm_struct;
struct task_group;
struct task_struct;

/* The limits of a budget; ktask_limit_names[] has their names */
enum ktask_limit {
	KTASK_LIMIT_TASK,	/* what the task is worth; the client's maximum */
	KTASK_LIMIT_CPUS,	/* CPUs that the caller may run on */
	KTASK_LIMIT_CPU_MAX,	/* cpu.max of a level */
	KTASK_LIMIT_QUOTA,	/* the rest of cpu.max in this period */
	KTASK_LIMIT_CAP,	/* cpu.ktask.max of a level */
	KTASK_LIMIT_SYSTEM,	/* debug.ktask_max_threads */
	KTASK_LIMIT_CLASS,	/* caller not fair, or with a cookie; BPF scheduler */
	KTASK_LIMIT_BUSY,	/* other threads use the CPUs of these limits */
	KTASK_LIMIT_SHARE,	/* the share of others in a cap or in the pool */
	KTASK_LIMIT_POOL,	/* no idle helper is left */
	KTASK_LIMIT_GAIN,	/* more helpers do not make the task faster */
	KTASK_LIMIT_MOVED,	/* the caller's cgroup or memory nodes changed */
	KTASK_LIMIT_END,	/* the task ends */
	NR_KTASK_LIMITS,
};

#define KTASK_LIMIT_BITS	8

/**
 * struct ktask_budget - how many helpers a caller may have, and why not more
 * @helpers: the number of helpers
 * @limit: the limit that binds
 * @tg: the level that @limit belongs to, for limits of a cgroup. Valid only
 *	within the RCU read section in which the budget was made
 */
struct ktask_budget {
	unsigned int		helpers;
	enum ktask_limit	limit;
	struct task_group	*tg;
};

/* What a task did, added to its cgroup when it ends */
enum ktask_stat {
	KTASK_STAT_TASKS,
	KTASK_STAT_SERIAL,	/* tasks that no helper worked on */
	KTASK_STAT_HELPERS,	/* helpers lent */
	KTASK_STAT_REFUSED,	/* tasks refused a helper, by limit */
	KTASK_STAT_CANCELLED = KTASK_STAT_REFUSED + NR_KTASK_LIMITS,
	KTASK_STAT_RENICED,
	KTASK_STAT_CHUNKS,
	KTASK_STAT_HELPER_NS,
	NR_KTASK_STATS,
};

/**
 * struct ktask_chunk - the part of a task that one thread does at a time
 * @node: the part of the task that the chunk was cut from
 * @first: number of units in @node before the chunk
 * @units: number of units in the chunk
 * @start: position of the first unit
 * @end: position just past the last unit
 */
struct ktask_chunk {
	struct ktask_node	*node;
	size_t			first;
	size_t			units;
	void			*start;
	void			*end;
};

/**
 * struct ktask_used - time that a thread has used
 * @since: time of local_clock(), in nanoseconds
 * @cpu_ns: time on a CPU, in nanoseconds
 * @waited_ns: time in run queues, in nanoseconds; 0 without CONFIG_SCHED_INFO
 * @sleeps: how often the thread has gone to sleep
 */
struct ktask_used {
	u64		since;
	u64		cpu_ns;
	u64		waited_ns;
	unsigned long	sleeps;
};

/**
 * struct ktask_worker - a thread that works on a task
 * @helper: the helper, or NULL for the caller
 * @job: the job that the thread works on
 * @nid: the NUMA node whose part of the task the thread starts with
 * @chunk: the current chunk, or the one that failed; 0 units if there is none
 * @start: what the thread had used when it began to take @chunk
 * @failed_node: entry in the job's list of failed chunks
 *
 * The worker is part of the helper, so that a task needs no memory for its
 * errors: a helper that failed is not lent again until the caller has read its
 * failed chunk.
 */
struct ktask_worker {
	struct ktask_helper	*helper;
	struct ktask_job	*job;
	int			nid;
	struct ktask_chunk	chunk;
	struct ktask_used	start;
	struct list_head	failed_node;
};

/**
 * struct ktask_faults - what the page faults of a thread add to its counters
 * @min_flt: faults without I/O
 * @maj_flt: faults with I/O
 * @over_high: pages charged above memory.high, for which a thread is throttled
 */
struct ktask_faults {
	unsigned long	min_flt;
	unsigned long	maj_flt;
	unsigned int	over_high;
};

/**
 * struct ktask_number - how many helpers a caller may have, by all but the caps
 * @allowed: lower half: how many helpers the caller may have; upper half:
 *	the limit that binds, in KTASK_LIMIT_BITS, and the number of renewals. The
 *	caller and each helper may renew it
 * @made_at: when the last renewal of @allowed began, in nanoseconds of
 *	local_clock(), or 0
 * @age: how long after @made_at nobody renews @allowed, in nanoseconds
 * @busy_since: since when more threads could run than the limits have CPUs, in
 *	nanoseconds of local_clock(); 0 if there are CPUs enough
 */
struct ktask_number {
	atomic64_t		allowed;
	atomic64_t		made_at;
	s64			age;
	s64			busy_since;
};

/**
 * struct ktask_loan - the helpers of a caller, and what they use of it
 * @caller: the task that the helpers work for
 * @mm: address space that the helpers use, or NULL
 * @work: called by each helper. Returns true to keep the helper from being
 *	lent again until ktask_helper_release()
 * @job: passed to @work
 * @nr: helpers on loan
 * @staying: helpers on loan, less those that leave because there are too many.
 *	A helper compares and decrements this in one atomic step, so that only as
 *	many leave as are too many
 * @number: how many helpers the caller may have
 * @max_helpers: more helpers do not make the task faster; written by the caller
 * @nr_left_for_gain: helpers that have left because of @max_helpers
 * @killable: helpers are killed with the caller; set after ktask_loan_init()
 * @killed: the helpers were killed; used by the caller only
 * @lock: protects @helpers, @waits_for, @nr_left_for_gain, @stats and @faults
 * @helpers: helpers on loan, in the order in which they were lent
 * @waits_for: the helper that the caller sleeps for, or NULL
 * @refused: bit mask of limits that refused a helper; used by the caller only
 * @last_refused: the last of these, or NR_KTASK_LIMITS; used by the caller only
 * @shared_at: when the caller last checked whether it shares its CPU while a
 *	helper has one for itself, in jiffies; used by the caller only
 * @shares_cpu: the result of that check; used by the caller only
 * @stats: sums over helpers and chunks
 * @faults: page faults of helpers, which the caller accounts to itself
 *
 * The loan is on the caller's stack. ktask_loan_settle() returns once no helper
 * refers to the loan any more.
 */
struct ktask_loan {
	struct task_struct	*caller;
	struct mm_struct	*mm;
	bool			(*work)(struct ktask_worker *worker, void *job);
	void			*job;
	atomic_t		nr;
	atomic_t		staying;
	struct ktask_number	number;
	unsigned int		max_helpers;
	unsigned int		nr_left_for_gain;
	bool			killable;
	bool			killed;
	spinlock_t		lock;	/* see above */
	struct list_head	helpers;
	struct ktask_helper	*waits_for;
	unsigned long		refused;
	enum ktask_limit	last_refused;
	unsigned long		shared_at;
	bool			shares_cpu;
	u64			stats[NR_KTASK_STATS];
	struct ktask_faults	faults;
};

/* loan.c */
void ktask_loan_init(struct ktask_loan *loan, struct mm_struct *mm,
		     bool (*work)(struct ktask_worker *worker, void *job),
		     void *job);
bool ktask_loan_refused(struct ktask_loan *loan, enum ktask_limit limit);
void ktask_loan_budget(struct ktask_loan *loan, struct ktask_budget *budget,
		       unsigned int want);
bool ktask_loan_extend(struct ktask_loan *loan, unsigned int want, int nid);
void ktask_loan_leave_shared_cpu(struct ktask_loan *loan);
bool ktask_helper_may_stay(struct ktask_helper *helper);

/* wait.c */
void ktask_loan_settle(struct ktask_loan *loan);

/* helper.c */
void ktask_helper_release(struct ktask_helper *helper);
bool ktask_is_helper(struct task_struct *task);

/* ../sched/ktask.c */
extern const char *const ktask_limit_names[NR_KTASK_LIMITS];
extern unsigned int ktask_max_threads;

void ktask_budget_narrow(struct ktask_budget *budget, unsigned int helpers,
			 enum ktask_limit limit, struct task_group *tg);
void ktask_budget_configured(struct ktask_budget *budget,
			     struct task_struct *caller, unsigned int want);
void ktask_budget_make(struct ktask_budget *budget, struct task_struct *caller,
		       unsigned int own);
void ktask_budget_limits(struct ktask_budget *budget, struct task_group *tg,
			 unsigned int cpus);
int ktask_spare_cpus(struct task_struct *caller);
unsigned int ktask_usable_cpus(const struct cpumask *allowed,
			       struct cpumask *usable, unsigned int enough);
bool ktask_sched_can_migrate(struct task_struct *helper);
bool ktask_sched_migrate_here(struct task_struct *helper);
bool ktask_sched_shares_cpu(unsigned int nr_helpers);
bool ktask_sched_has_cpu(struct task_struct *helper);
void ktask_sched_enter(struct task_struct *helper, struct css_set *cset);
void ktask_sched_leave(struct task_struct *helper);
void ktask_account_working(struct css_set *cset, int nr);

/* ../sched/core.c */
void ktask_sched_move_current(int cpu);

/* ../sched/ktask_cgroup.c */
#ifdef CONFIG_CGROUP_KTASK
bool ktask_cap_charge(struct ktask_loan *loan, struct css_set *cset,
		      enum ktask_limit *limit);
void ktask_claim_end(struct ktask_loan *loan, struct css_set *cset);
void ktask_cap_move(struct css_set *from, struct css_set *to, bool over_cap);
void ktask_cap_update_peak(struct css_set *cset);
void ktask_cap_uncharge(struct css_set *cset, bool over_cap);
bool ktask_cap_reclaim(struct css_set *cset);
bool ktask_share_reclaim(struct ktask_loan *loan, struct css_set *cset,
			 unsigned long since);
bool ktask_caps_allow(struct task_struct *caller);
void ktask_budget_caps(struct ktask_budget *budget, struct task_struct *caller,
		       unsigned int own);
void ktask_account(struct task_struct *caller, const u64 *stats);
#else
static inline bool ktask_cap_charge(struct ktask_loan *loan,
				    struct css_set *cset,
				    enum ktask_limit *limit)
{
	return true;
}

static inline void ktask_claim_end(struct ktask_loan *loan,
				   struct css_set *cset)
{
}

static inline void ktask_cap_move(struct css_set *from, struct css_set *to,
				  bool over_cap)
{
}

static inline void ktask_cap_update_peak(struct css_set *cset)
{
}

static inline void ktask_cap_uncharge(struct css_set *cset, bool over_cap)
{
}

static inline bool ktask_cap_reclaim(struct css_set *cset)
{
	return false;
}

static inline bool ktask_share_reclaim(struct ktask_loan *loan,
				       struct css_set *cset,
				       unsigned long since)
{
	return false;
}

static inline bool ktask_caps_allow(struct task_struct *caller)
{
	return true;
}

static inline void ktask_budget_caps(struct ktask_budget *budget,
				     struct task_struct *caller,
				     unsigned int own)
{
}

static inline void ktask_account(struct task_struct *caller, const u64 *stats)
{
}
#endif

/* ../cgroup/ktask.c */
#ifdef CONFIG_CGROUPS
struct css_set *ktask_cset_get(struct task_struct *caller);
void ktask_cset_hold(struct css_set *cset);
void ktask_cset_put(struct css_set *cset);
bool ktask_cset_is_current(struct css_set *cset, struct task_struct *caller);
struct mem_cgroup *ktask_cset_memcg(struct css_set *cset);
u64 ktask_cgroup_id(struct task_struct *caller);
const struct cpumask *ktask_cgroup_cpus(struct cgroup *cgrp);
#else
static inline struct css_set *ktask_cset_get(struct task_struct *caller)
{
	return NULL;
}

static inline void ktask_cset_hold(struct css_set *cset)
{
}

static inline void ktask_cset_put(struct css_set *cset)
{
}

static inline bool ktask_cset_is_current(struct css_set *cset,
					 struct task_struct *caller)
{
	return true;
}

static inline struct mem_cgroup *ktask_cset_memcg(struct css_set *cset)
{
	return NULL;
}

static inline u64 ktask_cgroup_id(struct task_struct *caller)
{
	return 0;
}
#endif

/* trace.c */
void ktask_trace_start(struct ktask_loan *loan, ktask_thread_func func,
		       size_t units, size_t min_chunk);
void ktask_trace_end(struct ktask_loan *loan, int error, unsigned long chunks);
void ktask_trace_chunk(struct ktask_loan *loan, const struct ktask_chunk *chunk,
		       u64 ns);
void ktask_trace_refuse(struct ktask_loan *loan, enum ktask_limit limit);
void ktask_trace_lend(struct ktask_loan *loan, struct task_struct *helper);
void ktask_trace_cancel(struct ktask_loan *loan, struct task_struct *helper,
			enum ktask_limit limit);
void ktask_trace_return(struct ktask_loan *loan, struct task_struct *helper,
			u64 ns);
void ktask_trace_renice(struct ktask_loan *loan, struct task_struct *helper,
			int prio);
void ktask_trace_migrate(struct ktask_loan *loan, struct task_struct *helper);

#endif /* _KTASK_INTERNAL_H */
