/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Expectations: a test says what it expects, each one that is not met is
 * printed and counted, and the test goes on if it can. The program defines the
 * two variables. And which tests are run.
 */
#ifndef _SELFTESTS_KTASK_EXPECT_H
#define _SELFTESTS_KTASK_EXPECT_H

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "../kselftest.h"

/* Expectations that were not met since the test began */
extern unsigned int failures;

/* Why the test was skipped; processes of a test may share it */
#define SKIP_REASON_SIZE	128
extern char *skip_reason;

static inline bool expect(bool met, const char *what, const char *test,
			  int line)
{
	if (!met) {
		ksft_print_msg("%s:%d: not met: %s\n", test, line, what);
		failures++;
	}
	return met;
}

static inline bool expect_range(long value, long low, long high,
				const char *what, const char *test, int line)
{
	if (value >= low && value <= high)
		return true;

	ksft_print_msg("%s:%d: %s is %ld, not in [%ld, %ld]\n", test, line,
		       what, value, low, high);
	failures++;
	return false;
}

static inline bool expect_equal(long value, long wanted, const char *what,
				const char *test, int line)
{
	return expect_range(value, wanted, wanted, what, test, line);
}

/* All of these return whether the expectation was met. */
#define EXPECT(met) \
	expect(met, #met, __func__, __LINE__)
#define EXPECT_RANGE(value, low, high) \
	expect_range(value, low, high, #value, __func__, __LINE__)
#define EXPECT_EQ(value, wanted) \
	expect_equal(value, wanted, #value, __func__, __LINE__)

static inline __printf(1, 2) int skip(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(skip_reason, SKIP_REASON_SIZE, fmt, args);
	va_end(args);
	return KSFT_SKIP;
}

/* Is a test named on the command line, or none, which means all of them? */
static inline bool asked_for(const char *test, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], test))
			return true;
	return argc < 2;
}

#endif /* _SELFTESTS_KTASK_EXPECT_H */
