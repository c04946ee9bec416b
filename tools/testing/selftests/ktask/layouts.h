/* SPDX-License-Identifier: GPL-2.0-only */
/* Ways to lay out memory that is then torn down */
#ifndef _SELFTESTS_KTASK_LAYOUTS_H
#define _SELFTESTS_KTASK_LAYOUTS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct region - a range of addresses with memory in it
 * @base: its start
 * @size: its size in bytes, holes included
 * @resident: bytes of page tables' worth of memory that are mapped in it
 * @fd: file that is mapped in it, or -1
 * @aside: memory that was part of it once, or NULL
 * @aside_size: how much
 */
struct region {
	char	*base;
	size_t	size;
	size_t	resident;
	int	fd;
	char	*aside;
	size_t	aside_size;
};

/**
 * struct layout - a way to fill a region
 * @name: what to call it
 * @map: makes the region, @scale times as large as needed. Returns KSFT_PASS,
 *	KSFT_SKIP or KSFT_FAIL
 * @one_vma: MADV_DONTNEED of all of it is large enough for helpers, too
 * @swap: it takes swap_on() first
 */
struct layout {
	const char	*name;
	int		(*map)(struct region *region, int scale);
	bool		one_vma;
	bool		swap;
};

extern const struct layout layouts[];
extern const size_t nr_layouts;

void unmap_region(struct region *region);

#endif /* _SELFTESTS_KTASK_LAYOUTS_H */
