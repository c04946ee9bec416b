/* SPDX-License-Identifier: GPL-2.0-only */
/* A BPF scheduler for tests, without a program in it */
#ifndef _SELFTESTS_CGROUP_KTASK_SCX_H
#define _SELFTESTS_CGROUP_KTASK_SCX_H

#include <stdbool.h>

/*
 * Load a scheduler that has all threads, or only those of policy SCHED_EXT, and
 * does with them what sched_ext does by itself. Returns what unload_scx() needs,
 * or -1 where there is no sched_ext.
 */
int load_scx(bool all);
bool unload_scx(int scx);

#endif /* _SELFTESTS_CGROUP_KTASK_SCX_H */
