// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kill a process and print how long it takes until it is gone, in nanoseconds.
 *
 * A process counts as gone once it could be waited for: by then its memory was
 * freed.
 *
 * usage: end PID
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

int main(int argc, char **argv)
{
	pid_t pid = argc == 2 ? atoi(argv[1]) : 0;
	struct pollfd pollfd = { .events = POLLIN };
	long long start;

	if (pid <= 1) {
		fputs("usage: end PID\n", stderr);
		return 2;
	}

	pollfd.fd = syscall(SYS_pidfd_open, pid, 0);
	if (pollfd.fd < 0)
		die("end: pidfd_open");

	start = now();
	if (syscall(SYS_pidfd_send_signal, pollfd.fd, SIGKILL, NULL, 0))
		die("end: pidfd_send_signal");
	if (poll(&pollfd, 1, -1) != 1)
		die("end: poll");
	printf("%lld\n", now() - start);

	return 0;
}
