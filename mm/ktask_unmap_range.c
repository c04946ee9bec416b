// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which VMAs and page tables a job of unmapping has, and how much that is
 *
 * The caller holds mmap_lock, or owns VMAs that it has detached. Neither these nor
 * the page tables above the PTEs change until the job is done, so helpers may look
 * at them without a lock.
 */
#include <linux/hugetlb.h>
#include <linux/mm.h>

#include "ktask_unmap_range.h"

/**
 * ktask_unmap_serial - does only the caller handle this VMA, as a whole?
 * @vma: the VMA
 *
 * hugetlb and PFN mappings are handled so; and DAX, which may map huge PUDs. Of
 * mappings that may have PFNs the TLB is flushed each time that a part is unmapped.
 *
 * Return: true if so.
 */
bool ktask_unmap_serial(struct vm_area_struct *vma)
{
	return is_vm_hugetlb_page(vma) || vma_is_dax(vma) ||
	       (vma->vm_flags & (VM_PFNMAP | VM_MIXEDMAP));
}

/*
 * May its page tables be counted before it is unmapped? Besides those for chunks
 * only such as [vvar], which each process has, so that nothing is counted twice
 * because of that.
 */
static bool ktask_unmap_countable(struct vm_area_struct *vma)
{
	return !ktask_unmap_serial(vma) ||
	       ((vma->vm_flags & VM_PFNMAP) &&
		vma->vm_end - vma->vm_start < PMD_SIZE);
}

/*
 * A maple state needs its tree's lock or RCU. The tree does not change, so
 * dropping RCU between two steps does no harm.
 *
 * All VMAs up to @last belong to the job, so a mark of a failed fork() or a VMA
 * of another mm cannot be among them. To leave memory mapped is harmless compared
 * with zapping that of another process.
 */
static struct vm_area_struct *
ktask_unmap_find(const struct ktask_unmap_range *range, struct ma_state *mas,
		 unsigned long last)
{
	struct vm_area_struct *vma;

	rcu_read_lock();
	vma = mas_find(mas, last);
	rcu_read_unlock();

	if (WARN_ON_ONCE(xa_is_zero(vma) || (vma && vma->vm_mm != range->mm)))
		return NULL;
	return vma;
}

/* Index of the first detached VMA that ends above @addr; bisects. */
static unsigned long ktask_unmap_index(const struct ktask_unmap_range *range,
				       unsigned long addr)
{
	unsigned long low = 0, high = range->tree_end;

	while (low < high) {
		unsigned long mid = low + (high - low) / 2;
		struct vm_area_struct *vma = mtree_load(range->tree, mid);

		if (vma->vm_end > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/**
 * ktask_unmap_walk_init - begin in the middle
 * @walk: to initialise
 * @range: whose VMAs to walk
 * @addr: the first VMA is that which ends above it
 *
 * Context: as for the unmapping itself; may be in any thread that does it.
 */
void ktask_unmap_walk_init(struct ktask_unmap_walk *walk,
			   const struct ktask_unmap_range *range,
			   unsigned long addr)
{
	unsigned long index = addr;

	walk->range = range;
	walk->started = false;
	if (range->vma)
		return;

	walk->last = range->end - 1;
	if (range->tree != &range->mm->mm_mt) {
		index = ktask_unmap_index(range, addr);
		walk->last = range->tree_end - 1;
	}
	mas_init(&walk->mas, range->tree, index);
}

/**
 * ktask_unmap_next - the next VMA that chunks are made of
 * @walk: initialised
 *
 * Return: the VMA, or NULL if there is none any more.
 */
struct vm_area_struct *ktask_unmap_next(struct ktask_unmap_walk *walk)
{
	const struct ktask_unmap_range *range = walk->range;
	struct vm_area_struct *vma;

	if (range->vma) {
		vma = walk->started ? NULL : range->vma;
		walk->started = true;
		return vma;
	}

	do {
		if (walk->mas.index > walk->last)
			return NULL;
		vma = ktask_unmap_find(range, &walk->mas, walk->last);
	} while (vma && ktask_unmap_serial(vma));

	return vma && vma->vm_start < range->end ? vma : NULL;
}

/* The next PUD of the table that @pudp is in which is in use, or @end */
static unsigned long ktask_unmap_find_pud(pud_t *pudp, unsigned long addr,
					  unsigned long end)
{
	while (addr < end && pud_none(pudp_get(pudp++)))
		addr = pud_addr_end(addr, end);
	return addr;
}

/*
 * Advance within a PMD table to its end or until @bytes are passed, and from
 * there to the next PMD in use. As looking costs something too, a table that has
 * none is as good as one.
 */
static void ktask_unmap_step_pmds(struct ktask_unmap_cursor *cursor, pud_t *pudp,
				  unsigned long end, size_t bytes)
{
	pmd_t *pmdp = pmd_offset(pudp, cursor->addr);
	size_t before = cursor->bytes;
	unsigned long addr;

	for (addr = cursor->addr; addr < end; addr = pmd_addr_end(addr, end)) {
		pmd_t pmd = pmdp_get_lockless(pmdp++);

		if (pmd_none(pmd))
			continue;
		if (cursor->bytes >= bytes)
			break;
		cursor->bytes += PMD_SIZE;
		cursor->huge += pmd_leaf(pmd);
	}
	if (cursor->bytes == before)
		cursor->bytes += PMD_SIZE;
	cursor->addr = addr;
}

/*
 * Advance past the PMDs in use of the next PMD table, no further than @end, and
 * until @bytes are passed; or past the rest of a PUD table that has none, which
 * costs as much. Returns false if there is neither any more.
 *
 * Page tables that a range has are freed by its owner only, when all is
 * unmapped, but for PTE tables that khugepaged retracts, hence no look below a
 * PMD. A PUD that is not present may still be something, of hugetlbfs: a page
 * that migrates or is poisoned, or a marker.
 */
static bool ktask_unmap_step(struct mm_struct *mm,
			     struct ktask_unmap_cursor *cursor,
			     unsigned long end, size_t bytes)
{
	unsigned long next;

	/* Levels that are folded end where the one above them does. */
	for (; cursor->addr < end; cursor->addr = next) {
		pgd_t *pgd = pgd_offset(mm, cursor->addr);
		p4d_t *p4d;
		pud_t *pudp, pud;

		next = pgd_addr_end(cursor->addr, end);
		if (pgd_none(pgdp_get(pgd)))
			continue;
		p4d = p4d_offset(pgd, cursor->addr);
		next = p4d_addr_end(cursor->addr, next);
		if (p4d_none(p4dp_get(p4d)))
			continue;
		cursor->addr = ktask_unmap_find_pud(pud_offset(p4d, cursor->addr),
						    cursor->addr, next);
		if (cursor->addr == next) {
			cursor->bytes += PMD_SIZE;
			return true;
		}
		pudp = pud_offset(p4d, cursor->addr);
		next = pud_addr_end(cursor->addr, next);
		pud = pudp_get(pudp);
		/* VMAs that have pages of this size are unmapped serially. */
		if (!pud_present(pud) || pud_leaf(pud))
			continue;
		ktask_unmap_step_pmds(cursor, pudp, next, bytes);
		return true;
	}
	return false;
}

/**
 * ktask_unmap_count - add what has page tables in a part of the range
 * @range: what is to be unmapped
 * @cursor: what to add it to
 * @start: first address of the part, which must have no hugetlb
 * @end: address past its last
 *
 * Context: may sleep.
 */
void ktask_unmap_count(const struct ktask_unmap_range *range,
		       struct ktask_unmap_cursor *cursor, unsigned long start,
		       unsigned long end)
{
	end = min(end, range->mm->task_size);
	if (start >= end)
		return;
	cursor->addr = round_down(start, PMD_SIZE);
	while (ktask_unmap_step(range->mm, cursor, end, SIZE_MAX))
		cond_resched();
}

/**
 * ktask_unmap_advance - past so much that has page tables
 * @range: what is to be unmapped; what concerns VMAs as a whole is done
 * @cursor: where from, and what it has passed
 * @bytes: as much as that, or to the end
 *
 * Context: any; sleeps never.
 */
void ktask_unmap_advance(const struct ktask_unmap_range *range,
			 struct ktask_unmap_cursor *cursor, size_t bytes)
{
	unsigned long end = min(range->end, range->mm->task_size);

	while (cursor->bytes < bytes &&
	       ktask_unmap_step(range->mm, cursor, end, bytes))
		;
}

/**
 * ktask_unmap_collect - find out which VMAs belong to the job
 * @range: where it ends is set
 * @mas: maple state of @vma, or of the one after it
 * @vma: the first VMA
 * @tree_end: as for unmap_vmas()
 * @counted: what has page tables there is added
 * @uncounted: set to true if some VMAs have page tables that have to be counted
 *	after the caller has handled these VMAs
 *
 * They are those that unmap_vmas() would visit, in its order, from @vma to the end
 * of the tree or to a mark. dup_mmap() leaves a mark where it failed. It starts
 * with a copy of the parent's tree and replaces VMA by VMA, so those behind the
 * mark are the parent's own.
 *
 * Context: may sleep.
 *
 * Return: true if there are VMAs that the caller handles as a whole.
 */
bool ktask_unmap_collect(struct ktask_unmap_range *range, struct ma_state mas,
			 struct vm_area_struct *vma, unsigned long tree_end,
			 struct ktask_unmap_cursor *counted, bool *uncounted)
{
	unsigned long start = range->start, last_end;
	bool serial = false;

	do {
		last_end = vma->vm_end;
		serial |= ktask_unmap_serial(vma);
		if (!ktask_unmap_countable(vma)) {
			ktask_unmap_count(range, counted, start,
					  vma->vm_start);
			start = vma->vm_end;
			*uncounted = true;
		}
		cond_resched();
		vma = mas_find(&mas, tree_end - 1);
	} while (vma && !xa_is_zero(vma));

	range->end = min(range->end, last_end);
	ktask_unmap_count(range, counted, start, range->end);
	return serial;
}
