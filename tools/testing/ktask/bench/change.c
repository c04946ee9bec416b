// SPDX-License-Identifier: GPL-2.0-only
/*
 * Move a limit while a teardown runs, and move it back, each time between two
 * marks in the trace: right before the write, and right after it.
 *
 * usage: change NAME CURRENT HELPERS ROOM NARROW WIDE
 *
 * CURRENT is the cpu.ktask.current that tells how far it is. NARROW is done
 * when HELPERS are on loan, and WIDE when ROOM are left. Both are FILE=VALUE,
 * or affinity:PID=MASK for sched_setaffinity(2).
 *
 * Exit status: 2 if that many helpers were not to be seen or the teardown was
 * over too soon, 1 if a write failed.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARKER		"/sys/kernel/tracing/trace_marker"
#define AFFINITY	"affinity:"

#define TOO_LATE	2		/* exit status */

#define LOOK_US		2000		/* how often to look */
#define PATIENCE_US	5000000		/* when to give up */
#define REST_US		10000		/* between the one and the other */

struct move {
	const char	*what;		/* "narrow" or "widen" */
	int		fd;		/* the file to write to */
	pid_t		pid;		/* whose affinity to set, or 0 */
	const char	*value;
};

static int marker;

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

/* Everything is open before the first mark is made. */
static void move_init(struct move *move, const char *what, char *arg)
{
	char *value = strchr(arg, '=');

	if (!value)
		errx(1, "no value in %s", arg);
	*value++ = '\0';
	*move = (struct move) { .what = what, .value = value, .fd = -1 };
	if (!strncmp(arg, AFFINITY, strlen(AFFINITY)))
		move->pid = atoi(arg + strlen(AFFINITY));
	else
		move->fd = open_file(arg, O_WRONLY);
}

static void mark(const char *when, const struct move *move, const char *name,
		 int room)
{
	char text[128];
	int len;

	len = snprintf(text, sizeof(text), "%s %s %s room=%d", when,
		       move->what, name, room);
	if (write(marker, text, len) != len)
		err(1, MARKER);
}

static bool set_affinity(const struct move *move)
{
	unsigned long mask = strtoul(move->value, NULL, 16);
	cpu_set_t cpus;
	int cpu;

	CPU_ZERO(&cpus);
	for (cpu = 0; cpu < 64; cpu++)
		if (mask & 1UL << cpu)
			CPU_SET(cpu, &cpus);
	return !sched_setaffinity(move->pid, sizeof(cpus), &cpus);
}

static void do_move(const struct move *move, const char *name, int room)
{
	ssize_t len = strlen(move->value);
	int error = 0;
	bool done;

	mark("before", move, name, room);
	if (move->pid)
		done = set_affinity(move);
	else
		done = write(move->fd, move->value, len) == len;
	if (!done)
		error = errno;
	mark("after", move, name, room);
	if (error == ESRCH)
		errx(TOO_LATE, "%s %s: the teardown is over", move->what, name);
	if (error)
		errx(1, "%s %s to %s: %s", move->what, name, move->value,
		     strerror(error));
}

static int read_number(int fd)
{
	char text[32] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		err(1, "cpu.ktask.current");
	return atoi(text);
}

/* Wait until @fd says at least, or at most, @number. */
static void wait_for(int fd, int number, bool at_least)
{
	int us, now;

	for (us = 0; us < PATIENCE_US; us += LOOK_US) {
		now = read_number(fd);
		if (at_least ? now >= number : now <= number)
			return;
		usleep(LOOK_US);
	}
	errx(TOO_LATE, "never saw %s %d helpers", at_least ? "at least" : "at most",
	     number);
}

int main(int argc, char **argv)
{
	int current, helpers, room;
	struct move narrow, widen;
	const char *name;

	if (argc != 7)
		errx(1, "usage: change NAME CURRENT HELPERS ROOM NARROW WIDE");
	name = argv[1];
	current = open_file(argv[2], O_RDONLY);
	helpers = atoi(argv[3]);
	room = atoi(argv[4]);
	move_init(&narrow, "narrow", argv[5]);
	move_init(&widen, "widen", argv[6]);
	marker = open_file(MARKER, O_WRONLY);

	wait_for(current, helpers, true);
	usleep(REST_US);
	do_move(&narrow, name, room);
	wait_for(current, room, false);
	usleep(REST_US);
	do_move(&widen, name, room);

	return 0;
}
