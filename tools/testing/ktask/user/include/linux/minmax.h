/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _KTASK_USER_MINMAX_H
#define _KTASK_USER_MINMAX_H

/*
 * No casts: -Wsign-compare then complains where the kernel's own macros refuse
 * to compile.
 */
#define min(x, y)							\
({									\
	__auto_type __x = (x);						\
	__auto_type __y = (y);						\
									\
	__x < __y ? __x : __y;						\
})

#define max(x, y)							\
({									\
	__auto_type __x = (x);						\
	__auto_type __y = (y);						\
									\
	__x > __y ? __x : __y;						\
})

#define min3(x, y, z)		min(min(x, y), z)
#define min_t(type, x, y)	min((type)(x), (type)(y))
#define max_t(type, x, y)	max((type)(x), (type)(y))

#define clamp(val, lo, hi)						\
({									\
	__auto_type __val = (val);					\
	__auto_type __lo = (lo);					\
	__auto_type __hi = (hi);					\
									\
	__val < __lo ? __lo : __val > __hi ? __hi : __val;		\
})

#define clamp_t(type, val, lo, hi)	clamp((type)(val), (type)(lo), (type)(hi))

#endif /* _KTASK_USER_MINMAX_H */
