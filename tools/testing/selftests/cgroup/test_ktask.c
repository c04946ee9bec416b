// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of ktask in cgroups: helper threads take part in tearing down memory,
 * within the limits of the cgroup that they do it for, and cpu.ktask.* says
 * how many they were.
 *
 * Memory is torn down by workers: processes that wait for orders in a cgroup
 * of the test's. Where a test has to act while a teardown goes on, it maps the
 * same few pages many times over, so that the teardown takes long but little
 * memory, and make it longer until it was caught at work. No result depends on
 * how fast anything is.
 */
#define _GNU_SOURCE

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
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

#include "../kselftest.h"
#include "../ktask/expect.h"
#include "cgroup_util.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif
#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP		0x02000000
#endif

#define MAX_THREADS	"/proc/sys/debug/ktask_max_threads"

/* Memory that is worth helpers: more than the 16 MiB that ktask starts at */
#define WORTH_MIB	48

/* Memory whose teardown under a tiny quota still ends in seconds */
#define SMALL_MIB	20

/* Mapped over and over to make a teardown long */
#define ALIAS_MIB	32
#define LONG_MIB_MIN	256
#define LONG_MIB_MAX	8192

/* Seconds until a test that hangs is ended; far beyond what any takes */
#define WATCHDOG	600

#define MAX_CGROUPS	32
#define MAX_WORKERS	64

unsigned int failures;
static char skip_buffer[SKIP_REASON_SIZE];
char *skip_reason = skip_buffer;

/* CPUs that this test may use, and so the most threads of any task of its. */
static int nr_cpus(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return 1;
	return CPU_COUNT(&cpus);
}

static int skip_below_cpus(int cpus)
{
	return skip("needs %d CPUs, there are %d", cpus, nr_cpus());
}

static int nth_cpu(int n)
{
	cpu_set_t cpus;
	int cpu;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return 0;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &cpus) && !n--)
			return cpu;
	return 0;
}

/*
 * Cgroups, removed after each test
 */

static const char *cg_root;
static char *cgroups[MAX_CGROUPS];
static unsigned int nr_cgroups;

/* A new cgroup; its children have the cpu controller if @cpu. */
static const char *make_cgroup(const char *parent, const char *name, bool cpu)
{
	char *path = cg_name(parent, name);

	if (!path || nr_cgroups == MAX_CGROUPS || cg_create(path) ||
	    (cpu && cg_write(path, "cgroup.subtree_control", "+cpu")))
		ksft_exit_fail_msg("cannot create cgroup %s\n", path);

	cgroups[nr_cgroups++] = path;
	return path;
}

static void remove_cgroups(void)
{
	while (nr_cgroups) {
		char *path = cgroups[--nr_cgroups];

		EXPECT(!cg_destroy(path));
		free(path);
	}
}

/* Returns 0, or -errno, of a write to a cgroup's file. */
static int write_file(const char *cgroup, const char *file, const char *text)
{
	int fd = cg_open(cgroup, file, O_WRONLY);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err = -errno;
	close(fd);
	return err;
}

static bool set(const char *cgroup, const char *file, const char *text)
{
	int err = write_file(cgroup, file, text);

	if (err)
		ksft_print_msg("%s/%s: cannot write \"%s\": %s\n", cgroup, file,
			       text, strerror(-err));
	failures += !!err;
	return !err;
}

static bool set_cap(const char *cgroup, int cap)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", cap);
	return set(cgroup, "cpu.ktask.max", text);
}

static bool file_is(const char *cgroup, const char *file, const char *wanted)
{
	char text[PAGE_SIZE] = "";
	int err = cg_read(cgroup, file, text, sizeof(text));

	if (!err && !strcmp(text, wanted))
		return true;

	ksft_print_msg("%s/%s: \"%s\" (%d), not \"%s\"\n", cgroup, file, text,
		       err, wanted);
	failures++;
	return false;
}

/* Value of a key in a flat-keyed file, or -1. */
static long keyed(const char *cgroup, const char *file, const char *key)
{
	char text[PAGE_SIZE], *line, *save = NULL;
	size_t len = strlen(key);

	if (cg_read(cgroup, file, text, sizeof(text)))
		return -1;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		if (!strncmp(line, key, len) && line[len] == ' ')
			return atol(line + len);
	return -1;
}

static long stat_of(const char *cgroup, const char *key)
{
	return keyed(cgroup, "cpu.ktask.stat", key);
}

static long current_of(const char *cgroup)
{
	return cg_read_long(cgroup, "cpu.ktask.current");
}

static long peak_of(const char *cgroup)
{
	return cg_read_long(cgroup, "cpu.ktask.peak");
}

/* cpu.ktask.effective names @limit, and @level if it is a cgroup's. */
static bool effective_is(const char *cgroup, int helpers, const char *limit,
			 const char *level)
{
	char wanted[PATH_MAX];

	snprintf(wanted, sizeof(wanted), "%d %s%s%s\n", helpers, limit,
		 level ? " " : "", level ? level + strlen(cg_root) : "");
	return file_is(cgroup, "cpu.ktask.effective", wanted);
}

/*
 * Workers
 */

struct progress {
	unsigned int	begun;		/* teardowns */
	unsigned int	ended;
	unsigned int	stop;		/* storms */
	long		cpu_usec;	/* CPU time of the last teardown */
};

struct order {
	int	(*fn)(long arg);
	long	arg;
};

struct worker {
	pid_t		pid;
	int		orders;
	int		results;
	struct progress	*progress;
};

static struct worker workers[MAX_WORKERS];
static unsigned int nr_workers;

/* In a worker: its progress, and the memory that it will tear down */
static struct progress *progress;
static char *area;
static size_t area_size;

static void worker_main(const char *cgroup, int orders, int results)
{
	struct order order;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (cg_enter_current(cgroup))
		_exit(EXIT_FAILURE);

	while (read(orders, &order, sizeof(order)) == sizeof(order)) {
		int result = order.fn(order.arg);

		if (write(results, &result, sizeof(result)) != sizeof(result))
			break;
	}
	_exit(EXIT_SUCCESS);
}

static struct worker *start_worker(const char *cgroup)
{
	struct worker *worker = &workers[nr_workers];
	int orders[2], results[2];

	progress = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (nr_workers == MAX_WORKERS || progress == MAP_FAILED ||
	    pipe2(orders, O_CLOEXEC) || pipe2(results, O_CLOEXEC))
		ksft_exit_fail_msg("cannot set up a worker\n");

	worker->progress = progress;
	worker->orders = orders[1];
	worker->results = results[0];
	worker->pid = fork();
	if (worker->pid < 0)
		ksft_exit_fail_msg("cannot fork a worker\n");
	if (!worker->pid)
		worker_main(cgroup, orders[0], results[1]);

	close(orders[0]);
	close(results[1]);
	nr_workers++;
	return worker;
}

static void give_order(struct worker *worker, int (*fn)(long arg), long arg)
{
	struct order order = { .fn = fn, .arg = arg };

	if (write(worker->orders, &order, sizeof(order)) != sizeof(order))
		ksft_exit_fail_msg("worker %d takes no orders\n", worker->pid);
}

/* What the worker made of its last order: 0, or -errno. */
static int get_result(struct worker *worker)
{
	int result;

	if (read(worker->results, &result, sizeof(result)) != sizeof(result))
		return -1;
	return result;
}

static int order(struct worker *worker, int (*fn)(long arg), long arg)
{
	give_order(worker, fn, arg);
	return get_result(worker);
}

static void end_worker(struct worker *worker)
{
	if (worker->pid) {
		kill(worker->pid, SIGKILL);
		waitpid(worker->pid, NULL, 0);
		close(worker->orders);
		close(worker->results);
		munmap(worker->progress, PAGE_SIZE);
	}
	worker->pid = 0;
}

static void end_workers(void)
{
	while (nr_workers)
		end_worker(&workers[--nr_workers]);
}

static bool tearing_down(struct worker *worker)
{
	return __atomic_load_n(&worker->progress->begun, __ATOMIC_SEQ_CST) !=
	       __atomic_load_n(&worker->progress->ended, __ATOMIC_SEQ_CST);
}

/* The functions below are orders: they run in a worker. */

/* Map memory of its own, all of it touched, in 4 KiB pages. */
static int map_memory(long mib)
{
	area_size = (size_t)mib << 20;
	area = mmap(NULL, area_size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return -errno;
	madvise(area, area_size, MADV_NOHUGEPAGE);
	return madvise(area, area_size, MADV_POPULATE_WRITE) ? -errno : 0;
}

/* Map the same memory many times: long to tear down, but small. */
static int map_aliases(long mib)
{
	size_t alias = (size_t)ALIAS_MIB << 20, pos;
	int fd = memfd_create("ktask", 0);

	if (fd < 0 || ftruncate(fd, alias))
		return -errno;

	area_size = (size_t)mib << 20;
	area = mmap(NULL, area_size, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return -errno;

	for (pos = 0; pos < area_size; pos += alias)
		if (mmap(area + pos, alias, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) ==
		    MAP_FAILED)
			return -errno;

	close(fd);
	return 0;
}

static long cpu_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * USEC_PER_SEC + now.tv_nsec / 1000;
}

static int unmap(long unused)
{
	long before = cpu_usec();
	int err;

	__atomic_add_fetch(&progress->begun, 1, __ATOMIC_SEQ_CST);
	err = munmap(area, area_size) ? -errno : 0;
	__atomic_add_fetch(&progress->ended, 1, __ATOMIC_SEQ_CST);

	progress->cpu_usec = cpu_usec() - before;
	return err;
}

static int map_and_unmap(long mib)
{
	return map_memory(mib) ?: unmap(0);
}

/* Leave with all that is mapped. */
static int leave(long unused)
{
	_exit(EXIT_SUCCESS);
}

static int renice(long nice)
{
	return setpriority(PRIO_PROCESS, 0, nice) ? -errno : 0;
}

/* Stay on the first CPUs of those that the test has. */
static int stay_on_cpus(long cpus)
{
	cpu_set_t mask;
	long i;

	CPU_ZERO(&mask);
	for (i = 0; i < cpus; i++)
		CPU_SET(nth_cpu(i), &mask);
	return sched_setaffinity(0, sizeof(mask), &mask) ? -errno : 0;
}

/* End of orders. */

/* Tear down @mib of memory in a cgroup. */
static bool tear_down(const char *cgroup, long mib)
{
	struct worker *worker = start_worker(cgroup);
	int err = order(worker, map_and_unmap, mib);

	end_worker(worker);
	if (err)
		ksft_print_msg("%s: teardown failed: %d\n", cgroup, err);
	failures += !!err;
	return !err;
}

/*
 * Let a worker start a teardown of @mib, and catch it when @helpers are on
 * loan. Returns false if it ended first; then it takes a longer one.
 */
static bool catch_teardown(struct worker *worker, const char *cgroup, long mib,
			   long helpers)
{
	unsigned int ended = worker->progress->ended;

	if (!EXPECT(!order(worker, map_aliases, mib)))
		return false;

	give_order(worker, unmap, 0);
	while (__atomic_load_n(&worker->progress->ended, __ATOMIC_SEQ_CST) ==
	       ended)
		if (current_of(cgroup) >= helpers)
			return tearing_down(worker);
	return false;
}

/* Wait until there are at most, or at least, @helpers; false if it ends first. */
static bool wait_for_at_most(struct worker *worker, const char *cgroup,
			     long helpers)
{
	while (tearing_down(worker))
		if (current_of(cgroup) <= helpers)
			return tearing_down(worker);
	return false;
}

static bool wait_for_at_least(struct worker *worker, const char *cgroup,
			      long helpers)
{
	while (tearing_down(worker))
		if (current_of(cgroup) >= helpers)
			return tearing_down(worker);
	return false;
}

/*
 * Helper threads
 */

struct helper {
	pid_t	pid;
	char	state;
	long	nice;
	long	cpu;
	long	switches;
};

#define MAX_HELPERS	256

static bool read_helper(pid_t pid, struct helper *helper)
{
	char text[PAGE_SIZE], *pos;
	int field;

	if (proc_read_text(pid, false, "stat", text, sizeof(text)) < 0)
		return false;
	if (!strstr(text, "(ktask/"))
		return false;
	/* Field 3 follows the name, which is in brackets. */
	pos = strrchr(text, ')');
	if (!pos)
		return false;
	pos += 2;
	helper->pid = pid;
	helper->state = *pos;
	for (field = 3; *pos && field <= 39; field++) {
		if (field == 19)
			helper->nice = atol(pos);
		if (field == 39)
			helper->cpu = atol(pos);
		while (*pos && *pos++ != ' ')
			;
	}

	if (proc_read_text(pid, false, "status", text, sizeof(text)) < 0)
		return false;
	pos = strstr(text, "\nvoluntary_ctxt_switches:");
	helper->switches = pos ? atol(strchr(pos, ':') + 1) : 0;
	return true;
}

static int read_helpers(struct helper *helpers)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int nr = 0;

	while (proc && nr < MAX_HELPERS && (entry = readdir(proc)))
		if (isdigit(entry->d_name[0]) &&
		    read_helper(atoi(entry->d_name), &helpers[nr]))
			nr++;
	if (proc)
		closedir(proc);
	return nr;
}

/* How many helpers have worked since @before, and on how many wrong CPUs. */
static int worked_since(const struct helper *before, int nr_before,
			int allowed_cpus, int *strayed)
{
	struct helper now[MAX_HELPERS];
	int nr = read_helpers(now), worked = 0, i, j;

	*strayed = 0;
	for (i = 0; i < nr; i++) {
		bool allowed = false;

		for (j = 0; j < nr_before; j++)
			if (now[i].pid == before[j].pid &&
			    now[i].switches == before[j].switches)
				break;
		if (j < nr_before)
			continue;
		worked++;
		for (j = 0; j < allowed_cpus; j++)
			allowed |= now[i].cpu == nth_cpu(j);
		*strayed += !allowed;
	}
	return worked;
}

/* Wait until every helper sleeps at nice 19; the watchdog ends it otherwise. */
static void wait_for_idle_helpers(void)
{
	struct helper helpers[MAX_HELPERS];
	int nr, i;

	do {
		nr = read_helpers(helpers);
		for (i = 0; i < nr; i++)
			if (helpers[i].state != 'I' || helpers[i].nice != 19)
				break;
		sched_yield();
	} while (i < nr);
}

static bool set_max_threads(const char *text)
{
	int fd = open(MAX_THREADS, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

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
	{ "cpu.ktask.peak",		0644, "0\n" },
	{ "cpu.ktask.effective",	0444, NULL },
	{ "cpu.ktask.stat",		0444, NULL },
	{ "cpu.ktask.events",		0444, "max 0\n" },
	{ "cpu.ktask.events.local",	0444, "max 0\n" },
};

static bool has_file(const char *cgroup, const char *file, struct stat *st)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", cgroup, file);
	return !stat(path, st);
}

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

/* A write resets cpu.ktask.peak for the file that was written to, only. */
static int test_ktask_peak(const char *root)
{
	const char *cg = make_cgroup(root, "ktask_peak", false);
	int one, other;
	long peak;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	one = cg_open(cg, "cpu.ktask.peak", O_RDWR);
	other = cg_open(cg, "cpu.ktask.peak", O_RDWR);
	if (!EXPECT(one >= 0 && other >= 0))
		return KSFT_FAIL;

	tear_down(cg, WORTH_MIB);
	peak = peak_of(cg);
	EXPECT_RANGE(peak, 1, nr_cpus() - 1);
	EXPECT_EQ(cg_read_long_fd(one), peak);
	EXPECT_EQ(cg_read_long_fd(other), peak);

	EXPECT_EQ(write(one, "\n", 1), 1);
	EXPECT_EQ(cg_read_long_fd(one), 0);
	EXPECT_EQ(cg_read_long_fd(other), peak);
	EXPECT_EQ(peak_of(cg), peak);

	set_cap(cg, 1);
	tear_down(cg, WORTH_MIB);
	EXPECT_EQ(cg_read_long_fd(one), 1);
	EXPECT_EQ(cg_read_long_fd(other), peak);

	/* The second reset takes nothing from the file reset before. */
	EXPECT_EQ(write(other, "reset", 5), 5);
	EXPECT_EQ(cg_read_long_fd(other), 0);
	EXPECT_EQ(cg_read_long_fd(one), 1);
	EXPECT_EQ(peak_of(cg), peak);

	set_cap(cg, 0);
	tear_down(cg, WORTH_MIB);
	EXPECT_EQ(cg_read_long_fd(other), 0);
	EXPECT_EQ(cg_read_long_fd(one), 1);

	/* One that was reset may be closed while others go on. */
	close(one);
	set_cap(cg, 1);
	tear_down(cg, WORTH_MIB);
	EXPECT_EQ(cg_read_long_fd(other), 1);
	EXPECT_EQ(peak_of(cg), peak);
	close(other);
	return KSFT_PASS;
}

/* Each task that a cap refuses a helper is an event, where the cap is. */
static int test_ktask_events(const char *root)
{
	const char *parent = make_cgroup(root, "ktask_events", true);
	const char *child = make_cgroup(parent, "child", false);

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	tear_down(child, WORTH_MIB);
	file_is(parent, "cpu.ktask.events", "max 0\n");

	set_cap(parent, 0);
	tear_down(child, WORTH_MIB);
	file_is(parent, "cpu.ktask.events", "max 1\n");
	file_is(parent, "cpu.ktask.events.local", "max 1\n");
	file_is(child, "cpu.ktask.events", "max 0\n");
	file_is(child, "cpu.ktask.events.local", "max 0\n");

	set_cap(child, 0);
	tear_down(child, WORTH_MIB);
	file_is(parent, "cpu.ktask.events", "max 2\n");
	file_is(parent, "cpu.ktask.events.local", "max 1\n");
	file_is(child, "cpu.ktask.events", "max 1\n");
	file_is(child, "cpu.ktask.events.local", "max 1\n");

	set(parent, "cpu.ktask.max", "max");
	set(child, "cpu.ktask.max", "max");
	tear_down(child, WORTH_MIB);
	file_is(parent, "cpu.ktask.events", "max 2\n");
	file_is(child, "cpu.ktask.events", "max 1\n");
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

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

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

	set_cap(child, 0);
	tear_down(child, WORTH_MIB);
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
		"refused_system", "refused_pool", "cancelled", "reniced",
		"chunks", "helper_usec",
	};
	const char *parent = make_cgroup(root, "ktask_stat", true);
	const char *child = make_cgroup(parent, "child", false);
	char text[PAGE_SIZE], *line, *save = NULL;
	long lent;
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

	for (i = 0; i < 3; i++)
		tear_down(child, WORTH_MIB);

	EXPECT_EQ(stat_of(child, "tasks"), 3);
	EXPECT_EQ(stat_of(child, "serial_tasks"), 0);
	lent = stat_of(child, "helpers_lent");
	EXPECT_RANGE(lent, 3, LONG_MAX);
	EXPECT_RANGE(stat_of(child, "chunks"), 3, 3 * WORTH_MIB / 2);
	EXPECT_RANGE(stat_of(child, "cancelled"), 0, lent);
	EXPECT_RANGE(stat_of(child, "reniced"), 0, lent);
	EXPECT_RANGE(stat_of(child, "helper_usec"), 1, LONG_MAX);

	set_cap(child, 0);
	for (i = 0; i < 2; i++)
		tear_down(child, WORTH_MIB);
	EXPECT_EQ(stat_of(child, "tasks"), 5);
	EXPECT_EQ(stat_of(child, "serial_tasks"), 2);
	EXPECT_EQ(stat_of(child, "helpers_lent"), lent);
	EXPECT_EQ(stat_of(child, "refused_ktask_max"), 2);

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

/* Caps of 0 and 1 at each of three levels, with the task in the lowest one. */
static int test_ktask_max_nested(const char *root)
{
	const char *levels[3];
	int cap, at, i;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	levels[0] = make_cgroup(root, "ktask_nested", true);
	levels[1] = make_cgroup(levels[0], "middle", true);
	levels[2] = make_cgroup(levels[1], "leaf", false);

	for (cap = 0; cap <= 1; cap++) {
		for (at = 0; at < 3; at++) {
			/* With two CPUs there is nothing that 1 refuses. */
			int event = nr_cpus() - 1 > cap;
			long events[3], locals[3];
			int peaks[3];

			set_cap(levels[at], cap);
			effective_is(levels[2], cap, "cpu.ktask.max",
				     levels[at]);
			for (i = 0; i < 3; i++) {
				peaks[i] = cg_open(levels[i], "cpu.ktask.peak",
						   O_RDWR);
				EXPECT_EQ(write(peaks[i], "0", 1), 1);
				events[i] = keyed(levels[i], "cpu.ktask.events",
						  "max");
				locals[i] = keyed(levels[i],
						  "cpu.ktask.events.local",
						  "max");
			}

			tear_down(levels[2], WORTH_MIB);
			for (i = 0; i < 3; i++) {
				EXPECT_EQ(cg_read_long_fd(peaks[i]), cap);
				EXPECT_EQ(current_of(levels[i]), 0);
				EXPECT_EQ(keyed(levels[i], "cpu.ktask.events",
						"max") - events[i],
					  i <= at ? event : 0);
				EXPECT_EQ(keyed(levels[i],
						"cpu.ktask.events.local",
						"max") - locals[i],
					  i == at ? event : 0);
				close(peaks[i]);
			}
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

/* Check one cpu.max at @level: the budget shown in @leaf, and the one kept. */
static void check_cpu_max(const char *level, const char *leaf, const char *max,
			  int helpers)
{
	int cpus = nr_cpus() - 1;
	int peak = cg_open(leaf, "cpu.ktask.peak", O_RDWR);
	long lent = stat_of(leaf, "helpers_lent");
	struct worker *worker = start_worker(leaf);

	/* Map it first, or that takes minutes with a hundredth of a CPU. */
	EXPECT(!order(worker, map_memory, SMALL_MIB));
	set(level, "cpu.max", max);
	if (helpers <= cpus)
		effective_is(leaf, helpers, "cpu.max", level);
	else
		effective_is(leaf, cpus, "cpus", NULL);

	EXPECT_EQ(write(peak, "0", 1), 1);
	EXPECT(!order(worker, unmap, 0));
	set(level, "cpu.max", "max");

	helpers = helpers < cpus ? helpers : cpus;
	lent = stat_of(leaf, "helpers_lent") - lent;
	if (!EXPECT_RANGE(cg_read_long_fd(peak), !!helpers, helpers) ||
	    !EXPECT_RANGE(lent, !!helpers, helpers ? LONG_MAX : 0))
		ksft_print_msg("cpu.max was %s\n", max);
	close(peak);
	end_worker(worker);
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
	const char *child = make_cgroup(parent, "child", false);
	size_t i;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	for (i = 0; i < ARRAY_SIZE(limits); i++) {
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
		int peak = cg_open(cg, "cpu.ktask.peak", O_RDWR);

		snprintf(list, sizeof(list), cpus > 1 ? "%d,%d" : "%d",
			 nth_cpu(0), nth_cpu(1));
		if (cpus > 2)
			snprintf(list, sizeof(list), "%d-%d", nth_cpu(0),
				 nth_cpu(cpus - 1));
		set(parent, "cpuset.cpus", list);
		effective_is(cg, cpus - 1, "cpus", NULL);

		EXPECT_EQ(write(peak, "0", 1), 1);
		worker = start_worker(cg);
		expect_no_strays(worker, cpus);
		end_worker(worker);
		EXPECT_RANGE(cg_read_long_fd(peak), cpus > 1, cpus - 1);
		close(peak);
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
	EXPECT_EQ(stat_of(cg, "tasks"), 2 * STRAY_ROUNDS);
	EXPECT_EQ(stat_of(cg, "serial_tasks"), STRAY_ROUNDS);
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
		int peak = cg_open(parent, "cpu.ktask.peak", O_RDWR);

		for (i = 0; i < 4; i++)
			EXPECT(!order(sharers[i], map_memory, WORTH_MIB));
		set_cap(parent, cap);
		EXPECT_EQ(write(peak, "0", 1), 1);
		for (i = 0; i < 4; i++)
			give_order(sharers[i], unmap, 0);
		for (i = 0; i < 4; i++)
			EXPECT(!get_result(sharers[i]));
		EXPECT_RANGE(cg_read_long_fd(peak), !!cap, cap);
		EXPECT_EQ(current_of(parent), 0);
		close(peak);
	}

	for (i = 0; i < 4; i++)
		lent += stat_of(children[i], "helpers_lent");
	EXPECT_EQ(stat_of(parent, "helpers_lent"), lent);
	EXPECT_EQ(stat_of(parent, "tasks"), 12);
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
 * A task that is moved takes its loans with it. The cgroup that it left can be
 * removed at once, even before its helpers have noticed.
 */
static int test_ktask_migrate(const char *root)
{
	const char *new = make_cgroup(root, "ktask_new", false);
	bool wait, moved;
	long mib;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	set_cap(new, 1);
	for (wait = false;; wait = true) {
		for (mib = LONG_MIB_MIN, moved = false;
		     mib <= LONG_MIB_MAX && !moved && !failures; mib *= 2) {
			char *old = cg_name(root, "ktask_old");
			struct worker *worker;
			long tasks;
			int peak;

			EXPECT(!cg_create(old));
			worker = start_worker(old);
			peak = cg_open(new, "cpu.ktask.peak", O_RDWR);
			EXPECT_EQ(write(peak, "0", 1), 1);
			tasks = stat_of(new, "tasks");

			moved = catch_teardown(worker, old, mib, 1);
			EXPECT(!cg_enter(new, worker->pid));
			EXPECT_EQ(keyed(old, "cgroup.events", "populated"), 0);
			if (wait)
				moved &= wait_for_at_most(worker, old, 0);
			EXPECT(!rmdir(old));
			moved &= wait_for_at_least(worker, new, 1);

			EXPECT(!get_result(worker));
			EXPECT_EQ(current_of(new), 0);
			if (moved) {
				EXPECT_EQ(cg_read_long_fd(peak), 1);
				EXPECT_EQ(stat_of(new, "tasks"), tasks + 1);
			}
			close(peak);
			end_worker(worker);
			free(old);
		}
		EXPECT(moved);
		if (wait)
			break;
	}
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
		int peak = cg_open(parent, "cpu.ktask.peak", O_RDWR);

		done = catch_teardown(worker, child, mib, many);
		set_cap(parent, many - 1);
		done &= wait_for_at_most(worker, parent, many - 1);
		set_cap(child, 0);
		done &= wait_for_at_most(worker, child, 0);
		EXPECT_EQ(write(peak, "0", 1), 1);
		set_cap(child, many);
		done &= wait_for_at_least(worker, child, many - 1);
		if (done)
			EXPECT_EQ(cg_read_long_fd(peak), many - 1);
		set_cap(parent, many);
		done &= wait_for_at_least(worker, child, many);

		EXPECT(!get_result(worker));
		EXPECT_EQ(current_of(child), 0);
		EXPECT_EQ(current_of(parent), 0);
		close(peak);
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

	while (!err && !__atomic_load_n(&progress->stop, __ATOMIC_SEQ_CST))
		err = map_and_unmap(mib);
	return err;
}

/*
 * Caps that are rewritten all the time, under a storm of teardowns, are never
 * exceeded. The kernel notes the peak at the moment of lending, so nothing is
 * missed between two looks.
 */
static int test_ktask_max_storm(const char *root)
{
	const char *parent = make_cgroup(root, "ktask_storm", true);
	int nr = nr_cpus() + 2, high = 3, i;
	unsigned int seed = 20180817, tasks;
	const char *children[2];
	int peak;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);
	if (nr > 10)
		nr = 10;

	children[0] = make_cgroup(parent, "child_0", false);
	children[1] = make_cgroup(parent, "child_1", false);
	set_cap(parent, high);
	peak = cg_open(parent, "cpu.ktask.peak", O_RDWR);
	EXPECT_EQ(write(peak, "0", 1), 1);

	for (i = 0; i < nr; i++)
		give_order(start_worker(children[i % 2]), storm, SMALL_MIB);

	/* So many that helpers came and went under each cap. */
	for (i = 0; i < 50 && !failures; i++) {
		int cap = rand_r(&seed) % 4;

		set_cap(parent, cap);
		if (cap < high) {
			while (current_of(parent) > cap)
				;
			EXPECT_EQ(write(peak, "0", 1), 1);
		}
		high = cap;
		tasks = stat_of(parent, "tasks");
		while (rand_r(&seed) % 4 && stat_of(parent, "tasks") < tasks + 2)
			;
		EXPECT_RANGE(cg_read_long_fd(peak), 0, high);
	}

	/* With room, helpers are lent: or all this was about nothing. */
	set_cap(parent, 1);
	while (!current_of(parent))
		;
	for (i = 0; i < nr; i++)
		__atomic_store_n(&workers[i].progress->stop, 1,
				 __ATOMIC_SEQ_CST);
	for (i = 0; i < nr; i++)
		EXPECT(!get_result(&workers[i]));
	EXPECT_EQ(current_of(parent), 0);
	EXPECT_RANGE(stat_of(parent, "helpers_lent"), 1, LONG_MAX);
	close(peak);
	return KSFT_PASS;
}

/*
 * CPU time
 */

/* The CPU time of helpers is their caller's cgroup's, and all of it is. */
static int test_ktask_cpu_stat(const char *root)
{
	const char *cg = make_cgroup(root, "ktask_cpu_stat", false);
	struct worker *worker = start_worker(cg);
	long usage, helped, own;
	int round;

	if (nr_cpus() < 2)
		return skip_below_cpus(2);

	/* With helpers, then without. */
	for (round = 0; round < 2; round++) {
		set(cg, "cpu.ktask.max", round ? "0" : "max");
		EXPECT(!order(worker, map_aliases, 2 * LONG_MIB_MIN));
		usage = keyed(cg, "cpu.stat", "usage_usec");
		helped = stat_of(cg, "helper_usec");
		EXPECT(!order(worker, unmap, 0));
		usage = keyed(cg, "cpu.stat", "usage_usec") - usage;
		helped = stat_of(cg, "helper_usec") - helped;
		own = worker->progress->cpu_usec;

		EXPECT_RANGE(helped, !round, round ? 0 : LONG_MAX);
		/* The worker's orders cost some CPU time as well. */
		EXPECT_RANGE(usage, helped + own,
			     helped + own + own / 10 + 20000);
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
	EXPECT_EQ(stat_of(free_ones, "serial_tasks"), 0);
	EXPECT_RANGE(peak_of(free_ones), 1, nr_cpus() - 1);

	EXPECT(!order(worker, unmap_by_thread, (long)capped));
	EXPECT_EQ(stat_of(capped, "tasks"), 1);
	EXPECT_EQ(stat_of(capped, "serial_tasks"), 1);
	EXPECT_EQ(peak_of(capped), 0);
	file_is(capped, "cpu.ktask.events.local", "max 1\n");
	file_is(free_ones, "cpu.ktask.events.local", "max 0\n");

	/* The main thread is still in the domain. */
	EXPECT(!order(worker, map_and_unmap, WORTH_MIB));
	EXPECT_EQ(stat_of(domain, "tasks"), 3);
	EXPECT_EQ(stat_of(free_ones, "tasks"), 1);
	EXPECT_EQ(stat_of(capped, "tasks"), 1);

	/* And its cap is its threads' too. */
	set_cap(domain, 0);
	EXPECT(!order(worker, unmap_by_thread, (long)free_ones));
	EXPECT_EQ(stat_of(free_ones, "serial_tasks"), 1);
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
		     nr_cpus() - 1);
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

	cgroups[nr_cgroups++] = strdup(container.init);
	cgroups[nr_cgroups++] = strdup(container.sub);
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
	EXPECT_EQ(keyed(container.above, "cpu.ktask.events.local", "max"), 1);
	EXPECT_EQ(keyed(container.cgroup, "cpu.ktask.events", "max"), 0);
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
	if (nr_cpus() > 2)
		effective_is(cg, 1, "debug.ktask_max_threads", NULL);

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
static const struct ktask_test {
	int		(*fn)(const char *root);
	const char	*name;
} tests[] = {
	T(test_ktask_files),
	T(test_ktask_max_valid),
	T(test_ktask_max_invalid),
	T(test_ktask_read_only),
	T(test_ktask_peak),
	T(test_ktask_events),
	T(test_ktask_events_poll),
	T(test_ktask_stat),
	T(test_ktask_max_nested),
	T(test_ktask_cpu_max),
	T(test_ktask_cpuset),
	T(test_ktask_affinity),
	T(test_ktask_shared_cap),
	T(test_ktask_procs),
	T(test_ktask_migrate),
	T(test_ktask_max_change),
	T(test_ktask_max_storm),
	T(test_ktask_cpu_stat),
	T(test_ktask_threaded),
	T(test_ktask_root),
	T(test_ktask_container),
	T(test_ktask_max_threads),
	T(test_ktask_idle),
};

#undef T

static void bark(int sig)
{
	static const char message[] = "Bail out! A test hangs\n";

	if (write(STDOUT_FILENO, message, sizeof(message) - 1) < 0)
		_exit(KSFT_FAIL);
	_exit(KSFT_FAIL);
}

static int run_test(const struct ktask_test *test, const char *root,
		    const char *max_threads)
{
	int ret;

	failures = 0;
	alarm(WATCHDOG);
	ret = test->fn(root);
	end_workers();
	remove_cgroups();
	EXPECT(set_max_threads(max_threads));
	alarm(0);

	return failures ? KSFT_FAIL : ret;
}

/* Without CONFIG_CGROUP_KTASK a cgroup with the cpu controller lacks them. */
static bool have_ktask_files(const char *root)
{
	char *cg = cg_name(root, "ktask_probe");
	struct stat st;
	bool have;

	if (cg_create(cg))
		ksft_exit_fail_msg("cannot create cgroup %s\n", cg);
	have = has_file(cg, "cpu.ktask.max", &st);
	cg_destroy(cg);
	free(cg);
	return have;
}

int main(int argc, char **argv)
{
	char root[PATH_MAX], max_threads[32];
	size_t i;

	/* No plan before what may skip the whole: that would be 1 of 23. */
	ksft_print_header();
	if (read_text(MAX_THREADS, max_threads, sizeof(max_threads)) <= 0)
		ksft_exit_skip("kernel without CONFIG_KTASK\n");
	if (cg_find_unified_root(root, sizeof(root), NULL))
		ksft_exit_skip("cgroup v2 isn't mounted\n");
	if (cg_read_strstr(root, "cgroup.controllers", "cpu"))
		ksft_exit_skip("cpu controller isn't available\n");
	if (cg_read_strstr(root, "cgroup.subtree_control", "cpu") &&
	    cg_write(root, "cgroup.subtree_control", "+cpu"))
		ksft_exit_skip("cannot enable the cpu controller\n");
	if (!have_ktask_files(root))
		ksft_exit_skip("kernel without CONFIG_CGROUP_KTASK\n");
	ksft_set_plan(ARRAY_SIZE(tests));

	cg_root = root;
	signal(SIGALRM, bark);
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		/* Tests named on the command line, or all of them. */
		if (argc > 1 && !strstr(argv[1], tests[i].name)) {
			ksft_test_result_skip("%s: not asked for\n",
					      tests[i].name);
			continue;
		}
		switch (run_test(&tests[i], root, max_threads)) {
		case KSFT_PASS:
			ksft_test_result_pass("%s\n", tests[i].name);
			break;
		case KSFT_SKIP:
			ksft_test_result_skip("%s: %s\n", tests[i].name,
					      skip_reason);
			break;
		default:
			ksft_test_result_fail("%s\n", tests[i].name);
			break;
		}
	}

	ksft_finished();
}
