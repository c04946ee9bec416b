/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ktask's tracepoints: the events of a task, which tools/ktask/ktask-timeline
 * draws as a picture
 *
 * Every event has the caller and its cgroup, which identify the task: a caller
 * has one task at a time, but for nested ones, which have no helpers. limit is
 * the limit that binds. room is the number of helpers that the budget allows,
 * including helpers already on loan.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ktask

#if !defined(_TRACE_KTASK_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_KTASK_H

#include <linux/tracepoint.h>

TRACE_EVENT(ktask_start,

	TP_PROTO(pid_t caller, u64 cgroup, void *func, size_t units,
		 size_t min_chunk, unsigned int room, const char *limit),

	TP_ARGS(caller, cgroup, func, units, min_chunk, room, limit),

	TP_STRUCT__entry(
		__field(pid_t,		caller)
		__field(u64,		cgroup)
		__field(void *,		func)
		__field(size_t,		units)
		__field(size_t,		min_chunk)
		__field(unsigned int,	room)
		__string(limit,		limit)
	),

	TP_fast_assign(
		__entry->caller		= caller;
		__entry->cgroup		= cgroup;
		__entry->func		= func;
		__entry->units		= units;
		__entry->min_chunk	= min_chunk;
		__entry->room		= room;
		__assign_str(limit);
	),

	TP_printk("caller=%d cgroup=%llu func=%ps units=%zu min_chunk=%zu room=%u limit=%s",
		  __entry->caller, __entry->cgroup, __entry->func,
		  __entry->units, __entry->min_chunk, __entry->room,
		  __get_str(limit))
);

TRACE_EVENT(ktask_end,

	TP_PROTO(pid_t caller, u64 cgroup, int error, unsigned long chunks,
		 u64 helpers, unsigned int room, const char *limit),

	TP_ARGS(caller, cgroup, error, chunks, helpers, room, limit),

	TP_STRUCT__entry(
		__field(pid_t,		caller)
		__field(u64,		cgroup)
		__field(int,		error)
		__field(unsigned long,	chunks)
		__field(u64,		helpers)
		__field(unsigned int,	room)
		__string(limit,		limit)
	),

	TP_fast_assign(
		__entry->caller		= caller;
		__entry->cgroup		= cgroup;
		__entry->error		= error;
		__entry->chunks		= chunks;
		__entry->helpers	= helpers;
		__entry->room		= room;
		__assign_str(limit);
	),

	TP_printk("caller=%d cgroup=%llu error=%d chunks=%lu helpers=%llu room=%u limit=%s",
		  __entry->caller, __entry->cgroup, __entry->error,
		  __entry->chunks, __entry->helpers, __entry->room,
		  __get_str(limit))
);

/* A thread, the caller or a helper, has done a chunk. */
TRACE_EVENT(ktask_chunk,

	TP_PROTO(pid_t caller, u64 cgroup, pid_t thread, unsigned long start,
		 size_t units, u64 ns, int on_loan, unsigned int room,
		 const char *limit),

	TP_ARGS(caller, cgroup, thread, start, units, ns, on_loan, room, limit),

	TP_STRUCT__entry(
		__field(pid_t,		caller)
		__field(u64,		cgroup)
		__field(pid_t,		thread)
		__field(unsigned long,	start)
		__field(size_t,		units)
		__field(u64,		ns)
		__field(int,		on_loan)
		__field(unsigned int,	room)
		__string(limit,		limit)
	),

	TP_fast_assign(
		__entry->caller		= caller;
		__entry->cgroup		= cgroup;
		__entry->thread		= thread;
		__entry->start		= start;
		__entry->units		= units;
		__entry->ns		= ns;
		__entry->on_loan	= on_loan;
		__entry->room		= room;
		__assign_str(limit);
	),

	TP_printk("caller=%d cgroup=%llu thread=%d start=%#lx units=%zu ns=%llu on_loan=%d room=%u limit=%s",
		  __entry->caller, __entry->cgroup, __entry->thread,
		  __entry->start, __entry->units, __entry->ns,
		  __entry->on_loan, __entry->room, __get_str(limit))
);

/* A limit did not allow the caller one more helper. */
TRACE_EVENT(ktask_refuse,

	TP_PROTO(pid_t caller, u64 cgroup, int on_loan, const char *limit),

	TP_ARGS(caller, cgroup, on_loan, limit),

	TP_STRUCT__entry(
		__field(pid_t,		caller)
		__field(u64,		cgroup)
		__field(int,		on_loan)
		__string(limit,		limit)
	),

	TP_fast_assign(
		__entry->caller		= caller;
		__entry->cgroup		= cgroup;
		__entry->on_loan	= on_loan;
		__assign_str(limit);
	),

	TP_printk("caller=%d cgroup=%llu on_loan=%d limit=%s",
		  __entry->caller, __entry->cgroup, __entry->on_loan,
		  __get_str(limit))
);

TRACE_EVENT(ktask_lend,

	TP_PROTO(pid_t caller, u64 cgroup, pid_t helper, int on_loan),

	TP_ARGS(caller, cgroup, helper, on_loan),

	TP_STRUCT__entry(
		__field(pid_t,		caller)
		__field(u64,		cgroup)
		__field(pid_t,		helper)
		__field(int,		on_loan)
	),

	TP_fast_assign(
		__entry->caller		= caller;
		__entry->cgroup		= cgroup;
		__entry->helper		= helper;
		__entry->on_loan	= on_loan;
	),

	TP_printk("caller=%d cgroup=%llu helper=%d on_loan=%d",
		  __entry->caller, __entry->cgroup, __entry->helper,
		  __entry->on_loan)
);

/*
 * A helper has to leave: at the end of its chunk, because a limit does not
 * allow it any more; or before it has started, because the task ends.
 */
TRACE_EVENT(ktask_cancel,

	TP_PROTO(pid_t caller, u64 cgroup, pid_t helper, const char *limit),

	TP_ARGS(caller, cgroup, helper, limit),

	TP_STRUCT__entry(
		__field(pid_t,		caller)
		__field(u64,		cgroup)
		__field(pid_t,		helper)
		__string(limit,		limit)
	),

	TP_fast_assign(
		__entry->caller		= caller;
		__entry->cgroup		= cgroup;
		__entry->helper		= helper;
		__assign_str(limit);
	),

	TP_printk("caller=%d cgroup=%llu helper=%d limit=%s",
		  __entry->caller, __entry->cgroup, __entry->helper,
		  __get_str(limit))
);

/* A helper is no longer charged to the caller's cgroups and leaves its loan. */
TRACE_EVENT(ktask_return,

	TP_PROTO(pid_t caller, u64 cgroup, pid_t helper, int on_loan, u64 ns),

	TP_ARGS(caller, cgroup, helper, on_loan, ns),

	TP_STRUCT__entry(
		__field(pid_t,		caller)
		__field(u64,		cgroup)
		__field(pid_t,		helper)
		__field(int,		on_loan)
		__field(u64,		ns)
	),

	TP_fast_assign(
		__entry->caller		= caller;
		__entry->cgroup		= cgroup;
		__entry->helper		= helper;
		__entry->on_loan	= on_loan;
		__entry->ns		= ns;
	),

	TP_printk("caller=%d cgroup=%llu helper=%d on_loan=%d runtime=%llu",
		  __entry->caller, __entry->cgroup, __entry->helper,
		  __entry->on_loan, __entry->ns)
);

/*
 * The caller waits for a helper and lends the helper its own priority. prio is
 * as in /proc/<pid>/sched: less than 100 for real-time callers.
 */
TRACE_EVENT(ktask_renice,

	TP_PROTO(pid_t caller, u64 cgroup, pid_t helper, int prio),

	TP_ARGS(caller, cgroup, helper, prio),

	TP_STRUCT__entry(
		__field(pid_t,		caller)
		__field(u64,		cgroup)
		__field(pid_t,		helper)
		__field(int,		prio)
	),

	TP_fast_assign(
		__entry->caller		= caller;
		__entry->cgroup		= cgroup;
		__entry->helper		= helper;
		__entry->prio		= prio;
	),

	TP_printk("caller=%d cgroup=%llu helper=%d prio=%d",
		  __entry->caller, __entry->cgroup, __entry->helper,
		  __entry->prio)
);

/* A helper that waited for its CPU was migrated to the CPU of its caller. */
TRACE_EVENT(ktask_migrate,

	TP_PROTO(pid_t caller, u64 cgroup, pid_t helper),

	TP_ARGS(caller, cgroup, helper),

	TP_STRUCT__entry(
		__field(pid_t,		caller)
		__field(u64,		cgroup)
		__field(pid_t,		helper)
	),

	TP_fast_assign(
		__entry->caller		= caller;
		__entry->cgroup		= cgroup;
		__entry->helper		= helper;
	),

	TP_printk("caller=%d cgroup=%llu helper=%d",
		  __entry->caller, __entry->cgroup, __entry->helper)
);

#endif /* _TRACE_KTASK_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
