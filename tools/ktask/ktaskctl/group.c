// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cgroups that there are, and their cpu.ktask files
 *
 * libcgroup is not used: of cgroup v2 it would give the mount point, and a walk that
 * keeps each group in memory that it has parsed for controllers. What is needed is a
 * directory's entries and a few short files.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ktaskctl.h"

#define SYSCTL	"/proc/sys/debug/ktask_max_threads"

/* Where cgroup v2 is mounted */
static char *root;
static int root_fd;

static char *find_mount(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *mount;
	char *found = NULL;

	while (mounts && !found && (mount = getmntent(mounts)))
		if (!strcmp(mount->mnt_type, "cgroup2"))
			found = xasprintf("%s", mount->mnt_dir);
	if (mounts)
		endmntent(mounts);
	return found;
}

/* Look at the cgroups below @name, or where the system has them. */
void find_cgroups(const char *name)
{
	if (access(SYSCTL, F_OK))
		errx(STATUS_NO_KTASK,
		     "this kernel has no ktask: no " SYSCTL " (CONFIG_KTASK)");
	root = name ? realpath(name, NULL) : find_mount();
	if (!root && name)
		errx(STATUS_NO_GROUP, "%s: %s", name, strerror(errno));
	if (!root)
		errx(STATUS_NO_KTASK,
		     "cgroup v2 is not mounted; try: mount -t cgroup2 none /sys/fs/cgroup");
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		errx(STATUS_NO_GROUP, "%s: %s", root, strerror(errno));
}

const char *cgroup_root(void)
{
	return root;
}

/* As openat() wants it, below the mount point */
static const char *relative(const char *path)
{
	return path[1] ? path + 1 : ".";
}

/*
 * The path of a cgroup from the mount point on, of whatever the user has called it:
 * web/shop, /web/shop, or a directory, /sys/fs/cgroup/web/shop.
 */
char *group_path(const char *name)
{
	size_t length = strlen(root);
	char *path, *real;

	if (!strncmp(name, root, length) && (!name[length] || name[length] == '/'))
		name += length;
	while (*name == '/')
		name++;
	path = xasprintf("%s/%s", root, name);
	real = realpath(path, NULL);
	if (!real)
		errx(STATUS_NO_GROUP, "/%s: no such cgroup in %s", name, root);
	if (strncmp(real, root, length) || (real[length] && real[length] != '/'))
		errx(STATUS_NO_GROUP, "/%s: not below %s", name, root);
	free(path);
	path = xasprintf("%s", real[length] ? real + length : "/");
	free(real);
	return path;
}

/* Reads a short file whole, without its last newline; NULL if it is not there. */
static char *read_at(int dir, const char *file, char *text, size_t size)
{
	int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	ssize_t length = -1;

	if (fd >= 0) {
		length = read(fd, text, size - 1);
		close(fd);
	}
	if (length < 0) {
		if (errno == EACCES || errno == EPERM)
			errx(STATUS_FAILED, "%s: %s", file, strerror(errno));
		return NULL;
	}
	while (length && text[length - 1] == '\n')
		length--;
	text[length] = '\0';
	return text;
}

/* The same of a cgroup, allocated. */
char *read_file(const char *path, const char *file)
{
	int dir = openat(root_fd, relative(path), O_PATH | O_DIRECTORY | O_CLOEXEC);
	char text[4096], *found = NULL;

	if (dir >= 0) {
		found = read_at(dir, file, text, sizeof(text));
		close(dir);
	}
	return found ? xasprintf("%s", found) : NULL;
}

static unsigned int read_number(int dir, const char *file)
{
	char text[64];

	return read_at(dir, file, text, sizeof(text)) ? strtoul(text, NULL, 10) : 0;
}

static void read_effective(int dir, struct effective *effective)
{
	char text[PATH_MAX + 64];
	int at = 0;

	if (!read_at(dir, "cpu.ktask.effective", text, sizeof(text)) ||
	    sscanf(text, "%u %31s %n", &effective->helpers, effective->limit, &at) < 2)
		return;
	if (at && text[at])
		effective->group = xasprintf("%s", text + at);
}

static void read_cap(int dir, struct group *group)
{
	char cap[64];

	if (!read_at(dir, "cpu.ktask.max", cap, sizeof(cap)))
		return;
	group->capped = strcmp(cap, "max");
	group->cap = strtoul(cap, NULL, 10);
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

static bool read_group_at(int dir, const char *path, enum what what,
			  struct group *group)
{
	*group = (struct group) { };
	if (!read_stats(dir, group))
		return false;
	group->path = xasprintf("%s", path);
	group->current = read_number(dir, "cpu.ktask.current");
	if (what == WHAT_ALL) {
		read_cap(dir, group);
		group->peak = read_number(dir, "cpu.ktask.peak");
		read_effective(dir, &group->effective);
	}
	return true;
}

/* The cap of one that was read without */
void add_cap(struct group *group)
{
	int dir = openat(root_fd, relative(group->path), O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir >= 0) {
		read_cap(dir, group);
		close(dir);
	}
}

/* Returns false if the cgroup has no such files. */
bool read_group(const char *path, enum what what, struct group *group)
{
	int dir = openat(root_fd, relative(path), O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool found = dir >= 0 && read_group_at(dir, path, what, group);

	if (dir >= 0)
		close(dir);
	return found;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of the directories in @dir, sorted; the array ends with NULL. */
static char **children(int dir)
{
	size_t nr = 0, room = 0;
	struct dirent *entry;
	char **names = NULL;
	struct stat stat;
	DIR *stream;

	/* One link is its own, one its parent's: most cgroups have none below. */
	if (!fstat(dir, &stat) && stat.st_nlink == 2) {
		close(dir);
		return NULL;
	}
	stream = fdopendir(dir);

	while (stream && (entry = readdir(stream))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		if (nr + 1 >= room) {
			room = 2 * room + 16;
			names = xrealloc(names, room * sizeof(*names));
		}
		names[nr++] = xasprintf("%s", entry->d_name);
	}
	if (stream)
		closedir(stream);
	else
		close(dir);
	if (!names)
		return NULL;
	names[nr] = NULL;
	qsort(names, nr, sizeof(*names), by_name);
	return names;
}

/* All that have the files, from @path on. One that vanishes meanwhile is left out. */
static void walk(int parent, const char *name, const char *path, enum what what,
		 struct groups *groups)
{
	int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char **names, **child;

	if (dir < 0) {
		if (errno != ENOENT)
			errx(STATUS_FAILED, "%s: %s", path, strerror(errno));
		return;
	}
	if (groups->nr == groups->room) {
		groups->room = 2 * groups->room + 16;
		groups->groups = xrealloc(groups->groups,
					  groups->room * sizeof(*groups->groups));
	}
	if (read_group_at(dir, path, what, &groups->groups[groups->nr]))
		groups->nr++;

	names = children(dup(dir));
	for (child = names; child && *child; child++) {
		char *below = xasprintf("%s/%s", path[1] ? path : "", *child);

		walk(dir, *child, below, what, groups);
		free(below);
		free(*child);
	}
	free(names);
	close(dir);
}

void read_groups(const char *path, enum what what, struct groups *groups)
{
	*groups = (struct groups) { };
	walk(root_fd, relative(path), path, what, groups);
}

static void free_group(struct group *group)
{
	free(group->path);
	free(group->effective.group);
}

void free_groups(struct groups *groups)
{
	while (groups->nr)
		free_group(&groups->groups[--groups->nr]);
	free(groups->groups);
}

static bool has_controller(const char *path)
{
	char *controllers = read_file(path, "cgroup.subtree_control"), *next, *name;
	bool found = false;

	if (!controllers)
		errx(STATUS_NO_GROUP, "%s: no such cgroup any more", path);
	for (next = controllers; (name = strsep(&next, " "));)
		found |= !strcmp(name, "cpu");
	free(controllers);
	return found;
}

/* Say why a cgroup has no cpu.ktask files. */
void die_without_files(const char *path)
{
	if (!path[1])
		errx(STATUS_NO_KTASK,
		     "the root cgroup has no limits; cgroups below it have");
	if (read_file(path, "cpu.max"))
		errx(STATUS_NO_KTASK,
		     "%s: this kernel has no cpu.ktask files (CONFIG_CGROUP_KTASK)", path);
	if (!read_file(path, "cgroup.subtree_control"))
		errx(STATUS_NO_GROUP, "%s: no such cgroup any more", path);
	errx(STATUS_NO_KTASK,
	     "%s: the cpu controller is not enabled for it; try: echo +cpu >%s%.*s/cgroup.subtree_control",
	     path, root, (int)(strrchr(path, '/') - path), path);
}

/* The same for a cgroup and all below it. */
void die_without_groups(const char *path)
{
	if (path[1])
		die_without_files(path);
	if (!has_controller(path))
		errx(STATUS_NO_KTASK,
		     "no cgroup has the cpu controller; try: echo +cpu >%s/cgroup.subtree_control",
		     root);
	errx(STATUS_NO_KTASK,
	     "no cgroup in %s has cpu.ktask files: there are none, or the kernel has no CONFIG_CGROUP_KTASK",
	     root);
}

/* Let the kernel judge, so that there is one rule for what is a cap. */
void set_cap(const char *path, const char *value)
{
	char *file = xasprintf("%s%scpu.ktask.max", path[1] ? path + 1 : "",
			       path[1] ? "/" : "");
	int fd;

	if (!*value)
		errx(STATUS_FAILED, "a cap is a number from 0, or max");
	fd = openat(root_fd, file, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		die_without_files(path);
	if (fd >= 0 && write(fd, value, strlen(value)) >= 0) {
		close(fd);
		free(file);
		return;
	}
	switch (errno) {
	case EINVAL:
		errx(STATUS_FAILED, "%s: not a cap: a number from 0, or max", value);
	case ERANGE:
		errx(STATUS_FAILED, "%s: too large for a cap; max is none", value);
	case ENODEV:
		errx(STATUS_NO_GROUP, "%s: no such cgroup any more", path);
	case EPERM:
	case EACCES:
		errx(STATUS_FAILED,
		     "%s: you may not set its cap: that is for whoever manages the cgroup above",
		     path);
	case EROFS:
		errx(STATUS_FAILED, "%s is mounted read-only", root);
	default:
		errx(STATUS_FAILED, "%s: %s", path, strerror(errno));
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
		unsigned long long value = entry->value;

		if (strncmp(entry->name, REFUSED, strlen(REFUSED)))
			continue;
		if (before)
			value -= stat_of(before, entry->name);
		if (value > *times) {
			*times = value;
			most = entry;
		}
	}
	return most;
}
