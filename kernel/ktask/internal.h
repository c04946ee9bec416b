/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ktask's rooms know of each other:
 *
 *   core.c		cuts a task into chunks; knows no cgroup, no mm, no thread
 *   gain.c		judges whether helpers make a task faster
 *   loan.c		lends helpers to a caller, as many as it may have; knows no
 *			chunk
 *   wait.c		waits for the helpers of a loan
 *   helper.c		what a helper thread does and has from its caller
 *   pool.c		threads that wait for work; knows no caller
 *   ../sched/ktask_cgroup.c	counts helpers against the caps of cgroups
 *   ../sched/ktask.c	says how many helpers a caller may have
 *   ../cgroup/ktask.c	the css_set that a caller lends to a helper
 *
 * Each of the last three calls only those below it.
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

/* The limits that a budget is made from; ktask_limit_names[] has their names */
enum ktask_limit {
	KTASK_LIMIT_TASK,	/* what the task is worth, and its client's maximum */
	KTASK_LIMIT_CPUS,	/* CPUs that the caller may run on */
	KTASK_LIMIT_CPU_MAX,	/* cpu.max of a level */
	KTASK_LIMIT_QUOTA,	/* what is left of cpu.max in this period */
	KTASK_LIMIT_CAP,	/* cpu.ktask.max of a level */
	KTASK_LIMIT_SYSTEM,	/* debug.ktask_max_threads */
	KTASK_LIMIT_CLASS,	/* fair callers without a cookie, and no BPF scheduler */
	KTASK_LIMIT_BUSY,	/* threads that run below these limits already */
	KTASK_LIMIT_SHARE,	/* what others may have of a cap or of the pool */
	KTASK_LIMIT_POOL,	/* helpers that are idle */
	KTASK_LIMIT_GAIN,	/* helpers that make the task faster */
	KTASK_LIMIT_MOVED,	/* the caller's cgroup, once it is another one */
	KTASK_LIMIT_END,	/* the task's end */
	NR_KTASK_LIMITS,
};

/**
 * struct ktask_budget - how many helpers a caller may have, and why no more
 * @helpers: their number
 * @limit: the limit that binds
 * @tg: the level that it belongs to, for limits of a cgroup. Valid under the
 *	RCU read lock that the budget was made under
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
 * struct ktask_chunk - a part of a task that one thread does in one go
 * @node: the part of the task that it was cut from
 * @first: units of @node before it
 * @units: its size
 * @start: position of its first unit
 * @end: position just past its last unit
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
 * @since: on the clock, in nanoseconds of local_clock()
 * @cpu_ns: on a CPU, in nanoseconds
 * @waited_ns: in run queues, for a CPU, in nanoseconds, as far as this is counted
 * @sleeps: how often it has gone to sleep
 */
struct ktask_used {
	u64		since;
	u64		cpu_ns;
	u64		waited_ns;
	unsigned long	sleeps;
};

/**
 * struct ktask_worker - what the core remembers of a thread at work
 * @helper: the helper it is, or NULL for the caller
 * @job: what it works on
 * @nid: the NUMA node whose part of the task it starts with
 * @chunk: what it is doing, or failed at; of no units if that is nothing
 * @start: when it began with that, and what it had used by then
 * @failed_node: entry in the job's list of failed chunks
 *
 * Part of a helper, so that a task needs no memory for its errors: a helper
 * that failed stays on loan until the caller has read its failed chunk.
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
 * struct ktask_faults - what a thread's own counters get for its page faults
 * @min_flt: faults that needed no I/O
 * @maj_flt: faults that did
 * @over_high: pages charged above memory.high, which throttles whoever did it
 */
struct ktask_faults {
	unsigned long	min_flt;
	unsigned long	maj_flt;
	unsigned int	over_high;
};

/**
 * struct ktask_loan - the helpers that a caller has, and what it lends them
 * @caller: the task that they work for
 * @mm: address space to use, or NULL
 * @work: called by each helper. Returns true to keep the helper from being
 *	lent again until ktask_helper_release()
 * @job: passed to @work
 * @nr: helpers on loan
 * @staying: those of them that have not found that they are too many. In one step
 *	such a helper sees that and is taken off here, so that no other one leaves
 *	in its place
 * @allowed: how many the caller may have in the lower half, and in the upper half
 *	which limit says so. Anybody may make it anew
 * @made_at: when that was begun, in nanoseconds of local_clock(), or 0
 * @age: for how long nobody makes it anew, in nanoseconds
 * @busy_since: since when more threads could run than the limits have CPUs, in
 *	nanoseconds of local_clock(); 0 if they could not
 * @max_helpers: no more of them make the task faster; the caller writes it
 * @sent_away: helpers that have left for that
 * @killable: helpers are killed with the caller; set by whoever wants that
 * @killed: that was done; the caller's
 * @lock: protects @helpers, @waits_for, @sent_away, @stats and @faults
 * @helpers: on loan, the one lent first comes first
 * @waits_for: the one that the caller sleeps for, or NULL
 * @refused: bit mask of limits that have refused a helper; the caller's
 * @last_refused: which did so last, or NR_KTASK_LIMITS; the caller's
 * @shared_at: when the caller last looked whether it shares its CPU while a helper
 *	has one for itself, in jiffies; the caller's
 * @shares_cpu: that was so
 * @stats: sums over helpers and chunks
 * @faults: page faults of helpers, for the caller to account
 *
 * Lives on the caller's stack: ktask_loan_settle() returns once no helper
 * refers to it any more.
 */
struct ktask_loan {
	struct task_struct	*caller;
	struct mm_struct	*mm;
	bool			(*work)(struct ktask_worker *worker, void *job);
	void			*job;
	atomic_t		nr;
	atomic_t		staying;
	atomic64_t		allowed;
	atomic64_t		made_at;
	s64			age;
	s64			busy_since;
	unsigned int		max_helpers;
	unsigned int		sent_away;
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
bool ktask_sched_migrate_here(struct task_struct *helper);
bool ktask_sched_shares_cpu(unsigned int nr_helpers);
bool ktask_sched_has_cpu(struct task_struct *helper);
void ktask_sched_enter(struct task_struct *helper, struct css_set *cset);
void ktask_sched_leave(struct task_struct *helper);
void ktask_count_working(struct css_set *cset, int nr);

/* ../sched/core.c */
void ktask_sched_move_current(int cpu);

/* ../sched/ktask_cgroup.c */
#ifdef CONFIG_CGROUP_KTASK
bool ktask_cap_charge(struct ktask_loan *loan, struct css_set *cset,
		      enum ktask_limit *limit);
struct task_group *ktask_cap_move(struct css_set *from, struct css_set *to,
				  struct task_group *over_cap);
void ktask_cap_update_peak(struct css_set *cset);
void ktask_cap_return(struct css_set *cset, struct task_group *over_cap);
struct task_group *ktask_cap_reclaim(struct css_set *cset);
bool ktask_share_claimed(struct ktask_loan *loan, struct css_set *cset,
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

static inline struct task_group *ktask_cap_move(struct css_set *from,
						struct css_set *to,
						struct task_group *over_cap)
{
	return NULL;
}

static inline void ktask_cap_update_peak(struct css_set *cset)
{
}

static inline void ktask_cap_return(struct css_set *cset,
				    struct task_group *over_cap)
{
}

static inline struct task_group *ktask_cap_reclaim(struct css_set *cset)
{
	return NULL;
}

static inline bool ktask_share_claimed(struct ktask_loan *loan,
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
