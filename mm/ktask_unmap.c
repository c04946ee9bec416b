// SPDX-License-Identifier: GPL-2.0-only
/*
 * munmap(), exit and MADV_DONTNEED of large ranges as ktask tasks
 *
 * A task is the part of an address range that has page tables, in bytes; its
 * chunks are multiples of PMD_SIZE of that and begin at a multiple of PMD_SIZE,
 * so no two threads ever share a page-table page. What has no page tables costs
 * nothing to unmap, and programs reserve terabytes of it. Each thread has an
 * mmu_gather of its own: it flushes what it has cleared before it frees it, and
 * needs nothing of the caller's gather, which goes on to free the page tables
 * when all chunks are done. A thread keeps its gather from chunk to chunk, with
 * nothing in it: where a page is allocated now and then, as for a gather, the
 * page allocator frees fewer at a time.
 *
 * A chunk may lie within one VMA or cover thousands. What concerns a VMA as a
 * whole is done once, by the caller, before the task starts: uprobes, and the
 * whole of hugetlb and PFN mappings. So are MMU notifiers for the range, by our
 * callers.
 *
 * A chunk of more than a few pages ends with a flush of the whole TLB on the
 * CPUs that use the address space. Where a CPU can stop using it, the caller's
 * does so: see ktask_unmap_leave_mm().
 *
 * The caller holds mmap_lock or the lock of its only VMA, or owns VMAs that it
 * has already detached, and waits for all threads; that is why helpers may walk
 * VMAs and page tables without taking it. Nothing here can fail, so nothing is
 * ever undone.
 */
#include <linux/hugetlb.h>
#include <linux/ktask.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/sizes.h>
#include <linux/swap.h>
#include <linux/uprobes.h>

#include <asm/tlb.h>

#include "internal.h"
#include "ktask_unmap.h"

/*
 * The most that one chunk has, however sparse the range has been so far: a
 * dense gigabyte of 4 KiB pages behind sparse ones would keep a helper for a
 * tenth of a second. It also bounds what ktask_unmap_iter() reads of page
 * tables under a spinlock.
 */
#define KTASK_UNMAP_CHUNK_MAX	max(SZ_64M, PMD_SIZE)

/**
 * struct ktask_unmap - a range of addresses to unmap
 * @mm: the address space
 * @vma: the only VMA, or NULL if there may be more
 * @tree: the VMAs otherwise: those of @mm by address, or detached ones by
 *	number
 * @tree_end: number of detached VMAs
 * @start: first address
 * @end: address past the last
 * @details: what to zap
 * @fullmm: nobody uses the address space any more
 * @handed_out: where the chunks that were handed out end
 *
 * Constant while the task runs, but for @handed_out, which ktask's lock for
 * iterators protects.
 */
struct ktask_unmap {
	struct mm_struct	*mm;
	struct vm_area_struct	*vma;
	struct maple_tree	*tree;
	unsigned long		tree_end;
	unsigned long		start;
	unsigned long		end;
	struct zap_details	*details;
	bool			fullmm;
	unsigned long		handed_out;
};

/* VMAs that only the caller handles, as a whole; DAX may map huge PUDs. */
static bool ktask_unmap_serial(struct vm_area_struct *vma)
{
	return is_vm_hugetlb_page(vma) || vma_is_dax(vma) ||
	       (vma->vm_flags & VM_PFNMAP);
}

/*
 * A maple state needs its tree's lock or RCU. The tree does not change, so
 * dropping RCU between two steps does no harm.
 *
 * The walk starts anywhere in the tree, and all of it up to @last belongs to
 * the job: see ktask_unmap_prepare(). So it never meets a mark of a failed
 * fork(), nor a VMA behind one.
 */
static struct vm_area_struct *ktask_unmap_find(const struct ktask_unmap *unmap,
					       struct ma_state *mas,
					       unsigned long last)
{
	struct vm_area_struct *vma;

	rcu_read_lock();
	vma = mas_find(mas, last);
	rcu_read_unlock();

	/* To unmap less than asked for leaks. To unmap more loses data. */
	if (WARN_ON_ONCE(xa_is_zero(vma) || (vma && vma->vm_mm != unmap->mm)))
		return NULL;
	return vma;
}

/* Index of the first detached VMA that ends above @addr; bisects. */
static unsigned long ktask_unmap_index(const struct ktask_unmap *unmap,
				       unsigned long addr)
{
	unsigned long low = 0, high = unmap->tree_end;

	while (low < high) {
		unsigned long mid = low + (high - low) / 2;
		struct vm_area_struct *vma = mtree_load(unmap->tree, mid);

		if (vma->vm_end > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Walks the VMAs that end above an address, in order */
struct ktask_unmap_walk {
	const struct ktask_unmap	*unmap;
	struct ma_state			mas;
	unsigned long			last;
	bool				started;
};

static void ktask_unmap_walk_init(struct ktask_unmap_walk *walk,
				  const struct ktask_unmap *unmap,
				  unsigned long addr)
{
	unsigned long index = addr;

	walk->unmap = unmap;
	walk->started = false;
	if (unmap->vma)
		return;

	walk->last = unmap->end - 1;
	if (unmap->tree != &unmap->mm->mm_mt) {
		index = ktask_unmap_index(unmap, addr);
		walk->last = unmap->tree_end - 1;
	}
	mas_init(&walk->mas, unmap->tree, index);
}

/* The next VMA that chunks are made of, or NULL. */
static struct vm_area_struct *ktask_unmap_next(struct ktask_unmap_walk *walk)
{
	const struct ktask_unmap *unmap = walk->unmap;
	struct vm_area_struct *vma;

	if (unmap->vma) {
		vma = walk->started ? NULL : unmap->vma;
		walk->started = true;
		return vma;
	}

	do {
		if (walk->mas.index > walk->last)
			return NULL;
		vma = ktask_unmap_find(unmap, &walk->mas, walk->last);
	} while (vma && ktask_unmap_serial(vma));

	return vma && vma->vm_start < unmap->end ? vma : NULL;
}

/* The next PUD of the table that @pudp is in which is in use, or @end */
static unsigned long ktask_unmap_find_pud(pud_t *pudp, unsigned long addr,
					  unsigned long end)
{
	while (addr < end && pud_none(pudp_get(pudp++)))
		addr = pud_addr_end(addr, end);
	return addr;
}

/* The next PMD of the table that @pud refers to which is in use, or @end */
static unsigned long ktask_unmap_find_pmd(pud_t *pudp, pud_t pud,
					  unsigned long addr, unsigned long end)
{
	while (addr < end &&
	       pmd_none(pmdp_get_lockless(pmd_offset_lockless(pudp, pud, addr))))
		addr = pmd_addr_end(addr, end);
	return addr;
}

/*
 * Advance past the PMDs from @position on that have a page table or a huge
 * page, as many as @left bytes are but no further than the end of their table,
 * and up to the next such one or that end; count them off @left. As looking
 * costs something too, a PMD table that has none is as good as one. Returns
 * false if there is no PMD table any more.
 *
 * Page tables that a range has are freed by its owner only, when all is
 * unmapped, but for those that khugepaged retracts, hence no look below a PMD,
 * and for PMD tables that hugetlbfs shares. What is read of these may mean
 * nothing, but it can be read: they are freed when all CPUs have had interrupts
 * on. A PUD is read once then. One that is not present may still be something,
 * of hugetlbfs again: a page that migrates or is poisoned, or a marker.
 */
static bool ktask_unmap_step(struct mm_struct *mm, unsigned long *position,
			     unsigned long end, size_t *left)
{
	unsigned long addr = *position, next;

	/* Levels that are folded end where the one above them does. */
	for (; addr < end; addr = next) {
		pgd_t *pgd = pgd_offset(mm, addr);
		p4d_t *p4d;
		pud_t *pudp, pud;

		next = pgd_addr_end(addr, end);
		if (pgd_none(pgdp_get(pgd)))
			continue;
		p4d = p4d_offset(pgd, addr);
		next = p4d_addr_end(addr, next);
		if (p4d_none(p4dp_get(p4d)))
			continue;
		addr = ktask_unmap_find_pud(pud_offset(p4d, addr), addr, next);
		if (addr == next)
			continue;
		pudp = pud_offset(p4d, addr);
		next = pud_addr_end(addr, next);

		/* Pairs with tlb_flush_unshared_tables(), as GUP-fast does. */
		guard(irqsave)();
		pud = pudp_get(pudp);
		/* VMAs that have pages of this size are unmapped serially. */
		if (!pud_present(pud) || pud_leaf(pud))
			continue;
		addr = ktask_unmap_find_pmd(pudp, pud, addr, next);
		do {
			*left -= min(*left, PMD_SIZE);
			addr = ktask_unmap_find_pmd(pudp, pud,
						    pmd_addr_end(addr, next),
						    next);
		} while (*left && addr < next);
		*position = addr;
		return true;
	}
	*position = end;
	return false;
}

/*
 * Advance by @nsteps bytes of what has page tables, in whole PMDs. A PMD table
 * with nothing in it counts as one PMD.
 *
 * Returns the new address and, through @left, what lies beyond the last table.
 */
static unsigned long ktask_unmap_advance(const struct ktask_unmap *unmap,
					 unsigned long addr, size_t nsteps,
					 size_t *left)
{
	unsigned long end = min(unmap->end, unmap->mm->task_size);

	*left = nsteps;
	while (*left && ktask_unmap_step(unmap->mm, &addr, end, left))
		;
	return addr;
}

static void *ktask_unmap_iter(void *position, size_t nsteps, void *arg)
{
	struct ktask_unmap *unmap = arg;
	size_t left;

	unmap->handed_out = ktask_unmap_advance(unmap, (unsigned long)position,
						nsteps, &left);
	return (void *)unmap->handed_out;
}

/* The size of the task. */
static size_t ktask_unmap_size(const struct ktask_unmap *unmap)
{
	unsigned long addr = round_down(unmap->start, PMD_SIZE);
	size_t left, size = 0;

	do {
		addr = ktask_unmap_advance(unmap, addr, KTASK_UNMAP_CHUNK_MAX,
					   &left);
		size += KTASK_UNMAP_CHUNK_MAX - left;
		cond_resched();
	} while (!left);

	return size;
}

/*
 * Unmapping needs no user address, so let the caller's CPU stop using the
 * address space, as a kernel thread's may, until ktask_unmap_return_to_mm().
 * Otherwise each chunk of each helper would interrupt the caller for a flush.
 * A context switch may bring the address space back, hence once per chunk.
 *
 * Being lazy alone would not do: nested flushes do not spare lazy CPUs, and an
 * NMI that looks at user memory has to find that it must not.
 *
 * Only x86 has leave_mm(). Elsewhere the caller stays.
 */
static void ktask_unmap_leave_mm(struct mm_struct *mm)
{
#ifdef leave_mm
	if (current->mm != mm)
		return;

	guard(irq)();
	enter_lazy_tlb(mm, current);
	leave_mm();
#endif
}

/* Catches up on the flushes that were missed. */
static void ktask_unmap_return_to_mm(struct mm_struct *mm)
{
#ifdef leave_mm
	if (current->mm != mm)
		return;

	guard(irq)();
	switch_mm_irqs_off(mm, mm, current);
#endif
}

static void ktask_unmap_chunk(struct mmu_gather *tlb,
			      const struct ktask_unmap *unmap,
			      unsigned long start, unsigned long end)
{
	struct ktask_unmap_walk walk;
	struct vm_area_struct *vma;

	start = max(start, unmap->start);
	end = min(end, unmap->end);
	if (start >= end)
		return;

	ktask_unmap_leave_mm(unmap->mm);
	ktask_unmap_walk_init(&walk, unmap, start);
	while ((vma = ktask_unmap_next(&walk)) && vma->vm_start < end)
		unmap_page_range(tlb, vma, max(vma->vm_start, start),
				 min(vma->vm_end, end), unmap->details);
}

static int ktask_unmap_chunks(void *start, void *end, void *arg)
{
	const struct ktask_unmap *unmap = arg;
	struct mmu_gather tlb;

	if (unmap->fullmm)
		tlb_gather_mmu_fullmm(&tlb, unmap->mm);
	else
		tlb_gather_mmu(&tlb, unmap->mm);

	do {
		ktask_unmap_chunk(&tlb, unmap, (unsigned long)start,
				  (unsigned long)end);
		tlb_flush_mmu(&tlb);
	} while (ktask_next_chunk(&start, &end));

	tlb_finish_mmu(&tlb);
	return 0;
}

static void ktask_unmap_run(struct mmu_gather *tlb, struct ktask_unmap *unmap,
			    size_t size)
{
	DEFINE_KTASK_CTL(ctl, ktask_unmap_chunks, unmap, PMD_SIZE);

	unmap->handed_out = round_down(unmap->start, PMD_SIZE);
	ktask_ctl_set_iter_func(&ctl, ktask_unmap_iter);
	ctl.kc_max_chunk_size = KTASK_UNMAP_CHUNK_MAX;
	ktask_run((void *)unmap->handed_out, size, &ctl);

	/* Page tables that came into being meanwhile, beside or below us. */
	if (unmap->handed_out < unmap->end)
		ktask_unmap_chunk(tlb, unmap, unmap->handed_out, unmap->end);
	ktask_unmap_return_to_mm(unmap->mm);
}

/* Is there enough memory for a task? */
static bool ktask_unmap_is_large(struct mm_struct *mm)
{
	unsigned long pages;

	if (!ktask_enabled())
		return false;
	/* Of a small process the counters may have nothing yet. */
	if (ktask_eager())
		return true;

	pages = get_mm_rss(mm) + get_mm_counter(mm, MM_SWAPENTS);
	return pages >= KTASK_UNMAP_FLOOR / PAGE_SIZE;
}

/*
 * Do what concerns whole VMAs, and find out which VMAs belong to the job: those
 * that unmap_vmas() would visit, in its order. It starts at the first one and
 * stops at @tree_end or at a mark. dup_mmap() leaves such a mark where it failed:
 * the tree of a child starts as a copy of its parent's, so what lies behind the
 * mark, and could be found from an address there, are the parent's own VMAs.
 * Where the last VMA ends the job ends, and no other walk goes beyond that.
 *
 * Returns true if any VMA was unmapped here.
 */
static bool ktask_unmap_prepare(struct ktask_unmap *unmap,
				struct mmu_gather *tlb, struct ma_state *mas,
				struct vm_area_struct *vma, unsigned long start,
				unsigned long tree_end, bool mm_wr_locked)
{
	struct zap_details *details = unmap->details;
	unsigned long end = unmap->end, last_end;
	bool any = false;

	do {
		last_end = vma->vm_end;
		if (ktask_unmap_serial(vma)) {
			unsigned long first = start, last = end;

			any = true;
			hugetlb_zap_begin(vma, &first, &last);
			unmap_single_vma(tlb, vma, first, last, details,
					 mm_wr_locked);
			hugetlb_zap_end(vma, details);
		} else if (vma->vm_file) {
			uprobe_munmap(vma, max(vma->vm_start, start),
				      min(vma->vm_end, end));
		}
		cond_resched();
		vma = mas_find(mas, tree_end - 1);
	} while (vma && !xa_is_zero(vma));

	unmap->end = min(end, last_end);
	return any;
}

/**
 * __ktask_unmap_vmas - unmap_vmas() for large ranges
 * @tlb: the caller's gather
 * @mas: maple state of @vma, or of the one after it
 * @vma: the first VMA
 * @start: first address to unmap
 * @end: address past the last to unmap
 * @tree_end: as for unmap_vmas()
 * @details: what to zap
 * @mm_wr_locked: as for unmap_vmas()
 *
 * Context: process context, may sleep; mmap_lock held or VMAs detached, as for
 * unmap_vmas(), and MMU notifiers told.
 *
 * Return: false, with nothing done, if the range is to be unmapped serially.
 */
bool __ktask_unmap_vmas(struct mmu_gather *tlb, struct ma_state *mas,
			struct vm_area_struct *vma, unsigned long start,
			unsigned long end, unsigned long tree_end,
			struct zap_details *details, bool mm_wr_locked)
{
	struct ktask_unmap unmap = {
		.mm = tlb->mm,
		.tree = mas->tree,
		.tree_end = tree_end,
		.start = max(start, vma->vm_start),
		.end = end,
		.details = details,
		.fullmm = tlb->fullmm,
	};
	size_t size;

	/* A mapping that failed half-way is in no tree: see unmap_region(). */
	if (mas->tree == &tlb->mm->mm_mt && tree_end != ULONG_MAX)
		return false;
	if (!ktask_unmap_is_large(tlb->mm))
		return false;
	size = ktask_unmap_size(&unmap);
	if (size < KTASK_UNMAP_FLOOR)
		return false;

	if (ktask_unmap_prepare(&unmap, tlb, mas, vma, start, tree_end,
				mm_wr_locked))
		size = ktask_unmap_size(&unmap);
	ktask_unmap_run(tlb, &unmap, size);
	return true;
}

/**
 * __ktask_zap_vma - zap a large range within a VMA
 * @tlb: the caller's gather
 * @vma: the VMA
 * @start: first address to zap
 * @end: address past the last to zap
 * @details: what to zap, or NULL
 *
 * Context: process context, may sleep; mmap_lock held at least for reading,
 * and MMU notifiers told.
 *
 * Return: false, with nothing done, if the range is to be zapped serially.
 */
bool __ktask_zap_vma(struct mmu_gather *tlb, struct vm_area_struct *vma,
		     unsigned long start, unsigned long end,
		     struct zap_details *details)
{
	struct ktask_unmap unmap = {
		.mm = tlb->mm,
		.vma = vma,
		.start = start,
		.end = end,
		.details = details,
	};
	size_t size;

	/*
	 * With details it is truncation, under locks of the mapping and often
	 * for many VMAs that map little each.
	 */
	if (details || ktask_unmap_serial(vma) ||
	    !ktask_unmap_is_large(tlb->mm))
		return false;

	size = ktask_unmap_size(&unmap);
	if (size < KTASK_UNMAP_FLOOR)
		return false;

	if (vma->vm_file)
		uprobe_munmap(vma, start, end);
	ktask_unmap_run(tlb, &unmap, size);
	return true;
}
