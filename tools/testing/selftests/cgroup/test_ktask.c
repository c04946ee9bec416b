// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of ktask in cgroups: helper threads take part in tearing down memory,
 * within the limits of the cgroup that they do it for, and cpu.ktask.* says
 * how many they were. Limits that change while a task runs are
 * test_ktask_live.c's.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktask_cg_util.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP		0x02000000
#endif

/*
 * The files
 */

static const struct ktask_file {
	const char	*name;
	mode_t		mode;
	const char	*text;		/* in a new cgroup */
} files[] = {
	{ "cpu.ktask.max",		0644, "max\n" },
	{ "cpu.ktask.current",		0444, "0\n" },
	{ "cpu.ktask.peak",		0444, "0\n" },
	{ "cpu.ktask.effective",	0444, NULL },
	{ "cpu.ktask.stat",		0444, NULL },
	{ "cpu.ktask.events",		0444, "max 0\n" },
	{ "cpu.ktask.events.local",	0444, "max 0\n" },
};

/*
 * The files are where the cpu controller is, but not on the root, and say
 * what a cgroup without limits and history has to say.
 */
static int test_ktask_files(const char *root)
{
	const char *with = make_cgroup(root, "ktask_files", false);
	const char *without = make_cgroup(with, "without", false);
	struct stat st;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		const struct ktask_file *file = &files[i];

		EXPECT(!has_file(root, file->name, &st));
		EXPECT(!has_file(without, file->name, &st));
		if (!EXPECT(has_file(with, file->name, &st)))
			continue;
		EXPECT_EQ(st.st_mode & 07777, file->mode);
		if (file->text)
			file_is(with, file->name, file->text);
	}
	effective_is(with, nr_cpus() - 1, "cpus", NULL);
	return KSFT_PASS;
}

/* What may be written to cpu.ktask.max, and what is then read from it. */
static int test_ktask_max_valid(const char *root)
{
	static const char *const writes[][2] = {
		{ "0", "0\n" },
		{ "1", "1\n" },
		{ "7\n", "7\n" },
		{ "  8", "8\n" },
		{ "\t9\t\n", "9\n" },
		{ "007", "7\n" },
		{ "65536", "65536\n" },
		{ "2147483646", "2147483646\n" },
		{ "max", "max\n" },
		{ "3", "3\n" },
		{ "max\n", "max\n" },
		{ " max ", "max\n" },
	};
	const char *cg = make_cgroup(root, "ktask_valid", false);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(writes); i++)
		if (set(cg, "cpu.ktask.max", writes[i][0]))
			file_is(cg, "cpu.ktask.max", writes[i][1]);
	return KSFT_PASS;
}

/* What may not: the errno says why, and nothing changes. */
static int test_ktask_max_invalid(const char *root)
{
	static const struct {
		const char	*text;
		int		err;
	} writes[] = {
		{ "", EINVAL },
		{ "\n", EINVAL },
		{ " ", EINVAL },
		{ "-1", EINVAL },
		{ "-0", EINVAL },
		{ "foo", EINVAL },
		{ "MAX", EINVAL },
		{ "maxi", EINVAL },
		{ "ma", EINVAL },
		{ "max 1", EINVAL },
		{ "1 2", EINVAL },
		{ "1,2", EINVAL },
		{ "1\n2", EINVAL },
		{ "0x1", EINVAL },
		{ "1.5", EINVAL },
		{ "1k", EINVAL },
		{ "2147483647", ERANGE },
		{ "2147483648", ERANGE },
		{ "4294967295", ERANGE },
		{ "4294967296", ERANGE },
		{ "18446744073709551615", ERANGE },
		{ "18446744073709551616", ERANGE },
		{ "99999999999999999999999999", ERANGE },
	};
	static const char *const before[] = { "max\n", "7\n", "0\n" };
	const char *cg = make_cgroup(root, "ktask_invalid", false);
	size_t i, j;

	for (j = 0; j < ARRAY_SIZE(before); j++) {
		set(cg, "cpu.ktask.max", before[j]);
		for (i = 0; i < ARRAY_SIZE(writes); i++) {
			int err = write_file(cg, "cpu.ktask.max",
					      writes[i].text);

			/* write() itself answers for no bytes at all. */
			if (!*writes[i].text && !err)
				err = -writes[i].err;
			if (!EXPECT_EQ(err, -writes[i].err))
				ksft_print_msg("was \"%s\"\n", writes[i].text);
			file_is(cg, "cpu.ktask.max", before[j]);
		}
	}
	return KSFT_PASS;
}

/* Not even root changes what is only to be read. */
static int test_ktask_read_only(const char *root)
{
	static const char *const texts[] = { "0", "1", "max", "max 5" };
	const char *cg = make_cgroup(root, "ktask_read_only", false);
	char before[PAGE_SIZE], after[PAGE_SIZE];
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		if (files[i].mode & 0200)
			continue;
		EXPECT(!cg_read(cg, files[i].name, before, sizeof(before)));
		for (j = 0; j < ARRAY_SIZE(texts); j++)
			EXPECT(write_file(cg, files[i].name, texts[j]));
		EXPECT(!cg_read(cg, files[i].name, after, sizeof(after)));
		EXPECT(!strcmp(before, after));
	}
	return KSFT_PASS;
}

/* cpu.ktask.peak never falls. */
static int test_ktask_peak(const char *root)
{
	const char *parent = make_cgroup(root, "ktask_peak", true);
	const char *child = make_cgroup(parent, "child", false);
	long peak;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	set_cap(child, 1);
	tear_down(child, WORTH_MIB);
	EXPECT_EQ(peak_of(child), 1);
	EXPECT_EQ(peak_of(parent), 1);

	set(child, "cpu.ktask.max", "max");
	tear_down(child, WORTH_MIB);
	peak = peak_of(child);
	EXPECT_RANGE(peak, 1, nr_cpus() - 1);
	EXPECT_EQ(peak_of(parent), peak);

	set_cap(child, 0);
	tear_down(child, WORTH_MIB);
	EXPECT_EQ(peak_of(child), peak);
	EXPECT_EQ(peak_of(parent), peak);
	return KSFT_PASS;
}

/* Interrupts by which CPUs call functions on other CPUs, or -1. */
static long function_calls(void)
{
	static char text[64 * PAGE_SIZE];
	char *pos, *end;
	long sum = 0;

	if (read_text("/proc/interrupts", text, sizeof(text)) <= 0)
		return -1;
	pos = strstr(text, "CAL:");
	if (!pos)
		return -1;
	for (pos += strlen("CAL:"); ; pos = end) {
		long nr = strtol(pos, &end, 10);

		if (pos == end)
			return sum;
		sum += nr;
	}
}

#define QUIET_WRITES	2000

/* Such interrupts while two values are written to a file in turn */
static long calls_of_writes(const char *cg, const char *file, const char *one,
			    const char *other)
{
	long before = function_calls(), i;

	for (i = 0; i < QUIET_WRITES; i++)
		set(cg, file, i % 2 ? one : other);
	return function_calls() - before;
}

/* Writes of cpu.ktask.max interrupt no other CPU, however many they are. */
static int test_ktask_max_quiet(const char *root)
{
	const char *cg = make_cgroup(root, "ktask_quiet", false);
	struct worker *busy = start_worker(cg);
	long ours, others, tries;
	cpu_set_t mask, old;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);
	if (function_calls() < 0)
		return skip("/proc/interrupts has no line CAL");

	EXPECT(!sched_getaffinity(0, sizeof(old), &old));
	CPU_ZERO(&mask);
	CPU_SET(nth_cpu(1), &mask);
	EXPECT(!sched_setaffinity(0, sizeof(mask), &mask));
	EXPECT(!order(busy, stay_on_cpus, 1));
	give_order(busy, spin, 0);
	while (!tearing_down(busy))
		;
	/* Others of the kernel's parts have some too, but not in each try. */
	for (tries = 0; tries < 5; tries++) {
		others = calls_of_writes(cg, "cpu.weight", "100", "200");
		ours = calls_of_writes(cg, "cpu.ktask.max", "max", "1");
		if (ours < others + QUIET_WRITES / 2)
			break;
	}
	EXPECT_RANGE(ours, 0, others + QUIET_WRITES / 2);
	EXPECT(!stop_worker(busy));
	EXPECT(!sched_setaffinity(0, sizeof(old), &old));
	return KSFT_PASS;
}

/*
 * Tear memory down in a cgroup until the cap of @level refuses a helper, which
 * is one event. A helper that comes late leaves too little to ask for another.
 * Where the cap @refuses nothing, that is one teardown without an event.
 * Returns the number of teardowns.
 */
static int tear_down_at_cap(const char *cgroup, const char *level, bool refuses)
{
	long before = keyed(level, "cpu.ktask.events.local", "max");
	int teardowns = 0;
	long events;

	do {
		tear_down(cgroup, WORTH_MIB);
		events = keyed(level, "cpu.ktask.events.local", "max");
	} while (++teardowns < 10 && refuses && events == before);
	EXPECT_EQ(events, before + refuses);
	return teardowns;
}

/*
 * Each task that a cap refuses a helper is an event, where the cap is. A cap of
 * 0 refuses nothing: then there are no tasks.
 */
static int test_ktask_events(const char *root)
{
	const char *parent = make_cgroup(root, "ktask_events", true);
	const char *child = make_cgroup(parent, "child", false);
	int tasks = 1;

	if (nr_cpus() < 3)
		return skip_below_cpus(3);

	tear_down(child, WORTH_MIB);
	file_is(parent, "cpu.ktask.events", "max 0\n");

	set_cap(parent, 1);
	tasks += tear_down_at_cap(child, parent, true);
	file_is(parent, "cpu.ktask.events", "max 1\n");
	file_is(parent, "cpu.ktask.events.local", "max 1\n");
	file_is(child, "cpu.ktask.events", "max 0\n");
	file_is(child, "cpu.ktask.events.local", "max 0\n");

	set_cap(child, 1);
	tasks += tear_down_at_cap(child, child, true);
	file_is(parent, "cpu.ktask.events", "max 2\n");
	file_is(parent, "cpu.ktask.events.local", "max 1\n");
	file_is(child, "cpu.ktask.events", "max 1\n");
	file_is(child, "cpu.ktask.events.local", "max 1\n");

	set_cap(child, 0);
	tear_down(child, WORTH_MIB);
	set(child, "cpu.ktask.max", "max");
	set_cap(parent, 0);
	tear_down(child, WORTH_MIB);
	EXPECT_EQ(stat_of(child, "tasks"), tasks);

	set(parent, "cpu.ktask.max", "max");
	tear_down(child, WORTH_MIB);
	file_is(parent, "cpu.ktask.events", "max 2\n");
	file_is(parent, "cpu.ktask.events.local", "max 1\n");
	file_is(child, "cpu.ktask.events", "max 1\n");
	file_is(child, "cpu.ktask.events.local", "max 1\n");
	return KSFT_PASS;
}

/* Wait for a change of a polled file; the watchdog ends it otherwise. */
static bool notified(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLPRI };

	return poll(&pollfd, 1, -1) == 1 && (pollfd.revents & POLLPRI);
}

static bool quiet(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLPRI };

	return !poll(&pollfd, 1, 0);
}

/* Events wake those who poll, and those who watch with inotify. */
static int test_ktask_events_poll(const char *root)
{
	const char *parent = make_cgroup(root, "ktask_poll", true);
	const char *child = make_cgroup(parent, "child", false);
	int above, here, local, watch;
	struct inotify_event event;
	char path[PATH_MAX];

	if (nr_cpus() < 3)
		return skip_below_cpus(3);

	above = cg_open(parent, "cpu.ktask.events", O_RDONLY);
	here = cg_open(child, "cpu.ktask.events", O_RDONLY);
	local = cg_open(child, "cpu.ktask.events.local", O_RDONLY);
	watch = inotify_init1(0);
	snprintf(path, sizeof(path), "%s/cpu.ktask.events", child);
	if (!EXPECT(above >= 0 && here >= 0 && local >= 0 && watch >= 0) ||
	    !EXPECT(inotify_add_watch(watch, path, IN_MODIFY) >= 0))
		return KSFT_FAIL;

	/* A file is watched from when it was read. */
	EXPECT(pread(above, path, sizeof(path), 0) > 0);
	EXPECT(pread(here, path, sizeof(path), 0) > 0);
	EXPECT(pread(local, path, sizeof(path), 0) > 0);
	EXPECT(quiet(above) && quiet(here) && quiet(local));

	set_cap(child, 1);
	tear_down_at_cap(child, child, true);
	EXPECT(notified(above));
	EXPECT(notified(here));
	EXPECT(notified(local));
	EXPECT(read(watch, &event, sizeof(event)) == sizeof(event) &&
	       (event.mask & IN_MODIFY));

	close(above);
	close(here);
	close(local);
	close(watch);
	return KSFT_PASS;
}

/* cpu.ktask.stat is flat-keyed, and its numbers agree with each other. */
static int test_ktask_stat(const char *root)
{
	static const char *const keys[] = {
		"tasks", "serial_tasks", "helpers_lent", "refused_cpus",
		"refused_cpu_max", "refused_quota", "refused_ktask_max",
		"refused_system", "refused_class", "refused_busy",
		"refused_share", "refused_pool", "refused_gain", "cancelled",
		"reniced", "chunks", "helper_usec",
	};
	const char *parent = make_cgroup(root, "ktask_stat", true);
	const char *child = make_cgroup(parent, "child", false);
	char text[PAGE_SIZE], *line, *save = NULL;
	long lent, serial;
	int tasks = 3;
	size_t i;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	EXPECT(!cg_read(child, "cpu.ktask.stat", text, sizeof(text)));
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char key[64], rest;
		long value;

		if (!EXPECT(sscanf(line, "%63[a-z_] %ld%c", key, &value,
				   &rest) == 2))
			ksft_print_msg("line is \"%s\"\n", line);
		EXPECT_EQ(value, 0);
	}
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (!EXPECT(stat_of(child, keys[i]) == 0))
			ksft_print_msg("key is %s\n", keys[i]);

	for (i = 0; i < tasks; i++)
		tear_down(child, WORTH_MIB);

	EXPECT_EQ(stat_of(child, "tasks"), tasks);
	serial = stat_of(child, "serial_tasks");
	EXPECT_RANGE(serial, 0, stat_of(child, "cancelled"));
	lent = stat_of(child, "helpers_lent");
	EXPECT_RANGE(lent, tasks, LONG_MAX);
	/* Memory that is not aligned begins and ends within a page table. */
	EXPECT_RANGE(stat_of(child, "chunks"), tasks,
		     tasks * (WORTH_MIB / 2 + 1));
	EXPECT_RANGE(stat_of(child, "cancelled"), 0, lent);
	EXPECT_RANGE(stat_of(child, "reniced"), 0, lent);
	EXPECT_RANGE(stat_of(child, "helper_usec"), 1, LONG_MAX);

	set_cap(child, 0);
	for (i = 0; i < 2; i++)
		tear_down(child, WORTH_MIB);
	/* What ktask leaves to Linux is no task. */
	EXPECT_EQ(stat_of(child, "tasks"), tasks);
	EXPECT_EQ(stat_of(child, "serial_tasks"), serial);
	EXPECT_EQ(stat_of(child, "helpers_lent"), lent);
	EXPECT_EQ(stat_of(child, "refused_ktask_max"), 0);

	set_cap(child, 1);
	for (i = 0; i < 2; i++)
		tasks += tear_down_at_cap(child, child, nr_cpus() > 2);
	EXPECT_EQ(stat_of(child, "tasks"), tasks);
	EXPECT_EQ(stat_of(child, "refused_ktask_max"), nr_cpus() > 2 ? 2 : 0);

	/* All that the parent has is its child's. */
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (!EXPECT_EQ(stat_of(parent, keys[i]),
			       stat_of(child, keys[i])))
			ksft_print_msg("key is %s\n", keys[i]);
	return KSFT_PASS;
}

/*
 * Limits
 */

/* A cap at one of three levels, with the task in the lowest one. */
static void check_cap_at(const char **levels, int at, int cap)
{
	/* With two CPUs there is nothing that 1 refuses. */
	bool event = cap && nr_cpus() - 1 > cap;
	int i;

	set_cap(levels[at], cap);
	effective_is(levels[2], cap, "cpu.ktask.max", levels[at]);
	tear_down_at_cap(levels[2], levels[at], event);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(peak_of(levels[i]), cap);
		EXPECT_EQ(current_of(levels[i]), 0);
		EXPECT_EQ(keyed(levels[i], "cpu.ktask.events", "max"),
			  i <= at ? event : 0);
		EXPECT_EQ(keyed(levels[i], "cpu.ktask.events.local", "max"),
			  i == at ? event : 0);
	}
}

/* Caps of 0 and 1 at each of three levels. */
static int test_ktask_max_nested(const char *root)
{
	const char *levels[3];
	int cap, at;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	for (cap = 0; cap <= 1; cap++) {
		for (at = 0; at < 3; at++) {
			char name[32];

			snprintf(name, sizeof(name), "ktask_nested_%d_%d", cap,
				 at);
			levels[0] = make_cgroup(root, name, true);
			levels[1] = make_cgroup(levels[0], "middle", true);
			levels[2] = make_cgroup(levels[1], "leaf", false);
			check_cap_at(levels, at, cap);
			set(levels[at], "cpu.ktask.max", "max");
		}
	}

	/* The least one binds, wherever it is. */
	set_cap(levels[0], 1);
	set_cap(levels[2], 0);
	effective_is(levels[2], 0, "cpu.ktask.max", levels[2]);
	effective_is(levels[1], 1, "cpu.ktask.max", levels[0]);
	set_cap(levels[0], 0);
	set_cap(levels[2], 1);
	effective_is(levels[2], 0, "cpu.ktask.max", levels[0]);
	return KSFT_PASS;
}

/*
 * Tear down in @leaf below a cpu.max at @level that has room for @helpers: they
 * are what the budget shows, and never more. Returns how many were lent.
 */
static long tear_down_below(const char *level, const char *leaf,
			    const char *max, int helpers)
{
	int cpus = nr_cpus() - 1;
	long lent = stat_of(leaf, "helpers_lent");
	long refused = stat_of(leaf, "refused_cpu_max");
	struct worker *worker = start_worker(leaf);

	/* Map it first, or that takes minutes with a hundredth of a CPU. */
	EXPECT(!order(worker, map_memory, helpers ? WORTH_MIB : SMALL_MIB));
	set(level, "cpu.max", max);
	if (helpers <= cpus)
		effective_is(leaf, helpers, "cpu.max", level);
	else
		effective_is(leaf, cpus, "cpus", NULL);

	EXPECT(!order(worker, unmap, 0));
	set(level, "cpu.max", "max");

	lent = stat_of(leaf, "helpers_lent") - lent;
	if (!EXPECT_RANGE(peak_of(leaf), !!lent,
			  helpers < cpus ? helpers : cpus))
		ksft_print_msg("cpu.max was %s\n", max);
	refused = stat_of(leaf, "refused_cpu_max") - refused;
	EXPECT_RANGE(refused, 0, helpers && helpers <= cpus);
	end_worker(worker);
	return lent;
}

/* A busy host may keep all CPUs from a short task: then try again. */
static void check_cpu_max(const char *level, const char *leaf, const char *max,
			  int helpers)
{
	int tries = 3;
	long lent;

	do
		lent = tear_down_below(level, leaf, max, helpers);
	while (helpers && !lent && --tries);

	if (!EXPECT_RANGE(lent, !!helpers, helpers ? LONG_MAX : 0))
		ksft_print_msg("cpu.max was %s\n", max);
}

/* Helpers are as many as the CPUs that cpu.max begins, less the caller's. */
static int test_ktask_cpu_max(const char *root)
{
	static const struct {
		const char	*max;
		int		helpers;
	} limits[] = {
		{ "1000 100000", 0 },
		{ "50000 100000", 0 },
		{ "100000 100000", 0 },
		{ "150000 100000", 1 },
		{ "200000 100000", 1 },
		{ "201000 100000", 2 },
		{ "300000 100000", 2 },
		{ "75000 50000", 1 },
		{ "1000000 1000000", 0 },
		{ "max 100000", INT_MAX },
	};
	const char *parent = make_cgroup(root, "ktask_cpu_max", true);
	const char *child;
	size_t i;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		char name[16];

		snprintf(name, sizeof(name), "child_%zu", i);
		child = make_cgroup(parent, name, false);
		check_cpu_max(child, child, limits[i].max, limits[i].helpers);
		check_cpu_max(parent, child, limits[i].max, limits[i].helpers);
	}

	/* The least one binds, wherever it is. */
	set(parent, "cpu.max", "50000 100000");
	set(child, "cpu.max", "150000 100000");
	effective_is(child, 0, "cpu.max", parent);
	set(parent, "cpu.max", "250000 100000");
	effective_is(child, 1, "cpu.max", child);
	set_cap(parent, 0);
	effective_is(child, 0, "cpu.ktask.max", parent);
	return KSFT_PASS;
}

/*
 * Where helpers may not be they are not by chance: it takes some teardowns to
 * say so. The last CPU of each is what is seen of them.
 */
#define STRAY_ROUNDS	8

static void expect_no_strays(struct worker *worker, int cpus)
{
	static struct helper before[MAX_HELPERS];
	int nr, strayed, round;

	for (round = 0; round < STRAY_ROUNDS; round++) {
		wait_for_idle_helpers();
		nr = read_helpers(before);
		EXPECT(!order(worker, map_and_unmap, WORTH_MIB));
		EXPECT_RANGE(worked_since(before, nr, cpus, &strayed), cpus > 1,
			     MAX_HELPERS);
		EXPECT_EQ(strayed, 0);
	}
}

/* Helpers stay on the CPUs of the cpuset. */
static int test_ktask_cpuset(const char *root)
{
	const char *parent, *cg;
	struct worker *worker;
	char list[64];
	bool enabled;
	int cpus;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);
	if (cg_read_strstr(root, "cgroup.controllers", "cpuset"))
		return skip("no cpuset controller");
	enabled = !cg_read_strstr(root, "cgroup.subtree_control", "cpuset");
	if (!enabled && cg_write(root, "cgroup.subtree_control", "+cpuset"))
		return skip("cannot enable the cpuset controller");

	parent = make_cgroup(root, "ktask_cpuset", true);
	set(parent, "cgroup.subtree_control", "+cpuset");
	cg = make_cgroup(parent, "child", false);

	for (cpus = 1; cpus <= nr_cpus(); cpus *= 2) {
		snprintf(list, sizeof(list), cpus > 1 ? "%d,%d" : "%d",
			 nth_cpu(0), nth_cpu(1));
		if (cpus > 2)
			snprintf(list, sizeof(list), "%d-%d", nth_cpu(0),
				 nth_cpu(cpus - 1));
		set(parent, "cpuset.cpus", list);
		effective_is(cg, cpus - 1, "cpus", NULL);

		worker = start_worker(cg);
		expect_no_strays(worker, cpus);
		end_worker(worker);
		EXPECT_RANGE(peak_of(cg), cpus > 1, cpus - 1);
	}

	/* All of them; and the calling cgroup's mask is the one that counts. */
	set(parent, "cpuset.cpus", "\n");
	effective_is(cg, nr_cpus() - 1, "cpus", NULL);
	snprintf(list, sizeof(list), "%d", nth_cpu(1));
	set(cg, "cpuset.cpus", list);
	effective_is(cg, 0, "cpus", NULL);
	effective_is(parent, nr_cpus() - 1, "cpus", NULL);

	end_workers();
	remove_cgroups();
	if (!enabled)
		cg_write(root, "cgroup.subtree_control", "-cpuset");
	return KSFT_PASS;
}

/* Helpers stay on the CPUs of the caller's own affinity. */
static int test_ktask_affinity(const char *root)
{
	const char *cg = make_cgroup(root, "ktask_affinity", false);
	int cpus;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	for (cpus = 1; cpus <= 2; cpus++) {
		struct worker *worker = start_worker(cg);

		EXPECT(!order(worker, stay_on_cpus, cpus));
		expect_no_strays(worker, cpus);
		EXPECT_EQ(peak_of(cg), cpus - 1);
		end_worker(worker);
	}
	/* With a single CPU there are no tasks. */
	EXPECT_EQ(stat_of(cg, "tasks"), STRAY_ROUNDS);
	EXPECT_RANGE(stat_of(cg, "serial_tasks"), 0, stat_of(cg, "cancelled"));
	EXPECT_RANGE(stat_of(cg, "refused_cpus"), 0, STRAY_ROUNDS);
	return KSFT_PASS;
}

/* Several processes in several cgroups share their parent's cap. */
static int test_ktask_shared_cap(const char *root)
{
	const char *parent = make_cgroup(root, "ktask_shared", true);
	struct worker *sharers[4];
	const char *children[4];
	long lent = 0;
	int cap, i;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	for (i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "child_%d", i);
		children[i] = make_cgroup(parent, name, false);
		sharers[i] = start_worker(children[i]);
	}

	for (cap = 0; cap <= 2; cap++) {
		for (i = 0; i < 4; i++)
			EXPECT(!order(sharers[i], map_memory, WORTH_MIB));
		set_cap(parent, cap);
		for (i = 0; i < 4; i++)
			give_order(sharers[i], unmap, 0);
		for (i = 0; i < 4; i++)
			EXPECT(!get_result(sharers[i]));
		EXPECT_RANGE(peak_of(parent), !!cap, cap);
		EXPECT_EQ(current_of(parent), 0);
	}

	for (i = 0; i < 4; i++)
		lent += stat_of(children[i], "helpers_lent");
	EXPECT_EQ(stat_of(parent, "helpers_lent"), lent);
	EXPECT_EQ(stat_of(parent, "tasks"), 8);
	return KSFT_PASS;
}

/*
 * While a teardown goes on
 */

/* Helpers are members of no cgroup but the root. */
static int test_ktask_procs(const char *root)
{
	const char *cg = make_cgroup(root, "ktask_procs", false);
	struct worker *worker = start_worker(cg);
	char member[16];
	int seen = 0;
	long mib;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	snprintf(member, sizeof(member), "%d\n", worker->pid);
	for (mib = LONG_MIB_MIN; mib <= LONG_MIB_MAX && seen < 10; mib *= 2) {
		bool caught = catch_teardown(worker, cg, mib, 1);

		/* What was read counts if there were helpers all the time. */
		while (caught && tearing_down(worker)) {
			EXPECT(file_is(cg, "cgroup.procs", member));
			EXPECT(file_is(cg, "cgroup.threads", member));
			EXPECT_EQ(keyed(cg, "cgroup.events", "populated"), 1);
			seen += current_of(cg) > 0 && tearing_down(worker);
			if (failures)
				break;
		}
		EXPECT(!get_result(worker));
	}
	EXPECT_RANGE(seen, 10, INT_MAX);
	return KSFT_PASS;
}

/*
 * CPU time
 */

/* CPU time of a teardown, in us */
struct cpu_time {
	long	usage;		/* that its cgroup is charged */
	long	helped;		/* by helpers */
	long	own;		/* by the caller, without its orders */
};

static struct cpu_time cpu_time_of_unmap(const char *cg, struct worker *worker)
{
	struct cpu_time t;

	EXPECT(!order(worker, map_aliases, 2 * LONG_MIB_MIN));
	t.usage = keyed(cg, "cpu.stat", "usage_usec");
	t.helped = stat_of(cg, "helper_usec");
	EXPECT(!order(worker, unmap, 0));
	t.usage = keyed(cg, "cpu.stat", "usage_usec") - t.usage;
	t.helped = stat_of(cg, "helper_usec") - t.helped;
	t.own = worker->progress->cpu_usec;
	return t;
}

/* The CPU time of helpers is their caller's cgroup's, and all of it is. */
static int test_ktask_cpu_stat(const char *root)
{
	const char *cg = make_cgroup(root, "ktask_cpu_stat", false);
	struct worker *worker = start_worker(cg);
	struct cpu_time t;
	int round, tries;
	long most;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	/* With helpers, then without. */
	for (round = 0; round < 2; round++) {
		set(cg, "cpu.ktask.max", round ? "0" : "max");
		/*
		 * The worker's orders cost some CPU time as well, and more if
		 * the machine's host has other things to do just then.
		 */
		tries = 5;
		do {
			t = cpu_time_of_unmap(cg, worker);
			most = t.helped + t.own + t.own / 10 + 20000;
		} while (t.usage > most && --tries);

		EXPECT_RANGE(t.helped, !round, round ? 0 : LONG_MAX);
		EXPECT_RANGE(t.usage, t.helped + t.own, most);
	}
	return KSFT_PASS;
}

/*
 * Threads and the root
 */

static char *thread_cgroup;

static void *unmap_in_thread(void *result)
{
	int err = -EIO;

	if (!cg_enter_current_thread(thread_cgroup))
		err = map_and_unmap(WORTH_MIB);
	*(int *)result = err;
	return NULL;
}

/* An order: a thread in the cgroup @path tears down memory. */
static int unmap_by_thread(long path)
{
	pthread_t thread;
	int result;

	thread_cgroup = (char *)path;
	if (pthread_create(&thread, NULL, unmap_in_thread, &result))
		return -EAGAIN;
	pthread_join(thread, NULL);
	return result;
}

/* In threaded cgroups it is the thread's cgroup that counts. */
static int test_ktask_threaded(const char *root)
{
	const char *domain = make_cgroup(root, "ktask_threaded", false);
	const char *free_ones = make_cgroup(domain, "free", false);
	const char *capped = make_cgroup(domain, "capped", false);
	struct worker *worker;
	struct stat st;
	size_t i;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	set(free_ones, "cgroup.type", "threaded");
	set(capped, "cgroup.type", "threaded");
	set(domain, "cgroup.subtree_control", "+cpu");
	for (i = 0; i < ARRAY_SIZE(files); i++)
		EXPECT(has_file(capped, files[i].name, &st));
	set_cap(capped, 0);

	worker = start_worker(domain);
	EXPECT(!order(worker, unmap_by_thread, (long)free_ones));
	EXPECT_EQ(stat_of(free_ones, "tasks"), 1);
	EXPECT_RANGE(stat_of(free_ones, "serial_tasks"), 0, stat_of(free_ones, "cancelled"));
	EXPECT_RANGE(peak_of(free_ones), 1, nr_cpus() - 1);

	EXPECT(!order(worker, unmap_by_thread, (long)capped));
	EXPECT_EQ(stat_of(capped, "tasks"), 0);
	EXPECT_EQ(peak_of(capped), 0);

	/* The main thread is still in the domain. */
	EXPECT(!order(worker, map_and_unmap, WORTH_MIB));
	EXPECT_EQ(stat_of(domain, "tasks"), 2);
	EXPECT_EQ(stat_of(free_ones, "tasks"), 1);

	/* And its cap is its threads' too. */
	set_cap(domain, 0);
	EXPECT(!order(worker, unmap_by_thread, (long)free_ones));
	EXPECT_EQ(stat_of(domain, "tasks"), 2);
	effective_is(free_ones, 0, "cpu.ktask.max", domain);
	return KSFT_PASS;
}

/* Tasks in the root cgroup have helpers, and no caps. */
static int test_ktask_root(const char *root)
{
	static struct helper before[MAX_HELPERS];
	const char *bystander = make_cgroup(root, "ktask_bystander", false);
	int nr, strayed;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	set_cap(bystander, 0);
	wait_for_idle_helpers();
	nr = read_helpers(before);
	tear_down(root, WORTH_MIB);
	EXPECT_RANGE(worked_since(before, nr, nr_cpus(), &strayed), 1,
		     MAX_HELPERS);
	EXPECT_EQ(stat_of(bystander, "tasks"), 0);
	return KSFT_PASS;
}

/*
 * Containers
 */

struct container {
	const char	*above;
	const char	*cgroup;
	char		max[PATH_MAX];
	char		init[PATH_MAX];
	char		sub[PATH_MAX];
};

static struct container container;

/* Options of the cgroup file system as they are, with or without nsdelegate. */
static int remount_cgroupfs(const char *root, bool nsdelegate)
{
	char mounts[8 * PAGE_SIZE], data[256] = "";
	char *line, *save = NULL, *option, *next = NULL;

	if (read_text("/proc/self/mounts", mounts, sizeof(mounts)) <= 0)
		return -1;
	for (line = strtok_r(mounts, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char where[256], type[64], options[256];

		if (sscanf(line, "%*s %255s %63s %255s", where, type,
			   options) != 3 ||
		    strcmp(type, "cgroup2") || strcmp(where, root))
			continue;
		for (option = strtok_r(options, ",", &next); option;
		     option = strtok_r(NULL, ",", &next)) {
			/* Those of any mount are kept by other means. */
			if (strncmp(option, "memory_", 7) &&
			    strncmp(option, "favor", 5) &&
			    strncmp(option, "pids_", 5))
				continue;
			strcat(data, option);
			strcat(data, ",");
		}
	}
	if (nsdelegate)
		strcat(data, "nsdelegate");
	return mount("none", root, NULL, MS_REMOUNT, data);
}

static bool write_proc(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* An order: become root of a container, in namespaces of its own. */
static int enter_container(long unused)
{
	char map[32];

	if (setresgid(TEST_UID, TEST_UID, TEST_UID) ||
	    setresuid(TEST_UID, TEST_UID, TEST_UID))
		return -errno;
	/* Or /proc/self belongs to the real root. */
	prctl(PR_SET_DUMPABLE, 1);
	if (unshare(CLONE_NEWUSER | CLONE_NEWCGROUP))
		return -errno;

	snprintf(map, sizeof(map), "0 %d 1", TEST_UID);
	if (!write_proc("/proc/self/setgroups", "deny") ||
	    !write_proc("/proc/self/uid_map", map) ||
	    !write_proc("/proc/self/gid_map", map))
		return -errno;
	return getuid() ? -EPERM : 0;
}

/* An order: write "max" to a path. */
static int write_max(long path)
{
	int fd = open((char *)path, O_WRONLY);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, "max", 3) != 3)
		err = -errno;
	close(fd);
	return err;
}

/* An order: make the cgroups that a container's init makes. */
static int make_sub_cgroup(long unused)
{
	if (cg_create(container.init) || cg_create(container.sub))
		return -errno;
	if (cg_enter_current(container.init))
		return -EBUSY;
	return write_file(container.cgroup, "cgroup.subtree_control", "+cpu");
}

static int cap_sub_cgroup(long cap)
{
	char text[16];

	snprintf(text, sizeof(text), "%ld", cap);
	return write_file(container.sub, "cpu.ktask.max", text);
}

/* An order: is cpu.ktask.effective of the sub-cgroup what was expected? */
static int check_sub_cgroup(long wanted)
{
	char text[PAGE_SIZE];

	if (cg_read(container.sub, "cpu.ktask.effective", text, sizeof(text)))
		return -EIO;
	if (!strcmp(text, (char *)wanted))
		return 0;
	ksft_print_msg("in container: \"%s\", not \"%s\"\n", text,
		       (char *)wanted);
	return -EINVAL;
}

static void give_away(const char *cgroup, const char *file)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", cgroup, file);
	EXPECT(!chown(path, TEST_UID, TEST_UID));
}

/*
 * Root in a container may share out what the container has. It can neither
 * raise its cap nor see what is above.
 */
static int test_ktask_container(const char *root)
{
	bool remounted = proc_mount_contains("nsdelegate") <= 0;
	struct worker *worker;
	int err;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);
	if (remounted && remount_cgroupfs(root, true))
		return skip("cannot mount cgroups with nsdelegate");

	container.above = make_cgroup(root, "ktask_secret", true);
	container.cgroup = make_cgroup(container.above, "container", false);
	snprintf(container.max, PATH_MAX, "%s/cpu.ktask.max", container.cgroup);
	snprintf(container.init, PATH_MAX, "%s/init", container.cgroup);
	snprintf(container.sub, PATH_MAX, "%s/sub", container.cgroup);
	give_away(container.cgroup, "");
	give_away(container.cgroup, "cgroup.procs");
	give_away(container.cgroup, "cgroup.threads");
	give_away(container.cgroup, "cgroup.subtree_control");
	set_cap(container.cgroup, 1);

	worker = start_worker(container.cgroup);
	err = order(worker, enter_container, 0);
	if (err == -EINVAL || err == -ENOSPC || err == -EPERM) {
		if (remounted)
			remount_cgroupfs(root, false);
		return skip("no user namespaces: %s", strerror(-err));
	}
	EXPECT_EQ(err, 0);
	EXPECT_EQ(order(worker, write_max, (long)container.max), -EACCES);
	file_is(container.cgroup, "cpu.ktask.max", "1\n");

	/* nsdelegate holds even where whoever delegated gave too much away. */
	give_away(container.cgroup, "cpu.ktask.max");
	EXPECT_EQ(order(worker, write_max, (long)container.max), -EPERM);
	file_is(container.cgroup, "cpu.ktask.max", "1\n");

	remove_later(container.init);
	remove_later(container.sub);
	EXPECT_EQ(order(worker, make_sub_cgroup, 0), 0);
	EXPECT_EQ(order(worker, check_sub_cgroup,
			(long)"1 cpu.ktask.max /\n"), 0);
	EXPECT_EQ(order(worker, cap_sub_cgroup, 0), 0);
	EXPECT_EQ(order(worker, check_sub_cgroup,
			(long)"0 cpu.ktask.max /sub\n"), 0);
	/* A share may be said to be large. It is no larger for that. */
	EXPECT_EQ(order(worker, cap_sub_cgroup, 1000), 0);
	EXPECT_EQ(order(worker, check_sub_cgroup,
			(long)"1 cpu.ktask.max /\n"), 0);

	/* What is above binds, but has no name. */
	set_cap(container.above, 0);
	EXPECT_EQ(order(worker, check_sub_cgroup,
			(long)"0 cpu.ktask.max ancestor\n"), 0);
	effective_is(container.sub, 0, "cpu.ktask.max", container.above);
	set(container.above, "cpu.ktask.max", "max");
	set(container.above, "cpu.max", "50000 100000");
	EXPECT_EQ(order(worker, check_sub_cgroup,
			(long)"0 cpu.max ancestor\n"), 0);

	/* And the container's helpers keep to it. */
	set(container.above, "cpu.max", "max");
	set_cap(container.above, 0);
	EXPECT_EQ(order(worker, map_and_unmap, WORTH_MIB), 0);
	EXPECT_EQ(stat_of(container.above, "helpers_lent"), 0);
	EXPECT_EQ(stat_of(container.above, "tasks"), 0);
	set_cap(container.above, 5);
	EXPECT_EQ(order(worker, map_and_unmap, WORTH_MIB), 0);
	EXPECT_EQ(peak_of(container.cgroup), 1);
	EXPECT_EQ(peak_of(container.above), 1);

	if (remounted)
		EXPECT(!remount_cgroupfs(root, false));
	return KSFT_PASS;
}

/*
 * The system
 */

/* debug.ktask_max_threads: all threads of a task, the caller's as well. */
static int test_ktask_max_threads(const char *root)
{
	static const char *const invalid[] = {
		"0", "-1", "foo", "2147483648", "",
	};
	const char *cg = make_cgroup(root, "ktask_sysctl", false);
	char before[32], after[32];
	size_t i;

	EXPECT(read_text(MAX_THREADS, before, sizeof(before)) > 0);
	for (i = 0; i < ARRAY_SIZE(invalid); i++) {
		int fd = open(MAX_THREADS, O_WRONLY);

		errno = 0;
		if (*invalid[i])
			EXPECT(write(fd, invalid[i], strlen(invalid[i])) < 0 &&
			       errno == EINVAL);
		close(fd);
		EXPECT(read_text(MAX_THREADS, after, sizeof(after)) > 0);
		EXPECT(!strcmp(before, after));
	}

	EXPECT(set_max_threads("1"));
	effective_is(cg, 0, nr_cpus() > 1 ? "debug.ktask_max_threads" : "cpus",
		     NULL);
	tear_down(cg, WORTH_MIB);
	EXPECT_EQ(stat_of(cg, "helpers_lent"), 0);
	EXPECT_EQ(peak_of(cg), 0);

	EXPECT(set_max_threads("2"));
	tear_down(cg, WORTH_MIB);
	EXPECT_EQ(peak_of(cg), nr_cpus() > 1);
	if (nr_cpus() > 2) {
		effective_is(cg, 1, "debug.ktask_max_threads", NULL);
		/* A helper that comes late leaves too little for another. */
		for (i = 0; i < 3 && !stat_of(cg, "refused_system"); i++)
			tear_down(cg, WORTH_MIB);
		EXPECT_RANGE(stat_of(cg, "refused_system"), 1, LONG_MAX);
	}

	/* More than there are CPUs are no more than there are CPUs. */
	EXPECT(set_max_threads("2147483647"));
	effective_is(cg, nr_cpus() - 1, "cpus", NULL);
	return KSFT_PASS;
}

/*
 * After a task its helpers are idle, at nice 19 and in the root cgroup; and
 * they have been given a better nice value only if their caller had one.
 */
static int test_ktask_idle(const char *root)
{
	const char *cg = make_cgroup(root, "ktask_idle", false);
	struct helper helpers[MAX_HELPERS];
	struct worker *worker;
	long lent;
	int nr, i;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	worker = start_worker(cg);
	EXPECT(!order(worker, renice, 19));
	for (i = 0; i < 5; i++)
		EXPECT(!order(worker, map_and_unmap, WORTH_MIB));
	EXPECT_EQ(current_of(cg), 0);
	EXPECT_RANGE(stat_of(cg, "helpers_lent"), 5, LONG_MAX);
	EXPECT_EQ(stat_of(cg, "reniced"), 0);

	/* Now and then a caller has to wait for a helper's last chunk. */
	EXPECT(!order(worker, renice, -10));
	for (i = 0; i < 100 && !stat_of(cg, "reniced"); i++)
		EXPECT(!order(worker, map_and_unmap, WORTH_MIB));
	lent = stat_of(cg, "helpers_lent");
	EXPECT_RANGE(stat_of(cg, "reniced"), 1, lent);
	EXPECT_RANGE(stat_of(cg, "cancelled"), 0, lent);

	/* The last teardown is an exit. */
	EXPECT(!order(worker, map_memory, WORTH_MIB));
	lent = stat_of(cg, "tasks");
	give_order(worker, leave, 0);
	EXPECT_EQ(waitpid(worker->pid, NULL, 0), worker->pid);
	worker->pid = 0;
	EXPECT_EQ(stat_of(cg, "tasks"), lent + 1);
	EXPECT_EQ(current_of(cg), 0);

	wait_for_idle_helpers();
	nr = read_helpers(helpers);
	EXPECT_RANGE(nr, 1, MAX_HELPERS);
	for (i = 0; i < nr; i++) {
		EXPECT_EQ(helpers[i].nice, 19);
		EXPECT(!proc_read_strstr(helpers[i].pid, false, "cgroup",
					 "0::/\n"));
	}
	return KSFT_PASS;
}

#define T(x) { x, #x }
static const struct ktask_test tests[] = {
	T(test_ktask_files),
	T(test_ktask_max_valid),
	T(test_ktask_max_invalid),
	T(test_ktask_read_only),
	T(test_ktask_peak),
	T(test_ktask_max_quiet),
	T(test_ktask_events),
	T(test_ktask_events_poll),
	T(test_ktask_stat),
	T(test_ktask_max_nested),
	T(test_ktask_cpu_max),
	T(test_ktask_cpuset),
	T(test_ktask_affinity),
	T(test_ktask_shared_cap),
	T(test_ktask_procs),
	T(test_ktask_cpu_stat),
	T(test_ktask_threaded),
	T(test_ktask_root),
	T(test_ktask_container),
	T(test_ktask_max_threads),
	T(test_ktask_idle),
};

#undef T

int main(int argc, char **argv)
{
	return run_ktask_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
