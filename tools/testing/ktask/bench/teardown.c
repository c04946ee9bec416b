// SPDX-License-Identifier: GPL-2.0-only
/*
 * Map memory, use it, and measure one way of giving it back, in nanoseconds.
 *
 * usage: teardown [-w] [-c] [-b N] [-m MIB] HOW LAYOUT KIB [TIMES]
 *
 * HOW:
 *   munmap	one munmap() of the whole
 *   dontneed	one madvise(MADV_DONTNEED) of the whole
 *   halves	what a program can do by itself: two threads, each with
 *		MADV_DONTNEED of a half, then munmap()
 *   exit	the exit of a process that has the memory, from the word to exit
 *		until it can be waited for
 *   exits	the same of two processes at once, each of which has half of it
 *   exits8	and of eight
 *   reaped	as exit, but by SIGKILL, with process_mrelease() beside it
 * LAYOUT: see layouts[]. KIB of it are in use, however large the range is.
 *
 * -w: say "ready" when the memory is in use, and wait for a line on stdin.
 * -c: print the CPU time that the caller used for it as well; not for exit.
 * -b N: N more threads run meanwhile, on the CPUs from 1 on; not for exit.
 * -m MIB: so much more memory is in use, of which nothing is given back.
 *
 * With TIMES it is done that many times and the median is printed.
 */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE		4096UL
#define PMD		(2UL << 20)
#define ALIAS		(64UL << 20)
#define PROT_RW		(PROT_READ | PROT_WRITE)

#define ARRAY_SIZE(x)	(sizeof(x) / sizeof((x)[0]))

/* How memory lies in the range */
struct layout {
	const char	*name;
	size_t		stride;		/* one page is used in so many bytes */
	size_t		vma;		/* size of a VMA, or 0: only one */
	size_t		alias;		/* what is mapped again and again, or 0 */
	int		flags;		/* for mmap() */
	int		advice;
	int		(*file)(void);	/* opens what is mapped, or NULL */
	bool		common;		/* each of several processes has all of it */
	bool		swapped;
};

#define ANON		(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static int disk_file(void);
static int shared_memory(void);

static const struct layout layouts[] = {
	{ "pages",	PAGE,		0, 0, ANON, MADV_NOHUGEPAGE, NULL, false, false },
	{ "swapped",	PAGE, 0, 0, ANON, MADV_NOHUGEPAGE, NULL, false, true },
	{ "thp",	PAGE,		0, 0, ANON, MADV_HUGEPAGE, NULL, false, false },
	{ "sparse16",	PAGE * 16,	0, 0, ANON, MADV_NOHUGEPAGE, NULL, false, false },
	{ "sparse64",	PAGE * 64,	0, 0, ANON, MADV_NOHUGEPAGE, NULL, false, false },
	{ "sparse512",	PAGE * 512,	0, 0, ANON, MADV_NOHUGEPAGE, NULL, false, false },
	{ "vmas",	PAGE,	1UL << 20, 0, ANON, MADV_NOHUGEPAGE, NULL, false, false },
	{ "mixed",	PAGE,		0, 0, ANON, MADV_NOHUGEPAGE, NULL, false, false },
	{ "shmem",	PAGE, 0, 0, MAP_SHARED, MADV_NORMAL, shared_memory, false, false },
	{ "common", PAGE, 0, 0, MAP_SHARED, MADV_NORMAL, shared_memory, true, false },
	/* Long to tear down, and small */
	{ "aliases",	PAGE, 0, ALIAS, MAP_SHARED, MADV_NORMAL, shared_memory, false, false },
	{ "file",	PAGE, 0, 0, MAP_SHARED, MADV_NORMAL, disk_file, false, false },
	{ "cow",	PAGE, 0, 0, MAP_PRIVATE, MADV_NORMAL, disk_file, false, false },
};

/* A mapping that is to be given back */
struct range {
	const struct layout	*layout;
	int			fd;
	char			*start;
	size_t			size;
};

static bool wait_for_word, want_cpu_time;
static long long cpu_time;

static long long clock_now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static long long now(void)
{
	return clock_now(CLOCK_MONOTONIC);
}

static long long cpu_now(void)
{
	return clock_now(CLOCK_PROCESS_CPUTIME_ID);
}

static const struct layout *find_layout(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(layouts); i++)
		if (!strcmp(layouts[i].name, name))
			return &layouts[i];
	errx(2, "no layout %s", name);
}

static int disk_file(void)
{
	char name[] = "/var/tmp/teardown-XXXXXX";
	int fd = mkstemp(name);

	if (fd >= 0)
		unlink(name);
	return fd;
}

static int shared_memory(void)
{
	return memfd_create("teardown", 0);
}

/*
 * A file whose pages are all in memory. It stays open, so that freeing them is
 * no part of what is measured.
 */
static int make_file(const struct layout *layout, size_t size)
{
	static char buf[1 << 20];
	size_t done;
	int fd;

	if (!layout->file)
		return -1;
	if (layout->alias)
		size = layout->alias;
	fd = layout->file();
	if (fd < 0)
		err(1, "no file");
	for (done = 0; done < size; done += sizeof(buf))
		if (write(fd, buf, sizeof(buf)) != sizeof(buf))
			err(1, "file of %zu MiB", size >> 20);
	/* Nothing is to be written back while it is measured. */
	fsync(fd);
	return fd;
}

/* Of mixed memory every second 64 MiB are huge pages. */
static void advise(struct range *range)
{
	size_t at, part = 64UL << 20;

	madvise(range->start, range->size, range->layout->advice);
	if (strcmp(range->layout->name, "mixed"))
		return;
	for (at = part; at + part <= range->size; at += 2 * part)
		madvise(range->start + at, part, MADV_HUGEPAGE);
}

/* Neighbours that differ in their protection do not merge. */
static void split_vmas(struct range *range)
{
	size_t vma = range->layout->vma, at;

	for (at = 0; vma && at < range->size; at += 2 * vma)
		if (mprotect(range->start + at, vma, PROT_RW | PROT_EXEC))
			err(1, "mprotect");
}

static void map_at(struct range *range, char *at, size_t size)
{
	at = mmap(at, size, PROT_RW, range->layout->flags | MAP_FIXED,
		  range->fd, 0);
	if (at == MAP_FAILED)
		err(1, "mmap of %zu MiB", size >> 20);
}

static void map(struct range *range)
{
	size_t part = range->layout->alias, size = range->size, at;
	char *start, *aligned;

	start = mmap(NULL, size + PMD, PROT_NONE, ANON, -1, 0);
	if (start == MAP_FAILED)
		err(1, "mmap of %zu MiB", size >> 20);
	aligned = (char *)(((unsigned long)start + PMD - 1) & ~(PMD - 1));
	munmap(start, size + PMD);

	range->start = aligned;
	if (!part || part > size)
		part = size;
	for (at = 0; at < size; at += part)
		map_at(range, aligned + at, at + part > size ? size - at : part);

	advise(range);
	split_vmas(range);
}

/* Keeps the compiler from leaving out reads. */
unsigned int sum;

static void use(struct range *range)
{
	/* Reads of what is in memory already map many pages at once. */
	bool read_only = range->layout->alias ||
			 (range->layout->file == disk_file &&
			  range->layout->flags & MAP_SHARED);
	size_t at;

	for (at = 0; at < range->size; at += range->layout->stride) {
		if (read_only)
			sum += range->start[at];
		else
			range->start[at] = 1;
	}
	if (range->layout->swapped &&
	    madvise(range->start, range->size, MADV_PAGEOUT))
		err(1, "MADV_PAGEOUT");
}

static void *keep_busy(void *arg)
{
	unsigned long *loops = arg;

	for (;;)
		__atomic_fetch_add(loops, 1, __ATOMIC_RELAXED);
	return NULL;
}

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
		if (pthread_create(&thread, &attr, keep_busy, &loops[cpu]))
			errx(1, "no thread on CPU %d", cpu);
	}
}

/* Not in processes that exit, either. */
static void use_more(size_t size)
{
	void *more = mmap(NULL, size, PROT_RW, ANON | MAP_POPULATE, -1, 0);

	if (more == MAP_FAILED || madvise(more, size, MADV_DONTFORK))
		err(1, "mmap of %zu MiB", size >> 20);
}

static void ready(void)
{
	char word[16];

	if (!wait_for_word)
		return;
	puts("ready");
	fflush(stdout);
	if (!fgets(word, sizeof(word), stdin))
		errx(1, "nobody says when to start");
}

static void do_munmap(struct range *range)
{
	if (munmap(range->start, range->size))
		err(1, "munmap");
}

static void do_dontneed(struct range *range)
{
	if (madvise(range->start, range->size, MADV_DONTNEED))
		err(1, "MADV_DONTNEED");
}

static void *drop(void *arg)
{
	do_dontneed(arg);
	return NULL;
}

static void do_halves(struct range *range)
{
	struct range halves[2] = { *range, *range };
	pthread_t other;

	halves[0].size /= 2;
	halves[1].start += halves[0].size;
	halves[1].size -= halves[0].size;

	if (pthread_create(&other, NULL, drop, &halves[1]))
		errx(1, "no thread");
	drop(&halves[0]);
	pthread_join(other, NULL);
	do_munmap(range);
}

static const struct {
	const char	*name;
	void		(*func)(struct range *range);
	int		processes;	/* that exit, without @func */
	bool		reaped;
} ways[] = {
	{ "munmap",	do_munmap,	0, false },
	{ "dontneed",	do_dontneed,	0, false },
	{ "halves",	do_halves,	0, false },
	{ "exit",	NULL,		1, false },
	{ "exits",	NULL,		2, false },
	{ "exits8",	NULL,		8, false },
	{ "reaped",	NULL,		1, true },
};

static long long measure_here(struct range *range, int way)
{
	long long start, end;

	map(range);
	use(range);
	ready();
	cpu_time = -cpu_now();
	start = now();
	ways[way].func(range);
	end = now();
	cpu_time += cpu_now();
	/* After MADV_DONTNEED; and it does no harm otherwise. */
	munmap(range->start, range->size);
	return end - start;
}

/* Blocks until the other end has written, or has gone. */
static void hear(int fd)
{
	char byte;

	if (read(fd, &byte, 1) < 0)
		err(1, "read");
}

static void say(int fd)
{
	if (write(fd, "", 1) != 1)
		err(1, "write");
}

/*
 * Starts a process that waits for a word, and does not return before that has
 * its memory in use.
 */
static pid_t start_to_exit(struct range *range, int go)
{
	pid_t pid;
	int up[2];

	if (pipe(up))
		err(1, "pipe");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		map(range);
		use(range);
		say(up[1]);
		hear(go);
		_exit(0);
	}

	close(up[1]);
	hear(up[0]);
	close(up[0]);
	return pid;
}

static void kill_and_reap(pid_t pid)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0)
		err(1, "pidfd_open");
	kill(pid, SIGKILL);
	/* It fails where nothing is left to do. */
	syscall(SYS_process_mrelease, pidfd, 0);
	close(pidfd);
}

static long long measure_exit(const struct range *whole, int way)
{
	struct range part = *whole;
	size_t stride = part.layout->stride;
	int go[2], i, status, nr = ways[way].processes;
	int wanted = ways[way].reaped ? SIGKILL : 0;
	long long start;
	pid_t pid = 0;

	if (!part.layout->common) {
		part.size -= part.size % (nr * stride);
		part.size /= nr;
	}
	if (pipe(go))
		err(1, "pipe");
	for (i = 0; i < nr; i++)
		pid = start_to_exit(&part, go[0]);
	ready();
	start = now();
	if (ways[way].reaped)
		kill_and_reap(pid);
	else
		for (i = 0; i < nr; i++)
			say(go[1]);
	for (i = 0; i < nr; i++)
		if (wait(&status) < 0 || status != wanted)
			errx(1, "a process that was to exit failed");
	start = now() - start;

	close(go[0]);
	close(go[1]);
	return start;
}

static int find_way(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ways); i++)
		if (!strcmp(ways[i].name, name))
			return i;
	errx(2, "no way %s", name);
}

static int compare(const void *a, const void *b)
{
	const long long *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

int main(int argc, char **argv)
{
	long long *samples;
	struct range range;
	int way, i, times, option, busy = 0;

	while ((option = getopt(argc, argv, "wcb:m:")) != -1) {
		wait_for_word |= option == 'w';
		want_cpu_time |= option == 'c';
		if (option == 'b')
			busy = atoi(optarg);
		if (option == 'm')
			use_more(strtoul(optarg, NULL, 10) << 20);
	}
	argv += optind - 1;
	argc -= optind - 1;
	if (argc < 4 || argc > 5)
		errx(2, "usage: teardown [-w] [-c] [-b N] [-m MIB] HOW LAYOUT KIB [TIMES]");

	way = find_way(argv[1]);
	range.layout = find_layout(argv[2]);
	range.size = strtoul(argv[3], NULL, 10) * 1024 / PAGE *
		     range.layout->stride;
	times = argc == 5 ? atoi(argv[4]) : 1;
	samples = calloc(times, sizeof(*samples));
	if (!samples || times < 1 || !range.size)
		errx(2, "KIB and TIMES have to be numbers above 0");

	start_busy_threads(busy);
	range.fd = make_file(range.layout, range.size);
	for (i = 0; i < times; i++)
		samples[i] = ways[way].func ?
			     measure_here(&range, way) :
			     measure_exit(&range, way);
	qsort(samples, times, sizeof(*samples), compare);
	printf("%lld", samples[times / 2]);
	if (want_cpu_time)
		printf(" %lld", cpu_time);
	putchar('\n');
	free(samples);

	return 0;
}
