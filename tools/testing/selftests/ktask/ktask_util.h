/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the ktask tests share: boxes, which are processes in a cgroup of their
 * own, switching helpers on and off, and figures of memory in use.
 */
#ifndef _SELFTESTS_KTASK_UTIL_H
#define _SELFTESTS_KTASK_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "expect.h"

#define MIB(x)			((size_t)(x) << 20)
#define PMD_BYTES		MIB(2)
#define PAGE			((size_t)4096)

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif

/* The tests of a program, and its main() */

struct test {
	int		(*fn)(const void *arg);
	const char	*name;
	const void	*arg;
};

#define T(x) { .fn = x, .name = #x }

int run_tests(const struct test *tests, size_t nr, int argc, char **argv);

/*
 * For programs with a main() of another kind: once at their start, and around
 * each test.
 */
void prepare_tests(void);
void begin_test(void);
void end_test(void);

/* Helpers */

int nr_cpus(void);
bool set_helpers(bool on);
bool can_have_helpers(void);

/* For whoever takes CPUs away: off before that, and on when all are back. */
void set_fair_servers(bool on);

/*
 * A box. What a process in it has to say besides its exit status goes into
 * memory that it shares with the test.
 */

struct box {
	char	cgroup[256];	/* empty without cgroups */
	pid_t	pid;
};

bool add_controller(const char *name);
bool make_box(struct box *box);
pid_t enter_box(struct box *box, int (*fn)(void *arg), void *arg);
int leave_box(struct box *box);
void empty_box(struct box *box);
int try_for_helpers(int (*once)(void *arg, long *lent), void *arg,
		    bool wants_helpers);
int run_in_box(int (*fn)(void *arg), void *arg, bool wants_helpers);
long box_lent(const struct box *box);
void drain_batches(void);
void flush_stats(const char *cgroup);
long box_current(const struct box *box);
long keyed(const char *cgroup, const char *file, const char *key);
void *shared_memory(size_t size);

/* Figures, in kB but for huge pages */

enum figure {
	/* of this process */
	VM_RSS, RSS_ANON, RSS_FILE, RSS_SHMEM, VM_SWAP, VM_PTE, VM_LCK,
	VM_PIN,
	SMAPS_RSS, SMAPS_ANON, SMAPS_SWAP,
	/* of its box */
	CG_CURRENT, CG_ANON, CG_SHMEM, CG_FILE_MAPPED, CG_PAGETABLES,
	CG_ANON_THP, CG_UNEVICTABLE, CG_SWAP,
	/* of the system */
	SYS_ANON_HUGE, SYS_MLOCKED, SYS_SWAP_FREE, SYS_HUGETLB_FREE,
	SYS_MAPPED, SYS_ANON, SYS_SHMEM, SYS_PAGE_TABLES,
	NR_FIGURES,
};

struct figures {
	long	kb[NR_FIGURES];
};

extern const char *const figure_names[NR_FIGURES];

void take_figures(struct figures *figures, const char *cgroup);
bool same_figures(const struct figures *a, const struct figures *b,
		  const char *what);

/* For pthread_create(): counts loops at *@arg, an unsigned long, for ever. */
void *keep_busy(void *arg);

/* Memory */

char *map_aligned(size_t size, size_t offset, int prot, int flags, int fd);
bool swap_on(void);
int make_file(size_t size);
bool write_text_to(const char *path, const char *text);
long read_long_from(const char *path);

#endif /* _SELFTESTS_KTASK_UTIL_H */
