// SPDX-License-Identifier: GPL-2.0-only
/*
 * Look at something every few milliseconds, and tell what was seen.
 *
 * usage: watch wakeups | watch CPU-STAT-FILE
 *
 *   wakeups	by how many nanoseconds this thread woke up too late
 *   a file	the time in nanoseconds, usage_usec and nr_periods of a
 *		cpu.stat, with colons between them
 *
 * For each line on stdin prints all that was seen since the last one, in a
 * line; ends with stdin.
 */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS	2000000LL
#define SECOND_NS	1000000000LL

static int stat_file = -1;

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

static void sleep_until(long long when)
{
	struct timespec ts = {
		.tv_sec = when / SECOND_NS,
		.tv_nsec = when % SECOND_NS,
	};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static long long number(const char *text, const char *name)
{
	const char *found = strstr(text, name);

	if (!found)
		errx(1, "no %s", name);
	return atoll(found + strlen(name));
}

static void see_usage(FILE *seen)
{
	char text[1024] = "";
	long long at = now();

	if (pread(stat_file, text, sizeof(text) - 1, 0) <= 0)
		err(1, "cpu.stat");
	fprintf(seen, "%lld:%lld:%lld ", at, number(text, "usage_usec "),
		number(text, "nr_periods "));
}

/* @at: when it should have been seen */
static void see(FILE *seen, long long at)
{
	if (stat_file < 0)
		fprintf(seen, "%lld ", now() - at);
	else
		see_usage(seen);
}

static bool asked(void)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&in, 1, 0) > 0;
}

/* Takes a question in; false if there are to be no more. */
static bool take_question(void)
{
	char line[16];

	return read(STDIN_FILENO, line, sizeof(line)) > 0;
}

/* What is seen from one question to the next. */
static char *watch(void)
{
	size_t size;
	long long at;
	FILE *seen;
	char *text;

	seen = open_memstream(&text, &size);
	if (!seen)
		err(1, "no memory");
	for (at = now(); !asked(); at += PERIOD_NS) {
		/* Skip what is over already, after a long wait. */
		if (at < now())
			at = now() + PERIOD_NS;
		sleep_until(at);
		see(seen, at);
	}
	fclose(seen);
	return text;
}

int main(int argc, char **argv)
{
	char *text;

	if (argc != 2)
		errx(1, "usage: watch wakeups | watch CPU-STAT-FILE");
	if (strcmp(argv[1], "wakeups")) {
		stat_file = open(argv[1], O_RDONLY);
		if (stat_file < 0)
			err(1, "%s", argv[1]);
	}

	puts("ready");
	fflush(stdout);
	for (;;) {
		text = watch();
		if (!take_question())
			return 0;
		puts(text);
		fflush(stdout);
		free(text);
	}
}
