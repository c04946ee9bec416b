// SPDX-License-Identifier: GPL-2.0-only
/* See ktask_cg_util.h */
#define _GNU_SOURCE

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktask_cg_util.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

/* Mapped over and over to make a teardown long */
#define ALIAS_MIB	32

/* Seconds until a test that hangs is ended; far beyond what any takes */
#define WATCHDOG	600

#define MAX_CGROUPS	32
#define MAX_WORKERS	64

unsigned int failures;
static char skip_buffer[SKIP_REASON_SIZE];
char *skip_reason = skip_buffer;

/* CPUs that this test may use, and so the most threads of any task of its. */
int nr_cpus(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return 1;
	return CPU_COUNT(&cpus);
}

int skip_below_cpus(int cpus)
{
	return skip("needs %d CPUs, there are %d", cpus, nr_cpus());
}

int nth_cpu(int n)
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

const char *cg_root;
static char *cgroups[MAX_CGROUPS];
static unsigned int nr_cgroups;

/* Remove a cgroup after the test, whoever made it. */
void remove_later(const char *path)
{
	char *copy = strdup(path);

	if (!copy || nr_cgroups == MAX_CGROUPS)
		ksft_exit_fail_msg("too many cgroups\n");
	cgroups[nr_cgroups++] = copy;
}

/* A new cgroup; its children have the cpu controller if @cpu. */
const char *make_cgroup(const char *parent, const char *name, bool cpu)
{
	char *path = cg_name(parent, name);

	if (!path || nr_cgroups == MAX_CGROUPS || cg_create(path) ||
	    (cpu && cg_write(path, "cgroup.subtree_control", "+cpu")))
		ksft_exit_fail_msg("cannot create cgroup %s\n", path);

	cgroups[nr_cgroups++] = path;
	return path;
}

void remove_cgroups(void)
{
	while (nr_cgroups) {
		char *path = cgroups[--nr_cgroups];

		EXPECT(!cg_destroy(path));
		free(path);
	}
}

/* Returns 0, or -errno, of a write to a cgroup's file. */
int write_file(const char *cgroup, const char *file, const char *text)
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

bool set(const char *cgroup, const char *file, const char *text)
{
	int err = write_file(cgroup, file, text);

	if (err)
		ksft_print_msg("%s/%s: cannot write \"%s\": %s\n", cgroup, file,
			       text, strerror(-err));
	failures += !!err;
	return !err;
}

bool set_cap(const char *cgroup, int cap)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", cap);
	return set(cgroup, "cpu.ktask.max", text);
}

bool file_is(const char *cgroup, const char *file, const char *wanted)
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
long keyed(const char *cgroup, const char *file, const char *key)
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

long stat_of(const char *cgroup, const char *key)
{
	return keyed(cgroup, "cpu.ktask.stat", key);
}

long current_of(const char *cgroup)
{
	return cg_read_long(cgroup, "cpu.ktask.current");
}

long peak_of(const char *cgroup)
{
	return cg_read_long(cgroup, "cpu.ktask.peak");
}

/* cpu.ktask.effective names @limit, and @level if it is a cgroup's. */
bool effective_is(const char *cgroup, int helpers, const char *limit,
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

struct order {
	int	(*fn)(long arg);
	long	arg;
};

struct worker workers[MAX_WORKERS];
static unsigned int nr_workers;

/* In a worker: its progress, and the memory that it will tear down */
struct progress *progress;
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

struct worker *start_worker(const char *cgroup)
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

void give_order(struct worker *worker, int (*fn)(long arg), long arg)
{
	struct order order = { .fn = fn, .arg = arg };

	__atomic_store_n(&worker->progress->stop, 0, __ATOMIC_SEQ_CST);
	if (write(worker->orders, &order, sizeof(order)) != sizeof(order))
		ksft_exit_fail_msg("worker %d takes no orders\n", worker->pid);
}

/* What the worker made of its last order: 0, or -errno. */
int get_result(struct worker *worker)
{
	int result;

	if (read(worker->results, &result, sizeof(result)) != sizeof(result))
		return -1;
	return result;
}

int order(struct worker *worker, int (*fn)(long arg), long arg)
{
	give_order(worker, fn, arg);
	return get_result(worker);
}

/* For an order that goes on until then */
void tell_to_stop(struct worker *worker)
{
	__atomic_store_n(&worker->progress->stop, 1, __ATOMIC_SEQ_CST);
}

int stop_worker(struct worker *worker)
{
	tell_to_stop(worker);
	return get_result(worker);
}

void end_worker(struct worker *worker)
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

void end_workers(void)
{
	while (nr_workers)
		end_worker(&workers[--nr_workers]);
}

bool tearing_down(struct worker *worker)
{
	return __atomic_load_n(&worker->progress->begun, __ATOMIC_SEQ_CST) !=
	       __atomic_load_n(&worker->progress->ended, __ATOMIC_SEQ_CST);
}

/* The functions below are orders: they run in a worker. */

bool told_to_stop(void)
{
	return __atomic_load_n(&progress->stop, __ATOMIC_SEQ_CST);
}

/* Keep a CPU busy until told to stop. */
int spin(long unused)
{
	__atomic_add_fetch(&progress->begun, 1, __ATOMIC_SEQ_CST);
	while (!told_to_stop())
		;
	return 0;
}

/* Map memory of its own, all of it touched, in 4 KiB pages. */
int map_memory(long mib)
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
int map_aliases(long mib)
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

int unmap(long unused)
{
	long before = cpu_usec();
	int err;

	__atomic_add_fetch(&progress->begun, 1, __ATOMIC_SEQ_CST);
	err = munmap(area, area_size) ? -errno : 0;
	__atomic_add_fetch(&progress->ended, 1, __ATOMIC_SEQ_CST);

	progress->cpu_usec = cpu_usec() - before;
	return err;
}

int map_and_unmap(long mib)
{
	return map_memory(mib) ?: unmap(0);
}

/* Leave with all that is mapped. */
int leave(long unused)
{
	_exit(EXIT_SUCCESS);
}

int renice(long nice)
{
	return setpriority(PRIO_PROCESS, 0, nice) ? -errno : 0;
}

/* Stay on the first CPUs of those that the test has. */
int stay_on_cpus(long cpus)
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
bool tear_down(const char *cgroup, long mib)
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
bool catch_teardown(struct worker *worker, const char *cgroup, long mib,
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
bool wait_for_at_most(struct worker *worker, const char *cgroup,
		      long helpers)
{
	while (tearing_down(worker))
		if (current_of(cgroup) <= helpers)
			return tearing_down(worker);
	return false;
}

bool wait_for_at_least(struct worker *worker, const char *cgroup,
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

static bool read_helper(pid_t pid, struct helper *helper)
{
	char text[PAGE_SIZE], *pos;
	int field;

	if (proc_read_text(pid, false, "stat", text, sizeof(text)) < 0)
		return false;
	pos = strstr(text, "(ktask/");
	if (!pos || sscanf(pos, "(ktask/%d)", &helper->nid) != 1)
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

int read_helpers(struct helper *helpers)
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

/* Wait until every helper sleeps at nice 19; the watchdog ends it otherwise. */
void wait_for_idle_helpers(void)
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

/* How many helpers have worked since @before, and on how many wrong CPUs. */
int worked_since(const struct helper *before, int nr_before,
		 int allowed_cpus, int *strayed)
{
	struct helper now[MAX_HELPERS];
	int nr, worked = 0, i, j;

	/* A helper is seen to have worked when it sleeps again. */
	wait_for_idle_helpers();
	nr = read_helpers(now);
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

bool set_max_threads(const char *text)
{
	int fd = open(MAX_THREADS, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/*
 * Running tests
 */

bool has_file(const char *cgroup, const char *file, struct stat *st)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", cgroup, file);
	return !stat(path, st);
}

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

int run_ktask_tests(const struct ktask_test *tests, size_t nr, int argc,
		    char **argv)
{
	static char root[PATH_MAX];
	char max_threads[32];
	unsigned int planned;
	size_t i;

	/* No plan before what may skip the whole: that would be 1 of all. */
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
	for (i = 0, planned = 0; i < nr; i++)
		planned += asked_for(tests[i].name, argc, argv);
	if (planned + 1 < (unsigned int)argc)
		ksft_exit_fail_msg("not all of the tests asked for exist\n");
	ksft_set_plan(planned);

	cg_root = root;
	signal(SIGALRM, bark);
	for (i = 0; i < nr; i++) {
		if (!asked_for(tests[i].name, argc, argv))
			continue;
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
