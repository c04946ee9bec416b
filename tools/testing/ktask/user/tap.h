/* SPDX-License-Identifier: GPL-2.0-only */
/* Cases, checks and random numbers of the user-space tests. */
#ifndef _KTASK_USER_TAP_H
#define _KTASK_USER_TAP_H

#include <linux/types.h>

struct test_case {
	const char	*name;
	void		(*run)(void);
};

int run_cases(const struct test_case *cases, unsigned int nr);

/* Fail the running case; what is printed next says why. */
void fail_case(const char *file, int line);

/* Has the running case failed? Then there is no need to go on. */
bool case_failed(void);

#define check(cond, fmt, ...)						\
do {									\
	if (!(cond)) {							\
		fail_case(__FILE__, __LINE__);				\
		printf("%s: " fmt "\n", #cond, ##__VA_ARGS__);		\
	}								\
} while (0)

#define check_eq(expr, want, fmt, ...)					\
do {									\
	u64 __got = (expr), __want = (want);				\
									\
	if (__got != __want) {						\
		fail_case(__FILE__, __LINE__);				\
		printf("%s is %llu, not %llu: " fmt "\n", #expr, __got,	\
		       __want, ##__VA_ARGS__);				\
	}								\
} while (0)

/* All bits random */
u64 rnd(void);
/* From @low to @high, both included */
u64 rnd_range(u64 low, u64 high);
/* As likely to have few bits as many; often a bound or close to one */
u64 rnd_scale(u64 low, u64 high);

#endif /* _KTASK_USER_TAP_H */
