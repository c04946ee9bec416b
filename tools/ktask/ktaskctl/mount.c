// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where cgroup v2 is, and how paths in its files relate to that
 *
 * cpu.ktask.effective names cgroups relative to the reader's cgroup namespace. What is
 * mounted, or given with --root, may be a cgroup further down, or above.
 *
 * libcgroup is not used: of cgroup v2 it would give the mount point, and a walk that
 * keeps each group in memory that it has parsed for controllers.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ktaskctl.h"

#define SYSCTL	"/proc/sys/debug/ktask_max_threads"

static char *root;		/* the directory that is "/" here */
static char *root_shown;	/* what files call it; "" is the namespace's root */
static int root_fd;

struct mount {
	char	shown[PATH_MAX];	/* the cgroup, as files call it */
	char	point[PATH_MAX];
};

/* Blanks and the like are \040 in mountinfo. */
static void decode(char *text)
{
	char *to = text;

	for (; *text; text++) {
		unsigned int byte;

		if (*text == '\\' && sscanf(text + 1, "%3o", &byte) == 1) {
			*to++ = byte;
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

static bool parse(const char *line, struct mount *mount)
{
	const char *type = strstr(line, " - ");

	if (!type || strncmp(type, " - cgroup2 ", strlen(" - cgroup2 ")) ||
	    sscanf(line, "%*s %*s %*s %4095s %4095s", mount->shown, mount->point) != 2)
		return false;
	decode(mount->shown);
	decode(mount->point);
	return true;
}

/* What is left of @path below @above, or NULL */
const char *path_below(const char *path, const char *above)
{
	size_t length = strlen(above);

	if (length && above[length - 1] == '/')
		length--;
	if (strncmp(path, above, length) || (path[length] && path[length] != '/'))
		return NULL;
	return path + length;
}

/* The mount that @directory is in, or the first one. */
static bool find_mount(const char *directory, struct mount *found)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	bool any = false;
	struct mount mount;
	size_t size = 0;
	char *line = NULL;

	while (mounts && getline(&line, &size, mounts) > 0) {
		if (!parse(line, &mount))
			continue;
		if (directory ? !path_below(directory, mount.point) : any)
			continue;
		if (!any || strlen(mount.point) >= strlen(found->point))
			*found = mount;
		any = true;
	}
	free(line);
	if (mounts)
		fclose(mounts);
	return any;
}

/* Look at the cgroups below @directory, or where the system has them. */
void find_cgroups(const char *directory)
{
	struct rlimit files;
	struct mount mount;

	if (access(SYSCTL, F_OK))
		errx(STATUS_NO_KTASK,
		     "this kernel has no ktask: no " SYSCTL " (CONFIG_KTASK)");
	if (directory) {
		root = realpath(directory, NULL);
		if (!root)
			err(STATUS_NO_GROUP, "%s", directory);
		if (!find_mount(root, &mount))
			errx(STATUS_NO_GROUP, "%s: no directory of cgroup v2", directory);
	} else {
		if (!find_mount(NULL, &mount))
			errx(STATUS_NO_KTASK,
			     "cgroup v2 is not mounted; try: mount -t cgroup2 none /sys/fs/cgroup");
		root = xasprintf("%s", mount.point);
	}
	root_shown = xasprintf("%s%s", mount.shown[1] ? mount.shown : "",
			       path_below(root, mount.point));
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		err(STATUS_NO_GROUP, "%s", root);

	/* A walk has one open for each level. */
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

const char *cgroup_root(void)
{
	return root;
}

int cgroup_root_fd(void)
{
	return root_fd;
}

/* The path here of a cgroup that a file names; NULL if it is not below the root. */
char *path_in_root(const char *shown)
{
	const char *rest = *shown == '/' ? path_below(shown, root_shown) : NULL;

	if (!rest)
		return NULL;
	return xasprintf("%s", *rest ? rest : "/");
}
