// SPDX-License-Identifier: GPL-2.0-only
/*
 * How fast is the host just now? Run the same loop on every CPU at once, and
 * print how long the slowest took, in nanoseconds. Where a virtual CPU has to
 * share a core with somebody else's, it takes longer.
 */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOPS	3000000
#define ROOM	(256 << 10)

struct runner {
	pthread_t	thread;
	int		cpu;
	long long	ns;
};

static pthread_barrier_t start;

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* Arithmetic, and loads and stores all over a cache of the second level. */
static void loop(unsigned char *room)
{
	unsigned long x = 1;
	int i;

	for (i = 0; i < LOOPS; i++) {
		x = x * 6364136223846793005UL + 1;
		room[(x >> 40) % ROOM] += x;
	}
}

static void *run(void *arg)
{
	unsigned char *room = calloc(1, ROOM);
	struct runner *runner = arg;
	cpu_set_t cpus;

	if (!room)
		err(1, "calloc");
	CPU_ZERO(&cpus);
	CPU_SET(runner->cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		err(1, "CPU %d", runner->cpu);

	loop(room);	/* touches the memory */
	pthread_barrier_wait(&start);
	runner->ns = now();
	loop(room);
	runner->ns = now() - runner->ns;
	free(room);
	return NULL;
}

int main(void)
{
	int i, nr = sysconf(_SC_NPROCESSORS_ONLN);
	struct runner *runners = calloc(nr, sizeof(*runners));
	long long slowest = 0;

	if (!runners)
		err(1, "calloc");
	pthread_barrier_init(&start, NULL, nr);
	for (i = 0; i < nr; i++) {
		runners[i].cpu = i;
		if (pthread_create(&runners[i].thread, NULL, run, &runners[i]))
			errx(1, "no thread");
	}
	for (i = 0; i < nr; i++) {
		pthread_join(runners[i].thread, NULL);
		if (runners[i].ns > slowest)
			slowest = runners[i].ns;
	}
	printf("%lld\n", slowest);
	free(runners);

	return 0;
}
