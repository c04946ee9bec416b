// SPDX-License-Identifier: GPL-2.0-only
/*
 * Use up CPU time, and tell how much came of it.
 *
 * usage: hog CPU...
 *
 * One thread loops for each argument: on that CPU, or on any for "any". For each
 * line on stdin prints the time, the CPU time used so far, both in nanoseconds,
 * and the loops done so far; ends with stdin.
 */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Each in a cache line of its own */
struct hog {
	unsigned long	loops;
	char		rest[64 - sizeof(unsigned long)];
};

static void pin(pthread_t thread, int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (pthread_setaffinity_np(thread, sizeof(cpus), &cpus))
		errx(1, "no CPU %d", cpu);
}

static void *run(void *arg)
{
	struct hog *hog = arg;

	for (;;)
		__atomic_store_n(&hog->loops, hog->loops + 1, __ATOMIC_RELAXED);
	return NULL;
}

static long long clock_now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

int main(int argc, char **argv)
{
	struct hog *hogs = aligned_alloc(64, argc * sizeof(*hogs));
	unsigned long loops;
	pthread_t thread;
	char line[16];
	int i;

	if (argc < 2 || !hogs)
		errx(1, "usage: hog CPU...");
	memset(hogs, 0, argc * sizeof(*hogs));
	for (i = 1; i < argc; i++) {
		if (pthread_create(&thread, NULL, run, &hogs[i]))
			errx(1, "no thread");
		if (strcmp(argv[i], "any"))
			pin(thread, atoi(argv[i]));
	}

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		for (loops = 0, i = 1; i < argc; i++)
			loops += __atomic_load_n(&hogs[i].loops,
						 __ATOMIC_RELAXED);
		printf("%lld %lld %lu\n", clock_now(CLOCK_MONOTONIC),
		       clock_now(CLOCK_PROCESS_CPUTIME_ID), loops);
		fflush(stdout);
	}
	exit(0);
}
