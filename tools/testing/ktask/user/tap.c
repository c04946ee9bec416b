// SPDX-License-Identifier: GPL-2.0-only
/*
 * Run cases and print TAP. Random numbers come from one seed, which is printed;
 * SEED= in the environment sets another one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tap.h"

#define DEFAULT_SEED	0x6b7461736bULL

static u64 rnd_state;
static unsigned int failures;

/* splitmix64: every seed is a good one, and the next case's is state + 1. */
u64 rnd(void)
{
	u64 z = rnd_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

u64 rnd_range(u64 low, u64 high)
{
	u64 span = high - low + 1;

	return span ? low + rnd() % span : rnd();
}

u64 rnd_scale(u64 low, u64 high)
{
	u64 value = rnd();

	value >>= rnd_range(0, 63);
	switch (rnd_range(0, 15)) {
	case 0:
		return low;
	case 1:
		return high;
	case 2:
		value = high - rnd_range(0, 3);
		break;
	}
	if (value < low || value > high)
		value = rnd_range(low, high);
	return value;
}

bool case_failed(void)
{
	return failures;
}

void fail_case(const char *file, int line)
{
	failures++;
	printf("# %s:%d: ", file, line);
}

int run_cases(const struct test_case *cases, unsigned int nr)
{
	const char *env = getenv("SEED");
	u64 seed = env ? strtoull(env, NULL, 0) : DEFAULT_SEED;
	unsigned int i, failed = 0;

	/* What an abort cuts short has to be seen. */
	setvbuf(stdout, NULL, _IONBF, 0);

	printf("TAP version 13\n1..%u\n# SEED=0x%llx\n", nr, seed);
	for (i = 0; i < nr; i++) {
		/* Cases do not depend on each other's use of numbers. */
		rnd_state = seed + i;
		failures = 0;
		cases[i].run();
		printf("%s %u - %s\n", failures ? "not ok" : "ok", i + 1,
		       cases[i].name);
		failed += !!failures;
	}
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
