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

/* Several times as many small pages as a gather has room for */
#define SIZE		MIB(256)
#define REPEATS		3
#define MAX_REPEATS	12

/* The other threads */
enum others {
	ONE_BUSY,
	ALL_BUSY,	/* one on each other CPU */
	ASLEEP,		/* likewise, woken before each call */
};

struct job {
	bool		huge;
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
	long			shootdowns;	/* the fewest of all calls */
	bool			preempted;	/* in each of them */
	int			calls;
};

static long preemptions(void)
{
	struct rusage usage;

	EXPECT(!getrusage(RUSAGE_THREAD, &usage));
	return usage.ru_nivcsw;
}

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
	int i, counted = 0;

	start_threads(job->others);
	result->shootdowns = 0;
	result->preempted = true;
	/*
	 * None is to be left but by chance: a caller that waits for helpers wakes up now
	 * and then, and one of them may flush just then.
	 */
	for (i = 0; i < MAX_REPEATS && (counted < REPEATS ||
					(job->others == ASLEEP &&
					 result->shootdowns)); i++) {
		char *base = map_aligned(SIZE, 0, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1);
		long before, times;
		bool preempted;

		if (!EXPECT(base))
			return KSFT_FAIL;
		madvise(base, SIZE, job->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		memset(base, 1, SIZE);
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
		munmap(base, SIZE);
		/* A busy thread whose CPU a kernel thread has just now is not told. */
		if (!before && job->others != ASLEEP)
			continue;
		if (!counted++ || before < result->shootdowns)
			result->shootdowns = before;
		result->preempted &= preempted;
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
	long off, lent, most;

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

#define JOB(h, m, o)	(&(const struct job){ .huge = h, .munmap = m, .others = o })
#define F(n, h, m, o)	{ .fn = flushes, .name = n, .arg = JOB(h, m, o) }

static const struct test tests[] = {
	F("pages_dontneed_one_busy", false, false, ONE_BUSY),
	F("pages_dontneed_all_busy", false, false, ALL_BUSY),
	F("pages_dontneed_asleep", false, false, ASLEEP),
	F("pages_munmap_one_busy", false, true, ONE_BUSY),
	F("pages_munmap_all_busy", false, true, ALL_BUSY),
	F("huge_dontneed_one_busy", true, false, ONE_BUSY),
	F("huge_dontneed_all_busy", true, false, ALL_BUSY),
	F("huge_munmap_one_busy", true, true, ONE_BUSY),
	F("huge_munmap_all_busy", true, true, ALL_BUSY),
};

int main(int argc, char **argv)
{
	return run_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
