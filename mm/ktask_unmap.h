/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _MM_KTASK_UNMAP_H
#define _MM_KTASK_UNMAP_H

#include <linux/types.h>

struct ma_state;
struct mmu_gather;
struct vm_area_struct;
struct zap_details;

#ifdef CONFIG_KTASK
bool ktask_unmap_vmas(struct mmu_gather *tlb, struct ma_state *mas,
		      struct vm_area_struct *vma, unsigned long start,
		      unsigned long end, unsigned long tree_end,
		      struct zap_details *details, bool mm_wr_locked);
bool ktask_zap_vma(struct mmu_gather *tlb, struct vm_area_struct *vma,
		   unsigned long start, unsigned long end,
		   struct zap_details *details);
#else
static inline bool ktask_unmap_vmas(struct mmu_gather *tlb,
				    struct ma_state *mas,
				    struct vm_area_struct *vma,
				    unsigned long start, unsigned long end,
				    unsigned long tree_end,
				    struct zap_details *details,
				    bool mm_wr_locked)
{
	return false;
}

static inline bool ktask_zap_vma(struct mmu_gather *tlb,
				 struct vm_area_struct *vma,
				 unsigned long start, unsigned long end,
				 struct zap_details *details)
{
	return false;
}
#endif

#endif /* _MM_KTASK_UNMAP_H */
