// SPDX-License-Identifier: GPL-2.0-only
/*
 * In which order pages go from the lists of a CPU back to the buddy allocator:
 * the oldest first, so that the newest, whose cache lines are hot, is allocated
 * next. That holds for kernels without ktask, too.
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ktask_util.h"

#define TRACING		"/sys/kernel/tracing/"
#define DRAIN		TRACING "events/kmem/mm_page_pcpu_drain/enable"
#define FRACTION	"/proc/sys/vm/percpu_pagelist_high_fraction"

/* Several times what is freed at a time */
#define NR_PAGES	4096UL

/* A page that was freed, and its turn */
struct freed {
	uint64_t	pfn;
	long		turn;
};

static int by_pfn(const void *a, const void *b)
{
	const struct freed *x = a, *y = b;

	return x->pfn < y->pfn ? -1 : x->pfn > y->pfn;
}

static uint64_t pfn_of(int pagemap, const char *addr)
{
	uint64_t entry = 0;

	EXPECT_EQ(pread(pagemap, &entry, sizeof(entry),
			(unsigned long)addr / PAGE * sizeof(entry)),
		  sizeof(entry));
	return entry & ((1ULL << 55) - 1);
}

/* Every second page: those between them keep them from being merged. */
static size_t free_every_second(char *base, struct freed *freed)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	size_t i, nr = 0;

	for (i = 0; i < NR_PAGES; i += 2) {
		freed[nr].pfn = pfn_of(pagemap, base + i * PAGE);
		freed[nr].turn = nr;
		nr++;
	}
	close(pagemap);
	for (i = 0; i < NR_PAGES; i += 2)
		EXPECT(!madvise(base + i * PAGE, PAGE, MADV_DONTNEED));
	return nr;
}

static bool clear_trace(void)
{
	int fd = open(TRACING "trace", O_WRONLY | O_TRUNC);

	return fd >= 0 && !close(fd);
}

/* Returns how many of the pages the trace shows; in the order of their turns? */
static size_t check_trace(struct freed *freed, size_t nr)
{
	FILE *trace = fopen(TRACING "trace", "r");
	char *line = NULL, *pos;
	long last = -1;
	size_t size = 0, seen = 0, wrong = 0;

	if (!EXPECT(trace))
		return 0;
	qsort(freed, nr, sizeof(*freed), by_pfn);
	while (getline(&line, &size, trace) > 0) {
		struct freed *found, key = { };

		pos = strstr(line, "pfn=");
		/* What was merged with others beforehand has no turn. */
		if (!strstr(line, "mm_page_pcpu_drain") || !pos ||
		    !strstr(line, "order=0"))
			continue;
		key.pfn = strtoul(pos + strlen("pfn="), NULL, 0);
		found = bsearch(&key, freed, nr, sizeof(*freed), by_pfn);
		if (!found || found->turn < 0)
			continue;
		seen++;
		wrong += found->turn < last;
		last = found->turn;
		/* From here on it may be allocated and freed by anybody. */
		found->turn = -1;
	}
	free(line);
	fclose(trace);
	EXPECT_EQ(wrong, 0);
	return seen;
}

static int oldest_first(const void *arg)
{
	struct freed *freed = calloc(NR_PAGES, sizeof(*freed));
	long fraction = read_long_from(FRACTION);
	char old[32], *base;
	cpu_set_t set;
	size_t nr;

	if (access(DRAIN, W_OK) || fraction < 0)
		return skip("the kernel does not trace how pages are drained");
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	EXPECT(!sched_setaffinity(0, sizeof(set), &set));
	base = map_aligned(NR_PAGES * PAGE, 0, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (!EXPECT(base) || !EXPECT(freed))
		return KSFT_FAIL;
	madvise(base, NR_PAGES * PAGE, MADV_NOHUGEPAGE);
	memset(base, 1, NR_PAGES * PAGE);

	/* Lists as short as can be, so that most of the pages have to leave them */
	EXPECT(write_text_to(FRACTION, "1000000"));
	EXPECT(clear_trace());
	EXPECT(write_text_to(DRAIN, "1"));
	nr = free_every_second(base, freed);
	EXPECT(write_text_to(DRAIN, "0"));
	snprintf(old, sizeof(old), "%ld", fraction);
	EXPECT(write_text_to(FRACTION, old));
	EXPECT_RANGE(check_trace(freed, nr), nr / 4, nr);
	free(freed);
	return failures ? KSFT_FAIL : KSFT_PASS;
}

static const struct test tests[] = {
	T(oldest_first),
};

int main(int argc, char **argv)
{
	return run_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
