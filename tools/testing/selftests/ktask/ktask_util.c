// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../cgroup/cgroup_util.h"
#include "ktask_util.h"

#define MAX_THREADS	"/proc/sys/debug/ktask_max_threads"
#define STAT_REFRESH	"/proc/sys/vm/stat_refresh"
#define FAIR_SERVER	"/sys/kernel/debug/sched/fair_server/cpu%d/runtime"

/* Seconds until a test that hangs is ended; far beyond what any takes */
#define WATCHDOG	600

#define SWAP_MIB	256

unsigned int failures;
char *skip_reason;

/* As they were when the program started */
static char max_threads[32];

static char cgroup_root[256];
static char swap_file[PATH_MAX];
static int kmsg = -1;

bool write_text_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) ==
			     (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

long read_long_from(const char *path)
{
	char text[64];

	return read_text(path, text, sizeof(text)) > 0 ? atol(text) : -1;
}

void *shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		ksft_exit_fail_msg("no memory to share\n");
	/* Touched here, it is charged to the test and not to a box. */
	memset(memory, 0, size);
	return memory;
}

/*
 * Helpers
 */

int nr_cpus(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return 1;
	return CPU_COUNT(&cpus);
}

/* Switch helpers off, or back on. Without ktask there are none anyway. */
bool set_helpers(bool on)
{
	return !*max_threads || write_text_to(MAX_THREADS,
					      on ? max_threads : "1");
}

/* Would it be a failure if a large teardown had no helpers? */
bool can_have_helpers(void)
{
	return *max_threads && atoi(max_threads) > 1 && nr_cpus() > 1;
}

/*
 * Linux 6.12 counts the deadline server of a CPU's fair tasks as one more of
 * its tasks. If it is active when the CPU goes, which takes a CPU that was busy
 * with something else for long, there is a warning that the CPU was not vacated
 * although it was, with helpers or without. So have none, which are needed only
 * where there are real-time tasks. To stop one that is not active upsets the
 * accounts of 6.12 as well: so be a fair task of that CPU when doing so.
 */
void set_fair_servers(bool on)
{
	static long runtimes[CPU_SETSIZE];
	char path[64], text[24];
	cpu_set_t mask, all;
	int cpu;

	EXPECT(!sched_getaffinity(0, sizeof(all), &all));
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&mask);
		CPU_SET(cpu, &mask);
		EXPECT(!sched_setaffinity(0, sizeof(mask), &mask));
		snprintf(path, sizeof(path), FAIR_SERVER, cpu);
		if (!on)
			runtimes[cpu] = read_long_from(path);
		if (runtimes[cpu] <= 0)
			continue;
		snprintf(text, sizeof(text), "%ld", on ? runtimes[cpu] : 0);
		EXPECT(write_text_to(path, text));
	}
	EXPECT(!sched_setaffinity(0, sizeof(all), &all));
}

/*
 * Boxes
 */

/* Find the cgroups, if there are any, and give children the controllers. */
static void find_cgroups(void)
{
	if (cg_find_unified_root(cgroup_root, sizeof(cgroup_root), NULL)) {
		*cgroup_root = '\0';
		return;
	}
	cg_write(cgroup_root, "cgroup.subtree_control", "+cpu");
	cg_write(cgroup_root, "cgroup.subtree_control", "+memory");
}

/* Boxes that are made from now on have this controller, if the kernel has. */
bool add_controller(const char *name)
{
	char text[32];

	snprintf(text, sizeof(text), "+%s", name);
	return *cgroup_root &&
	       !cg_write(cgroup_root, "cgroup.subtree_control", text);
}

bool make_box(struct box *box)
{
	static int nr;

	memset(box, 0, sizeof(*box));
	if (!*cgroup_root)
		return true;

	if (snprintf(box->cgroup, sizeof(box->cgroup), "%s/ktask_box_%d_%d",
		     cgroup_root, getpid(), nr++) >= (int)sizeof(box->cgroup))
		return false;
	return EXPECT(!cg_create(box->cgroup));
}

/* Let a new process run @fn in the box. It exits with what @fn returns. */
pid_t enter_box(struct box *box, int (*fn)(void *arg), void *arg)
{
	int ret;

	fflush(stdout);
	box->pid = fork();
	if (box->pid)
		return box->pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	failures = 0;
	if (*box->cgroup && cg_enter_current(box->cgroup))
		_exit(KSFT_FAIL);
	ret = fn(arg);
	fflush(stdout);
	_exit(failures ? KSFT_FAIL : ret);
}

/* Wait for the process. Returns the status that wait() has for it. */
int leave_box(struct box *box)
{
	int status;

	if (!EXPECT(waitpid(box->pid, &status, 0) == box->pid))
		return -1;
	return status;
}

/* What each CPU has put aside to do for many pages at once is done now. */
void drain_batches(void)
{
	write_text_to("/proc/sys/vm/drop_caches", "1");
}

/* Reading cpu.stat brings all statistics up to date, those of memory too. */
void flush_stats(const char *cgroup)
{
	keyed(cgroup, "cpu.stat", "usage_usec");
}

/* A test that failed may have left cgroups below its box. */
static void remove_below(const char *cgroup)
{
	DIR *dir = opendir(cgroup);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	if (dir)
		closedir(dir);
}

/*
 * What memory.stat says is left. CPUs have batches of pages and counts of their
 * own; on a busy host it takes longer until all of that has been flushed.
 */
static long memory_left(const char *cgroup, const char *key)
{
	long left = keyed(cgroup, "memory.stat", key);
	int tries = 10;

	while (left > 0 && tries--) {
		usleep(10000);
		drain_batches();
		flush_stats(cgroup);
		left = keyed(cgroup, "memory.stat", key);
	}
	return left;
}

/* Nobody is left in the box: so nothing may be left of their memory. */
void empty_box(struct box *box)
{
	static const char *const keys[] = {
		"anon", "anon_thp", "file_mapped", "shmem_thp", "unevictable",
		"pagetables",
	};
	size_t i;

	if (!*box->cgroup)
		return;

	flush_stats(box->cgroup);
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		long left = memory_left(box->cgroup, keys[i]);

		if (left > 0) {
			ksft_print_msg("memory.stat: %ld of %s are left\n",
				       left, keys[i]);
			failures++;
		}
	}
	EXPECT(box_current(box) <= 0);
	remove_below(box->cgroup);
	EXPECT(!cg_destroy(box->cgroup));
	*box->cgroup = '\0';
}

/*
 * Let @once make a box, use and empty it, and say how many helpers it had. On a
 * busy machine there may be no CPU to spare just when it would take helpers: it
 * tries again.
 */
int try_for_helpers(int (*once)(void *arg, long *lent), void *arg,
		    bool wants_helpers)
{
	int ret, tries = 3;
	long lent;

	do {
		/* -1: the kernel does not say how many there were. */
		lent = -1;
		ret = once(arg, &lent);
	} while (ret == KSFT_PASS && wants_helpers && !lent && --tries);

	if (ret == KSFT_FAIL)
		failures++;
	else if (ret == KSFT_PASS && wants_helpers)
		EXPECT(lent);
	return ret;
}

/* What to run in a box */
struct call {
	int	(*fn)(void *arg);
	void	*arg;
};

static int run_in_box_once(void *arg, long *lent)
{
	struct call *call = arg;
	struct box box;
	int status;

	if (!make_box(&box) || !EXPECT(enter_box(&box, call->fn, call->arg) > 0))
		return KSFT_FAIL;

	status = leave_box(&box);
	*lent = box_lent(&box);
	empty_box(&box);
	return EXPECT(WIFEXITED(status)) ? WEXITSTATUS(status) : KSFT_FAIL;
}

/* All of it, for a process that is expected to end well. */
int run_in_box(int (*fn)(void *arg), void *arg, bool wants_helpers)
{
	struct call call = { .fn = fn, .arg = arg };

	return try_for_helpers(run_in_box_once, &call, wants_helpers);
}

/* Value of a key in a flat-keyed file, or -1. */
long keyed(const char *cgroup, const char *file, const char *key)
{
	char text[2 * PAGE_SIZE], *line, *save = NULL;
	size_t len = strlen(key);

	if (!*cgroup || cg_read(cgroup, file, text, sizeof(text)))
		return -1;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		if (!strncmp(line, key, len) && line[len] == ' ')
			return atol(line + len);
	return -1;
}

/* Helpers lent in the box so far, or -1. */
long box_lent(const struct box *box)
{
	return keyed(box->cgroup, "cpu.ktask.stat", "helpers_lent");
}

/* Helpers on loan in the box now, or -1. */
long box_current(const struct box *box)
{
	return *box->cgroup ? cg_read_long(box->cgroup, "cpu.ktask.current") :
			      -1;
}

/*
 * Figures
 */

const char *const figure_names[NR_FIGURES] = {
	"VmRSS", "RssAnon", "RssFile", "RssShmem", "VmSwap", "VmPTE", "VmLck",
	"VmPin",
	"Rss", "Anonymous", "Swap",
	"memory.current", "anon", "shmem", "file_mapped", "pagetables",
	"anon_thp", "unevictable", "memory.swap.current",
	"AnonHugePages", "Mlocked", "SwapFree", "HugePages_Free",
	"Mapped", "AnonPages", "Shmem", "PageTables",
};

/* Fill in the figures from @first to @last from a file of "name: value kB". */
static void take_colons(struct figures *figures, const char *path, int first,
			int last)
{
	size_t len;
	char line[256];
	FILE *file = fopen(path, "r");
	int i;

	while (file && fgets(line, sizeof(line), file)) {
		for (i = first; i <= last; i++) {
			len = strlen(figure_names[i]);
			if (!strncmp(line, figure_names[i], len) &&
			    line[len] == ':')
				figures->kb[i] = atol(line + len + 1);
		}
	}
	if (file)
		fclose(file);
}

/* Figures of this process, its cgroup and the system. */
void take_figures(struct figures *figures, const char *cgroup)
{
	int i;

	memset(figures, 0, sizeof(*figures));
	take_colons(figures, "/proc/self/status", VM_RSS, VM_PIN);
	take_colons(figures, "/proc/self/smaps_rollup", SMAPS_RSS, SMAPS_SWAP);

	/* What CPUs have counted for themselves goes to the sums first. */
	write_text_to(STAT_REFRESH, "1");
	take_colons(figures, "/proc/meminfo", SYS_ANON_HUGE, SYS_PAGE_TABLES);
	if (!*cgroup)
		return;

	flush_stats(cgroup);
	figures->kb[CG_CURRENT] = cg_read_long(cgroup, "memory.current") / 1024;
	figures->kb[CG_SWAP] = cg_read_long(cgroup, "memory.swap.current") /
			       1024;
	for (i = CG_ANON; i <= CG_UNEVICTABLE; i++)
		figures->kb[i] = keyed(cgroup, "memory.stat",
				       figure_names[i]) / 1024;
}

/* How far two figures may be apart without that meaning anything, in kB. */
static long tolerance(enum figure figure)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	switch (figure) {
	case VM_PTE ... VM_PIN:
	case SMAPS_ANON ... SMAPS_SWAP:
		return 64;
	case VM_RSS ... VM_SWAP:
	case SMAPS_RSS:
		/*
		 * A fault in the program's own file, or in a library's, maps up
		 * to 16 pages around, as many as the page cache has.
		 */
		return 128;
	case CG_ANON ... CG_UNEVICTABLE:
		return 128;
	case CG_CURRENT:
		/* Each CPU has 64 pages in stock, and there are slabs. */
		return cpus * 64 * 4 + 1024;
	case SYS_HUGETLB_FREE:
		/* This is a number of pages, and nobody else has any. */
		return 0;
	case CG_SWAP:
	case SYS_SWAP_FREE:
		/* Slots are freed in batches of 64 per CPU. */
		return cpus * 128 * 4;
	default:
		/* Others use memory, too. */
		return 1536;
	}
}

/* Compare what two ways to the same state have left. */
bool same_figures(const struct figures *a, const struct figures *b,
		  const char *what)
{
	bool same = true;
	int i;

	for (i = 0; i < NR_FIGURES; i++) {
		if (labs(a->kb[i] - b->kb[i]) <= tolerance(i))
			continue;
		ksft_print_msg("%s: %s is %ld kB instead of %ld kB\n", what,
			       figure_names[i], b->kb[i], a->kb[i]);
		failures++;
		same = false;
	}
	return same;
}

/*
 * Memory
 */

/* Map at an address that is @offset bytes beyond a multiple of PMD_BYTES. */
char *map_aligned(size_t size, size_t offset, int prot, int flags, int fd)
{
	size_t room = size + offset + PMD_BYTES;
	uintptr_t start, at;
	char *area;

	area = mmap(NULL, room, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return NULL;

	start = (uintptr_t)area;
	at = ((start + PMD_BYTES - 1) & ~(PMD_BYTES - 1)) + offset;
	if (at > start)
		munmap(area, at - start);
	if (start + room > at + size)
		munmap((char *)at + size, start + room - at - size);

	area = mmap((char *)at, size, prot, flags | MAP_FIXED, fd, 0);
	return area == MAP_FAILED ? NULL : area;
}

/* Where files are on a disk, if there is such a place. */
static const char *file_dir(void)
{
	static const char *const dirs[] = { "/var/tmp", "/tmp", "." };
	struct statfs fs;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(dirs); i++)
		if (!statfs(dirs[i], &fs) && fs.f_type != TMPFS_MAGIC &&
		    fs.f_type != RAMFS_MAGIC && !access(dirs[i], W_OK))
			return dirs[i];
	return "/tmp";
}

/* A file of zeroes that has no name. Returns its descriptor, or -1. */
int make_file(size_t size)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/ktask_XXXXXX", file_dir());
	fd = mkstemp(path);
	if (fd < 0)
		return -1;
	unlink(path);
	if (ftruncate(fd, size)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* What mkswap does, as far as the kernel looks at it. */
static bool make_swap(int fd, size_t size)
{
	uint32_t header[3] = { 1, size / PAGE_SIZE - 1, 0 };

	return pwrite(fd, header, sizeof(header), 1024) == sizeof(header) &&
	       pwrite(fd, "SWAPSPACE2", 10, PAGE_SIZE - 10) == 10 &&
	       !fsync(fd);
}

static bool swap_on_file(void)
{
	bool ok;
	int fd;

	snprintf(swap_file, sizeof(swap_file), "%s/ktask_swap_%d", file_dir(),
		 getpid());
	fd = open(swap_file, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return false;
	ok = !posix_fallocate(fd, 0, MIB(SWAP_MIB)) &&
	     make_swap(fd, MIB(SWAP_MIB));
	close(fd);
	ok = ok && !swapon(swap_file, 0);
	if (!ok)
		unlink(swap_file);
	return ok;
}

static bool swap_on_zram(void)
{
	bool ok;
	int fd;

	snprintf(swap_file, sizeof(swap_file), "/dev/zram0");
	if (!write_text_to("/sys/block/zram0/disksize", "256M"))
		return false;
	fd = open(swap_file, O_RDWR);
	if (fd < 0)
		return false;
	ok = make_swap(fd, MIB(SWAP_MIB));
	close(fd);
	return ok && !swapon(swap_file, 0);
}

/*
 * Have swap space, for the rest of the program. False if that cannot be. For
 * the test itself, not for a process in a box.
 */
bool swap_on(void)
{
	static enum { UNKNOWN, NONE, ON } state;

	if (state == UNKNOWN) {
		state = swap_on_file() || swap_on_zram() ? ON : NONE;
		if (state == NONE)
			*swap_file = '\0';
	}
	return state == ON;
}

static void swap_off(void)
{
	if (!*swap_file)
		return;
	EXPECT(!swapoff(swap_file));
	if (strncmp(swap_file, "/dev/", 5))
		unlink(swap_file);
}

/*
 * The kernel checks at the end of an address space whether all was accounted
 * for, to the page, and complains if not. So its log is part of the result.
 */

static void open_log(void)
{
	if (kmsg >= 0)
		return;
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0)
		ksft_print_msg("the kernel's log is not looked at: %s\n",
			       strerror(errno));
	else
		lseek(kmsg, 0, SEEK_END);
}

static void check_log(void)
{
	char record[8192];
	ssize_t len;

	if (kmsg < 0)
		return;
	for (;;) {
		len = read(kmsg, record, sizeof(record) - 1);
		/* Records that were overwritten before they could be read */
		if (len < 0 && errno == EPIPE)
			continue;
		if (len <= 0)
			return;
		record[len] = '\0';
		/* Most data races are of Linux with itself: only their stacks tell. */
		if (strstr(record, "BUG: KCSAN:") && !strstr(record, "ktask"))
			continue;
		if (strstr(record, "BUG:") || strstr(record, "WARNING:")) {
			ksft_print_msg("kernel: %s", record);
			failures++;
		}
	}
}

static void bark(int sig)
{
	static const char message[] = "Bail out! A test hangs\n";

	if (write(STDOUT_FILENO, message, sizeof(message) - 1) < 0)
		_exit(KSFT_FAIL);
	_exit(KSFT_FAIL);
}

void prepare_tests(void)
{
	if (read_text(MAX_THREADS, max_threads, sizeof(max_threads)) <= 0)
		*max_threads = '\0';
	skip_reason = shared_memory(SKIP_REASON_SIZE);
	find_cgroups();
}

void begin_test(void)
{
	failures = 0;
	open_log();
}

void *keep_busy(void *arg)
{
	unsigned long *loops = arg;

	for (;;)
		__atomic_fetch_add(loops, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* As it was for the test that comes next, and no word from the kernel. */
void end_test(void)
{
	EXPECT(set_helpers(true));
	check_log();
}

static int run_test(const struct test *test)
{
	int ret;

	alarm(WATCHDOG);
	begin_test();
	ret = test->fn(test->arg);
	end_test();
	alarm(0);
	return failures ? KSFT_FAIL : ret;
}

int run_tests(const struct test *tests, size_t nr, int argc, char **argv)
{
	unsigned int planned = 0;
	size_t i;

	for (i = 0; i < nr; i++)
		planned += asked_for(tests[i].name, argc, argv);

	ksft_print_header();
	ksft_set_plan(planned);
	if (geteuid())
		ksft_exit_skip("needs root\n");
	if (planned + 1 < (unsigned int)argc)
		ksft_exit_fail_msg("not all of the tests asked for exist\n");
	prepare_tests();
	if (!*max_threads)
		ksft_print_msg("kernel without CONFIG_KTASK: no helpers\n");
	signal(SIGALRM, bark);

	for (i = 0; i < nr; i++) {
		if (!asked_for(tests[i].name, argc, argv))
			continue;
		switch (run_test(&tests[i])) {
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

	swap_off();
	ksft_finished();
}
