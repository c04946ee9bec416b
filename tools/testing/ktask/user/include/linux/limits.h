/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _KTASK_USER_LIMITS_H
#define _KTASK_USER_LIMITS_H

#include <limits.h>
#include <linux/types.h>

#define U64_MAX		((u64)~0ULL)

#endif /* _KTASK_USER_LIMITS_H */
