/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _MM_KTASK_UNMAP_RANGE_H
#define _MM_KTASK_UNMAP_RANGE_H

#include <linux/maple_tree.h>
#include <linux/types.h>

struct mm_struct;
struct vm_area_struct;

/**
 * struct ktask_unmap_range - what is to be unmapped
 * @mm: the address space
 * @vma: the only VMA, or NULL if there may be more
 * @tree: the VMAs otherwise: those of @mm by address, or detached ones by
 *	number
 * @tree_end: number of detached VMAs
 * @start: first address
 * @end: address past the last; no VMA that ends above it belongs to the job
 */
struct ktask_unmap_range {
	struct mm_struct	*mm;
	struct vm_area_struct	*vma;
	struct maple_tree	*tree;
	unsigned long		tree_end;
	unsigned long		start;
	unsigned long		end;
};

/* Walks the VMAs that end above an address, in order */
struct ktask_unmap_walk {
	const struct ktask_unmap_range	*range;
	struct ma_state			mas;
	unsigned long			last;
	bool				started;
};

/**
 * struct ktask_unmap_cursor - PMDs in use that a walk has passed
 * @addr: how far it has come
 * @bytes: what they map, PMD_SIZE each
 * @huge: how many of them are huge pages
 */
struct ktask_unmap_cursor {
	unsigned long	addr;
	size_t		bytes;
	size_t		huge;
};

bool ktask_unmap_serial(struct vm_area_struct *vma);
bool ktask_unmap_collect(struct ktask_unmap_range *range, struct ma_state mas,
			 struct vm_area_struct *vma, unsigned long tree_end,
			 struct ktask_unmap_cursor *counted, bool *uncounted);
void ktask_unmap_count(const struct ktask_unmap_range *range,
		       struct ktask_unmap_cursor *cursor, unsigned long start,
		       unsigned long end);
void ktask_unmap_advance(const struct ktask_unmap_range *range,
			 struct ktask_unmap_cursor *cursor, size_t bytes);
void ktask_unmap_walk_init(struct ktask_unmap_walk *walk,
			   const struct ktask_unmap_range *range,
			   unsigned long addr);
struct vm_area_struct *ktask_unmap_next(struct ktask_unmap_walk *walk);

#endif /* _MM_KTASK_UNMAP_RANGE_H */
