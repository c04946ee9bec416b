/* SPDX-License-Identifier: GPL-2.0-only */
/* Just enough of the kernel's types for kernel/ktask/math.c in user space. */
#ifndef _KTASK_USER_TYPES_H
#define _KTASK_USER_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef unsigned long long u64;
typedef long long s64;
typedef unsigned int u32;

/* For reference values only: math.c has no such types. */
#define u128	unsigned __int128
#define s128	__int128

/*
 * A 32-bit kernel has a 32-bit size_t and the same u64. KTASK_USER_SIZE32
 * builds that variant wherever the compiler targets 64 bits only; the C
 * library's headers are included above with the real one.
 */
#ifdef KTASK_USER_SIZE32
#define size_t u32
#undef SIZE_MAX
#define SIZE_MAX UINT32_MAX
#endif

#endif /* _KTASK_USER_TYPES_H */
