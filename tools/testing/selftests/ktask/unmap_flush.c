// SPDX-License-Identifier: GPL-2.0-only
/*
 * TLB shootdowns of teardowns in a program whose other threads run: each of them
 * interrupts all their CPUs. With no helper there are as many as with ktask off,
 * and with helpers at most twice as many. CPUs on which threads have run that
 * sleep now are left alone. So is the caller's, until it is preempted: with it its
 * address space comes back to the CPU, for the rest of a chunk.
 */
#define _GNU_SOURCE

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ktask_util.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/* Several times as many small pages as a gather has room for */
#define SIZE		MIB(256)
/* Little more than that in so much that it has many page tables */
#define SPARSE_SIZE	MIB(8192)
#define SPARSE_PAGES	3	/* in each table */
/* Huge pages of a file, as often as it takes to be worth helpers */
#define ALIAS		MIB(64)
#define ALIASED_SIZE	(2048 * ALIAS)
#define REPEATS		3
#define OFF_REPEATS	5
#define MAX_REPEATS	12

/* The other threads */
enum others {
	ONE_BUSY,
	ALL_BUSY,	/* one on each other CPU */
	ASLEEP,		/* likewise, woken before each call */
};

enum pages {
	SMALL,
	HUGE,
	SPARSE,		/* small ones, few of them in each page table */
	ALIASED,	/* the same huge ones again and again: none is freed */
};

struct job {
	enum pages	pages;
	bool		munmap;
	enum others	others;
};

/* Interrupts for that on all CPUs, or -1 where nobody counts them */
static long shootdowns(void)
{
	FILE *file = fopen("/proc/interrupts", "r");
	char *line = NULL, *pos, *end;
	size_t size = 0;
	long sum = -1;

	while (file && sum < 0 && getline(&line, &size, file) > 0) {
		pos = strstr(line, "TLB:");
		if (!pos)
			continue;
		sum = 0;
		for (pos += strlen("TLB:"); ; pos = end) {
			long nr = strtol(pos, &end, 10);

			if (end == pos)
				break;
			sum += nr;
		}
	}
	free(line);
	if (file)
		fclose(file);
	return sum;
}

/* They and the caller */
static pthread_barrier_t awake;

static void *keep_sleeping(void *arg)
{
	for (;;)
		pthread_barrier_wait(&awake);
	return arg;
}

/* One thread on each CPU from 1 on; the caller may run on any. */
static void start_threads(enum others others)
{
	static unsigned long loops[CPU_SETSIZE];
	int cpu, nr = others == ONE_BUSY ? 1 : nr_cpus() - 1;

	pthread_barrier_init(&awake, NULL, nr + 1);
	for (cpu = 1; cpu <= nr; cpu++) {
		pthread_attr_t attr;
		pthread_t thread;
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		pthread_attr_init(&attr);
		pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
		EXPECT(!pthread_create(&thread, &attr,
				       others == ASLEEP ? keep_sleeping : keep_busy,
				       &loops[cpu]));
	}
}

struct result {
	const struct job	*job;
	bool			helpers;	/* not switched off */
	long			shootdowns;	/* of all calls: see choose_count() */
	bool			preempted;	/* in each of them */
	int			calls;
};

static long preemptions(void)
{
	struct rusage usage;

	EXPECT(!getrusage(RUSAGE_THREAD, &usage));
	return usage.ru_nivcsw;
}

static size_t size_of(const struct job *job)
{
	switch (job->pages) {
	case SPARSE:
		return SPARSE_SIZE;
	case ALIASED:
		return ALIASED_SIZE;
	default:
		return SIZE;
	}
}

/* Those after the first find huge pages, in whatever way the file got them. */
static bool map_aliases(char *base)
{
	int fd = memfd_create("ktask", MFD_CLOEXEC);
	size_t pos;

	if (!EXPECT(fd >= 0 && !ftruncate(fd, ALIAS)))
		return false;
	for (pos = 0; pos < ALIASED_SIZE; pos += ALIAS) {
		if (!EXPECT(mmap(base + pos, ALIAS, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) !=
			    MAP_FAILED) ||
		    !EXPECT(pos || !madvise(base, ALIAS, MADV_COLLAPSE)))
			return false;
	}
	close(fd);
	return true;
}

static char *map_pages(const struct job *job)
{
	char *base = map_aligned(size_of(job), 0, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	char *table;

	if (!EXPECT(base))
		return NULL;
	if (job->pages == ALIASED)
		return map_aliases(base) ? base : NULL;
	madvise(base, size_of(job),
		job->pages == HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (job->pages == SPARSE) {
		for (table = base; table < base + SPARSE_SIZE; table += PMD_BYTES)
			memset(table, 1, SPARSE_PAGES * PAGE);
	} else {
		memset(base, 1, SIZE);
	}
	return base;
}

static void tear_down(const struct job *job, char *base)
{
	if (job->munmap)
		EXPECT(!munmap(base, size_of(job)));
	else
		EXPECT(!madvise(base, size_of(job), MADV_DONTNEED));
}

static int compare_longs(const void *a, const void *b)
{
	const long *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/*
 * With helpers, and where nobody should be interrupted, the fewest of all calls.
 * Else the second most, which calls with helpers are compared with. A busy thread
 * is not interrupted while a kernel thread or the caller has its CPU, and on a busy
 * host that may last for most of a call. A caller that moves adds one, for the CPU
 * that it has left.
 */
static long choose_count(const struct result *result, long *counts, int nr)
{
	qsort(counts, nr, sizeof(*counts), compare_longs);
	if (result->helpers || result->job->others == ASLEEP || nr < 2)
		return counts[0];
	return counts[nr - 2];
}

static int count(void *arg)
{
	struct result *result = arg;
	const struct job *job = result->job;
	int repeats = result->helpers ? REPEATS : OFF_REPEATS;
	long counts[MAX_REPEATS] = { };
	int i, counted = 0;

	start_threads(job->others);
	result->preempted = true;
	/*
	 * None is to be left but by chance: a caller that waits for helpers wakes up now
	 * and then, and one of them may flush just then.
	 */
	for (i = 0; i < MAX_REPEATS && (counted < repeats ||
					(job->others == ASLEEP &&
					 choose_count(result, counts, counted)));
	     i++) {
		char *base = map_pages(job);
		long before, times;
		bool preempted;

		if (!base)
			return KSFT_FAIL;
		if (job->others == ASLEEP) {
			pthread_barrier_wait(&awake);
			usleep(10000);
		}
		times = preemptions();
		before = shootdowns();
		tear_down(job, base);
		before = shootdowns() - before;
		preempted = preemptions() != times;
		result->calls = i + 1;
		munmap(base, size_of(job));
		/* A busy thread whose CPU a kernel thread has just now is not told. */
		if (!before && job->others != ASLEEP)
			continue;
		counts[counted++] = before;
		result->preempted &= preempted;
	}
	result->shootdowns = choose_count(result, counts, counted);
	return failures ? KSFT_FAIL : KSFT_PASS;
}

/* Sets the helpers lent, to a negative number where nobody counts them. */
static bool count_in_box(struct result *result, bool helpers, long *lent)
{
	struct box box;
	bool done;

	result->helpers = helpers;
	if (!EXPECT(set_helpers(helpers)) || !EXPECT(make_box(&box)))
		return false;
	done = EXPECT(enter_box(&box, count, result) > 0) &&
	       EXPECT_EQ(leave_box(&box), KSFT_PASS);
	*lent = box_lent(&box);
	empty_box(&box);
	return done;
}

static int flushes(const void *arg)
{
	struct result *result = shared_memory(sizeof(*result));
	long off, lent, most;

	if (nr_cpus() < 2)
		return skip("one CPU has nobody to interrupt");
	if (shootdowns() < 0)
		return skip("nobody counts TLB shootdowns here");

	result->job = arg;
	if (result->job->pages == ALIASED &&
	    access("/sys/kernel/mm/transparent_hugepage", F_OK))
		return skip("there are no huge pages here");
	if (!count_in_box(result, false, &lent))
		return KSFT_FAIL;
	off = result->shootdowns;
	if (!count_in_box(result, true, &lent))
		return KSFT_FAIL;
	ksft_print_msg("%ld shootdowns off, %ld on%s, %ld helpers lent in %d calls\n",
		       off, result->shootdowns,
		       result->preempted ? " (preempted)" : "", lent,
		       result->calls);
	EXPECT((off > 0 && result->shootdowns > 0) ||
	       result->job->others == ASLEEP);
	/* Where nobody counts helpers there may have been some. */
	most = lent && can_have_helpers() ? 2 * off : off + off / 5;
	if (lent > 0 && result->preempted)
		most += (lent + result->calls - 1) / result->calls;
	/* Where there are some, there may be another one by chance. */
	EXPECT_RANGE(result->shootdowns, 0, most + !!off);
	return failures ? KSFT_FAIL : KSFT_PASS;
}

#define JOB(p, m, o)	(&(const struct job){ .pages = p, .munmap = m, .others = o })
#define F(n, p, m, o)	{ .fn = flushes, .name = n, .arg = JOB(p, m, o) }

static const struct test tests[] = {
	F("pages_dontneed_one_busy", SMALL, false, ONE_BUSY),
	F("pages_dontneed_all_busy", SMALL, false, ALL_BUSY),
	F("pages_dontneed_asleep", SMALL, false, ASLEEP),
	F("pages_munmap_one_busy", SMALL, true, ONE_BUSY),
	F("pages_munmap_all_busy", SMALL, true, ALL_BUSY),
	F("huge_dontneed_one_busy", HUGE, false, ONE_BUSY),
	F("huge_dontneed_all_busy", HUGE, false, ALL_BUSY),
	F("huge_munmap_one_busy", HUGE, true, ONE_BUSY),
	F("huge_munmap_all_busy", HUGE, true, ALL_BUSY),
	F("sparse_dontneed_one_busy", SPARSE, false, ONE_BUSY),
	F("sparse_munmap_one_busy", SPARSE, true, ONE_BUSY),
	F("aliases_munmap_one_busy", ALIASED, true, ONE_BUSY),
};

int main(int argc, char **argv)
{
	return run_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
