/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ktask's cgroup tests share: cgroups that are removed after a test,
 * workers that tear down memory in them, and a look at the helper threads.
 *
 * Workers are processes that wait for orders. Where a test has to act while a
 * teardown goes on, it maps the same few pages many times over, so that the
 * teardown takes long but little memory, and makes it longer until it was
 * caught at work. No result depends on how fast anything is.
 */
#ifndef _SELFTESTS_CGROUP_KTASK_CG_UTIL_H
#define _SELFTESTS_CGROUP_KTASK_CG_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "../kselftest.h"
#include "../ktask/expect.h"
#include "cgroup_util.h"

#define MAX_THREADS	"/proc/sys/debug/ktask_max_threads"

/* Memory that is worth helpers: more than the 16 MiB that ktask starts at */
#define WORTH_MIB	96

/* Memory whose teardown under a tiny quota still ends in seconds */
#define SMALL_MIB	32

/*
 * To be mapped over and over, which makes a teardown long. Page tables are what
 * that costs, a 512th; the longest outlives some changes of the CPUs online.
 */
#define LONG_MIB_MIN	256
#define LONG_MIB_MAX	65536

struct ktask_test {
	int		(*fn)(const char *root);
	const char	*name;
};

/* Run the tests, or those named on the command line; the value is main()'s. */
int run_ktask_tests(const struct ktask_test *tests, size_t nr, int argc,
		    char **argv);

/* CPUs that this test may use, and so the most threads of any task of its */
int nr_cpus(void);
int nth_cpu(int n);
int skip_below_cpus(int cpus);

/* The cgroup hierarchy, and what lies below it */
extern const char *cg_root;

const char *make_cgroup(const char *parent, const char *name, bool cpu);
void remove_later(const char *path);
void remove_cgroups(void);
int write_file(const char *cgroup, const char *file, const char *text);
bool set(const char *cgroup, const char *file, const char *text);
bool set_cap(const char *cgroup, int cap);
bool set_max_threads(const char *text);
bool has_file(const char *cgroup, const char *file, struct stat *st);
bool file_is(const char *cgroup, const char *file, const char *wanted);
long keyed(const char *cgroup, const char *file, const char *key);
long stat_of(const char *cgroup, const char *key);
long current_of(const char *cgroup);
long peak_of(const char *cgroup);
bool effective_is(const char *cgroup, int helpers, const char *limit,
		  const char *level);

/* What a worker tells about itself, in memory that it shares */
struct progress {
	unsigned int	begun;		/* teardowns */
	unsigned int	ended;
	unsigned int	stop;		/* told to stop */
	long		cpu_usec;	/* CPU time of the last teardown */
};

struct worker {
	pid_t		pid;
	int		orders;
	int		results;
	struct progress	*progress;
};

extern struct worker workers[];

struct worker *start_worker(const char *cgroup);
void give_order(struct worker *worker, int (*fn)(long arg), long arg);
int get_result(struct worker *worker);
int order(struct worker *worker, int (*fn)(long arg), long arg);
void tell_to_stop(struct worker *worker);
int stop_worker(struct worker *worker);
void end_worker(struct worker *worker);
void end_workers(void);
bool tearing_down(struct worker *worker);

/* In a worker: its progress; and the orders that there are */
extern struct progress *progress;

bool told_to_stop(void);
int spin(long unused);
int map_memory(long mib);
int map_aliases(long mib);
int unmap(long unused);
int map_and_unmap(long mib);
int leave(long unused);
int renice(long nice);
int stay_on_cpus(long cpus);

bool tear_down(const char *cgroup, long mib);
bool catch_teardown(struct worker *worker, const char *cgroup, long mib,
		    long helpers);
bool wait_for_at_most(struct worker *worker, const char *cgroup,
		      long helpers);
bool wait_for_at_least(struct worker *worker, const char *cgroup,
		       long helpers);

/* Helper threads */
struct helper {
	pid_t	pid;
	int	nid;
	char	state;
	long	nice;
	long	cpu;
	long	switches;
};

#define MAX_HELPERS	256

int read_helpers(struct helper *helpers);
int worked_since(const struct helper *before, int nr_before,
		 int allowed_cpus, int *strayed);
void wait_for_idle_helpers(void);

#endif /* _SELFTESTS_CGROUP_KTASK_CG_UTIL_H */
