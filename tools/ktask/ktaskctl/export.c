// SPDX-License-Identifier: GPL-2.0-only
/* ktaskctl show --json and --prometheus: the cgroups for programs */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "ktaskctl.h"

static struct json_object *json_of_effective(const struct effective *effective)
{
	struct json_object *json = json_object_new_object();

	json_object_object_add(json, "helpers", json_object_new_int64(effective->helpers));
	json_object_object_add(json, "limit", json_object_new_string(effective->limit));
	if (effective->path) {
		char *name = printable(effective->path);

		json_object_object_add(json, "cgroup", json_object_new_string(name));
		free(name);
	} else if (effective->has_group) {
		/* One that is not seen here */
		json_object_object_add(json, "cgroup", NULL);
	}
	return json;
}

static struct json_object *json_of(const struct group *group)
{
	struct json_object *json = json_object_new_object();
	struct json_object *stats = json_object_new_object();
	size_t i;

	for (i = 0; i < group->nr_stats; i++)
		json_object_object_add(stats, group->stats[i].name,
				       json_object_new_uint64(group->stats[i].value));

	json_object_object_add(json, "cgroup", json_object_new_string(group->name));
	json_object_object_add(json, "max", group->capped ?
			       json_object_new_int64(group->cap) :
			       json_object_new_string("max"));
	json_object_object_add(json, "current", json_object_new_int64(group->current));
	json_object_object_add(json, "peak", json_object_new_int64(group->peak));
	json_object_object_add(json, "effective", json_of_effective(&group->effective));
	json_object_object_add(json, "stat", stats);
	return json;
}

bool show_json(const char *path)
{
	struct json_object *json = json_object_new_array();
	struct groups groups;
	bool complete;
	size_t i;

	read_groups(path, WHAT_ALL, &groups);
	for (i = 0; i < groups.nr; i++)
		json_object_array_add(json, json_of(&groups.groups[i]));
	puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY |
						  JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(json);
	complete = !groups.incomplete;
	free_groups(&groups);
	return complete;
}

/* In a label, of printable text: see the text format of Prometheus. */
static void print_escaped(const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			printf("\\%c", *text);
		else
			putchar(*text);
	}
}

static void print_name(const char *metric, const struct group *group)
{
	printf("%s{cgroup=\"", metric);
	print_escaped(group->name);
	putchar('"');
}

static void print_metric(const char *metric, const char *type, const char *help)
{
	printf("# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, type);
}

static void print_gauges(const struct groups *groups)
{
	const struct group *group, *end = groups->groups + groups->nr;

	print_metric("ktask_helpers_max", "gauge", "Cap on helpers, cpu.ktask.max");
	for (group = groups->groups; group < end; group++) {
		print_name("ktask_helpers_max", group);
		if (group->capped)
			printf("} %u\n", group->cap);
		else
			printf("} +Inf\n");
	}
	print_metric("ktask_helpers", "gauge", "Helpers on loan now");
	for (group = groups->groups; group < end; group++) {
		print_name("ktask_helpers", group);
		printf("} %u\n", group->current);
	}
	print_metric("ktask_helpers_peak", "gauge", "The most helpers on loan at once");
	for (group = groups->groups; group < end; group++) {
		print_name("ktask_helpers_peak", group);
		printf("} %u\n", group->peak);
	}
	print_metric("ktask_helpers_effective", "gauge",
		     "Helpers that a caller could have, and the limit that says so");
	for (group = groups->groups; group < end; group++) {
		print_name("ktask_helpers_effective", group);
		printf(",limit=\"");
		print_escaped(group->effective.limit);
		printf("\"} %u\n", group->effective.helpers);
	}
}

static const struct {
	const char	*stat;
	const char	*metric;
	const char	*help;
} counters[] = {
	{ "tasks", "ktask_tasks_total", "Tasks that have ended" },
	{ "serial_tasks", "ktask_serial_tasks_total", "Tasks that no helper worked on" },
	{ "helpers_lent", "ktask_helpers_lent_total", "Helpers lent" },
	{ "cancelled", "ktask_helpers_cancelled_total", "Helpers taken back early" },
	{ "reniced", "ktask_helpers_reniced_total", "Helpers lent their caller's priority" },
	{ "chunks", "ktask_chunks_total", "Chunks done, by callers and helpers" },
};

static void print_refusals(const struct group *group)
{
	const struct stat_entry *entry;

	for (entry = group->stats; entry < group->stats + group->nr_stats; entry++) {
		if (strncmp(entry->name, REFUSED, strlen(REFUSED)))
			continue;
		print_name("ktask_tasks_refused_total", group);
		printf(",limit=\"%s\"} %llu\n", refused_by(entry), entry->value);
	}
}

static void print_counters(const struct groups *groups)
{
	const struct group *group, *end = groups->groups + groups->nr;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counters); i++) {
		print_metric(counters[i].metric, "counter", counters[i].help);
		for (group = groups->groups; group < end; group++) {
			print_name(counters[i].metric, group);
			printf("} %llu\n", stat_of(group, counters[i].stat));
		}
	}
	print_metric("ktask_tasks_refused_total", "counter",
		     "Tasks refused a helper, by the limit that refused it");
	for (group = groups->groups; group < end; group++)
		print_refusals(group);
	print_metric("ktask_helper_seconds_total", "counter", "CPU time that helpers used");
	for (group = groups->groups; group < end; group++) {
		unsigned long long usec = stat_of(group, "helper_usec");

		print_name("ktask_helper_seconds_total", group);
		printf("} %llu.%06llu\n", usec / 1000000, usec % 1000000);
	}
}

bool show_prometheus(const char *path)
{
	struct groups groups;
	bool complete;

	read_groups(path, WHAT_ALL, &groups);
	print_gauges(&groups);
	print_counters(&groups);
	complete = !groups.incomplete;
	free_groups(&groups);
	return complete;
}
