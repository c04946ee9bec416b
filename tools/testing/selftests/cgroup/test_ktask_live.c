// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of limits that change while a ktask runs: helpers that are too many
 * leave at the end of their chunks, and where there is room again the task
 * takes on others. What the kernel itself saw is read from its tracepoints.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktask_cg_util.h"
#include "ktask_scx.h"

#define TRACEFS		"/sys/kernel/tracing"
#define TRACE		TRACEFS "/instances/ktask_live"
#define MARK_NARROW	"ktask_live: narrowed"
#define MARK_WIDEN	"ktask_live: to be widened"

/*
 * The kernel's own record, in a buffer of the test's own
 */

static bool put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) ==
			     (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool trace_begin(void)
{
	struct stat st;

	if (stat(TRACEFS "/instances", &st))
		mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	if (mkdir(TRACE, 0700) && errno != EEXIST)
		return false;
	return put_text(TRACE "/events/ktask/enable", "1");
}

static void trace_clear(void)
{
	EXPECT(put_text(TRACE "/trace", "\n"));
}

static void trace_mark(const char *mark)
{
	EXPECT(put_text(TRACE "/trace_marker", mark));
}

static void trace_end(void)
{
	rmdir(TRACE);
}

/* Value of a field of an event, or -1. */
static long trace_field(const char *line, const char *name)
{
	char key[32];
	const char *pos;

	snprintf(key, sizeof(key), " %s=", name);
	pos = strstr(line, key);
	return pos ? atol(pos + strlen(key)) : -1;
}

/* When an event was, in microseconds, or -1. */
static long long trace_us(const char *line)
{
	const char *pos = strstr(line, "] ");
	double seconds;

	if (!pos || sscanf(pos + 2, "%*s %lf:", &seconds) != 1)
		return -1;
	return seconds * 1000000;
}

/* The CPU that a line of a trace is from: "task-pid  [cpu] ...". */
static int trace_cpu(const char *line)
{
	const char *pos = strstr(line, " [");

	return pos ? atoi(pos + 2) : -1;
}

#define MAX_TRACED	16

/* What a loan knows of its limits may be half that old, or older on a busy host. */
static long max_age_us(void)
{
	long by_cpus = 8 * sysconf(_SC_NPROCESSORS_ONLN);

	return by_cpus > 500 ? by_cpus : 500;
}

/* What helpers did where they were not to be any more, one by one. */
struct late {
	int	chunks[MAX_TRACED];
	pid_t	helpers[MAX_TRACED];
	int	nr;
	int	lent;
};

static void note_late_chunk(struct late *late, pid_t helper)
{
	int i;

	for (i = 0; i < late->nr && late->helpers[i] != helper; i++)
		;
	if (i == MAX_TRACED)
		return;
	late->helpers[i] = helper;
	late->nr += i == late->nr;
	late->chunks[i]++;
}

/*
 * Between the marks a caller had no room for a helper, but on the CPUs of
 * @allowed if there are any: those that it had could end the chunk that they
 * were at, or began right after, and no other.
 */
static void expect_helpers_left(pid_t caller, const cpu_set_t *allowed)
{
	FILE *trace = fopen(TRACE "/trace", "r");
	long long narrow_us = 0, us;
	struct late late = { };
	bool narrow = false;
	char line[1024];
	int i;

	while (EXPECT(trace) && fgets(line, sizeof(line), trace)) {
		pid_t thread = trace_field(line, "thread");

		us = trace_us(line);
		if (strstr(line, MARK_NARROW)) {
			narrow = EXPECT(us >= 0);
			narrow_us = us;
		}
		if (strstr(line, MARK_WIDEN))
			break;
		if (strstr(line, "ktask_chunk:"))
			us -= trace_field(line, "ns") / 1000;
		if (!narrow || trace_field(line, "caller") != caller ||
		    us < narrow_us + max_age_us())
			continue;
		late.lent += !allowed && strstr(line, "ktask_lend:");
		if (strstr(line, "ktask_chunk:") && thread != caller &&
		    !(allowed && CPU_ISSET(trace_cpu(line), allowed)))
			note_late_chunk(&late, thread);
	}
	if (trace)
		fclose(trace);

	EXPECT(narrow);
	/* Each may have passed the limit just before, and then lost its CPU. */
	for (i = 0; i < late.nr; i++)
		EXPECT_RANGE(late.chunks[i], 0, 1);
	/* One may have passed the limit just before it changed. */
	EXPECT_RANGE(late.lent, 0, 1);
}

/*
 * Kinds of limits
 */

struct place {
	const char	*parent;
	const char	*child;		/* where the worker is */
	const char	*partition;	/* to be, of all CPUs but the first */
	const char	*kind;		/* of partition */
	struct worker	*worker;
	int		last_cpu;	/* of those that the test may use */
	struct worker	*hogs[8];
	int		nr_hogs;
	int		scx;
};

struct change {
	bool		(*narrow)(struct place *at);	/* to no helper at all */
	bool		(*widen)(struct place *at);
	bool		sampled;	/* only now and then, not at each chunk */
};

static bool narrow_cap(struct place *at)
{
	return set_cap(at->child, 0);
}

static bool widen_cap(struct place *at)
{
	return set(at->child, "cpu.ktask.max", "max");
}

static bool narrow_parent_cap(struct place *at)
{
	return set_cap(at->parent, 0);
}

static bool widen_parent_cap(struct place *at)
{
	return set(at->parent, "cpu.ktask.max", "max");
}

static bool narrow_cpu_max(struct place *at)
{
	return set(at->parent, "cpu.max", "100000 100000");
}

static bool widen_cpu_max(struct place *at)
{
	return set(at->parent, "cpu.max", "max");
}

static bool narrow_cpuset(struct place *at)
{
	char cpu[16];

	snprintf(cpu, sizeof(cpu), "%d", nth_cpu(0));
	return set(at->child, "cpuset.cpus", cpu);
}

static bool widen_cpuset(struct place *at)
{
	char cpus[32];

	snprintf(cpus, sizeof(cpus), "%d-%d", nth_cpu(0), at->last_cpu);
	return set(at->child, "cpuset.cpus", cpus);
}

/* A partition takes its CPUs away from everybody else. */
static bool make_partition(const char *cgroup, const char *kind)
{
	char state[64];

	return set(cgroup, "cpuset.cpus.partition", kind) &&
	       !cg_read(cgroup, "cpuset.cpus.partition", state,
			sizeof(state)) &&
	       EXPECT(!strcmp(strtok(state, "\n"), kind));
}

static bool narrow_partition(struct place *at)
{
	return make_partition(at->partition, at->kind);
}

static bool widen_partition(struct place *at)
{
	return make_partition(at->partition, "member");
}

static bool narrow_affinity(struct place *at)
{
	cpu_set_t mask;

	CPU_ZERO(&mask);
	CPU_SET(nth_cpu(0), &mask);
	return EXPECT(!sched_setaffinity(at->worker->pid, sizeof(mask), &mask));
}

static bool widen_affinity(struct place *at)
{
	cpu_set_t mask;

	EXPECT(!sched_getaffinity(0, sizeof(mask), &mask));
	return EXPECT(!sched_setaffinity(at->worker->pid, sizeof(mask), &mask));
}

static bool narrow_system(struct place *at)
{
	return EXPECT(set_max_threads("1"));
}

static bool widen_system(struct place *at)
{
	return EXPECT(set_max_threads("64"));
}

/* Keep a CPU busy until the end. */
static int hog(long unused)
{
	__atomic_add_fetch(&progress->begun, 1, __ATOMIC_SEQ_CST);
	for (;;)
		;
	return 0;
}

/* As many threads of the cgroup's own as it has CPUs. */
static bool narrow_busy(struct place *at)
{
	for (at->nr_hogs = 0; at->nr_hogs < nr_cpus() && at->nr_hogs < 8;
	     at->nr_hogs++) {
		at->hogs[at->nr_hogs] = start_worker(at->child);
		give_order(at->hogs[at->nr_hogs], hog, 0);
	}
	return true;
}

static bool widen_busy(struct place *at)
{
	while (at->nr_hogs)
		end_worker(at->hogs[--at->nr_hogs]);
	return true;
}

static bool set_online(int cpu, const char *text)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online",
		 cpu);
	return put_text(path, text);
}

static bool narrow_online(struct place *at)
{
	return EXPECT(set_online(at->last_cpu, "0"));
}

static bool widen_online(struct place *at)
{
	return EXPECT(set_online(at->last_cpu, "1"));
}

static bool set_fifo(pid_t pid, int prio)
{
	struct sched_param param = { .sched_priority = prio };

	return !sched_setscheduler(pid, SCHED_FIFO, &param);
}

/* An order: become a real-time task. */
static int become_fifo(long prio)
{
	return set_fifo(0, prio) ? 0 : -errno;
}

static bool narrow_real_time(struct place *at)
{
	return EXPECT(set_fifo(at->worker->pid, 1));
}

static bool widen_real_time(struct place *at)
{
	static const struct sched_param other;

	return EXPECT(!sched_setscheduler(at->worker->pid, SCHED_OTHER, &other));
}

/* A BPF scheduler that has all threads, callers and helpers among them */
static bool narrow_scx_all(struct place *at)
{
	at->scx = load_scx(true);
	return EXPECT_RANGE(at->scx, 0, INT_MAX);
}

/* One that has none of these */
static bool narrow_scx_others(struct place *at)
{
	at->scx = load_scx(false);
	return EXPECT_RANGE(at->scx, 0, INT_MAX);
}

static bool widen_scx(struct place *at)
{
	return EXPECT(unload_scx(at->scx));
}

/* Catch a teardown at work, narrow the limit and widen it again. */
static bool caught_change(struct place *at, const struct change *change,
			  long mib)
{
	bool done = catch_teardown(at->worker, at->child, mib, 1);

	if (!change->narrow(at))
		return false;
	trace_mark(MARK_NARROW);
	done &= wait_for_at_most(at->worker, at->child, 0);
	trace_mark(MARK_WIDEN);
	if (!change->widen(at))
		return false;
	done &= wait_for_at_least(at->worker, at->child, 1);
	EXPECT(!get_result(at->worker));
	EXPECT_EQ(current_of(at->child), 0);
	return done;
}

static int test_change_at(struct place *at, const struct change *change,
			  int (*prepare)(long arg), long arg)
{
	bool traced = trace_begin(), done = false;
	long mib;

	at->last_cpu = nth_cpu(nr_cpus() - 1);
	cg_write(at->parent, "cgroup.subtree_control", "+cpuset");
	at->child = make_cgroup(at->parent, "child", false);

	for (mib = LONG_MIB_MIN; mib <= LONG_MIB_MAX && !done && !failures;
	     mib *= 2) {
		at->worker = start_worker(at->child);
		if (prepare)
			EXPECT(!order(at->worker, prepare, arg));
		if (traced)
			trace_clear();
		done = caught_change(at, change, mib);
		if (done && traced && !change->sampled)
			expect_helpers_left(at->worker->pid, NULL);
		end_worker(at->worker);
	}
	EXPECT(done);
	trace_end();
	return KSFT_PASS;
}

static int test_change(const char *root, const struct change *change,
		       int (*prepare)(long arg), long arg)
{
	struct place at = { };

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	at.parent = make_cgroup(root, "ktask_live", true);
	return test_change_at(&at, change, prepare, arg);
}

static int test_ktask_live_cap(const char *root)
{
	static const struct change cap = { narrow_cap, widen_cap };

	return test_change(root, &cap, NULL, 0);
}

static int test_ktask_live_parent_cap(const char *root)
{
	static const struct change cap = {
		narrow_parent_cap, widen_parent_cap
	};

	return test_change(root, &cap, NULL, 0);
}

static int test_ktask_live_cpu_max(const char *root)
{
	static const struct change max = {
		narrow_cpu_max, widen_cpu_max
	};

	return test_change(root, &max, NULL, 0);
}

/* Run a test that needs the cpuset controller in the root's children. */
static int with_cpusets(const char *root, int (*test)(const char *root))
{
	bool enabled;
	int ret;

	if (cg_read_strstr(root, "cgroup.controllers", "cpuset"))
		return skip("no cpuset controller");
	enabled = !cg_read_strstr(root, "cgroup.subtree_control", "cpuset");
	if (!enabled && cg_write(root, "cgroup.subtree_control", "+cpuset"))
		return skip("cannot enable the cpuset controller");

	ret = test(root);
	end_workers();
	remove_cgroups();
	if (!enabled)
		cg_write(root, "cgroup.subtree_control", "-cpuset");
	return ret;
}

static int change_cpuset(const char *root)
{
	static const struct change cpuset = {
		narrow_cpuset, widen_cpuset
	};

	return test_change(root, &cpuset, NULL, 0);
}

static int test_ktask_live_cpuset(const char *root)
{
	return with_cpusets(root, change_cpuset);
}

/* A cgroup that has all CPUs but the first, as soon as it is a partition. */
static const char *prepare_partition(const char *root)
{
	const char *partition = make_cgroup(root, "ktask_partition", false);
	char cpus[32];

	snprintf(cpus, sizeof(cpus), "%d-%d", nth_cpu(1),
		 nth_cpu(nr_cpus() - 1));
	set(partition, "cpuset.cpus", cpus);
	return partition;
}

static int change_partition(const char *root, const char *kind)
{
	static const struct change partition = {
		narrow_partition, widen_partition
	};
	struct place at = { .kind = kind };

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	at.partition = prepare_partition(root);
	at.parent = make_cgroup(root, "ktask_live", true);
	return test_change_at(&at, &partition, NULL, 0);
}

static int change_root_partition(const char *root)
{
	return change_partition(root, "root");
}

static int change_isolated_partition(const char *root)
{
	return change_partition(root, "isolated");
}

static int test_ktask_live_partition(const char *root)
{
	return with_cpusets(root, change_root_partition);
}

static int test_ktask_live_isolated_partition(const char *root)
{
	return with_cpusets(root, change_isolated_partition);
}

static int test_ktask_live_affinity(const char *root)
{
	static const struct change affinity = {
		narrow_affinity, widen_affinity
	};

	return test_change(root, &affinity, NULL, 0);
}

static int test_ktask_live_system(const char *root)
{
	static const struct change system = {
		narrow_system, widen_system
	};

	return test_change(root, &system, NULL, 0);
}

/* A caller that becomes a real-time one goes on alone; and such a one begins alone. */
static int test_ktask_live_real_time(const char *root)
{
	const char *cg = make_cgroup(root, "ktask_rt", false);
	struct worker *worker = start_worker(cg);
	static const struct change real_time = {
		narrow_real_time, widen_real_time
	};

	EXPECT(!order(worker, become_fifo, 7));
	EXPECT(!order(worker, map_and_unmap, WORTH_MIB));
	EXPECT_EQ(stat_of(cg, "tasks"), 0);
	EXPECT_EQ(stat_of(cg, "helpers_lent"), 0);
	return test_change(root, &real_time, NULL, 0);
}

/* Who begins beside a BPF scheduler begins alone, and takes the stock path. */
static void expect_alone_beside_scx(const char *root, bool all)
{
	const char *cg = make_cgroup(root, "ktask_scx", false);
	struct worker *worker = start_worker(cg);
	int scx = load_scx(all);

	EXPECT_RANGE(scx, 0, INT_MAX);
	EXPECT(!order(worker, map_and_unmap, WORTH_MIB));
	EXPECT_EQ(stat_of(cg, "tasks"), 0);
	EXPECT(unload_scx(scx));
	EXPECT(!order(worker, map_and_unmap, WORTH_MIB));
	EXPECT_RANGE(stat_of(cg, "helpers_lent"), 1, LONG_MAX);
	end_workers();
	remove_cgroups();
}

static int test_ktask_live_sched_ext(const char *root)
{
	static const struct change all = { narrow_scx_all, widen_scx };
	static const struct change others = { narrow_scx_others, widen_scx };
	int scx = load_scx(true);

	if (scx < 0)
		return skip("no BPF scheduler can be loaded");
	EXPECT(unload_scx(scx));
	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	expect_alone_beside_scx(root, true);
	expect_alone_beside_scx(root, false);
	test_change(root, &all, NULL, 0);
	end_workers();
	remove_cgroups();
	return test_change(root, &others, NULL, 0);
}

/* An order: share cores with no other thread. */
static int take_cookie(long unused)
{
	return prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0,
		     PR_SCHED_CORE_SCOPE_THREAD, 0) ? -errno : 0;
}

static int test_ktask_core_sched(const char *root)
{
	const char *cg = make_cgroup(root, "ktask_core", false);
	struct worker *worker = start_worker(cg);

	if (nr_cpus() < 2)
		return skip_below_cpus(2);
	EXPECT(!order(worker, map_and_unmap, WORTH_MIB));
	EXPECT_RANGE(stat_of(cg, "helpers_lent"), 1, LONG_MAX);
	EXPECT_EQ(stat_of(cg, "tasks"), 1);
	if (order(worker, take_cookie, 0))
		return skip("no CPUs share a core, or no core scheduling");
	EXPECT(!order(worker, map_and_unmap, WORTH_MIB));
	EXPECT_EQ(stat_of(cg, "tasks"), 1);
	return KSFT_PASS;
}

/* The caller moves to as many other CPUs: its helpers go with it. */
static int test_ktask_live_other_cpus(const char *root)
{
	const char *cg = make_cgroup(root, "ktask_cpus", false);
	bool done = false;
	cpu_set_t others;
	long mib;
	int i;

	if (nr_cpus() < 4)
		return skip_below_cpus(4);
	if (!trace_begin())
		return skip("no tracepoints");

	CPU_ZERO(&others);
	for (i = nr_cpus() - 2; i < nr_cpus(); i++)
		CPU_SET(nth_cpu(i), &others);
	for (mib = LONG_MIB_MIN; mib <= LONG_MIB_MAX && !done && !failures;
	     mib *= 2) {
		struct worker *worker = start_worker(cg);

		EXPECT(!order(worker, stay_on_cpus, 2));
		trace_clear();
		done = catch_teardown(worker, cg, mib, 1);
		EXPECT(!sched_setaffinity(worker->pid, sizeof(others), &others));
		trace_mark(MARK_NARROW);
		done &= tearing_down(worker);
		EXPECT(!get_result(worker));
		if (done)
			expect_helpers_left(worker->pid, &others);
		end_worker(worker);
	}
	EXPECT(done);
	trace_end();
	return KSFT_PASS;
}

/* Threads of the cgroup's own that want all its CPUs: not seen at each chunk. */
static int test_ktask_live_busy(const char *root)
{
	static const struct change busy = {
		narrow_busy, widen_busy, .sampled = true
	};

	return test_change(root, &busy, NULL, 0);
}

/* An order: stay on the first CPU and the last, which goes. */
static int stay_on_first_and_last(long unused)
{
	cpu_set_t mask;

	CPU_ZERO(&mask);
	CPU_SET(nth_cpu(0), &mask);
	CPU_SET(nth_cpu(nr_cpus() - 1), &mask);
	return sched_setaffinity(0, sizeof(mask), &mask) ? -errno : 0;
}

static int test_ktask_live_online(const char *root)
{
	static const struct change online = {
		narrow_online, widen_online
	};

	int last = nth_cpu(nr_cpus() - 1);

	if (!set_online(last, "0") || !set_online(last, "1"))
		return skip("CPUs cannot go offline");
	return test_change(root, &online, stay_on_first_and_last, 0);
}

/*
 * A task that is moved takes its helpers with it. When that is done they are not
 * charged to the cgroup that it left, which can be removed at once.
 */
static int test_ktask_migrate(const char *root)
{
	const char *new = make_cgroup(root, "ktask_new", false);
	bool moved = false;
	long mib;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	set_cap(new, 1);
	for (mib = LONG_MIB_MIN; mib <= LONG_MIB_MAX && !moved && !failures;
	     mib *= 2) {
		char *old = cg_name(root, "ktask_old");
		struct worker *worker;
		long tasks, left;

		EXPECT(!cg_create(old));
		worker = start_worker(old);
		tasks = stat_of(new, "tasks");

		moved = catch_teardown(worker, old, mib, nr_cpus() > 2 ? 2 : 1);
		EXPECT(!cg_enter(new, worker->pid));
		/* One may just be looked for there, or about to leave. */
		left = current_of(old);
		if (tearing_down(worker))
			EXPECT_RANGE(left, 0, 1);
		EXPECT_EQ(keyed(old, "cgroup.events", "populated"), 0);
		EXPECT(!rmdir(old));
		/* Those that came along leave, as others may be lent here. */
		moved &= wait_for_at_most(worker, new, 1);
		moved &= wait_for_at_least(worker, new, 1);

		EXPECT(!get_result(worker));
		EXPECT_EQ(current_of(new), 0);
		if (moved) {
			EXPECT_RANGE(peak_of(new), 1, nr_cpus() - 1);
			EXPECT_EQ(stat_of(new, "tasks"), tasks + 1);
		}
		end_worker(worker);
		free(old);
	}
	EXPECT(moved);
	return KSFT_PASS;
}

/* A cap that is lowered takes helpers away, one that is raised allows more. */
static int test_ktask_max_change(const char *root)
{
	const char *parent = make_cgroup(root, "ktask_change", true);
	const char *child = make_cgroup(parent, "child", false);
	int many = nr_cpus() > 2 ? 2 : 1;
	bool done = false;
	long mib;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	for (mib = LONG_MIB_MIN; mib <= LONG_MIB_MAX && !done && !failures;
	     mib *= 2) {
		struct worker *worker = start_worker(child);

		done = catch_teardown(worker, child, mib, many);
		set_cap(parent, many - 1);
		done &= wait_for_at_most(worker, parent, many - 1);
		set_cap(child, 0);
		done &= wait_for_at_most(worker, child, 0);
		set_cap(child, many);
		done &= wait_for_at_least(worker, child, many - 1);
		EXPECT_RANGE(current_of(child), 0, many - 1);
		set_cap(parent, many);
		done &= wait_for_at_least(worker, child, many);

		EXPECT(!get_result(worker));
		EXPECT_EQ(current_of(child), 0);
		EXPECT_EQ(current_of(parent), 0);
		set(parent, "cpu.ktask.max", "max");
		set(child, "cpu.ktask.max", "max");
		end_worker(worker);
	}
	EXPECT(done);
	return KSFT_PASS;
}

/* An order: tear down again and again. */
static int storm(long mib)
{
	int err = 0;

	while (!err && !told_to_stop())
		err = map_and_unmap(mib);
	return err;
}

/* Once no more than @cap are on loan there are never more, for a while. */
static void expect_at_most(const char *cgroup, int cap, int looks)
{
	while (current_of(cgroup) > cap)
		;
	while (looks-- && !failures)
		EXPECT_RANGE(current_of(cgroup), 0, cap);
}

/*
 * Caps that are rewritten all the time, under a storm of teardowns, are never
 * exceeded.
 */
static int test_ktask_max_storm(const char *root)
{
	const char *parent = make_cgroup(root, "ktask_storm", true);
	unsigned int seed = 20180817, tasks;
	int nr = nr_cpus() + 2, i;
	const char *children[2];

	/* Each child has threads enough for two. */
	if (nr_cpus() < 4)
		return skip_below_cpus(4);
	if (nr > 10)
		nr = 10;

	children[0] = make_cgroup(parent, "child_0", false);
	children[1] = make_cgroup(parent, "child_1", false);
	set_cap(parent, 3);

	for (i = 0; i < nr; i++)
		give_order(start_worker(children[i % 2]), storm, SMALL_MIB);

	/* So many that helpers came and went under each cap. */
	for (i = 0; i < 50 && !failures; i++) {
		unsigned int cap = rand_r(&seed) % 4;

		set_cap(parent, cap);
		/* With a cap of 0 there are none. */
		tasks = stat_of(parent, "tasks") + (cap ? rand_r(&seed) % 3 : 0);
		do
			expect_at_most(parent, cap, 20);
		while (stat_of(parent, "tasks") < tasks && !failures);
	}
	EXPECT_RANGE(peak_of(parent), 1, 3);

	/* With room, helpers are lent: or all this was about nothing. */
	set_cap(parent, 1);
	while (!current_of(parent))
		;
	for (i = 0; i < nr; i++)
		tell_to_stop(&workers[i]);
	for (i = 0; i < nr; i++)
		EXPECT(!get_result(&workers[i]));
	EXPECT_EQ(current_of(parent), 0);
	EXPECT_RANGE(stat_of(parent, "helpers_lent"), 1, LONG_MAX);
	return KSFT_PASS;
}

static void spin_for(long usec)
{
	struct timespec begin, now;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - begin.tv_sec) * 1000000 +
	       (now.tv_nsec - begin.tv_nsec) / 1000 < usec);
}

/* An order: run for a millisecond of each two, before all others of a CPU. */
static int burst(long unused)
{
	if (stay_on_cpus(1) || !set_fifo(0, 50))
		return -errno;
	while (!told_to_stop()) {
		usleep(1000);
		spin_for(1000);
	}
	return 0;
}

/* An order: tear down again and again, beginning on the first CPU. */
static int storm_beside_burst(long mib)
{
	cpu_set_t all, mask;
	int err = 0;

	if (sched_getaffinity(0, sizeof(all), &all))
		return -errno;
	CPU_ZERO(&mask);
	CPU_SET(nth_cpu(0), &mask);
	while (!err && !told_to_stop()) {
		err = map_memory(mib);
		sched_setaffinity(0, sizeof(mask), &mask);
		sched_setaffinity(0, sizeof(all), &all);
		err = err ?: unmap(0);
	}
	return err;
}

/* On a debug kernel a round may take seconds: then there are fewer. */
#define PREEMPTED_ROUNDS	200
#define PREEMPTED_SECONDS	100

/*
 * A caller that is preempted just when it takes on a helper counts as having it:
 * once nobody has one under a cap of 0, nobody gets one.
 */
static int test_ktask_max_preempted(const char *root)
{
	const char *parent = make_cgroup(root, "ktask_preempted", true);
	const char *child = make_cgroup(parent, "child", false);
	time_t end = time(NULL) + PREEMPTED_SECONDS;
	struct worker *rt, *callers[3];
	int i, rounds = 0;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	rt = start_worker(root);
	for (i = 0; i < 3; i++) {
		callers[i] = start_worker(child);
		give_order(callers[i], storm_beside_burst, SMALL_MIB);
	}
	give_order(rt, burst, 0);
	while (rounds++ < PREEMPTED_ROUNDS && time(NULL) < end && !failures) {
		long lent = stat_of(parent, "helpers_lent");

		set(parent, "cpu.ktask.max", "max");
		while (stat_of(parent, "helpers_lent") == lent && time(NULL) < end)
			;
		set_cap(parent, 0);
		expect_at_most(parent, 0, 100);
	}
	ksft_print_msg("%d rounds\n", rounds - 1);
	EXPECT_RANGE(stat_of(parent, "helpers_lent"), 1, LONG_MAX);
	set(parent, "cpu.ktask.max", "max");
	EXPECT(!stop_worker(rt));
	for (i = 0; i < 3; i++)
		tell_to_stop(callers[i]);
	for (i = 0; i < 3; i++)
		EXPECT(!get_result(callers[i]));
	return KSFT_PASS;
}

/*
 * Limits that others move
 */

/* A cgroup that is busy from the start gets no helper, and is told why. */
static int test_ktask_busy(const char *root)
{
	struct place at = { .child = make_cgroup(root, "ktask_busy", false) };
	int i;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	at.worker = start_worker(at.child);
	EXPECT(!order(at.worker, map_memory, WORTH_MIB));
	narrow_busy(&at);
	for (i = 0; i < at.nr_hogs; i++)
		while (!tearing_down(at.hogs[i]))
			;
	EXPECT(!order(at.worker, unmap, 0));
	EXPECT_EQ(stat_of(at.child, "helpers_lent"), 0);
	EXPECT_EQ(stat_of(at.child, "refused_busy"), 1);

	widen_busy(&at);
	EXPECT(!order(at.worker, map_and_unmap, WORTH_MIB));
	EXPECT_RANGE(stat_of(at.child, "helpers_lent"), 1, LONG_MAX);
	return KSFT_PASS;
}

/* Who shares with whom, and what became of it */
struct sharing {
	pid_t	first, second;
	bool	refused;	/* the second found no room */
	bool	had;		/* it had its helpers */
	int	waited;		/* chunks of the first's helpers in between */
	int	went_on;	/* chunks of the first after that */
};

/* A helper makes way within some 10 ms, so for two it is a few dozens of chunks. */
#define TURN_CHUNKS	250

static void read_sharing(struct sharing *to, const char *line, long helpers)
{
	long caller = trace_field(line, "caller");

	if (strstr(line, "ktask_refuse:"))
		to->refused |= caller == to->second;
	if (strstr(line, "ktask_lend:"))
		to->had |= caller == to->second &&
			   trace_field(line, "on_loan") >= helpers;
	if (!strstr(line, "ktask_chunk:") || caller != to->first)
		return;
	if (trace_field(line, "thread") == to->first)
		to->went_on += to->had;
	else
		to->waited += to->refused && !to->had;
}

/*
 * Had the second its @helpers in time, and while the first was still at it: not
 * just with its last chunk, which its helper does not wait for? Not in each try:
 * the second's CPU may be stopped by the host while it is refused a helper.
 */
static bool traced_sharing(struct sharing *to, long helpers)
{
	FILE *trace = fopen(TRACE "/trace", "r");
	char line[1024];

	while (EXPECT(trace) && fgets(line, sizeof(line), trace) &&
	       !strstr(line, "ktask_end:"))
		read_sharing(to, line, helpers);
	if (trace)
		fclose(trace);
	if (to->waited > TURN_CHUNKS)
		ksft_print_msg("waited for %d chunks\n", to->waited);
	return to->waited <= TURN_CHUNKS && to->went_on > 1;
}

/* The first has all its helpers when the other begins, and has to make room. */
static bool caught_sharing(const char *first, struct worker **sharers,
			   long mib, long helpers)
{
	struct sharing sharing = { sharers[0]->pid, sharers[1]->pid };
	bool caught;
	int i;

	EXPECT(!order(sharers[1], map_aliases, mib));
	caught = catch_teardown(sharers[0], first, mib, helpers);
	trace_clear();
	give_order(sharers[1], unmap, 0);
	for (i = 0; i < 2; i++)
		EXPECT(!get_result(sharers[i]));
	return traced_sharing(&sharing, helpers) && caught;
}

static int expect_sharing(const char *parent, long helpers)
{
	const char *children[2];
	bool shared = false;
	long mib;
	int i;

	if (!trace_begin())
		return skip("no tracepoints");

	children[0] = make_cgroup(parent, "one", false);
	children[1] = make_cgroup(parent, "other", false);
	for (mib = 2 * LONG_MIB_MIN; mib <= LONG_MIB_MAX && !shared; mib *= 2) {
		struct worker *sharers[2];

		for (i = 0; i < 2; i++)
			sharers[i] = start_worker(children[i]);
		shared = caught_sharing(children[0], sharers, mib, helpers);
		for (i = 0; i < 2; i++)
			end_worker(sharers[i]);
	}
	EXPECT(shared);
	trace_end();
	return KSFT_PASS;
}

/* Siblings take turns with the only helper that their parent's cap allows. */
static int test_ktask_share_cap(const char *root)
{
	const char *parent = make_cgroup(root, "ktask_share", true);
	int ret;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	set_cap(parent, 1);
	ret = expect_sharing(parent, 1);
	EXPECT_RANGE(peak_of(parent), 0, 1);
	return ret;
}

/* Without a cap it is the pool that they share: it has a helper per CPU. */
static int test_ktask_share_pool(const char *root)
{
	if (nr_cpus() < 4)
		return skip_below_cpus(4);

	return expect_sharing(make_cgroup(root, "ktask_pool", true), 2);
}

/* CPUs that the kernel was told at boot to keep for others. */
static int isolated_cpus(cpu_set_t *isolated)
{
	static const char * const lists[] = {
		"/sys/devices/system/cpu/isolated",
		"/sys/devices/system/cpu/nohz_full",
	};
	size_t i;

	CPU_ZERO(isolated);
	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		char text[256] = "", *range, *save = NULL;
		int first, last;

		read_text(lists[i], text, sizeof(text));
		for (range = strtok_r(text, ",\n", &save); range;
		     range = strtok_r(NULL, ",\n", &save)) {
			if (sscanf(range, "%d-%d", &first, &last) < 2)
				last = sscanf(range, "%d", &first) < 1 ?
				       first - 1 : first;
			while (first <= last)
				CPU_SET(first++, isolated);
		}
	}
	return CPU_COUNT(isolated);
}

/* Chunks of a caller's helpers: all of them, or those on some CPUs. */
static int helpers_chunks(pid_t caller, const cpu_set_t *cpus)
{
	FILE *trace = fopen(TRACE "/trace", "r");
	char line[1024];
	int nr = 0;

	while (EXPECT(trace) && fgets(line, sizeof(line), trace))
		nr += strstr(line, "ktask_chunk:") &&
		      trace_field(line, "caller") == caller &&
		      trace_field(line, "thread") != caller &&
		      (!cpus || CPU_ISSET(trace_cpu(line), cpus));
	if (trace)
		fclose(trace);
	return nr;
}

/* How often did a caller have an event? */
static int traced(pid_t caller, const char *event)
{
	FILE *trace = fopen(TRACE "/trace", "r");
	char line[1024];
	int nr = 0;

	while (EXPECT(trace) && fgets(line, sizeof(line), trace))
		nr += strstr(line, event) &&
		      trace_field(line, "caller") == caller;
	if (trace)
		fclose(trace);
	return nr;
}

static int tear_down_on(struct worker *worker, const cpu_set_t *cpus,
			const cpu_set_t *counted)
{
	trace_clear();
	EXPECT(!sched_setaffinity(worker->pid, sizeof(*cpus), cpus));
	EXPECT(!order(worker, map_and_unmap, 4 * WORTH_MIB));
	return helpers_chunks(worker->pid, counted);
}

/* Helpers leave isolated CPUs alone, even if their caller lives there. */
static int test_ktask_isolated(const char *root)
{
	const char *cg = make_cgroup(root, "ktask_isolated", false);
	struct worker *worker = start_worker(cg);
	cpu_set_t isolated, all;
	int i, helped = 0;

	if (isolated_cpus(&isolated) < 2)
		return skip("less than two CPUs are isolated");
	if (!trace_begin())
		return skip("no tracepoints");

	CPU_ZERO(&all);
	for (i = 0; i < sysconf(_SC_NPROCESSORS_ONLN); i++)
		CPU_SET(i, &all);
	/* But for the last chunk of one that its caller waits for there. */
	for (i = 0; i < 5; i++)
		EXPECT_RANGE(tear_down_on(worker, &all, &isolated), 0,
			     traced(worker->pid, "ktask_migrate:"));
	/* A busy host may keep all CPUs from a short task: then try again. */
	for (i = 0; i < 10 && !helped; i++)
		helped = tear_down_on(worker, &all, NULL);
	EXPECT_RANGE(helped, 1, INT_MAX);
	EXPECT_EQ(tear_down_on(worker, &isolated, NULL), 0);
	trace_end();
	return KSFT_PASS;
}

static int work_in_isolated_partition(const char *root)
{
	const char *partition;
	struct worker *worker;

	if (nr_cpus() < 3)
		return skip_below_cpus(3);
	if (!trace_begin())
		return skip("no tracepoints");

	partition = prepare_partition(root);
	if (!make_partition(partition, "isolated"))
		return KSFT_FAIL;
	worker = start_worker(partition);
	trace_clear();
	EXPECT(!order(worker, map_and_unmap, 4 * WORTH_MIB));
	EXPECT_EQ(helpers_chunks(worker->pid, NULL), 0);
	EXPECT_EQ(stat_of(partition, "tasks"), 0);
	trace_end();
	EXPECT(make_partition(partition, "member"));
	return KSFT_PASS;
}

/* Who lives on isolated CPUs works alone. */
static int test_ktask_isolated_partition(const char *root)
{
	return with_cpusets(root, work_in_isolated_partition);
}

#define MAX_NODES	64

/* The node that a CPU belongs to, even before it is online, or -1. */
static int node_of(int cpu)
{
	char path[PATH_MAX];
	int nid;

	for (nid = 0; nid < MAX_NODES; nid++) {
		snprintf(path, sizeof(path),
			 "/sys/devices/system/cpu/cpu%d/node%d", cpu, nid);
		if (!access(path, F_OK))
			return nid;
	}
	return -1;
}

static int helpers_of(int nid)
{
	struct helper helpers[MAX_HELPERS];
	int nr = 0, i = read_helpers(helpers);

	while (i--)
		nr += helpers[i].nid == nid;
	return nr;
}

/* Bring all CPUs of a node up or down; returns how many there are. */
static int set_node_online(int nid, const char *text)
{
	int cpu, nr = 0;

	for (cpu = 0; cpu < sysconf(_SC_NPROCESSORS_CONF); cpu++)
		if (node_of(cpu) == nid) {
			EXPECT(set_online(cpu, text));
			nr++;
		}
	return nr;
}

/* What a node's pool has at least */
#define POOL_MIN	4

/*
 * A node whose CPUs come after boot gets helpers then; and one caller can have
 * one for each CPU, wherever it runs.
 */
static int test_ktask_late_node(const char *root)
{
	int nid = node_of(sysconf(_SC_NPROCESSORS_CONF) - 1), least, i;
	struct worker *worker;
	const char *cg;

	if (nid < 0 || helpers_of(nid))
		return skip("the last CPU's node has helpers from the start");

	least = set_node_online(nid, "1");
	if (least > POOL_MIN)
		least = POOL_MIN;
	while (helpers_of(nid) < least)
		usleep(10000);

	cg = make_cgroup(root, "ktask_late_node", false);
	worker = start_worker(cg);
	for (i = 0; i < 50 && !failures; i++) {
		/* In short teardowns there may be no time for that many. */
		EXPECT(!order(worker, map_aliases, i < 10 ? 512 : 4096));
		EXPECT(!order(worker, unmap, 0));
		EXPECT_RANGE(peak_of(cg), 0, stat_of(cg, "helpers_lent"));
		if (peak_of(cg) >= nr_cpus() - 1)
			break;
	}
	EXPECT_EQ(peak_of(cg), nr_cpus() - 1);
	ksft_print_msg("at teardown %d\n", i);
	set_node_online(nid, "0");
	return KSFT_PASS;
}

#define QUOTA_SLICE	"sched_cfs_bandwidth_slice_us"

/* Where a CPU takes all of a quota at a time, nothing is left for a helper. */
static void expect_no_helpers(const char *cg, struct worker *worker, long mib)
{
	long lent = stat_of(cg, "helpers_lent");
	char slice[32];

	read_text("/proc/sys/kernel/" QUOTA_SLICE, slice, sizeof(slice));
	set(cg, "cpu.max", "max");
	EXPECT(!order(worker, map_aliases, mib));
	set("/proc/sys/kernel", QUOTA_SLICE, "40000");
	set(cg, "cpu.max", "60000 40000");
	EXPECT(!order(worker, unmap, 0));
	set("/proc/sys/kernel", QUOTA_SLICE, slice);
	EXPECT_EQ(stat_of(cg, "helpers_lent"), lent);
}

/*
 * With a helper the quota of one and a half CPUs is used up before the period
 * ends. Helpers leave before, and are lent again in the next.
 */
static int test_ktask_quota(const char *root)
{
	const char *cg = make_cgroup(root, "ktask_quota", false);
	struct worker *worker = start_worker(cg);
	long mib;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	for (mib = LONG_MIB_MIN; mib <= LONG_MIB_MAX && !failures; mib *= 2) {
		set(cg, "cpu.max", "max");
		EXPECT(!order(worker, map_aliases, mib));
		set(cg, "cpu.max", "60000 40000");
		EXPECT(!order(worker, unmap, 0));
		if (stat_of(cg, "refused_quota"))
			break;
	}
	EXPECT_RANGE(stat_of(cg, "refused_quota"), 1, LONG_MAX);
	EXPECT_RANGE(stat_of(cg, "helpers_lent"), 1, LONG_MAX);
	expect_no_helpers(cg, worker, mib);
	return KSFT_PASS;
}

/* Who else may use a quota of two and a half CPUs */
struct quota_user {
	const char	*what;
	int		spinning;	/* beside the callers */
	int		callers;
	bool		sibling;	/* those who spin are in another cgroup */
	bool		nested;		/* callers have it at three levels */
};

/* Some periods' worth */
#define QUOTA_MIB	8192

/* How often a quota did not last */
struct throttling {
	long	throttled;
	long	periods;
};

static void use_quota(const char *root, const struct quota_user *user,
		      bool helped, struct throttling *all)
{
	const char *parent = make_cgroup(root, "ktask_quota", true);
	const char *middle = make_cgroup(parent, "middle", true);
	const char *one = make_cgroup(middle, "one", false);
	const char *other = make_cgroup(parent, "other", false);
	long throttled, periods;
	struct worker *users[4];
	int nr, i;

	for (nr = 0; nr < user->callers + user->spinning; nr++)
		users[nr] = start_worker(nr >= user->callers && user->sibling ?
					 other : one);
	for (i = 0; i < user->callers; i++)
		EXPECT(!order(users[i], map_aliases, QUOTA_MIB));
	set(parent, "cpu.max", "250000 100000");
	if (user->nested) {
		set(middle, "cpu.max", "250000 100000");
		set(one, "cpu.max", "250000 100000");
	}
	for (i = 0; i < nr; i++)
		give_order(users[i], i < user->callers ? unmap : spin, 0);
	for (i = 0; i < nr; i++) {
		/* Those that spin come last. */
		EXPECT(!(i < user->callers ? get_result(users[i]) :
					     stop_worker(users[i])));
	}

	throttled = keyed(parent, "cpu.stat", "nr_throttled");
	periods = keyed(parent, "cpu.stat", "nr_periods");
	ksft_print_msg("%s: %ld helpers for %ld us, throttled in %ld of %ld periods\n",
		       user->what, stat_of(parent, "helpers_lent"),
		       stat_of(parent, "helper_usec"), throttled, periods);
	/* Without helpers it would be none, if CPUs did not take turns. */
	EXPECT_RANGE(throttled, 0, helped ? periods * 3 / 4 : periods / 8);
	all->throttled += throttled;
	all->periods += periods;
	EXPECT_RANGE(stat_of(parent, "helpers_lent"), helped,
		     helped ? LONG_MAX : 0);
	end_workers();
	remove_cgroups();
}

/*
 * Where threads alone do not use a quota up, helpers do not either. That needs a
 * machine whose clock stands still when its host does something else. Even so this
 * emulator runs one CPU at a time, for up to 90 ms, and the threads of the others
 * are charged for that. So now and then a helper leaves too late: in a fifth of all
 * periods, as often as in a half of those of one case. If helpers took what other
 * threads need it would be in nearly every period.
 */
static int test_ktask_quota_users(const char *root)
{
	static const struct quota_user cases[] = {
		{ "one caller", 0, 1, false, false },
		{ "a caller and a busy thread", 1, 1, false, false },
		{ "two callers", 0, 2, false, false },
		{ "a caller and a busy sibling", 1, 1, true, false },
		{ "a caller and a busy thread, at three levels", 1, 1, false, true },
	};
	struct throttling off = {}, on = {};
	char text[4096] = "";
	size_t i;

	read_text("/proc/cmdline", text, sizeof(text));
	if (!strstr(text, "ktask.exact_clock"))
		return skip("the host may stop this machine's clock");
	if (nr_cpus() < 4)
		return skip_below_cpus(4);

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT(set_max_threads("1"));
		use_quota(root, &cases[i], false, &off);
		EXPECT(set_max_threads("64"));
		use_quota(root, &cases[i], true, &on);
	}
	ksft_print_msg("all: throttled in %ld of %ld periods off, %ld of %ld on\n",
		       off.throttled, off.periods, on.throttled, on.periods);
	EXPECT_RANGE(on.throttled, 0, on.periods * 2 / 5);
	return KSFT_PASS;
}

/* An order: be ready to keep a CPU from all threads that are not real-time ones. */
static int stay_as_fifo(long cpu)
{
	cpu_set_t mask;

	CPU_ZERO(&mask);
	CPU_SET(nth_cpu(cpu), &mask);
	if (sched_setaffinity(0, sizeof(mask), &mask))
		return -errno;
	return become_fifo(50);
}

#define MAX_HOGS	8

/*
 * Real-time threads take the CPUs of helpers in the middle of a teardown of @mib,
 * which is made more where that has ended by then. Their caller ends it, and waits for
 * them: then they have its CPU.
 */
static bool caught_starving(const char *cg, struct worker *worker,
			    struct worker **hogs, int nr_hogs, long *mib)
{
	bool caught = catch_teardown(worker, cg, *mib, 1);
	static struct helper helpers[MAX_HELPERS];
	int nr = read_helpers(helpers), i;

	trace_clear();
	/* The first CPU stays for all the others. */
	for (i = 0; i < nr_hogs; i++) {
		int at = nr;

		while (at-- && (helpers[at].state != 'R' ||
				helpers[at].cpu != nth_cpu(i + 1)))
			;
		give_order(hogs[i], spin, 0);
		if (at < 0)
			tell_to_stop(hogs[i]);
	}
	if (!tearing_down(worker) && *mib < LONG_MIB_MAX)
		*mib *= 2;
	EXPECT(!get_result(worker));
	caught &= traced(worker->pid, "ktask_migrate:") > 0;
	for (i = 0; i < nr_hogs; i++)
		EXPECT(!stop_worker(hogs[i]));
	return caught;
}

static int test_ktask_starved(const char *root)
{
	const char *cg = make_cgroup(root, "ktask_starved", false);
	struct worker *worker = start_worker(cg), *hogs[MAX_HOGS];
	long mib = LONG_MIB_MIN;
	bool caught = false;
	int nr, try;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);
	if (!trace_begin())
		return skip("no tracepoints");

	for (nr = 0; nr < nr_cpus() - 1 && nr < MAX_HOGS; nr++) {
		hogs[nr] = start_worker(root);
		EXPECT(!order(hogs[nr], stay_as_fifo, nr + 1));
	}
	for (try = 0; try < 100 && !caught && !failures; try++)
		caught = caught_starving(cg, worker, hogs, nr, &mib);
	EXPECT(caught);
	ksft_print_msg("at teardown %d\n", try);
	trace_end();
	return KSFT_PASS;
}

#define T(x) { x, #x }
static const struct ktask_test tests[] = {
	T(test_ktask_migrate),
	T(test_ktask_max_change),
	T(test_ktask_max_storm),
	T(test_ktask_max_preempted),
	T(test_ktask_live_cap),
	T(test_ktask_live_parent_cap),
	T(test_ktask_live_cpu_max),
	T(test_ktask_live_cpuset),
	T(test_ktask_live_partition),
	T(test_ktask_live_isolated_partition),
	T(test_ktask_live_affinity),
	T(test_ktask_live_other_cpus),
	T(test_ktask_live_system),
	T(test_ktask_live_online),
	T(test_ktask_live_busy),
	T(test_ktask_busy),
	T(test_ktask_share_cap),
	T(test_ktask_share_pool),
	T(test_ktask_live_real_time),
	T(test_ktask_live_sched_ext),
	T(test_ktask_core_sched),
	T(test_ktask_quota),
	T(test_ktask_quota_users),
	T(test_ktask_starved),
	T(test_ktask_isolated),
	T(test_ktask_isolated_partition),
	T(test_ktask_late_node),
};

#undef T

int main(int argc, char **argv)
{
	return run_ktask_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
