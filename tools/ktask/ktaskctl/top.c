// SPDX-License-Identifier: GPL-2.0-only
/* ktaskctl top: what goes on, again and again */
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
	unsigned long long	helper_usec;
};

static void wait_for(double seconds)
{
	struct timespec time = {
		.tv_sec = seconds,
		.tv_nsec = (seconds - (time_t)seconds) * 1e9,
	};

	nanosleep(&time, NULL);
}

static double now_in_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static int by_path(const void *a, const void *b)
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

static char *per_second(unsigned long long nr, double seconds)
{
	return xasprintf("%.*f", nr / seconds < 10 ? 1 : 0, nr / seconds);
}

static char *cap_of(struct group *group)
{
	if (!read_cap(group->path, group))
		return xasprintf("?");
	return group->capped ? xasprintf("%u", group->cap) : xasprintf("max");
}

static void add_row(struct table *table, const struct change *change, double seconds)
{
	const struct stat_entry *refused;
	unsigned long long times;

	refused = most_refused(change->now, change->before, &times);
	table_add(table, xasprintf("%s", change->now->name));
	table_add(table, xasprintf("%u", change->now->current));
	table_add(table, cap_of(change->now));
	table_add(table, per_second(grown(change->now, change->before, "tasks"), seconds));
	table_add(table, per_second(grown(change->now, change->before, "helpers_lent"),
				    seconds));
	table_add(table, xasprintf("%.1f", change->helper_usec / seconds / 1e4));
	table_add(table, xasprintf("%s", refused ? refused_by(refused) : "-"));
}

/* The most active ones, as many as there is room for */
static void print_changes(struct change *changes, size_t nr, double seconds)
{
	struct table table = { .columns = columns, .nr_columns = ARRAY_SIZE(columns) };
	size_t room = terminal_height(), i;

	/* One line for the titles, one for the cursor */
	if (room && nr + 2 > room)
		nr = room > 3 ? room - 2 : 1;
	for (i = 0; i < nr; i++)
		add_row(&table, &changes[i], seconds);
	if (can_move_cursor())
		printf("\033[H\033[J");
	table_print(&table);
	if (!can_move_cursor())
		putchar('\n');
	fflush(stdout);
}

static void compare(const struct groups *now, const struct groups *before, double seconds)
{
	struct change *changes = xrealloc(NULL, now->nr * sizeof(*changes));
	size_t i;

	for (i = 0; i < now->nr; i++) {
		struct change *change = &changes[i];

		change->now = &now->groups[i];
		change->before = bsearch(change->now, before->groups, before->nr,
					 sizeof(*before->groups), by_path);
		change->helper_usec = grown(change->now, change->before, "helper_usec");
	}
	qsort(changes, now->nr, sizeof(*changes), by_activity);
	print_changes(changes, now->nr, seconds);
	free(changes);
}

static void look(const char *path, struct groups *groups)
{
	read_groups(path, WHAT_CHANGES, groups);
	/* A walk's order is another: a blank in a name comes before a slash. */
	qsort(groups->groups, groups->nr, sizeof(*groups->groups), by_path);
}

void top(const char *path, double delay, unsigned long times)
{
	struct groups before, now;
	double last, at;

	look(path, &before);
	last = now_in_seconds();
	do {
		wait_for(delay);
		look(path, &now);
		at = now_in_seconds();
		compare(&now, &before, at - last);
		free_groups(&before);
		before = now;
		last = at;
	} while (!ferror(stdout) && (!times || --times));
	free_groups(&before);
}
