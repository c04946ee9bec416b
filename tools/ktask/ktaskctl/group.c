// SPDX-License-Identifier: GPL-2.0-only
/* The cgroups that there are, and their files */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ktaskctl.h"

/* As openat() wants it, below the root */
static const char *relative(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static int open_group(const char *path)
{
	return openat(cgroup_root_fd(), relative(path), O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/*
 * The path below the root of whatever the user has called a cgroup: web/shop, /web/shop,
 * or a directory, /sys/fs/cgroup/web/shop.
 */
char *group_path(const char *name)
{
	const char *root = cgroup_root(), *rest = path_below(name, root);
	char *path, *real;

	if (rest)
		name = rest;
	while (*name == '/')
		name++;
	path = xasprintf("%s/%s", root, name);
	real = realpath(path, NULL);
	if (!real && errno == ENOENT)
		errx(STATUS_NO_GROUP, "/%s: no such cgroup in %s", printable(name), root);
	if (!real)
		err(STATUS_NO_GROUP, "/%s", printable(name));
	rest = path_below(real, root);
	if (!rest)
		errx(STATUS_NO_GROUP, "/%s: not below %s", printable(name), root);
	free(path);
	path = xasprintf("%s", *rest ? rest : "/");
	free(real);
	return path;
}

/* The cgroup above, or NULL at the root */
char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!path[1])
		return NULL;
	return slash == path ? xasprintf("/") : xasprintf("%.*s", (int)(slash - path), path);
}

/*
 * Reads a short file whole, without its last newline. NULL if it is not there, or not
 * any more, or may not be read; nothing else is to be taken for that.
 */
static char *read_at(int dir, const char *file, char *text, size_t size)
{
	int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	ssize_t length = -1;

	if (fd >= 0) {
		length = read(fd, text, size - 1);
		close(fd);
	}
	if (length < 0) {
		if (errno != ENOENT && errno != ENODEV && errno != EACCES && errno != EPERM)
			err(STATUS_FAILED, "%s", file);
		return NULL;
	}
	while (length && text[length - 1] == '\n')
		length--;
	text[length] = '\0';
	return text;
}

/* The same of a cgroup, allocated */
char *read_file(const char *path, const char *file)
{
	char text[4096], *found = NULL;
	int dir = open_group(path);

	if (dir >= 0) {
		found = read_at(dir, file, text, sizeof(text));
		close(dir);
	}
	return found ? xasprintf("%s", found) : NULL;
}

static bool read_number(int dir, const char *file, unsigned int *number)
{
	char text[64];

	if (!read_at(dir, file, text, sizeof(text)))
		return false;
	*number = strtoul(text, NULL, 10);
	return true;
}

static bool read_effective(int dir, struct effective *effective)
{
	char text[PATH_MAX + 64];
	int at = 0;

	if (!read_at(dir, "cpu.ktask.effective", text, sizeof(text)) ||
	    sscanf(text, "%u %31s %n", &effective->helpers, effective->limit, &at) < 2)
		return false;
	effective->has_group = at && text[at];
	if (effective->has_group)
		effective->path = path_in_root(text + at);
	return true;
}

static bool read_cap_at(int dir, struct group *group)
{
	char cap[64];

	if (!read_at(dir, "cpu.ktask.max", cap, sizeof(cap)))
		return false;
	group->capped = strcmp(cap, "max");
	group->cap = group->capped ? strtoul(cap, NULL, 10) : 0;
	return true;
}

static bool read_stats(int dir, struct group *group)
{
	char text[4096], *line, *next = text;

	if (!read_at(dir, "cpu.ktask.stat", text, sizeof(text)))
		return false;
	while ((line = strsep(&next, "\n")) && group->nr_stats < MAX_STATS) {
		struct stat_entry *entry = &group->stats[group->nr_stats];
		char *value = strchr(line, ' ');
		size_t length = value ? value - line : 0;

		if (!length || length >= sizeof(entry->name))
			continue;
		memcpy(entry->name, line, length);
		entry->name[length] = '\0';
		entry->value = strtoull(value, NULL, 10);
		group->nr_stats++;
	}
	return true;
}

void free_group(struct group *group)
{
	free(group->path);
	free(group->name);
	free(group->effective.path);
}

static bool read_group_at(int dir, const char *path, enum what what,
			  struct group *group)
{
	*group = (struct group) { };
	if (!read_stats(dir, group) || !read_number(dir, "cpu.ktask.current", &group->current))
		return false;
	if (what == WHAT_ALL &&
	    (!read_cap_at(dir, group) || !read_number(dir, "cpu.ktask.peak", &group->peak) ||
	     !read_effective(dir, &group->effective))) {
		free_group(group);
		return false;
	}
	group->path = xasprintf("%s", path);
	group->name = printable(path);
	return true;
}

/* Returns false if the cgroup has no such files, or not any more. */
bool read_group(const char *path, enum what what, struct group *group)
{
	int dir = open_group(path);
	bool found = dir >= 0 && read_group_at(dir, path, what, group);

	if (dir >= 0)
		close(dir);
	return found;
}

bool read_cap(const char *path, struct group *group)
{
	int dir = open_group(path);
	bool found = dir >= 0 && read_cap_at(dir, group);

	if (dir >= 0)
		close(dir);
	return found;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_child(const struct dirent *entry)
{
	return entry->d_type == DT_DIR && strcmp(entry->d_name, ".") &&
	       strcmp(entry->d_name, "..");
}

/* Names of the directories in @dir, sorted; the array ends with NULL. */
static char **children(int dir)
{
	size_t nr = 0, room = 16;
	char **names = xrealloc(NULL, room * sizeof(*names));
	struct dirent *entry;
	struct stat stat;
	DIR *stream;

	/* One link is its own, one its parent's: most cgroups have none below. */
	if (fstat(dir, &stat) || stat.st_nlink != 2) {
		stream = fdopendir(dup(dir));
		if (!stream)
			err(STATUS_FAILED, "a list of cgroups");
		while ((entry = readdir(stream))) {
			if (!is_child(entry))
				continue;
			if (nr + 1 == room) {
				room *= 2;
				names = xrealloc(names, room * sizeof(*names));
			}
			names[nr++] = xasprintf("%s", entry->d_name);
		}
		closedir(stream);
	}
	names[nr] = NULL;
	qsort(names, nr, sizeof(*names), by_name);
	return names;
}

static void add_group(int dir, const char *path, enum what what, struct groups *groups)
{
	if (groups->nr == groups->room) {
		groups->room = 2 * groups->room + 16;
		groups->groups = xrealloc(groups->groups,
					  groups->room * sizeof(*groups->groups));
	}
	if (read_group_at(dir, path, what, &groups->groups[groups->nr]))
		groups->nr++;
}

/* All that have the files, from @path on. One that vanishes meanwhile is left out. */
static void walk(int parent, const char *name, const char *path, enum what what,
		 struct groups *groups)
{
	int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char **names, **child;

	if (dir < 0 && errno == EACCES) {
		warn("%s", printable(path));
		groups->incomplete = true;
		return;
	}
	if (dir < 0 && errno == ENOENT)
		return;
	if (dir < 0)
		err(STATUS_FAILED, "%s", printable(path));

	add_group(dir, path, what, groups);
	names = children(dir);
	for (child = names; *child; child++) {
		char *below = xasprintf("%s/%s", path[1] ? path : "", *child);

		walk(dir, *child, below, what, groups);
		free(below);
		free(*child);
	}
	free(names);
	close(dir);
}

void free_groups(struct groups *groups)
{
	while (groups->nr)
		free_group(&groups->groups[--groups->nr]);
	free(groups->groups);
}

static bool has_file(const char *path, const char *file)
{
	char *text = read_file(path, file);

	free(text);
	return text;
}

/* Say why a cgroup has no cpu.ktask files. */
void die_without_files(const char *path)
{
	char *name = printable(path), *above = parent_of(path), *next;

	if (!has_file(path, "cgroup.controllers"))
		errx(STATUS_NO_GROUP, "%s: no such cgroup any more", name);
	if (has_file(path, "cpu.max"))
		errx(STATUS_NO_KTASK,
		     "%s: this kernel has no cpu.ktask files (CONFIG_CGROUP_KTASK)", name);
	if (!has_file(path, "cgroup.type"))
		errx(STATUS_NO_KTASK,
		     "the root cgroup has no limits; cgroups below it have");
	for (; above && !has_file(above, "cpu.ktask.max"); above = next) {
		next = parent_of(above);
		free(above);
	}
	errx(STATUS_NO_KTASK,
	     "%s: has no cpu controller, so %s%s limit%s its tasks; cgroup.subtree_control of those above enables it",
	     name, above ? "the limits of " : "none", above ? printable(above) : "",
	     above ? "" : "s");
}

/* The same for a cgroup and all below it. */
static void die_without_groups(const char *path)
{
	char *controllers = read_file(path, "cgroup.subtree_control");

	if (path[1] || !controllers)
		die_without_files(path);
	if (!strstr(controllers, "cpu ") && !strstr(controllers, " cpu") &&
	    strcmp(controllers, "cpu"))
		errx(STATUS_NO_KTASK,
		     "no cgroup has the cpu controller; try: echo +cpu >%s/cgroup.subtree_control",
		     cgroup_root());
	errx(STATUS_NO_KTASK,
	     "no cgroup in %s has cpu.ktask files: there are none, or the kernel has no CONFIG_CGROUP_KTASK",
	     cgroup_root());
}

/* All from @path on; there is one at least. */
void read_groups(const char *path, enum what what, struct groups *groups)
{
	*groups = (struct groups) { };
	walk(cgroup_root_fd(), relative(path), path, what, groups);
	if (!groups->nr)
		die_without_groups(path);
}

/* Let the kernel judge, so that there is one rule for what is a cap. */
void set_cap(const char *path, const char *value)
{
	char *file = xasprintf("%s/cpu.ktask.max", relative(path)), *name = printable(path);
	int fd;

	if (!*value)
		errx(STATUS_FAILED, "a cap is a number from 0, or max");
	fd = openat(cgroup_root_fd(), file, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		die_without_files(path);
	if (fd >= 0 && write(fd, value, strlen(value)) >= 0) {
		close(fd);
		free(file);
		free(name);
		return;
	}
	switch (errno) {
	case EINVAL:
		errx(STATUS_FAILED, "%s: not a cap: a number from 0, or max",
		     printable(value));
	case ERANGE:
		errx(STATUS_FAILED, "%s: too large for a cap; max is none", value);
	case ENODEV:
		errx(STATUS_NO_GROUP, "%s: no such cgroup any more", name);
	case EPERM:
	case EACCES:
		errx(STATUS_FAILED,
		     "%s: you may not set its cap: that is for whoever manages the cgroup above",
		     name);
	case EROFS:
		errx(STATUS_FAILED, "%s is mounted read-only", cgroup_root());
	default:
		err(STATUS_FAILED, "%s", name);
	}
}

unsigned long long stat_of(const struct group *group, const char *name)
{
	size_t i;

	for (i = 0; i < group->nr_stats; i++)
		if (!strcmp(group->stats[i].name, name))
			return group->stats[i].value;
	return 0;
}

/* By how much; a cgroup may have been made again by the same name. */
unsigned long long grown(const struct group *group, const struct group *before,
			 const char *name)
{
	unsigned long long now = stat_of(group, name), then = 0;

	if (before)
		then = stat_of(before, name);
	return now >= then ? now - then : now;
}

/*
 * The limit that has refused helpers to most tasks, since @before if that is given.
 * NULL if none has.
 */
const struct stat_entry *most_refused(const struct group *group,
				      const struct group *before,
				      unsigned long long *times)
{
	const struct stat_entry *most = NULL, *entry;

	*times = 0;
	for (entry = group->stats; entry < group->stats + group->nr_stats; entry++) {
		unsigned long long value = grown(group, before, entry->name);

		if (strncmp(entry->name, REFUSED, strlen(REFUSED)) || value <= *times)
			continue;
		*times = value;
		most = entry;
	}
	return most;
}

/* The limit's name as in cpu.ktask.effective */
const char *refused_by(const struct stat_entry *entry)
{
	static const char *const names[][2] = {
		{ "cpu_max", "cpu.max" },
		{ "ktask_max", "cpu.ktask.max" },
		{ "system", "debug.ktask_max_threads" },
	};
	const char *name = entry->name + strlen(REFUSED);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i][0], name))
			return names[i][1];
	return name;
}
