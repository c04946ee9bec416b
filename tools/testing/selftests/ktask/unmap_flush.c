// SPDX-License-Identifier: GPL-2.0-only
/*
 * TLB shootdowns of teardowns in a program whose other threads run: each of them
 * interrupts all their CPUs. With no helper there are as many as with ktask off,
 * and with helpers at most twice as many.
 */
#define _GNU_SOURCE

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ktask_util.h"

/* Several times as many small pages as a gather has room for */
#define SIZE		MIB(256)
#define REPEATS		3

struct job {
	bool	huge;
	bool	munmap;
	bool	all_busy;	/* a busy thread on each other CPU, or just one */
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

static void *keep_busy(void *arg)
{
	unsigned long *loops = arg;

	for (;;)
		__atomic_fetch_add(loops, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* One thread on each CPU from 1 on; the caller may run on any. */
static void start_busy_threads(int nr)
{
	static unsigned long loops[CPU_SETSIZE];
	int cpu;

	for (cpu = 1; cpu <= nr; cpu++) {
		pthread_attr_t attr;
		pthread_t thread;
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		pthread_attr_init(&attr);
		pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
		EXPECT(!pthread_create(&thread, &attr, keep_busy,
				       &loops[cpu]));
	}
}

struct result {
	const struct job	*job;
	long			shootdowns;	/* the fewest of all calls */
};

static void tear_down(const struct job *job, char *base)
{
	if (job->munmap)
		EXPECT(!munmap(base, SIZE));
	else
		EXPECT(!madvise(base, SIZE, MADV_DONTNEED));
}

static int count(void *arg)
{
	struct result *result = arg;
	const struct job *job = result->job;
	int i;

	start_busy_threads(job->all_busy ? nr_cpus() - 1 : 1);
	for (i = 0; i < REPEATS; i++) {
		char *base = map_aligned(SIZE, 0, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1);
		long before;

		if (!EXPECT(base))
			return KSFT_FAIL;
		madvise(base, SIZE, job->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		memset(base, 1, SIZE);
		before = shootdowns();
		tear_down(job, base);
		before = shootdowns() - before;
		if (!i || before < result->shootdowns)
			result->shootdowns = before;
		munmap(base, SIZE);
	}
	return failures ? KSFT_FAIL : KSFT_PASS;
}

/* Sets the helpers lent, to a negative number where nobody counts them. */
static bool count_in_box(struct result *result, bool helpers, long *lent)
{
	struct box box;
	bool done;

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
	long off, lent;

	if (nr_cpus() < 2)
		return skip("one CPU has nobody to interrupt");
	if (shootdowns() < 0)
		return skip("nobody counts TLB shootdowns here");

	result->job = arg;
	if (!count_in_box(result, false, &lent))
		return KSFT_FAIL;
	off = result->shootdowns;
	if (!count_in_box(result, true, &lent))
		return KSFT_FAIL;
	ksft_print_msg("%ld shootdowns off, %ld on, %ld helpers lent in %d calls\n",
		       off, result->shootdowns, lent, REPEATS);
	EXPECT(off > 0);
	/* Where nobody counts helpers there may have been some. */
	EXPECT_RANGE(result->shootdowns, 0,
		     lent && can_have_helpers() ? 2 * off : off + off / 5);
	return failures ? KSFT_FAIL : KSFT_PASS;
}

#define JOB(h, m, a)	(&(const struct job){ .huge = h, .munmap = m, .all_busy = a })
#define F(n, h, m, a)	{ .fn = flushes, .name = n, .arg = JOB(h, m, a) }

static const struct test tests[] = {
	F("pages_dontneed_one_busy", false, false, false),
	F("pages_dontneed_all_busy", false, false, true),
	F("pages_munmap_one_busy", false, true, false),
	F("pages_munmap_all_busy", false, true, true),
	F("huge_dontneed_one_busy", true, false, false),
	F("huge_dontneed_all_busy", true, false, true),
	F("huge_munmap_one_busy", true, true, false),
	F("huge_munmap_all_busy", true, true, true),
};

int main(int argc, char **argv)
{
	return run_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
