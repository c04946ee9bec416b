// SPDX-License-Identifier: GPL-2.0-only
/* ktaskctl explain: why a cgroup has the helpers that it has, and what would change it */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "ktaskctl.h"

#define MAX_CPUS	8192
#define SET_BYTES	CPU_ALLOC_SIZE(MAX_CPUS)

#define LESS_ONE	"less one for the caller"

/* A limit, how many helpers it has room for, and what to do for one more */
struct limit {
	unsigned int	helpers;
	char		*is;
	char		*advice;
};

struct limits {
	struct limit	limits[128];
	size_t		nr;
};

/* Takes allocated texts. */
static void add_limit(struct limits *limits, unsigned int helpers, char *is, char *advice)
{
	if (limits->nr < ARRAY_SIZE(limits->limits))
		limits->limits[limits->nr++] = (struct limit) { helpers, is, advice };
}

static char *read_line_of(const char *path)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (!file)
		return NULL;
	if (getline(&line, &size, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
	} else {
		free(line);
		line = NULL;
	}
	fclose(file);
	return line;
}

/* The CPUs of a list such as 0-3,8 */
static cpu_set_t *parse_cpus(const char *list)
{
	cpu_set_t *set = CPU_ALLOC(MAX_CPUS);
	unsigned int first, last;
	int length;

	if (!set)
		errx(STATUS_FAILED, "out of memory");
	CPU_ZERO_S(SET_BYTES, set);
	while (list && sscanf(list, "%u%n", &first, &length) == 1) {
		list += length;
		last = first;
		if (sscanf(list, "-%u%n", &last, &length) == 1)
			list += length;
		for (; first <= last && first < MAX_CPUS; first++)
			CPU_SET_S(first, SET_BYTES, set);
		list += *list == ',';
	}
	return set;
}

/* Helpers have no CPUs that are isolated, by whatever means. Frees the list. */
static void remove_cpus(cpu_set_t *set, char *list)
{
	cpu_set_t *isolated = parse_cpus(list);
	unsigned int cpu;

	for (cpu = 0; cpu < MAX_CPUS; cpu++)
		if (CPU_ISSET_S(cpu, SET_BYTES, isolated))
			CPU_CLR_S(cpu, SET_BYTES, set);
	CPU_FREE(isolated);
	free(list);
}

static unsigned int usable_cpus(const char *list)
{
	cpu_set_t *set = parse_cpus(list);
	unsigned int nr;

	remove_cpus(set, read_line_of("/sys/devices/system/cpu/isolated"));
	remove_cpus(set, read_line_of("/sys/devices/system/cpu/nohz_full"));
	remove_cpus(set, read_file("/", "cpuset.cpus.isolated"));
	nr = CPU_COUNT_S(SET_BYTES, set);
	CPU_FREE(set);
	return nr;
}

/* The CPUs of the nearest cgroup that has a list of them, NULL if none is seen here */
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
	return list;
}

static const char *plural(unsigned long long nr)
{
	return nr == 1 ? "" : "s";
}

static void add_quota(struct limits *limits, const char *path)
{
	unsigned long long quota, period, cpus;
	char *text = read_file(path, "cpu.max"), *name = printable(path);

	if (text && sscanf(text, "%llu %llu", &quota, &period) == 2 && period) {
		cpus = (quota + period - 1) / period;
		add_limit(limits, cpus ? cpus - 1 : 0,
			  xasprintf("cpu.max of %s is %llu %llu: %llu CPU%s, rounded up, " LESS_ONE,
				    name, quota, period, cpus, plural(cpus)),
			  xasprintf("raise cpu.max of %s above %llu %llu", name,
				    cpus * period, period));
	}
	free(text);
	free(name);
}

/* Of what is on loan below an ancestor's cap only the cgroup's own part counts. */
static void add_cap(struct limits *limits, const char *path, unsigned int own)
{
	char *name = printable(path), *word = shell_word(name);
	struct group group = { };

	if (read_cap(path, &group) && group.capped) {
		unsigned int used = own < group.cap ? own : group.cap;
		char *loan = own ? xasprintf(", %u of them on loan here", used) :
			     xasprintf("%s", "");

		add_limit(limits, group.cap - used,
			  xasprintf("cpu.ktask.max of %s is %u%s", name, group.cap, loan),
			  xasprintf("ktaskctl set %s %u", word,
				    (own > group.cap ? own : group.cap) + 1));
		free(loan);
	}
	free(name);
	free(word);
}

static void add_cpus(struct limits *limits, const struct group *group)
{
	char *list = cpus_of(group->path);
	char *online = read_line_of("/sys/devices/system/cpu/online");
	unsigned int nr;

	/* The kernel knows better which are isolated. */
	if (!strcmp(group->effective.limit, "cpus"))
		nr = group->effective.helpers + 1;
	else
		nr = usable_cpus(list);
	if (list || !strcmp(group->effective.limit, "cpus"))
		add_limit(limits, nr ? nr - 1 : 0,
			  xasprintf("CPUs %s: %u that %s not isolated, " LESS_ONE,
				    list ? list : "", nr, nr == 1 ? "is" : "are"),
			  list && online && usable_cpus(online) <= nr ?
			  xasprintf("the machine has no more CPUs that are not isolated") :
			  xasprintf("widen cpuset.cpus of this cgroup or of those above"));
	free(list);
	free(online);
}

static void add_system(struct limits *limits)
{
	char *threads = read_line_of("/proc/sys/debug/ktask_max_threads");
	unsigned int nr = threads ? strtoul(threads, NULL, 10) : 0;

	if (nr)
		add_limit(limits, nr - 1,
			  xasprintf("debug.ktask_max_threads is %u, " LESS_ONE, nr),
			  xasprintf("sysctl -w debug.ktask_max_threads=%u", nr + 1));
	free(threads);
}

static void add_others(struct limits *limits, const struct effective *effective)
{
	if (!strcmp(effective->limit, "class"))
		add_limit(limits, effective->helpers,
			  xasprintf("a BPF scheduler is loaded"),
			  xasprintf("nobody has helpers until it is unloaded"));
	if (effective->has_group && !effective->path)
		add_limit(limits, effective->helpers,
			  xasprintf("%s of a cgroup that is not seen here", effective->limit),
			  xasprintf("whoever manages that cgroup can raise it"));
}

static void collect(struct limits *limits, const struct group *group)
{
	char *at = xasprintf("%s", group->path), *above;

	for (; at; free(at), at = above) {
		above = parent_of(at);
		add_quota(limits, at);
		add_cap(limits, at, group->current);
	}
	add_cpus(limits, group);
	add_system(limits);
	add_others(limits, &group->effective);
}

static void print_limits(const struct limits *limits, unsigned int helpers)
{
	const struct limit *limit, *end = limits->limits + limits->nr;
	unsigned int binding = 0;

	printf("\n%s  HELPERS  LIMIT%s\n", bold(), plain());
	for (limit = limits->limits; limit < end; limit++) {
		binding += limit->helpers <= helpers;
		printf("%c %7u  %s\n", limit->helpers <= helpers ? '*' : ' ', limit->helpers,
		       limit->is);
	}
	if (!binding) {
		printf("\nA limit has changed meanwhile: ask again.\n");
		return;
	}
	printf("\nFor one more%s:\n", binding > 1 ? ", all of these" : "");
	for (limit = limits->limits; limit < end; limit++)
		if (limit->helpers <= helpers)
			printf("  %s\n", limit->advice);
}

static const struct {
	const char	*limit;
	const char	*text;
} refusals[] = {
	{ "cpus", "there were no more CPUs that it may use" },
	{ "cpu.max", "cpu.max of this cgroup or of one above" },
	{ "quota", "other threads could use what was left of cpu.max in that period" },
	{ "cpu.ktask.max", "cpu.ktask.max of this cgroup or of one above" },
	{ "debug.ktask_max_threads", "debug.ktask_max_threads" },
	{ "class", "real-time, deadline or core-scheduled caller, or a BPF scheduler was loaded" },
	{ "busy", "other threads of the cgroup needed the CPUs" },
	{ "share", "it was the turn of others below the same cap" },
	{ "pool", "the kernel's pool had no idle helper" },
	{ "gain", "helpers did not make the task faster" },
};

static const char *text_of(const char *limit)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(refusals); i++)
		if (!strcmp(refusals[i].limit, limit))
			return refusals[i].text;
	return limit;
}

static void print_past(const struct group *group)
{
	unsigned long long tasks = stat_of(group, "tasks");
	const struct stat_entry *entry;

	if (!tasks && !group->effective.helpers) {
		printf("\nNo task is counted where no helper is allowed.\n");
		return;
	}
	if (!tasks) {
		printf("\nNo task has ended here. Small jobs are not counted.\n");
		return;
	}
	printf("\n%llu task%s ended here, %llu without a helper.\n", tasks,
	       tasks == 1 ? " has" : "s have", stat_of(group, "serial_tasks"));
	for (entry = group->stats; entry < group->stats + group->nr_stats; entry++)
		if (!strncmp(entry->name, REFUSED, strlen(REFUSED)) && entry->value)
			printf("  %7llu  refused a helper: %s\n", entry->value,
			       text_of(refused_by(entry)));
}

void explain(const char *path)
{
	struct limits limits = { };
	struct group group;

	if (!read_group(path, WHAT_ALL, &group))
		die_without_files(path);
	printf("A task in %s can have %s%u%s helper%s%s.\n", group.name,
	       bold(), group.effective.helpers, group.current ? " more" : "",
	       plural(group.effective.helpers), plain());
	collect(&limits, &group);
	print_limits(&limits, group.effective.helpers);
	print_past(&group);
	while (limits.nr--) {
		free(limits.limits[limits.nr].is);
		free(limits.limits[limits.nr].advice);
	}
	free_group(&group);
}
