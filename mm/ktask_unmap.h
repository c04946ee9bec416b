/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _MM_KTASK_UNMAP_H
#define _MM_KTASK_UNMAP_H

#include <linux/kconfig.h>
#include <linux/ktask.h>
#include <linux/sizes.h>
#include <linux/types.h>

#include <asm/page.h>

struct ma_state;
struct mmu_gather;
struct vm_area_struct;
struct zap_details;

/*
 * Less memory than this is left to the stock path. Tearing down 16 MiB of
 * 4 KiB pages takes about a millisecond, of which helpers could save a part
 * and cost some tens of microseconds; below it there is nothing to win worth
 * looking at the VMAs for.
 */
#define KTASK_UNMAP_FLOOR	(ktask_eager() ? 4 * PAGE_SIZE : SZ_16M)

bool __ktask_unmap_vmas(struct mmu_gather *tlb, const struct ma_state *mas,
			struct vm_area_struct *vma, unsigned long start,
			unsigned long end, unsigned long tree_end,
			struct zap_details *details, bool mm_wr_locked);
bool __ktask_dontneed_vma(struct vm_area_struct *vma, unsigned long start,
			  unsigned long end);

/* The size decides before the call: most ranges are small. */
static inline bool ktask_unmap_vmas(struct mmu_gather *tlb,
				    const struct ma_state *mas,
				    struct vm_area_struct *vma,
				    unsigned long start, unsigned long end,
				    unsigned long tree_end,
				    struct zap_details *details,
				    bool mm_wr_locked)
{
	return IS_ENABLED(CONFIG_KTASK) && end - start >= KTASK_UNMAP_FLOOR &&
	       __ktask_unmap_vmas(tlb, mas, vma, start, end, tree_end, details,
				  mm_wr_locked);
}

static inline bool ktask_dontneed_vma(struct vm_area_struct *vma,
				      unsigned long start, unsigned long end)
{
	return IS_ENABLED(CONFIG_KTASK) && end - start >= KTASK_UNMAP_FLOOR &&
	       __ktask_dontneed_vma(vma, start, end);
}

#endif /* _MM_KTASK_UNMAP_H */
