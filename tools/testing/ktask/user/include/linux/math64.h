/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _KTASK_USER_MATH64_H
#define _KTASK_USER_MATH64_H

#include <linux/types.h>

/* Macros, so that UBSan names the line that divides by zero. */
#define div64_u64(dividend, divisor)	((u64)(dividend) / (u64)(divisor))
#define div_u64(dividend, divisor)	((u64)(dividend) / (u32)(divisor))

/* As x86 does it: a quotient that does not fit is a fault, not a number. */
static inline u64 mul_u64_u64_div_u64(u64 a, u64 mul, u64 div)
{
	u128 quotient = (u128)a * mul / div;

	if (quotient >> 64) {
		fprintf(stderr, "%llu * %llu / %llu does not fit into 64 bits\n",
			a, mul, div);
		abort();
	}
	return quotient;
}

#endif /* _KTASK_USER_MATH64_H */
