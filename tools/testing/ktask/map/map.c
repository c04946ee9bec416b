// SPDX-License-Identifier: GPL-2.0-only
/*
 * Map memory for a device as a virtual machine monitor does when it starts a
 * guest with a device of its own, and print how long that takes, in
 * nanoseconds.
 *
 * usage: map API KIND STATE MIB [THREADS]
 *
 * API: type1 or iommufd. KIND: pages (of 4 KiB), thp, hugetlb (2 MiB), giga
 * (1 GiB), shmem. STATE: fresh or present, of the memory that is mapped; or
 * unmap, to measure the opposite. THREADS of the program itself may touch the
 * memory first, as QEMU does with prealloc=on; that time counts.
 *
 * Says "ready" when all is set up, and waits for a word on stdin; then for
 * another one before it ends.
 */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "dma.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

#define MIB		1048576UL
#define MAX_THREADS	64

struct kind {
	const char	*name;
	int		flags;
	int		advice;		/* -1: none */
	size_t		page;
};

static const struct kind kinds[] = {
	{ "pages", MAP_PRIVATE, MADV_NOHUGEPAGE, 4096 },
	{ "thp", MAP_PRIVATE, MADV_HUGEPAGE, 2 * MIB },
	{ "hugetlb", MAP_PRIVATE | MAP_HUGETLB | 21 << 26, -1, 2 * MIB },
	{ "giga", MAP_PRIVATE | MAP_HUGETLB | 30 << 26, -1, 1024 * MIB },
	{ "shmem", MAP_SHARED, MADV_NOHUGEPAGE, 4096 },
};

struct memory {
	char	*base;
	size_t	size;
};

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static const struct kind *find_kind(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	errx(2, "no kind %s", name);
}

static void make_memory(struct memory *memory, const struct kind *kind)
{
	uintptr_t base;

	base = (uintptr_t)mmap(NULL, memory->size + kind->page,
			       PROT_READ | PROT_WRITE,
			       kind->flags | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			       0);
	if (base == (uintptr_t)MAP_FAILED)
		err(1, "mmap of %s", kind->name);
	memory->base = (char *)((base + kind->page - 1) & -kind->page);
	if (kind->advice >= 0 &&
	    madvise(memory->base, memory->size, kind->advice))
		err(1, "madvise");
}

static void *touch(void *arg)
{
	struct memory *part = arg;

	if (madvise(part->base, part->size, MADV_POPULATE_WRITE))
		err(1, "MADV_POPULATE_WRITE");
	return NULL;
}

/* Each thread has an equal part, in whole huge pages. */
static void touch_with(struct memory *memory, unsigned int threads)
{
	struct memory parts[MAX_THREADS];
	pthread_t ids[MAX_THREADS];
	unsigned int i;

	for (i = 0; i < threads; i++) {
		size_t first = memory->size * i / threads & -2 * MIB;
		size_t last = memory->size * (i + 1) / threads & -2 * MIB;

		parts[i].base = memory->base + first;
		parts[i].size = last - first;
		if (pthread_create(&ids[i], NULL, touch, &parts[i]))
			errx(1, "pthread_create failed");
	}
	for (i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
}

static void hear(void)
{
	char word[16];

	if (!fgets(word, sizeof(word), stdin))
		exit(0);
}

static void say(const char *word)
{
	if (puts(word) == EOF || fflush(stdout))
		err(1, "stdout");
}

static void map(struct dma *dma, const struct memory *memory)
{
	int error = dma_map(dma, memory->base, memory->size, DMA_BASE, true);

	if (error)
		errx(1, "mapping failed: %s", strerror(-error));
}

static void unmap(struct dma *dma, const struct memory *memory)
{
	int error = dma_unmap(dma, DMA_BASE, memory->size);

	if (error)
		errx(1, "unmapping failed: %s", strerror(-error));
}

static long long measure(struct dma *dma, struct memory *memory,
			 bool unmaps, unsigned int threads)
{
	long long start = now();

	if (threads)
		touch_with(memory, threads);
	if (unmaps)
		unmap(dma, memory);
	else
		map(dma, memory);
	return now() - start;
}

int main(int argc, char **argv)
{
	struct memory memory = { };
	unsigned int threads;
	struct dma dma;
	char ns[32];
	bool unmaps;

	if (argc < 5 || argc > 6)
		errx(2, "usage: map API KIND STATE MIB [THREADS]");
	unmaps = !strcmp(argv[3], "unmap");
	threads = argc == 6 ? strtoul(argv[5], NULL, 10) : 0;
	memory.size = strtoul(argv[4], NULL, 10) * MIB & -2 * MIB;
	if (!memory.size || threads > MAX_THREADS)
		errx(2, "MIB or THREADS makes no sense");

	if (!dma_open(&dma, strcmp(argv[1], "type1") ? DMA_IOMMUFD : DMA_TYPE1,
		      0, 1))
		errx(1, "no device can be had");
	make_memory(&memory, find_kind(argv[2]));
	if (strcmp(argv[3], "fresh"))
		touch_with(&memory, 1);
	if (unmaps)
		map(&dma, &memory);

	say("ready");
	hear();
	snprintf(ns, sizeof(ns), "%lld",
		 measure(&dma, &memory, unmaps, threads));
	say(ns);
	hear();
	dma_close(&dma);

	return 0;
}
