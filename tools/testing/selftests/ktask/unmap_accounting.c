// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is torn down with helpers is accounted for as if it had been
 * torn down without: by the process, its cgroup and the system.
 *
 * Each layout is mapped and torn down with munmap(), MADV_DONTNEED and exit,
 * first with helpers switched off, then on. On kernels without ktask both are
 * the same, and the tests still say something about the kernel.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../cgroup/cgroup_util.h"
#include "ktask_util.h"
#include "layouts.h"

enum way {
	MUNMAP,
	DONTNEED,
	NR_WAYS,
};

static const char *const way_names[NR_WAYS] = { "munmap", "MADV_DONTNEED" };

/* What a process in a box leaves for the test, shared between them. */
struct record {
	struct figures	after[NR_WAYS];
	long		lent[NR_WAYS];
	long		lent_before_exit;
};

struct teardown {
	const struct layout	*layout;
	int			scale;
	struct box		box;
	struct record		*record;
};

/* Parts of a range may have no mapping, or be locked: the rest is zapped. */
static bool dontneed(const struct region *region)
{
	return !madvise(region->base, region->size, MADV_DONTNEED) ||
	       errno == ENOMEM || errno == EINVAL;
}

static int tear_down(struct teardown *td, enum way way)
{
	long lent = box_lent(&td->box);
	struct figures full, *after = &td->record->after[way];
	struct region region;
	int ret;

	ret = td->layout->map(&region, td->scale);
	if (ret)
		return ret;

	take_figures(&full, td->box.cgroup);
	if (way == MUNMAP)
		EXPECT(!munmap(region.base, region.size));
	else
		EXPECT(dontneed(&region));
	take_figures(after, td->box.cgroup);
	td->record->lent[way] = box_lent(&td->box) - lent;

	/* It was there, and now it is not. */
	if (way == MUNMAP || td->layout->one_vma)
		EXPECT_RANGE(full.kb[SMAPS_RSS] - after->kb[SMAPS_RSS],
			     (long)(region.resident >> 10) - 128, LONG_MAX);

	if (way == DONTNEED)
		EXPECT(!munmap(region.base, region.size));
	unmap_region(&region);
	return KSFT_PASS;
}

static int tear_down_in_box(void *arg)
{
	struct teardown *td = arg;
	struct region region;
	enum way way;
	int ret;

	for (way = 0; way < NR_WAYS; way++) {
		ret = tear_down(td, way);
		if (ret)
			return ret;
	}

	/* And a last time, by exit. */
	ret = td->layout->map(&region, td->scale);
	td->record->lent_before_exit = box_lent(&td->box);
	return ret;
}

static bool all_had_helpers(const struct teardown *td, long lent_to_exit)
{
	const long *lent = td->record->lent;

	return lent_to_exit && lent[MUNMAP] &&
	       (lent[DONTNEED] || !td->layout->one_vma);
}

/* Tear down a layout in all ways, with helpers or without. */
static int record(struct teardown *td, bool helpers)
{
	long lent = -1;
	int status;

	EXPECT(set_helpers(helpers));
	if (!make_box(&td->box) ||
	    !EXPECT(enter_box(&td->box, tear_down_in_box, td) > 0))
		return KSFT_FAIL;
	status = leave_box(&td->box);
	/* -1: the kernel does not say. */
	if (box_lent(&td->box) >= 0)
		lent = box_lent(&td->box) - td->record->lent_before_exit;
	empty_box(&td->box);

	if (!EXPECT(WIFEXITED(status)) || WEXITSTATUS(status))
		return WIFEXITED(status) ? WEXITSTATUS(status) : KSFT_FAIL;

	if (!helpers) {
		EXPECT_EQ(td->record->lent[MUNMAP], 0);
		EXPECT_EQ(td->record->lent[DONTNEED], 0);
		EXPECT_RANGE(lent, -1, 0);
	}
	/* The test is about helpers: one way without any is not good enough. */
	return !helpers || lent < 0 || all_had_helpers(td, lent) ? KSFT_PASS :
								   -EAGAIN;
}

static int compare(const void *arg)
{
	const struct layout *layout = arg;
	struct teardown off = { .layout = layout }, on = { .layout = layout };
	int ret = -EAGAIN, scale;
	enum way way;

	if (layout->swap && !swap_on())
		return skip("no swap space to be had");

	off.record = shared_memory(sizeof(*off.record));
	on.record = shared_memory(sizeof(*on.record));

	/* It may take more to be worth a helper, or to find a CPU to spare. */
	for (scale = 1; scale <= 4 && ret == -EAGAIN; scale *= 2) {
		off.scale = scale;
		on.scale = scale;
		ret = record(&off, false);
		if (!ret)
			ret = record(&on, true);
		if (ret == -EAGAIN && !can_have_helpers())
			ret = KSFT_PASS;
	}
	if (!EXPECT(ret != -EAGAIN) || ret)
		goto out;

	for (way = 0; way < NR_WAYS; way++)
		same_figures(&off.record->after[way], &on.record->after[way],
			     way_names[way]);
out:
	munmap(off.record, sizeof(*off.record));
	munmap(on.record, sizeof(*on.record));
	return ret == -EAGAIN ? KSFT_FAIL : ret;
}

#define ROUNDS	9

/* Again and again in one process: what is left does not grow. */
static int drift_in_box(void *arg)
{
	struct teardown *td = arg;
	struct figures first, last;
	struct region region;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		if (td->layout->map(&region, 1))
			return KSFT_FAIL;
		if (round % 3 == 2)
			EXPECT(dontneed(&region));
		EXPECT(!munmap(region.base, region.size));
		unmap_region(&region);
		if (!round)
			take_figures(&first, td->box.cgroup);
	}
	take_figures(&last, td->box.cgroup);
	same_figures(&first, &last, "after many rounds");
	return KSFT_PASS;
}

static int drift(const void *unused)
{
	static const size_t drifters[] = { 0, 3, 14 };
	struct teardown td = { };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(drifters); i++) {
		int status;
		long lent;

		td.layout = &layouts[drifters[i]];
		if (!make_box(&td.box) ||
		    !EXPECT(enter_box(&td.box, drift_in_box, &td) > 0))
			return KSFT_FAIL;
		status = leave_box(&td.box);
		lent = box_lent(&td.box);
		empty_box(&td.box);
		EXPECT(WIFEXITED(status) && !WEXITSTATUS(status));
		if (can_have_helpers() && lent >= 0)
			EXPECT_RANGE(lent, ROUNDS, LONG_MAX);
	}
	return KSFT_PASS;
}

/* Too small for helpers: the stock path, whatever the limits. */
static int small_in_box(void *arg)
{
	char *small = map_aligned(MIB(15), 0, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1);

	EXPECT(small && !madvise(small, MIB(15), MADV_POPULATE_WRITE));
	EXPECT(!munmap(small, MIB(15)));
	return KSFT_PASS;
}

/* A large range with little memory in it. */
static int empty_in_box(void *arg)
{
	char *empty = map_aligned(MIB(4096), 0, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				  -1);

	EXPECT(empty && !madvise(empty, MIB(1), MADV_POPULATE_WRITE));
	EXPECT(!munmap(empty, MIB(4096)));
	return KSFT_PASS;
}

static int below_floor(const void *unused)
{
	static int (*const small[])(void *arg) = {
		small_in_box, empty_in_box,
	};
	struct box box;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(small); i++) {
		if (!make_box(&box) ||
		    !EXPECT(enter_box(&box, small[i], NULL) > 0))
			return KSFT_FAIL;
		EXPECT_EQ(leave_box(&box), 0);
		if (box_lent(&box) >= 0)
			EXPECT_EQ(keyed(box.cgroup, "cpu.ktask.stat", "tasks"),
				  0);
		empty_box(&box);
	}
	return KSFT_PASS;
}

#define FLOOR		MIB(16)

/* Not yet touched, and for pages of the smallest size */
static char *map_small_pages(size_t size)
{
	char *base = map_aligned(size, 0, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1);

	/* Fails where there are no huge pages. */
	if (EXPECT(base))
		madvise(base, size, MADV_NOHUGEPAGE);
	return base;
}

#define IN_SWAP		MIB(48)
#define IN_MEMORY	(9 * IN_SWAP)

static bool map_partly_swapped(char **memory, char **swapped, size_t in_swap)
{
	*memory = map_small_pages(IN_MEMORY);
	*swapped = map_small_pages(in_swap);
	return EXPECT(*memory && *swapped) &&
	       EXPECT(!madvise(*memory, IN_MEMORY, MADV_POPULATE_WRITE)) &&
	       EXPECT(!madvise(*swapped, in_swap, MADV_POPULATE_WRITE)) &&
	       EXPECT(!madvise(*swapped, in_swap, MADV_PAGEOUT));
}

/* A small part of a process is in swap, and that is unmapped while a thread runs. */
static int swapped_in_box(void *arg)
{
	const struct box *box = arg;
	static unsigned long loops;
	char *memory, *swapped;
	pthread_t thread;
	long tasks;

	if (!map_partly_swapped(&memory, &swapped, IN_SWAP) ||
	    !EXPECT(!pthread_create(&thread, NULL, keep_busy, &loops)))
		return KSFT_FAIL;
	while (!__atomic_load_n(&loops, __ATOMIC_RELAXED))
		usleep(1000);

	tasks = keyed(box->cgroup, "cpu.ktask.stat", "tasks");
	EXPECT(!munmap(swapped, IN_SWAP));
	if (can_have_helpers() && box_lent(box) >= 0) {
		EXPECT_EQ(keyed(box->cgroup, "cpu.ktask.stat", "tasks"), tasks);
		EXPECT(!munmap(memory, IN_MEMORY));
		EXPECT_EQ(keyed(box->cgroup, "cpu.ktask.stat", "tasks"),
			  tasks + 1);
	}
	return failures ? KSFT_FAIL : KSFT_PASS;
}

/* Commands of klogctl(2), which has no header for them */
#define LOG_READ_ALL	3
#define LOG_SIZE	10

/*
 * Are pages written over as they are freed? That may be most of the work, so such a
 * kernel makes a task from the start.
 */
static bool writes_as_it_frees(void)
{
	int size = klogctl(LOG_SIZE, NULL, 0);
	char text[4096], *log = calloc(1, size + 1);
	bool writes = false;

	if (read_text("/proc/cmdline", text, sizeof(text)) > 0)
		writes = !!strstr(text, "page_poison=1");
	if (log && klogctl(LOG_READ_ALL, log, size) > 0)
		writes |= !!strstr(log, "heap free:on");
	free(log);
	return writes;
}

#define HOLLOW_ROUNDS	20

/* Page tables with next to nothing in them: a task would cost more than all else. */
static int hollow_in_box(void *arg)
{
	const struct box *box = arg;
	char *memory = map_small_pages(2 * FLOOR), *hollow = map_small_pages(FLOOR);
	char *page;
	long tasks;
	int i;

	if (!EXPECT(memory && hollow) ||
	    !EXPECT(!madvise(memory, 2 * FLOOR, MADV_POPULATE_WRITE)) ||
	    !EXPECT(!madvise(hollow, FLOOR, MADV_POPULATE_WRITE)) ||
	    !EXPECT(!madvise(hollow, FLOOR, MADV_DONTNEED)))
		return KSFT_FAIL;

	if (box_lent(box) < 0)
		return KSFT_PASS;
	tasks = keyed(box->cgroup, "cpu.ktask.stat", "tasks");
	for (i = 0; i < HOLLOW_ROUNDS; i++) {
		for (page = hollow; page < hollow + FLOOR; page += PMD_BYTES)
			*page = 1;
		EXPECT(!madvise(hollow, FLOOR, MADV_DONTNEED));
	}
	/* On a busy host it may look as if it took long. */
	EXPECT_RANGE(keyed(box->cgroup, "cpu.ktask.stat", "tasks") - tasks, 0,
		     HOLLOW_ROUNDS / 2);
	return failures ? KSFT_FAIL : KSFT_PASS;
}

/* So many that helpers are more than in the cases below */
#define MANY_CPUS	8

/*
 * Helpers that there may be where they may come to entries of swap any moment, and
 * where there are fewer of those. Each CPU has entries that it has not added yet.
 */
#define SWAP_HELPERS		3
#define LITTLE_IN_SWAP		MIB(6)
#define LITTLE_SWAP_HELPERS	5

/* Nobody knows where the part in swap is: not where there would be many helpers. */
static int unmap_partly_swapped(const struct box *box, size_t in_swap, long helpers)
{
	char *memory, *swapped;

	if (!map_partly_swapped(&memory, &swapped, in_swap))
		return KSFT_FAIL;

	EXPECT(!munmap(memory, IN_MEMORY));
	if (can_have_helpers() && box_lent(box) >= 0)
		EXPECT_RANGE(cg_read_long(box->cgroup, "cpu.ktask.peak"), 1, helpers);
	return failures ? KSFT_FAIL : KSFT_PASS;
}

static int much_swapped_in_box(void *arg)
{
	return unmap_partly_swapped(arg, IN_SWAP, SWAP_HELPERS);
}

static int little_swapped_in_box(void *arg)
{
	return unmap_partly_swapped(arg, LITTLE_IN_SWAP, LITTLE_SWAP_HELPERS);
}

#define SPARSE		MIB(2048)
#define SPARSE_PAGES	15	/* in each page table: too few for CPUs to sum them up */
#define SPARSE_ROUNDS	15

/*
 * In pages, how much more /proc/self/stat says is resident than there is: it does not
 * ask CPUs what they have not added yet.
 */
static long rss_not_summed(void)
{
	struct figures figures;
	int fields = 23;	/* of which the second, the name, has no blank */
	long rss = -1;
	FILE *stat;

	take_figures(&figures, "");
	stat = fopen("/proc/self/stat", "r");
	if (!EXPECT(stat))
		return 0;
	while (fields--)
		fscanf(stat, "%*s");
	EXPECT_EQ(fscanf(stat, "%ld", &rss), 1);
	fclose(stat);
	return rss - figures.kb[VM_RSS] * 1024 / (long)PAGE;
}

/* Of what was sparse, each CPU that unmapped may have less than it adds to the sum. */
static int summed_up_in_box(void *arg)
{
	const struct box *box = arg;
	cpu_set_t all, here;
	long most = 0, i;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	if (!EXPECT(!sched_getaffinity(0, sizeof(all), &all)))
		return KSFT_FAIL;

	for (i = 0; i < SPARSE_ROUNDS; i++) {
		char *base = map_small_pages(SPARSE), *page;
		long more;

		if (!EXPECT(base))
			return KSFT_FAIL;
		EXPECT(!sched_setaffinity(0, sizeof(here), &here));
		for (page = base; page < base + SPARSE; page += PMD_BYTES)
			EXPECT(!madvise(page, SPARSE_PAGES * PAGE,
					MADV_POPULATE_WRITE));
		EXPECT(!sched_setaffinity(0, sizeof(all), &all));
		EXPECT(!munmap(base, SPARSE));
		more = rss_not_summed();
		most = more > most ? more : most;
	}
	ksft_print_msg("%ld pages not summed up, %ld helpers\n", most, box_lent(box));
	if (can_have_helpers() && box_lent(box) >= 0)
		EXPECT_RANGE(box_lent(box), SPARSE_ROUNDS, LONG_MAX);
	/* What the CPUs on which the caller has been may have */
	EXPECT_RANGE(most, 0, 3 * (nr_cpus() > 16 ? 2 * nr_cpus() : 32));
	return failures ? KSFT_FAIL : KSFT_PASS;
}

#define ISLANDS		16
#define ISLAND		MIB(4)
#define RESERVED	(MIB(1024) * 4096)
#define PUD_TABLE	(MIB(1024) * 512)

/* Terabytes of which some islands are in use, as runtimes reserve them. */
static int reserved_in_box(void *arg)
{
	const struct box *box = arg;
	struct figures full, after;
	long chunks;
	char *base;
	size_t i;

	base = map_aligned(RESERVED, 0, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	if (!EXPECT(base))
		return KSFT_FAIL;
	for (i = 0; i < ISLANDS; i++)
		EXPECT(!madvise(base + i * (RESERVED / ISLANDS), ISLAND,
				MADV_POPULATE_WRITE));

	take_figures(&full, box->cgroup);
	chunks = keyed(box->cgroup, "cpu.ktask.stat", "chunks");
	EXPECT(!munmap(base, RESERVED));
	chunks = keyed(box->cgroup, "cpu.ktask.stat", "chunks") - chunks;
	take_figures(&after, box->cgroup);

	EXPECT_RANGE(full.kb[RSS_ANON] - after.kb[RSS_ANON],
		     (ISLANDS * ISLAND >> 10) - 128, LONG_MAX);
	if (can_have_helpers() && box_lent(box) >= 0)
		/* Tables of others at both ends, and empty rests of PUD tables */
		EXPECT_RANGE(chunks, 1, ISLANDS * ISLAND / PMD_BYTES + 2 +
					RESERVED / PUD_TABLE);
	return KSFT_PASS;
}

/* Run a function in a box, and tell it which. */
static int run_in_known_box(int (*fn)(void *box))
{
	struct box box;

	if (!make_box(&box) || !EXPECT(enter_box(&box, fn, &box) > 0))
		return KSFT_FAIL;
	EXPECT_EQ(leave_box(&box), 0);
	empty_box(&box);
	return KSFT_PASS;
}

/* Above the floor, and nothing to do all the same. */
static int hollow(const void *unused)
{
	if (writes_as_it_frees())
		return skip("pages are written over as they are freed");
	return run_in_known_box(hollow_in_box);
}

/* Locks of swap that helpers would fight for, where nobody would notice it soon. */
static int swapped_beside(const void *unused)
{
	if (!swap_on())
		return skip("no swap space to be had");
	return run_in_known_box(swapped_in_box);
}

/* As long as nobody has found out that threads wait there, all do. */
static int swapped_many_cpus(const void *unused)
{
	int much, little;

	if (nr_cpus() < MANY_CPUS)
		return skip("fewer than 8 CPUs");
	if (!swap_on())
		return skip("no swap space to be had");
	much = run_in_known_box(much_swapped_in_box);
	little = run_in_known_box(little_swapped_in_box);
	return much == KSFT_PASS ? little : much;
}

/* Helpers leave nothing on their CPUs that others need for the sum. */
static int summed_up(const void *unused)
{
	if (nr_cpus() < MANY_CPUS)
		return skip("fewer than 8 CPUs");
	return run_in_known_box(summed_up_in_box);
}

/* What is reserved and not in use takes no chunks. */
static int reserved(const void *unused)
{
	return run_in_known_box(reserved_in_box);
}

/* The size of each list that anonymous memory may be on, in bytes */
struct lru_sizes {
	long	inactive, active, unevictable;
};

static struct lru_sizes lru_sizes(const struct box *box)
{
	drain_batches();
	flush_stats(box->cgroup);
	return (struct lru_sizes) {
		.inactive = keyed(box->cgroup, "memory.stat", "inactive_anon"),
		.active = keyed(box->cgroup, "memory.stat", "active_anon"),
		.unevictable = keyed(box->cgroup, "memory.stat", "unevictable"),
	};
}

/* What can be reclaimed: its lists are those of generations, or the older ones. */
static long evictable(const struct lru_sizes *sizes)
{
	return sizes->inactive + sizes->active;
}

/* A page that is used through the kernel twice is active. */
static void activate(char *page)
{
	char byte;
	struct iovec local = { &byte, 1 }, remote = { page, 1 };
	int i;

	for (i = 0; i < 2; i++)
		EXPECT_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0),
			  1);
}

#define LRU_BYTES	MIB(64)
#define LRU_MIXED	MIB(8)
#define LRU_ACTIVE	16

/*
 * Of the first LRU_MIXED every other page is locked, so that pages that follow
 * one another are on different lists. Returns where the rest begins.
 */
static char *populate_and_mix(char *base)
{
	char *page;

	EXPECT(!madvise(base, LRU_BYTES, MADV_POPULATE_WRITE));
	drain_batches();
	for (page = base; page < base + LRU_MIXED; page += 2 * PAGE)
		EXPECT(!mlock(page, PAGE));
	return page;
}

/* Some pages behind those that are locked are active. */
static int lru_in_box(void *arg)
{
	const struct box *box = arg;
	struct lru_sizes before, full, after;
	char *base, *page;
	int i;

	base = map_small_pages(LRU_BYTES);
	if (!base)
		return KSFT_FAIL;
	before = lru_sizes(box);

	page = populate_and_mix(base);
	for (i = 0; i < LRU_ACTIVE; i++, page += 2 * PAGE)
		activate(page);
	full = lru_sizes(box);
	EXPECT_EQ(full.unevictable - before.unevictable, LRU_MIXED / 2);
	EXPECT_RANGE(full.active - before.active, (long)PAGE,
		     LRU_ACTIVE * (long)PAGE);
	EXPECT_RANGE(full.inactive - before.inactive,
		     (long)(LRU_BYTES - LRU_MIXED), LONG_MAX);

	EXPECT(!munmap(base, LRU_BYTES));
	after = lru_sizes(box);
	EXPECT_EQ(after.unevictable, before.unevictable);
	EXPECT_EQ(after.active, before.active);
	EXPECT_RANGE(after.inactive - before.inactive, -(64L << 10), 64 << 10);
	return KSFT_PASS;
}

#define MULTIGEN		"/sys/kernel/mm/lru_gen/enabled"
#define SWITCHED_USEC	50000
#define SWITCHED_ROUNDS	16

/* With the multi-gen LRU on, "y", or off, "n", where the kernel has it */
static int run_with_multigen(const char *on, int (*fn)(void *box))
{
	char was[32];
	bool have = read_text(MULTIGEN, was, sizeof(was)) > 0;
	int ret;

	if (have)
		EXPECT(write_text_to(MULTIGEN, on));
	ret = run_in_known_box(fn);
	if (have)
		EXPECT(write_text_to(MULTIGEN, was));
	return ret;
}

/* The kernel's lists of pages get shorter by what was torn down. */
static int lru(const void *unused)
{
	if (!add_controller("memory"))
		return skip("no memory controller that says what is on LRU lists");
	return run_with_multigen("n", lru_in_box);
}

/* With generations new pages are active, and pages do not become it by use. */
static int multigen_in_box(void *arg)
{
	const struct box *box = arg;
	struct lru_sizes before, full, after;
	char *base = map_small_pages(LRU_BYTES);

	if (!base)
		return KSFT_FAIL;
	before = lru_sizes(box);
	populate_and_mix(base);
	full = lru_sizes(box);
	EXPECT_EQ(full.unevictable - before.unevictable, LRU_MIXED / 2);
	EXPECT_RANGE(full.active - before.active,
		     (long)(LRU_BYTES - LRU_MIXED), LONG_MAX);

	EXPECT(!munmap(base, LRU_BYTES));
	after = lru_sizes(box);
	EXPECT_EQ(after.unevictable, before.unevictable);
	EXPECT_EQ(after.inactive, before.inactive);
	EXPECT_RANGE(after.active - before.active, -(64L << 10), 64 << 10);
	return KSFT_PASS;
}

/* Until it is killed */
static void switch_multigen(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (write_text_to(MULTIGEN, "n") && !usleep(SWITCHED_USEC) &&
	       write_text_to(MULTIGEN, "y") && !usleep(SWITCHED_USEC))
		;
	_exit(KSFT_FAIL);
}

/* All pages change from one kind of list to the other while they are freed. */
static int switched_in_box(void *arg)
{
	const struct box *box = arg;
	struct lru_sizes before = lru_sizes(box), after;
	int round, status;
	pid_t switcher;

	switcher = fork();
	if (!switcher)
		switch_multigen();
	if (!EXPECT(switcher > 0))
		return KSFT_FAIL;

	for (round = 0; round < SWITCHED_ROUNDS; round++) {
		char *base = map_small_pages(LRU_BYTES);

		if (!base)
			break;
		populate_and_mix(base);
		EXPECT(!munmap(base, LRU_BYTES));
	}

	kill(switcher, SIGKILL);
	EXPECT(waitpid(switcher, &status, 0) == switcher &&
	       WIFSIGNALED(status));
	after = lru_sizes(box);
	EXPECT_EQ(after.unevictable, before.unevictable);
	EXPECT_RANGE(evictable(&after) - evictable(&before), -(64L << 10),
		     64 << 10);
	return KSFT_PASS;
}

/* The same with the multi-gen LRU, and while the kernel changes to it and back. */
static int multigen(const void *unused)
{
	int ret;

	if (access(MULTIGEN, W_OK))
		return skip("no multi-gen LRU");
	if (!add_controller("memory"))
		return skip("no memory controller that says what is on LRU lists");

	ret = run_with_multigen("y", multigen_in_box);
	return ret ? ret : run_with_multigen("y", switched_in_box);
}

/* Free blocks of each order, as a line of /proc/buddyinfo has them, in bytes */
static long free_blocks(const char *line)
{
	long block = PAGE, sum = 0, nr;
	int node, blocks = 0;
	char *end;

	if (sscanf(line, "Node %d, zone %*s %n", &node, &blocks) != 1)
		return 0;

	for (line += blocks;; line = end, block *= 2) {
		nr = strtol(line, &end, 10);
		if (end == line)
			return sum;
		sum += nr * block;
	}
}

/* What a CPU keeps for itself, as a line of /proc/zoneinfo has it, in bytes */
static long free_of_cpu(const char *line)
{
	long nr;

	return sscanf(line, " count: %ld", &nr) == 1 ? nr * (long)PAGE : 0;
}

/* The sum of what is in the lines of a file */
static long sum_of_lines(const char *path, long (*in_line)(const char *line))
{
	FILE *file = fopen(path, "r");
	char line[512];
	long sum = 0;

	if (!EXPECT(file))
		return 0;
	while (fgets(line, sizeof(line), file))
		sum += in_line(line);
	fclose(file);
	return sum;
}

/* Free memory, in bytes */
static long free_memory(void)
{
	return sum_of_lines("/proc/buddyinfo", free_blocks) +
	       sum_of_lines("/proc/zoneinfo", free_of_cpu);
}

#define FREED		MIB(64)
#define FREED_ROUNDS	16
#define FREED_BY_OTHERS	(512L << 10)

/* Every other page, then the rest from the end on, then all at once. */
static void free_in_orders(void)
{
	char *base = map_small_pages(FREED), *page;

	if (!base)
		return;

	EXPECT(!madvise(base, FREED, MADV_POPULATE_WRITE));
	for (page = base; page < base + FREED; page += 2 * PAGE)
		EXPECT(!madvise(page, PAGE, MADV_DONTNEED));
	while (page > base) {
		page -= 2 * PAGE;
		EXPECT(!madvise(page + PAGE, PAGE, MADV_DONTNEED));
	}

	EXPECT(!madvise(base, FREED, MADV_POPULATE_WRITE));
	EXPECT(!munmap(base, FREED));
}

/* How much more memory is free after some rounds? */
static long freed_for_good(void)
{
	long before = free_memory();
	int round;

	EXPECT_RANGE(before, (long)FREED, LONG_MAX);
	for (round = 0; round < FREED_ROUNDS; round++)
		free_in_orders();
	return free_memory() - before;
}

static int freed_in_box(void *arg)
{
	long more;
	int tries;

	free_in_orders();
	/* Others use and free memory too, but not in each try. */
	for (tries = 0; tries < 5; tries++) {
		more = freed_for_good();
		if (labs(more) <= FREED_BY_OTHERS)
			break;
		ksft_print_msg("%ld kB more free\n", more >> 10);
	}
	EXPECT_RANGE(more, -FREED_BY_OTHERS, FREED_BY_OTHERS);
	return KSFT_PASS;
}

/* In whatever order pages are freed, none is lost or free twice. */
static int freed(const void *unused)
{
	return run_in_known_box(freed_in_box);
}

int main(int argc, char **argv)
{
	struct test tests[32];
	size_t nr = 0;

	while (nr < nr_layouts) {
		tests[nr] = (struct test) {
			.fn = compare,
			.name = layouts[nr].name,
			.arg = &layouts[nr],
		};
		nr++;
	}
	tests[nr++] = (struct test)T(drift);
	tests[nr++] = (struct test)T(below_floor);
	tests[nr++] = (struct test)T(hollow);
	tests[nr++] = (struct test)T(swapped_beside);
	tests[nr++] = (struct test)T(swapped_many_cpus);
	tests[nr++] = (struct test)T(summed_up);
	tests[nr++] = (struct test)T(reserved);
	tests[nr++] = (struct test)T(lru);
	tests[nr++] = (struct test)T(multigen);
	tests[nr++] = (struct test)T(freed);

	return run_tests(tests, nr, argc, argv);
}
