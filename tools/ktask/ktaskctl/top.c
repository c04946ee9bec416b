// SPDX-License-Identifier: GPL-2.0-only
/* ktaskctl top: what goes on, again and again */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "ktaskctl.h"

static const struct column columns[] = {
	{ .title = "CGROUP" },
	{ .title = "NOW", .right = true, .keep = 9 },
	{ .title = "CAP", .right = true, .keep = 4 },
	{ .title = "TASKS/S", .right = true, .keep = 5 },
	{ .title = "LENT/S", .right = true, .keep = 6 },
	{ .title = "HELPER %CPU", .right = true, .keep = 8 },
	{ .title = "REFUSED BY", .keep = 7 },
};

/* What a cgroup did between two looks */
struct change {
	struct group		*now;
	const struct group	*before;
	unsigned long long		helper_usec;
};

static struct termios saved;
static bool is_saved;

static void restore_terminal(void)
{
	if (is_saved)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

static void end(int signal)
{
	restore_terminal();
	_exit(128 + signal);
}

/* So that a key tells at once. */
static void take_keys(void)
{
	struct termios keys;

	if (!is_terminal() || tcgetattr(STDIN_FILENO, &saved))
		return;
	is_saved = true;
	atexit(restore_terminal);
	signal(SIGINT, end);
	signal(SIGTERM, end);
	keys = saved;
	keys.c_lflag &= ~(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &keys);
}

/* Returns false if the user wants no more. */
static bool wait_for(double seconds)
{
	struct pollfd keys = { .fd = is_saved ? STDIN_FILENO : -1, .events = POLLIN };
	char key;

	if (poll(&keys, 1, seconds * 1000) <= 0)
		return true;
	return read(STDIN_FILENO, &key, 1) == 1 && key != 'q';
}

static double now_in_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static int by_path(const void *a, const void *b)
{
	const struct group *group = b;

	return strcmp(a, group->path);
}

static int by_group(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* Most helper time first, then most helpers, then by name. */
static int by_activity(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	if (x->helper_usec != y->helper_usec)
		return x->helper_usec < y->helper_usec ? 1 : -1;
	if (x->now->current != y->now->current)
		return x->now->current < y->now->current ? 1 : -1;
	return strcmp(x->now->path, y->now->path);
}

/* A cgroup may have been made again by the same name. */
static unsigned long long grown(const struct change *change, const char *stat)
{
	unsigned long long now = stat_of(change->now, stat), before = 0;

	if (change->before)
		before = stat_of(change->before, stat);
	return now > before ? now - before : 0;
}

static char *per_second(unsigned long long nr, double seconds)
{
	return xasprintf("%.*f", nr / seconds < 10 ? 1 : 0, nr / seconds);
}

static void add_row(struct table *table, const struct change *change, double seconds)
{
	const struct stat_entry *refused;
	unsigned long long times;

	add_cap(change->now);
	refused = most_refused(change->now, change->before, &times);
	table_add(table, xasprintf("%s", change->now->path));
	table_add(table, xasprintf("%u", change->now->current));
	table_add(table, change->now->capped ? xasprintf("%u", change->now->cap) :
		  xasprintf("max"));
	table_add(table, per_second(grown(change, "tasks"), seconds));
	table_add(table, per_second(grown(change, "helpers_lent"), seconds));
	table_add(table, xasprintf("%.1f", change->helper_usec / seconds / 1e4));
	table_add(table, refused ? xasprintf("%s", refused->name + strlen(REFUSED)) :
		  xasprintf("-"));
}

static void print_changes(const struct groups *now, const struct groups *before,
			  double seconds)
{
	struct change *changes = xrealloc(NULL, (now->nr + 1) * sizeof(*changes));
	struct table table = {
		.columns = columns,
		.nr_columns = ARRAY_SIZE(columns),
	};
	size_t i, rows = now->nr;

	for (i = 0; i < now->nr; i++) {
		changes[i].now = &now->groups[i];
		changes[i].before = bsearch(now->groups[i].path, before->groups, before->nr,
					    sizeof(*before->groups), by_path);
		changes[i].helper_usec = grown(&changes[i], "helper_usec");
	}
	qsort(changes, now->nr, sizeof(*changes), by_activity);

	/* The last line is for the cursor. */
	if (is_terminal() && rows > terminal_height() - 2)
		rows = terminal_height() - 2;
	for (i = 0; i < rows; i++)
		add_row(&table, &changes[i], seconds);
	if (is_terminal())
		printf("\033[H\033[J");
	table_print(&table, SIZE_MAX);
	if (!is_terminal())
		putchar('\n');
	fflush(stdout);
	free(changes);
}

void top(const char *path, double delay, unsigned long times)
{
	struct groups before, now;
	double last, at;

	read_groups(path, WHAT_CHANGES, &before);
	if (!before.nr)
		die_without_groups(path);
	take_keys();
	last = now_in_seconds();
	/* The order of a walk is not that of paths: a blank comes before a slash. */
	qsort(before.groups, before.nr, sizeof(*before.groups), by_group);
	while (wait_for(delay)) {
		at = now_in_seconds();
		read_groups(path, WHAT_CHANGES, &now);
		qsort(now.groups, now.nr, sizeof(*now.groups), by_group);
		print_changes(&now, &before, at - last);
		free_groups(&before);
		before = now;
		last = at;
		if (times && !--times)
			break;
	}
	free_groups(&before);
}
