// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fork() that fails leaves the memory of its parent as it was.
 *
 * dup_mmap() starts with a copy of the parent's VMA tree and replaces VMA by
 * VMA. Where it fails it leaves a mark. Behind the mark are the parent's own
 * VMAs, which the teardown of the child must not touch. Each test makes fork()
 * fail in another way and at many VMAs, and compares the parent byte by byte.
 *
 * The victim forks and compares. It is a process that shares its memory with
 * the one that waits for it in the box, and runs on a stack of its own. As the
 * program is static and not position-independent, all that the victim needs is
 * below the memory under test, where a teardown that goes too far does not get.
 * So the victim survives it and reports it.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../cgroup/cgroup_util.h"
#include "ktask_util.h"

#define RW		(PROT_READ | PROT_WRITE)
#define ANON		(MAP_PRIVATE | MAP_ANONYMOUS)
#define GIB(x)		((uintptr_t)(x) << 30)

/* Below the memory under test: two stacks, and room to provoke flushes with */
#define STACK_SIZE	MIB(1)
#define STACKS		GIB(64)
#define SCRATCH		(STACKS + MIB(4))
#define SCRATCH_SIZE	(64 * PAGE)

/* The memory under test: a GiB of address space that others surround */
#define BASE		GIB(16384)
/* Large enough for ktask, and copied first */
#define LARGE_SIZE	MIB(20)
#define BEHIND		(BASE + MIB(64))
#define MOST_BEHIND	512

#define OOM_ADJUST	"/proc/self/oom_score_adj"

/* Seconds until a victim that hangs is killed; less than the watchdog's */
#define VICTIM_TIMEOUT	500

/*
 * Settings of the system
 */

struct setting {
	const char	*path;
	char		value[64];
};

static struct setting settings[8];
static unsigned int nr_settings;

static bool save_setting(const char *path)
{
	struct setting *setting = &settings[nr_settings];

	if (read_text(path, setting->value, sizeof(setting->value)) <= 0)
		return false;
	setting->path = path;
	nr_settings++;
	return true;
}

static bool change_setting(const char *path, const char *value)
{
	return save_setting(path) && write_text_to(path, value);
}

static void restore_settings(void)
{
	while (nr_settings) {
		struct setting *setting = &settings[--nr_settings];

		EXPECT(write_text_to(setting->path, setting->value));
	}
}

/*
 * Memory under test
 */

/**
 * struct victim - a process that forks
 * @fn: what it does
 * @arg: argument of @fn
 * @behind: number of small areas behind the large one
 * @spacing: from one of these to the next, in bytes
 * @huge: the large one has huge pages, if there are any: these take no time
 * @unkillable: the OOM killer spares it
 */
struct victim {
	int		(*fn)(void *arg);
	void		*arg;
	unsigned int	behind;
	size_t		spacing;
	bool		huge;
	bool		unkillable;
};

struct area {
	char	*base;
	size_t	size;
};

static struct area areas[MOST_BEHIND + 16];
static unsigned int nr_areas;
/* What is in memory now: each word is its own address and this. */
static uintptr_t salt;

static char *map_at(uintptr_t start, size_t size, int flags, int fd)
{
	char *base = mmap((void *)start, size, RW,
			  flags | MAP_FIXED_NOREPLACE, fd, 0);

	if (!EXPECT(base == (char *)start)) {
		fflush(stdout);
		_exit(KSFT_FAIL);
	}
	return base;
}

static char *add_area(uintptr_t start, size_t size)
{
	struct area *area = &areas[nr_areas++];

	area->base = map_at(start, size, ANON, -1);
	area->size = size;
	madvise(area->base, size, MADV_NOHUGEPAGE);
	return area->base;
}

/* The other ways to map what is private, behind the small areas */
static void add_special_areas(void)
{
	int fd = memfd_create("ktask", MFD_CLOEXEC);
	struct area *area = &areas[nr_areas++];

	EXPECT(fd >= 0 && !ftruncate(fd, MIB(1)));
	area->base = map_at(BASE + MIB(400), MIB(1), MAP_PRIVATE, fd);
	area->size = MIB(1);
	close(fd);

	EXPECT(!madvise(add_area(BASE + MIB(420), PAGE), PAGE, MADV_DONTFORK));
	madvise(add_area(BASE + MIB(440), PMD_BYTES), PMD_BYTES, MADV_HUGEPAGE);
}

static void fill_areas(void)
{
	unsigned int i;

	for (i = 0; i < nr_areas; i++) {
		uintptr_t *word = (uintptr_t *)areas[i].base;
		uintptr_t *end = (uintptr_t *)(areas[i].base + areas[i].size);

		for (; word < end; word++)
			*word = (uintptr_t)word + salt;
	}
}

/* Before, in and beyond the GiB */
static void make_areas(const struct victim *victim)
{
	unsigned int i;

	add_area(BASE - GIB(1) + MIB(4), 16 * PAGE);
	add_area(BASE, LARGE_SIZE);
	if (victim->huge)
		madvise((void *)BASE, LARGE_SIZE, MADV_HUGEPAGE);
	for (i = 0; i < victim->behind; i++)
		add_area(BEHIND + i * victim->spacing, PAGE);
	add_special_areas();
	add_area(BASE + MIB(900), 16 * PAGE);
	for (i = 0; i < 4; i++)
		add_area(BASE + GIB(1) + MIB(512) + i * PMD_BYTES, 2 * PAGE);
	add_area(BASE + GIB(2) + MIB(16), 16 * PAGE);
	add_area(BASE + GIB(600), 16 * PAGE);
	fill_areas();
}

static bool page_is_intact(const char *page)
{
	const uintptr_t *word = (const uintptr_t *)page;
	uintptr_t difference = 0;
	size_t i;

	for (i = 0; i < PAGE / sizeof(*word); i++)
		difference |= word[i] ^ ((uintptr_t)&word[i] + salt);
	return !difference;
}

/* Pages that were taken away without a flush would still be seen. */
static void flush_tlb(void)
{
	memset((void *)SCRATCH, 1, SCRATCH_SIZE);
	EXPECT(!madvise((void *)SCRATCH, SCRATCH_SIZE, MADV_DONTNEED));
}

/* Compare all of it after what @what and @nr tell. */
static bool expect_intact(const char *what, unsigned long nr)
{
	const char *first = NULL;
	size_t lost = 0, pos;
	unsigned int i;

	flush_tlb();
	for (i = 0; i < nr_areas; i++)
		for (pos = 0; pos < areas[i].size; pos += PAGE) {
			if (page_is_intact(areas[i].base + pos))
				continue;
			if (!lost++)
				first = areas[i].base + pos;
		}
	if (!lost)
		return true;

	ksft_print_msg("%s %lu: the parent lost %zu pages, the first at %p\n",
		       what, nr, lost, first);
	failures++;
	return false;
}

/* The parent can still write to all of it, too. */
static void expect_writable(void)
{
	salt++;
	fill_areas();
	expect_intact("write to all memory after fork(), number", salt);
}

/*
 * Victims
 */

static struct box box;
/* Children of the victim */
static unsigned int born;

/* Tasks of the box so far, or -1 */
static long box_tasks(void)
{
	return keyed(box.cgroup, "cpu.ktask.stat", "tasks");
}

static int start_victim(void *arg)
{
	struct victim *victim = arg;
	int ret;

	signal(SIGALRM, SIG_DFL);
	alarm(VICTIM_TIMEOUT);
	ret = victim->fn(victim->arg);
	fflush(stdout);
	return ret;
}

static int victim_in_box(void *arg)
{
	struct victim *victim = arg;
	char *stack = map_at(STACKS, STACK_SIZE, ANON, -1);
	int status = -1;
	pid_t pid;

	if (victim->unkillable)
		EXPECT(write_text_to(OOM_ADJUST, "-1000"));
	map_at(SCRATCH, SCRATCH_SIZE, ANON, -1);
	make_areas(victim);
	pid = clone(start_victim, stack + STACK_SIZE,
		    CLONE_VM | CLONE_VFORK | SIGCHLD, victim);
	if (!EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid) ||
	    !EXPECT(WIFEXITED(status)))
		return KSFT_FAIL;
	return WEXITSTATUS(status);
}

/* Returns what wait() says of the box, and its tasks in @nr_tasks. */
static int run_victim(struct victim *victim, long *nr_tasks)
{
	int status = -1;

	if (!make_box(&box))
		return -1;
	if (EXPECT(enter_box(&box, victim_in_box, victim) > 0))
		status = leave_box(&box);
	/* Who dies together with the parent may be later than that. */
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	*nr_tasks = box_tasks();
	empty_box(&box);
	return status;
}

/* For a victim that is expected to survive */
static int run_survivor(struct victim *victim)
{
	long nr_tasks;
	int status = run_victim(victim, &nr_tasks);

	if (WIFSIGNALED(status))
		ksft_print_msg("signal %d killed the parent\n",
			       WTERMSIG(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : KSFT_FAIL;
}

/*
 * ktask has to have taken up the teardown of this many children that did not
 * come to be; a child that did is one task when it exits.
 */
static void expect_tasks(long before, long least)
{
	long nr = box_tasks() - before - born;

	if (before < 0)
		return;
	ksft_print_msg("ktask freed %ld children that did not come to be\n",
		       nr);
	if (can_have_helpers())
		EXPECT_RANGE(nr, least, LONG_MAX);
}

static long raw_fork(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (!pid)
		_exit(0);
	return pid < 0 ? -errno : pid;
}

/* A child exits at once. Returns its PID, or an error. */
static long try_fork(void)
{
	long pid = raw_fork();

	if (pid > 0) {
		EXPECT(waitpid(pid, NULL, 0) == pid);
		born++;
	}
	return pid;
}

/*
 * Allocations that fail
 */

#define FAIL_PAGES	"/sys/kernel/debug/fail_page_alloc/"
#define FAIL_SLAB	"/sys/kernel/debug/failslab/"
#define FAIL_OWN	"/proc/thread-self/fail-nth"

#define FEW_BEHIND	16
/* Each VMA takes at least two allocations: itself and its page table. */
#define FEWEST_FAILURES	(2 * FEW_BEHIND)

static bool fork_with_failure(int own, unsigned int nth, long *pid)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	EXPECT(pwrite(own, text, len, 0) == len);
	*pid = try_fork();
	memset(text, 0, sizeof(text));
	EXPECT(pread(own, text, sizeof(text) - 1, 0) > 0);
	EXPECT(pwrite(own, "0", 1, 0) == 1);
	return !atoi(text);
}

/* Not every allocation that fails makes fork() fail. */
static int fail_each_allocation(void *unused)
{
	int own = open(FAIL_OWN, O_RDWR);
	long before = box_tasks(), pid;
	unsigned int nth;
	bool failed;

	if (own < 0)
		return skip("kernel without CONFIG_FAULT_INJECTION");
	for (nth = 1;; nth++) {
		failed = fork_with_failure(own, nth, &pid);
		if (!expect_intact("fork() with failure of allocation", nth))
			return KSFT_FAIL;
		if (!failed)
			break;
	}
	EXPECT_RANGE(pid, 1, LONG_MAX);
	EXPECT_RANGE(nth - born, FEWEST_FAILURES, LONG_MAX);
	expect_tasks(before, FEWEST_FAILURES);
	expect_writable();
	ksft_print_msg("%u of %u forks failed\n", nth - born, nth);
	return KSFT_PASS;
}

/* Any page, and any memory that may be waited for; and nothing in the log. */
static bool prepare_failures(void)
{
	return change_setting(FAIL_PAGES "ignore-gfp-wait", "N") &&
	       change_setting(FAIL_PAGES "ignore-gfp-highmem", "N") &&
	       change_setting(FAIL_PAGES "min-order", "0") &&
	       change_setting(FAIL_PAGES "verbose", "0") &&
	       change_setting(FAIL_SLAB "ignore-gfp-wait", "N") &&
	       change_setting(FAIL_SLAB "verbose", "0");
}

/* Every allocation of fork() fails in turn. */
static int allocation_fails(const void *unused)
{
	struct victim victim = {
		.fn = fail_each_allocation,
		.behind = FEW_BEHIND,
		.spacing = PMD_BYTES,
		.huge = true,
	};
	int ret;

	if (prepare_failures())
		ret = run_survivor(&victim);
	else
		ret = skip("kernel without CONFIG_FAIL_PAGE_ALLOC and CONFIG_FAILSLAB");
	restore_settings();
	return ret;
}

/*
 * Overcommit
 */

#define OVERCOMMIT	"/proc/sys/vm/overcommit_memory"
#define COMMIT_KBYTES	"/proc/sys/vm/overcommit_kbytes"
#define COMMIT_RATIO	"/proc/sys/vm/overcommit_ratio"

/* What may be committed besides: too little for a bulk, enough for all else */
#define BULK_SIZE	MIB(256)
#define MAY_COMMIT	MIB(128)

static long committed_kb(void)
{
	char line[256];
	long kb = 0;
	FILE *file = fopen("/proc/meminfo", "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Committed_AS: %ld", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb;
}

static long fork_without_overcommit(void)
{
	char text[32];
	long pid;

	snprintf(text, sizeof(text), "%ld",
		 committed_kb() + (long)(MAY_COMMIT / 1024));
	EXPECT(write_text_to(COMMIT_KBYTES, text));
	EXPECT(write_text_to(OVERCOMMIT, "2"));
	pid = try_fork();
	EXPECT(write_text_to(OVERCOMMIT, "0"));
	return pid;
}

/* A VMA that is too large to be committed twice: where fork() fails */
static const uintptr_t bulks[] = {
	BASE - MIB(512),		/* before anything large is copied */
	BASE + MIB(128),		/* in the same GiB */
	BASE + MIB(640),
	BASE + MIB(904),		/* across its end */
	BASE + GIB(1),			/* in the next one */
	BASE + GIB(1) + MIB(640),	/* the same, but with memory before it */
	BASE + GIB(2) + MIB(32),
	BASE + GIB(600) + MIB(32),	/* the last of all */
};

static int overcommit_each_bulk(void *unused)
{
	long before = box_tasks();
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bulks); i++) {
		char *bulk = map_at(bulks[i], BULK_SIZE, ANON, -1);

		EXPECT_EQ(fork_without_overcommit(), -ENOMEM);
		if (!expect_intact("fork() with bulk", i))
			return KSFT_FAIL;
		EXPECT(!munmap(bulk, BULK_SIZE));
	}
	expect_tasks(before, ARRAY_SIZE(bulks) - 1);
	expect_writable();
	return KSFT_PASS;
}

/* What the child could come to need is more than may be committed. */
static int overcommit_fails(const void *unused)
{
	struct victim victim = {
		.fn = overcommit_each_bulk,
		.behind = FEW_BEHIND,
		.spacing = PMD_BYTES,
	};
	/* One of the two is in use, and a write to it switches the other off. */
	bool kbytes = read_long_from(COMMIT_KBYTES) > 0;
	int ret;

	if (save_setting(kbytes ? COMMIT_KBYTES : COMMIT_RATIO) &&
	    save_setting(OVERCOMMIT))
		ret = run_survivor(&victim);
	else
		ret = skip("no overcommit to be limited");
	restore_settings();
	return ret;
}

/*
 * The limit of a cgroup
 *
 * fork() charges VMAs, page tables and more. Where a charge exceeds memory.max
 * the OOM killer of the cgroup is called. The charge fails if there is nobody
 * to kill, or if it is the process itself that was killed. All who share its
 * memory die with it, so in the latter case only the kernel can tell: it checks
 * the counters of an address space at its end.
 */

#define PRINTK		"/proc/sys/kernel/printk"

/* Pages that fork() may have, and how many more each time until it succeeds */
#define FIRST_ROOM	8
#define MORE_ROOM	8
#define MOST_ROOM	2048

/* An open file would be charged: these are opened once. */
static int memory_high, memory_max, memory_current;

static bool open_limits(void)
{
	char path[sizeof(box.cgroup) + 16];

	snprintf(path, sizeof(path), "%s/memory.high", box.cgroup);
	memory_high = open(path, O_WRONLY);
	snprintf(path, sizeof(path), "%s/memory.max", box.cgroup);
	memory_max = open(path, O_WRONLY);
	snprintf(path, sizeof(path), "%s/memory.current", box.cgroup);
	memory_current = open(path, O_RDONLY);
	return memory_high >= 0 && memory_max >= 0 && memory_current >= 0;
}

/* Bytes in use, without what each CPU has in stock. */
static long memory_in_use(void)
{
	char text[32] = "";

	EXPECT(pwrite(memory_high, "0", 1, 0) == 1);
	EXPECT(pwrite(memory_high, "max", 3, 0) == 3);
	EXPECT(pread(memory_current, text, sizeof(text) - 1, 0) > 0);
	return atol(text);
}

/*
 * Other CPUs give back what they have in stock a little later; and what a child
 * had is freed a little later than the child.
 */
static long settled_memory(void)
{
	long in_use = memory_in_use(), last;
	int settled = 0;

	while (settled < 4) {
		last = in_use;
		usleep(50000);
		in_use = memory_in_use();
		settled = in_use < last ? 0 : settled + 1;
	}
	return in_use;
}

static long fork_with_room(long room)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%ld",
			   settled_memory() + room * (long)PAGE);
	long pid;

	EXPECT(pwrite(memory_max, text, len, 0) == len);
	pid = try_fork();
	EXPECT(pwrite(memory_max, "max", 3, 0) == 3);
	return pid;
}

static int charge_more(void *unused)
{
	long before = box_tasks(), pid = 0, room;

	if (!EXPECT(open_limits()))
		return KSFT_FAIL;
	for (room = FIRST_ROOM; pid <= 0 && room < MOST_ROOM;
	     room += MORE_ROOM) {
		pid = fork_with_room(room);
		if (pid < 0)
			EXPECT_EQ(pid, -ENOMEM);
		if (!expect_intact("fork() with this room in pages:", room))
			return KSFT_FAIL;
	}
	EXPECT_RANGE(pid, 1, LONG_MAX);
	expect_tasks(before, 2);
	expect_writable();
	ksft_print_msg("fork() needed at most %ld pages\n", room - MORE_ROOM);
	return KSFT_PASS;
}

static int charge_once(void *room)
{
	if (!EXPECT(open_limits()))
		return KSFT_FAIL;
	if (fork_with_room(*(long *)room) <= 0)
		return KSFT_FAIL;
	return KSFT_PASS;
}

/*
 * The OOM killer finds nobody, and says so at length: to the log, which is
 * checked as ever, but not to the console.
 */
static int charge_fails(const void *unused)
{
	struct victim victim = {
		.fn = charge_more,
		.behind = FEW_BEHIND,
		.spacing = PMD_BYTES,
		.unkillable = true,
	};
	int ret;

	if (!add_controller("memory"))
		return skip("no limits of memory");
	change_setting(PRINTK, "4");
	ret = run_survivor(&victim);
	restore_settings();
	return ret;
}

/* The OOM killer ends the process in the middle of fork(). */
static int oom_killed(const void *unused)
{
	long room = FIRST_ROOM, nr_tasks = -1;
	struct victim victim = {
		.fn = charge_once,
		.arg = &room,
		.behind = FEW_BEHIND,
		.spacing = PMD_BYTES,
	};
	bool in_fork = false;
	int status = -1;

	if (!add_controller("memory"))
		return skip("no limits of memory");
	for (; room < MOST_ROOM; room += MORE_ROOM) {
		status = run_victim(&victim, &nr_tasks);
		if (!WIFSIGNALED(status) || failures)
			break;
		EXPECT_EQ(WTERMSIG(status), SIGKILL);
		/* One for the child that did not come to be, one for the parent */
		in_fork |= nr_tasks == 2;
	}
	EXPECT_EQ(status, 0);
	if (nr_tasks >= 0 && can_have_helpers())
		EXPECT(in_fork);
	return KSFT_PASS;
}

/*
 * Signals
 */

#define KILL_ROUNDS	64

static unsigned int fork_begun;

static int forker(void *unused)
{
	__atomic_store_n(&fork_begun, 1, __ATOMIC_SEQ_CST);
	raw_fork();
	return 0;
}

/* A call that needs nothing which a teardown could have taken away. */
static long now_ns(void)
{
	struct timespec ts = {};

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

/* Start a process that shares this memory; returns when it is about to fork. */
static pid_t start_forker(void)
{
	char *stack = (char *)STACKS + 2 * STACK_SIZE;
	pid_t pid;

	__atomic_store_n(&fork_begun, 0, __ATOMIC_SEQ_CST);
	pid = clone(forker, stack + STACK_SIZE, CLONE_VM | SIGCHLD, NULL);
	if (!EXPECT(pid > 0))
		return -1;
	while (!__atomic_load_n(&fork_begun, __ATOMIC_SEQ_CST))
		sched_yield();
	return pid;
}

/* The forker and, if there is one, its child, which this process inherits. */
static int reap_all(void)
{
	int nr = 0;

	while (waitpid(-1, NULL, __WALL) > 0)
		nr++;
	return nr;
}

static long time_fork(void)
{
	long start;
	pid_t pid = start_forker();

	start = now_ns();
	EXPECT(waitpid(pid, NULL, 0) == pid);
	start = now_ns() - start;
	reap_all();
	return start;
}

enum moment { EARLY, MIDDLE, LATE };

/* Kill a forker; returns when that was, as far as can be told. */
static enum moment kill_forker(long delay)
{
	long tasks = box_tasks(), until;
	pid_t pid = start_forker();

	until = now_ns() + delay;
	while (now_ns() < until)
		;
	EXPECT(!kill(pid, SIGKILL));
	if (reap_all() > 1)
		return LATE;
	/* Did ktask free a child that did not come to be? */
	return box_tasks() > tasks ? MIDDLE : EARLY;
}

/* Kill later and later until that is too late, then begin again at half. */
static int kill_forkers(void *unused)
{
	unsigned int counts[LATE + 1] = {}, round;
	enum moment moment;
	long delay;

	map_at(STACKS + 2 * STACK_SIZE, STACK_SIZE, ANON, -1);
	/* Or it is copy-on-write, and a write to it waits for the fork(). */
	EXPECT(!madvise((void *)STACKS, STACK_SIZE, MADV_DONTFORK));
	EXPECT(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	delay = time_fork();
	for (round = 0; round < KILL_ROUNDS; round++) {
		moment = kill_forker(delay);
		counts[moment]++;
		delay = moment == LATE ? delay / 2 : delay + delay / 16;
		if (!expect_intact("fork() that was killed in round", round))
			return KSFT_FAIL;
	}
	expect_writable();
	ksft_print_msg("%u kills came early, %u in the middle, %u late\n",
		       counts[EARLY], counts[MIDDLE], counts[LATE]);
	/* What each kill left was checked; when it came is chance. */
	if (!counts[MIDDLE] && box_tasks() >= 0 && can_have_helpers())
		return skip("every kill came before or after the middle of fork()");
	return KSFT_PASS;
}

/* A process is killed while it forks. Another shares its memory, and lives. */
static int killed_in_fork(const void *unused)
{
	struct victim victim = {
		.fn = kill_forkers,
		.behind = MOST_BEHIND,
		.spacing = 2 * PAGE,
	};

	return run_survivor(&victim);
}

static const struct test tests[] = {
	T(allocation_fails),
	T(overcommit_fails),
	T(charge_fails),
	T(oom_killed),
	T(killed_in_fork),
};

int main(int argc, char **argv)
{
	/* For children that have lost their parents */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return run_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
