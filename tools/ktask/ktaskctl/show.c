// SPDX-License-Identifier: GPL-2.0-only
/* ktaskctl show: all cgroups below one, a line each */
#include <stdlib.h>
#include <string.h>

#include "ktaskctl.h"

static const struct column columns[] = {
	{ .title = "CGROUP" },
	{ .title = "CAP", .right = true, .keep = 8 },
	{ .title = "HELPERS", .right = true, .keep = 9 },
	{ .title = "LIMITED BY", .keep = 7 },
	{ .title = "NOW", .right = true, .keep = 6 },
	{ .title = "PEAK", .right = true, .keep = 5 },
	{ .title = "TASKS", .right = true, .keep = 4 },
	{ .title = "SERIAL", .right = true, .keep = 2 },
	{ .title = "LENT", .right = true, .keep = 1 },
	{ .title = "REFUSED BY", .keep = 3 },
};

static char *limited_by(const struct group *group)
{
	const struct effective *effective = &group->effective;
	char *name, *text;

	if (!effective->has_group || (effective->path && !strcmp(effective->path, group->path)))
		return xasprintf("%s", effective->limit);
	if (!effective->path)
		return xasprintf("%s ancestor", effective->limit);
	name = printable(effective->path);
	text = xasprintf("%s %s", effective->limit, name);
	free(name);
	return text;
}

static void add_row(struct table *table, const struct group *group)
{
	const struct stat_entry *refused;
	unsigned long long times;

	refused = most_refused(group, NULL, &times);
	table_add(table, xasprintf("%s", group->name));
	table_add(table, group->capped ? xasprintf("%u", group->cap) : xasprintf("max"));
	table_add(table, xasprintf("%u", group->effective.helpers));
	table_add(table, limited_by(group));
	table_add(table, xasprintf("%u", group->current));
	table_add(table, xasprintf("%u", group->peak));
	table_add(table, xasprintf("%llu", stat_of(group, "tasks")));
	table_add(table, xasprintf("%llu", stat_of(group, "serial_tasks")));
	table_add(table, xasprintf("%llu", stat_of(group, "helpers_lent")));
	table_add(table, refused ? xasprintf("%s %llu", refused_by(refused), times) :
		  xasprintf("-"));
}

bool show(const char *path)
{
	struct table table = {
		.columns = columns,
		.nr_columns = ARRAY_SIZE(columns),
	};
	struct groups groups;
	bool complete;
	size_t i;

	read_groups(path, WHAT_ALL, &groups);
	for (i = 0; i < groups.nr; i++)
		add_row(&table, &groups.groups[i]);
	complete = !groups.incomplete;
	free_groups(&groups);
	table_print(&table);
	return complete;
}
