// SPDX-License-Identifier: GPL-2.0-only
/* ktaskctl explain: why a cgroup has the helpers that it has, and what would change it */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ktaskctl.h"

#define MAX_CPUS	8192

/* Adds the CPUs of a list such as 0-3,8 to @set, or takes them off. */
static void use_cpus(const char *list, cpu_set_t *set, bool add)
{
	unsigned int first, last;
	int length;

	while (list && sscanf(list, "%u%n", &first, &length) == 1) {
		list += length;
		last = first;
		if (sscanf(list, "-%u%n", &last, &length) == 1)
			list += length;
		for (; first <= last && first < MAX_CPUS; first++) {
			if (add)
				CPU_SET_S(first, CPU_ALLOC_SIZE(MAX_CPUS), set);
			else
				CPU_CLR_S(first, CPU_ALLOC_SIZE(MAX_CPUS), set);
		}
		if (*list != ',')
			break;
		list++;
	}
}

static char *read_line_of(const char *path)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (file) {
		if (getline(&line, &size, file) > 0)
			line[strcspn(line, "\n")] = '\0';
		fclose(file);
	}
	return line;
}

/* The cgroup above, or NULL at the mount point */
static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!path[1])
		return NULL;
	return slash == path ? xasprintf("/") : xasprintf("%.*s", (int)(slash - path), path);
}

/* The CPUs of the nearest cgroup that has a list of them, or of the machine */
static char *cpus_of(const char *path)
{
	char *at = xasprintf("%s", path), *list = NULL, *above;

	while (at && !list) {
		list = read_file(at, "cpuset.cpus.effective");
		above = parent_of(at);
		free(at);
		at = above;
	}
	free(at);
	return list ? list : read_line_of("/sys/devices/system/cpu/online");
}

static void take_off(char *list, cpu_set_t *set)
{
	use_cpus(list, set, false);
	free(list);
}

static unsigned int usable_cpus(const char *list)
{
	cpu_set_t *set = CPU_ALLOC(MAX_CPUS);
	unsigned int nr;

	if (!set)
		errx(STATUS_FAILED, "out of memory");
	CPU_ZERO_S(CPU_ALLOC_SIZE(MAX_CPUS), set);
	use_cpus(list, set, true);
	/* No helpers there: isolcpus=, nohz_full=, partitions */
	take_off(read_line_of("/sys/devices/system/cpu/isolated"), set);
	take_off(read_line_of("/sys/devices/system/cpu/nohz_full"), set);
	take_off(read_file("/", "cpuset.cpus.isolated"), set);
	nr = CPU_COUNT_S(CPU_ALLOC_SIZE(MAX_CPUS), set);
	CPU_FREE(set);
	return nr;
}

static const char *plural(unsigned long long nr)
{
	return nr == 1 ? "" : "s";
}

static bool read_quota(const char *path, unsigned long long *quota, unsigned long long *period)
{
	char *text = read_file(path, "cpu.max");
	bool found = text && sscanf(text, "%llu %llu", quota, period) == 2 && *period;

	free(text);
	return found;
}

/* What binds, and what to do for one helper more */

static void because_of_quota(const char *path, unsigned int helpers)
{
	unsigned long long quota, period;

	if (!read_quota(path, &quota, &period)) {
		printf("cpu.max of %s has just changed.\n", path);
		return;
	}
	printf("cpu.max of %s is %llu %llu: %.4g CPUs, rounded up, less one for the caller.\n",
	       path, quota, period, (double)quota / period);
	printf("For one more, raise it above %llu %llu.\n",
	       (helpers + 1) * period, period);
}

static void because_of_cap(const char *path, const char *cap)
{
	struct group group;

	if (!read_group(path, WHAT_ALL, &group)) {
		printf("%s of %s has just changed.\n", cap, path);
		return;
	}
	printf("%s of %s is %u", cap, path, group.cap);
	if (group.current)
		printf(", and %u are on loan there now", group.current);
	printf(".\nFor one more: ktaskctl set %s %u\n", path, group.cap + 1);
}

static void because_of_cpus(const char *path)
{
	char *list = cpus_of(path);
	unsigned int nr = usable_cpus(list);

	printf("it may use %u CPU%s (%s%s), and the caller itself has one.\n", nr,
	       plural(nr), list ? list : "", list ? ", less what is isolated" : "");
	printf("For more, widen cpuset.cpus, there and above.\n");
	free(list);
}

static void because_of(const struct group *group)
{
	const struct effective *effective = &group->effective;
	const char *of = effective->group;

	if (of && *of != '/')
		printf("%s of a cgroup outside this namespace says so.\n"
		       "Whoever manages that can raise it.\n", effective->limit);
	else if (of && !strcmp(effective->limit, "cpu.max"))
		because_of_quota(of, effective->helpers);
	else if (of)
		because_of_cap(of, effective->limit);
	else if (!strcmp(effective->limit, "cpus"))
		because_of_cpus(group->path);
	else if (!strcmp(effective->limit, "class"))
		printf("a BPF scheduler is loaded. While it is, nobody has helpers.\n");
	else
		printf("the sysctl %s is %u.\nFor one more: sysctl -w %s=%u\n",
		       effective->limit, effective->helpers + 1, effective->limit,
		       effective->helpers + 2);
}

static void print_limits(const char *path)
{
	char *threads = read_line_of("/proc/sys/debug/ktask_max_threads");
	char *at = xasprintf("%s", path), *list = cpus_of(path), *above;

	printf("\n%sHELPERS  LIMIT%s\n", bold(), plain());
	for (; at; free(at), at = above) {
		unsigned long long quota, period;
		struct group group;

		above = parent_of(at);
		if (read_quota(at, &quota, &period))
			printf("%7llu  cpu.max of %s is %llu %llu\n",
			       (quota + period - 1) / period - (quota > 0), at, quota, period);
		if (read_group(at, WHAT_ALL, &group) && group.capped)
			printf("%7u  cpu.ktask.max of %s is %u, with %u on loan\n",
			       group.cap > group.current ? group.cap - group.current : 0,
			       at, group.cap, group.current);
	}
	if (list)
		printf("%7d  CPUs %s, less what is isolated\n",
		       (int)usable_cpus(list) - (usable_cpus(list) > 0), list);
	if (threads)
		printf("%7ld  debug.ktask_max_threads is %s\n", atol(threads) - 1, threads);
	free(list);
	free(threads);
}

static const struct {
	const char	*name;
	const char	*text;
} refusals[] = {
	{ "cpus", "no more CPUs that it may use" },
	{ "cpu_max", "cpu.max, here or above" },
	{ "quota", "what was left of the quota in that period is for its threads" },
	{ "ktask_max", "cpu.ktask.max, here or above" },
	{ "system", "debug.ktask_max_threads" },
	{ "class", "callers that are real-time or deadline threads, or a BPF scheduler" },
	{ "busy", "threads of its own that needed the CPUs" },
	{ "share", "it was the turn of others below the same cap" },
	{ "pool", "no idle helper in the kernel's pool" },
	{ "gain", "helpers did not make it faster" },
};

static const char *text_of(const char *refusal)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(refusals); i++)
		if (!strcmp(refusals[i].name, refusal))
			return refusals[i].text;
	return refusal;
}

static void print_past(const struct group *group)
{
	unsigned long long tasks = stat_of(group, "tasks");
	const struct stat_entry *entry;

	if (!tasks) {
		printf("\nNo task of it has ended yet: it has had no job that is large enough.\n");
		return;
	}
	printf("\n%llu task%s of it ha%s ended, %llu of them without a helper.\n",
	       tasks, plural(tasks), tasks == 1 ? "s" : "ve", stat_of(group, "serial_tasks"));
	for (entry = group->stats; entry < group->stats + group->nr_stats; entry++)
		if (!strncmp(entry->name, REFUSED, strlen(REFUSED)) && entry->value)
			printf("%7llu  refused one: %s\n", entry->value,
			       text_of(entry->name + strlen(REFUSED)));
}

void explain(const char *path)
{
	struct group group;
	unsigned int helpers;

	if (!read_group(path, WHAT_ALL, &group))
		die_without_files(path);
	helpers = group.effective.helpers;
	printf("A task in %s may have %s%u helper%s%s now, because\n", path, bold(), helpers,
	       plural(helpers), plain());
	because_of(&group);
	print_limits(path);
	print_past(&group);
}
