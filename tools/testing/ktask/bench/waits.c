// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long do teardowns take, and how long does another thread of the process wait
 * for the address space meanwhile, where threads of another cgroup want all CPUs
 * every now and then?
 *
 * usage: waits CGROUP MIB TIMES
 *
 * Unmaps MIB of memory TIMES times; then as many processes that have it end. The
 * threads of CGROUP, one on each CPU, run for 15 ms of 30. Prints a line for each:
 * munmap, exit or mmap, and nanoseconds.
 */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BURST_NS	15000000LL
#define SECOND_NS	1000000000LL

static int done;

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

static void nap(long long ns)
{
	struct timespec ts = { .tv_nsec = ns };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

static void *burst(void *arg)
{
	long long end;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((long)arg, &cpus);
	if (pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus))
		errx(1, "no CPU %ld", (long)arg);
	for (;;) {
		for (end = now() + BURST_NS; now() < end;)
			;
		nap(BURST_NS);
	}
	return NULL;
}

/* In a process of its own, which ends with this one. */
static void start_bursts(const char *cgroup)
{
	long cpu, cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t thread;
	char path[512];
	FILE *procs;

	switch (fork()) {
	case -1:
		err(1, "no process");
	case 0:
		break;
	default:
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	procs = fopen(path, "w");
	if (!procs || fprintf(procs, "0") < 0 || fclose(procs))
		err(1, "%s", path);
	for (cpu = 0; cpu < cpus; cpu++)
		if (pthread_create(&thread, NULL, burst, (void *)cpu))
			errx(1, "no thread");
	for (;;)
		pause();
}

static void *take_memory(size_t size)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		err(1, "no memory");
	return memory;
}

/* Another thread of the process wants the lock of its address space. */
static void *want_lock(void *unused)
{
	long long start;
	void *page;

	(void)unused;
	while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
		start = now();
		page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
		printf("mmap,%lld\n", now() - start);
		munmap(page, 4096);
		nap(1000000);
	}
	return NULL;
}

static void time_munmap(size_t size)
{
	void *memory = take_memory(size);
	long long start = now();

	munmap(memory, size);
	printf("munmap,%lld\n", now() - start);
}

/* From the word to end until it is gone */
static void time_exit(size_t size)
{
	int ready[2], go[2];
	long long start;
	char word = 0;
	pid_t pid;

	if (pipe(ready) || pipe(go))
		err(1, "no pipe");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		take_memory(size);
		if (write(ready[1], &word, 1) != 1 || read(go[0], &word, 1) != 1)
			_exit(1);
		_exit(0);
	}
	if (read(ready[0], &word, 1) != 1)
		err(1, "no child");
	start = now();
	if (write(go[1], &word, 1) != 1 || waitpid(pid, NULL, 0) != pid)
		err(1, "no child");
	printf("exit,%lld\n", now() - start);
	close(ready[0]);
	close(ready[1]);
	close(go[0]);
	close(go[1]);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	size_t size;
	int i, times;

	if (argc != 4)
		errx(1, "usage: waits CGROUP MIB TIMES");
	size = strtoul(argv[2], NULL, 0) << 20;
	times = atoi(argv[3]);
	start_bursts(argv[1]);

	if (pthread_create(&thread, NULL, want_lock, NULL))
		errx(1, "no thread");
	for (i = 0; i < times; i++)
		time_munmap(size);
	__atomic_store_n(&done, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	for (i = 0; i < times; i++)
		time_exit(size);
	return 0;
}
