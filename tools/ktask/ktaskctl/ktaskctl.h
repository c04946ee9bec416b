/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ktaskctl: show and set what ktask's files say of each cgroup
 *
 *   main.c	arguments
 *   mount.c	where cgroup v2 is, and how paths in files relate to that
 *   group.c	the cgroups that there are, and their files
 *   show.c	the table of all, explain.c one of them, top.c what goes on
 *   export.c	the same for programs: JSON, Prometheus
 *   table.c	columns that fit the terminal
 *   text.c	names as they can be printed
 */
#ifndef _KTASKCTL_H
#define _KTASKCTL_H

#include <err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ARRAY_SIZE(x)	(sizeof(x) / sizeof((x)[0]))

/* asprintf() that returns the text */
#define xasprintf(...)						\
({								\
	char *text_;						\
								\
	if (asprintf(&text_, __VA_ARGS__) < 0)			\
		errx(STATUS_FAILED, "out of memory");		\
	text_;							\
})

/* What the program ends with */
enum {
	STATUS_DONE,
	STATUS_FAILED,		/* the system refused: rights, a bad value */
	STATUS_USAGE,
	STATUS_NO_GROUP,	/* no such cgroup, or it has vanished */
	STATUS_NO_KTASK,	/* the kernel, or the cgroup, has no such files */
};

/* text.c */
void *xrealloc(void *old, size_t size);
char *printable(const char *name);
char *shell_word(const char *name);

/* mount.c */
void find_cgroups(const char *root);
const char *cgroup_root(void);
int cgroup_root_fd(void);
const char *path_below(const char *path, const char *above);
char *path_in_root(const char *shown);

/* group.c */

#define MAX_STATS	32
#define REFUSED		"refused_"

struct stat_entry {
	char			name[32];
	unsigned long long	value;
};

/* What a caller in a cgroup may have, and which limit says so */
struct effective {
	unsigned int	helpers;
	char		limit[32];
	bool		has_group;	/* it is the limit of a cgroup: */
	char		*path;		/* which, NULL if not one that is seen here */
};

struct group {
	char			*path;	/* below the root that is looked at: "/web" */
	char			*name;	/* the same, printable */
	bool			capped;	/* else cpu.ktask.max is "max" */
	unsigned int		cap;
	unsigned int		current;
	unsigned int		peak;
	struct effective	effective;
	struct stat_entry	stats[MAX_STATS];
	size_t			nr_stats;
};

struct groups {
	struct group	*groups;	/* a parent before its children */
	size_t		nr;
	size_t		room;
	bool		incomplete;	/* some may not be read */
};

/* Which files to read of each: it takes time */
enum what {
	WHAT_ALL,
	WHAT_CHANGES,	/* without cap, peak and effective */
};

char *group_path(const char *name);
bool read_group(const char *path, enum what what, struct group *group);
bool read_cap(const char *path, struct group *group);
void free_group(struct group *group);
void read_groups(const char *path, enum what what, struct groups *groups);
void free_groups(struct groups *groups);
char *parent_of(const char *path);
char *read_file(const char *path, const char *file);
void set_cap(const char *path, const char *value);
void die_without_files(const char *path);
unsigned long long stat_of(const struct group *group, const char *name);
unsigned long long grown(const struct group *group, const struct group *before,
			 const char *name);
const struct stat_entry *most_refused(const struct group *group,
				      const struct group *before,
				      unsigned long long *times);
const char *refused_by(const struct stat_entry *entry);

/* table.c */

bool can_move_cursor(void);
unsigned int terminal_height(void);
const char *bold(void);
const char *plain(void);

struct column {
	const char	*title;
	bool		right;		/* numbers */
	int		keep;		/* the least goes first if there is no room */
};

struct table {
	const struct column	*columns;
	size_t			nr_columns;
	char			**cells;	/* by row; the first column is shortened */
	size_t			nr_cells;
};

void table_add(struct table *table, char *cell);
void table_print(struct table *table);

/* The commands; those that return false have left something out. */
bool show(const char *path);
bool show_json(const char *path);
bool show_prometheus(const char *path);
void explain(const char *path);
void top(const char *path, double delay, unsigned long times);

#endif /* _KTASKCTL_H */
