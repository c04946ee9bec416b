// SPDX-License-Identifier: GPL-2.0-only
/*
 * munmap(), exit and MADV_DONTNEED of large ranges as ktask tasks
 *
 * A task is the part of an address range that has page tables, in bytes; its
 * chunks are multiples of PMD_SIZE of that and begin at a multiple of PMD_SIZE,
 * so no two threads ever share a page-table page. What has no page tables costs
 * nothing to unmap, and programs reserve terabytes of it. A chunk may lie within
 * one VMA or cover thousands.
 *
 * What unmap_vmas() and zap_page_range_single() guarantee by their order, by the
 * locks that are held and by the task that they run as, and what keeps it here:
 *
 * - VMAs are visited from the first one on, up to the mark that a failed fork()
 *   left. Walks start anywhere here, so the caller first finds out where the
 *   last of these VMAs ends: ktask_unmap_collect(). No walk goes beyond that.
 * - The VMAs and the page tables above the PTEs stay. The caller holds mmap_lock,
 *   or owns VMAs that it has detached, and waits for all threads; so helpers
 *   need not take it. hugetlb may share its PMD tables with another mm that
 *   frees them. Each such table is within one VMA, and nobody looks into that
 *   before it is unmapped.
 * - A page is freed after the TLB was flushed. Each thread has an mmu_gather of
 *   its own, which flushes what it has cleared before it frees it. Stock has one,
 *   so there may be more pages that are unmapped and not free yet, and more
 *   flushes: see ktask_unmap_chunk_end() and ktask_unmap_threads().
 * - Page tables are freed after all that, with the caller's gather, when no
 *   other gather is left.
 * - mm->tlb_flush_pending is raised before the first entry is cleared and lowered
 *   after the last flush: each gather does so.
 * - MMU notifiers are told before and after, for the whole range, by the caller.
 *   hugetlb, DAX and PFN mappings are unmapped by the caller, before the rest:
 *   they concern VMAs as a whole, and none of the others depends on them.
 * - The CPU that unmaps uses the address space, so its TLB needs no interrupt. A
 *   helper's CPU does not use it. See ktask_unmap_leave_mm() for the caller's.
 * - mlock batches, LRU batches and lists of free pages are those of one CPU. What
 *   a helper leaves in a batch holds pages, so it drains those of the CPU that
 *   it ends on.
 *   Free pages do stay on the lists of its CPU, as many as the page allocator
 *   allows there.
 *
 * Nothing here can fail, so nothing is ever undone.
 */
#include <linux/hugetlb.h>
#include <linux/ktask.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/mmu_notifier.h>
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

/* Entries that an mmu_gather has room for: then it flushes */
#ifdef CONFIG_MMU_GATHER_NO_GATHER
#define KTASK_UNMAP_GATHER	1UL
#else
#define KTASK_UNMAP_GATHER	(MAX_GATHER_BATCH_COUNT * MAX_GATHER_BATCH)
#endif

/**
 * struct ktask_unmap - a range of addresses to unmap
 * @mm: the address space
 * @tlb: the caller's gather, which it uses for its own chunks
 * @fullmm: nobody uses the address space any more
 * @private: no other CPU used it when the task started
 * @caller: the task that calls ktask_run()
 * @vma: the only VMA, or NULL if there may be more
 * @tree: the VMAs otherwise: those of @mm by address, or detached ones by
 *	number
 * @tree_end: number of detached VMAs
 * @start: first address
 * @end: address past the last; no VMA that ends above it belongs to the job
 * @details: what to zap
 * @handed_out: where the chunks that were handed out end
 *
 * Constant while the task runs, but for @handed_out, which ktask's lock for
 * iterators protects.
 */
struct ktask_unmap {
	struct mm_struct	*mm;
	struct mmu_gather	*tlb;
	bool			fullmm;
	bool			private;
	struct task_struct	*caller;
	struct vm_area_struct	*vma;
	struct maple_tree	*tree;
	unsigned long		tree_end;
	unsigned long		start;
	unsigned long		end;
	struct zap_details	*details;
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
 * All VMAs up to @last belong to the job, so a mark of a failed fork() or a VMA
 * of another mm cannot be among them. To leave memory mapped is harmless compared
 * with zapping that of another process.
 */
static struct vm_area_struct *ktask_unmap_find(const struct ktask_unmap *unmap,
					       struct ma_state *mas,
					       unsigned long last)
{
	struct vm_area_struct *vma;

	rcu_read_lock();
	vma = mas_find(mas, last);
	rcu_read_unlock();

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

/* PMDs in use that a walk has passed, from the lowest address on */
struct ktask_unmap_cursor {
	unsigned long	addr;
	size_t		bytes;		/* what they map, PMD_SIZE each */
	size_t		huge;		/* how many of them are huge pages */
};

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
 * until @bytes are passed. Returns false if there is no PMD table any more.
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
		if (cursor->addr == next)
			continue;
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

/* Add what has page tables in a part of the range that has no hugetlb. */
static void ktask_unmap_count(const struct ktask_unmap *unmap,
			      struct ktask_unmap_cursor *cursor,
			      unsigned long start, unsigned long end)
{
	end = min(end, unmap->mm->task_size);
	if (start >= end)
		return;
	cursor->addr = round_down(start, PMD_SIZE);
	while (ktask_unmap_step(unmap->mm, cursor, end, SIZE_MAX))
		cond_resched();
}

static void *ktask_unmap_iter(void *position, size_t nsteps, void *arg)
{
	struct ktask_unmap_cursor cursor = { .addr = (unsigned long)position };
	struct ktask_unmap *unmap = arg;
	unsigned long end = min(unmap->end, unmap->mm->task_size);

	while (cursor.bytes < nsteps &&
	       ktask_unmap_step(unmap->mm, &cursor, end, nsteps))
		;
	unmap->handed_out = cursor.addr;
	return (void *)cursor.addr;
}

/*
 * Unmapping needs no user address, so let the caller's CPU stop using the
 * address space, as a kernel thread's may, until ktask_unmap_return_to_mm().
 * Otherwise each flush of each helper would interrupt the caller. A context
 * switch may bring the address space back, hence once per chunk.
 *
 * Only while there are helpers: whoever samples the caller's user stack, or reads
 * its memory without faulting, does not get it meanwhile.
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

	ktask_unmap_walk_init(&walk, unmap, start);
	while ((vma = ktask_unmap_next(&walk)) && vma->vm_start < end) {
		unsigned long first = max(vma->vm_start, start);
		unsigned long last = min(vma->vm_end, end);

		if (vma->vm_file)
			uprobe_munmap(vma, first, last);
		unmap_page_range(tlb, vma, first, last, unmap->details);
	}
}

/*
 * A gather is kept from chunk to chunk. Where a flush interrupts other CPUs it is
 * for when the gather is full, as in the stock path. Where it does not, free the
 * pages of each chunk at once: so that a helper that has to leave can do so, that
 * an OOM victim's memory is there soon, and that chunks cost what they cost.
 */
static void ktask_unmap_chunk_end(struct mmu_gather *tlb,
				  const struct ktask_unmap *unmap)
{
	if (unmap->private)
		tlb_flush_mmu(tlb);
}

/* The caller's chunks. What its gather has in the end is flushed as ever. */
static void ktask_unmap_by_caller(const struct ktask_unmap *unmap, void *start,
				  void *end)
{
	bool out = false;

	do {
		if (ktask_nr_helpers()) {
			ktask_unmap_leave_mm(unmap->mm);
			out = true;
		} else if (out) {
			ktask_unmap_return_to_mm(unmap->mm);
			out = false;
		}
		ktask_unmap_chunk(unmap->tlb, unmap, (unsigned long)start,
				  (unsigned long)end);
		ktask_unmap_chunk_end(unmap->tlb, unmap);
	} while (ktask_next_chunk(&start, &end));
}

/* A helper's chunks. Its gather flushes once more when it is finished. */
static void ktask_unmap_by_helper(const struct ktask_unmap *unmap, void *start,
				  void *end)
{
	struct mmu_gather tlb;

	if (unmap->fullmm)
		tlb_gather_mmu_fullmm(&tlb, unmap->mm);
	else
		tlb_gather_mmu(&tlb, unmap->mm);
	do {
		ktask_unmap_chunk(&tlb, unmap, (unsigned long)start,
				  (unsigned long)end);
		ktask_unmap_chunk_end(&tlb, unmap);
	} while (ktask_next_chunk(&start, &end));
	tlb_finish_mmu(&tlb);
	mlock_drain_local();
}

static int ktask_unmap_chunks(void *start, void *end, void *arg)
{
	const struct ktask_unmap *unmap = arg;

	if (current == unmap->caller)
		ktask_unmap_by_caller(unmap, start, end);
	else
		ktask_unmap_by_helper(unmap, start, end);
	return 0;
}

/* Is there no other CPU that a flush would interrupt? */
static bool ktask_unmap_is_private(const struct ktask_unmap *unmap)
{
	struct mm_struct *mm = unmap->mm;

	return unmap->fullmm || atomic_read(&mm->mm_users) <= 1 ||
	       cpumask_any_but(mm_cpumask(mm), raw_smp_processor_id()) >=
	       nr_cpu_ids;
}

/*
 * How many threads may unmap what was counted; 1 if it is left to the stock path.
 *
 * Swap entries are freed under locks of the swap device and of what lies below
 * it: with zram two threads took 63 % more CPU time to be 13 % faster. Where such
 * entries are the smaller part, ktask finds out whether helpers gain.
 *
 * Of a process that ends, who has a gather besides the caller is the OOM reaper or
 * process_mrelease(). It walks the same tables, and is a second thread already.
 *
 * Each helper flushes once more than the caller alone would. Where other CPUs use
 * the address space that interrupts them all. So there are no more helpers than
 * the caller alone would flush for pages of these sizes, and at most twice as many
 * interrupts.
 */
static unsigned int ktask_unmap_threads(const struct ktask_unmap *unmap,
					const struct ktask_unmap_cursor *counted)
{
	unsigned long small, entries;

	if (ktask_eager())
		return INT_MAX;
	if (counted->bytes < KTASK_UNMAP_FLOOR ||
	    get_mm_counter(unmap->mm, MM_SWAPENTS) > get_mm_rss(unmap->mm))
		return 1;
	if (unmap->fullmm && mm_tlb_flush_nested(unmap->mm))
		return 1;
	if (unmap->private)
		return INT_MAX;

	small = (counted->bytes - counted->huge * PMD_SIZE) / PAGE_SIZE;
	entries = min(small, get_mm_rss(unmap->mm)) + counted->huge;
	return 1 + min(entries / KTASK_UNMAP_GATHER, INT_MAX - 1UL);
}

static void ktask_unmap_run(struct ktask_unmap *unmap,
			    const struct ktask_unmap_cursor *counted,
			    unsigned int threads)
{
	DEFINE_KTASK_CTL(ctl, ktask_unmap_chunks, unmap, PMD_SIZE);

	unmap->handed_out = round_down(unmap->start, PMD_SIZE);
	ktask_ctl_set_iter_func(&ctl, ktask_unmap_iter);
	ktask_ctl_set_max_threads(&ctl, threads);
	ctl.kc_max_chunk_size = KTASK_UNMAP_CHUNK_MAX;
	/* A chunk in which the gather gets full frees pages of those before. */
	ctl.kc_uneven = !unmap->private;
	ktask_run((void *)unmap->handed_out, counted->bytes, &ctl);

	/* Page tables that came into being meanwhile, beside or below us. */
	if (unmap->handed_out < unmap->end)
		ktask_unmap_chunk(unmap->tlb, unmap, unmap->handed_out,
				  unmap->end);
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
 * Find out which VMAs belong to the job: those that unmap_vmas() would visit, in
 * its order, from @vma to the end of the tree or to a mark. dup_mmap() leaves a
 * mark where it failed. It starts with a copy of the parent's tree and replaces
 * VMA by VMA, so those behind the mark are the parent's own.
 *
 * Sets where the job ends, and counts what has page tables there but for VMAs
 * that the caller handles as a whole. Returns true if there are such.
 */
static bool ktask_unmap_collect(struct ktask_unmap *unmap, struct ma_state mas,
				struct vm_area_struct *vma,
				unsigned long tree_end,
				struct ktask_unmap_cursor *counted)
{
	unsigned long start = unmap->start, last_end;
	bool serial = false;

	do {
		last_end = vma->vm_end;
		if (ktask_unmap_serial(vma)) {
			ktask_unmap_count(unmap, counted, start,
					  vma->vm_start);
			start = vma->vm_end;
			serial = true;
		}
		cond_resched();
		vma = mas_find(&mas, tree_end - 1);
	} while (vma && !xa_is_zero(vma));

	unmap->end = min(unmap->end, last_end);
	ktask_unmap_count(unmap, counted, start, unmap->end);
	return serial;
}

/* Unmap the VMAs that concern the caller as a whole. */
static void ktask_unmap_whole_vmas(struct ktask_unmap *unmap,
				   struct ma_state mas,
				   struct vm_area_struct *vma,
				   unsigned long tree_end, bool mm_wr_locked)
{
	do {
		unsigned long first = unmap->start, last = unmap->end;

		if (ktask_unmap_serial(vma)) {
			hugetlb_zap_begin(vma, &first, &last);
			unmap_single_vma(unmap->tlb, vma, first, last,
					 unmap->details, mm_wr_locked);
			hugetlb_zap_end(vma, unmap->details);
		}
		cond_resched();
		vma = mas_find(&mas, tree_end - 1);
	} while (vma && !xa_is_zero(vma));
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
bool __ktask_unmap_vmas(struct mmu_gather *tlb, const struct ma_state *mas,
			struct vm_area_struct *vma, unsigned long start,
			unsigned long end, unsigned long tree_end,
			struct zap_details *details, bool mm_wr_locked)
{
	struct ktask_unmap unmap = {
		.mm = tlb->mm,
		.tlb = tlb,
		.caller = current,
		.tree = mas->tree,
		.tree_end = tree_end,
		.start = max(start, vma->vm_start),
		.end = end,
		.details = details,
		.fullmm = tlb->fullmm,
	};
	struct ktask_unmap_cursor counted = { };
	unsigned int threads;
	bool serial;

	/* A mapping that failed half-way is in no tree: see unmap_region(). */
	if (mas->tree == &tlb->mm->mm_mt && tree_end != ULONG_MAX)
		return false;
	if (!ktask_unmap_is_large(tlb->mm))
		return false;
	serial = ktask_unmap_collect(&unmap, *mas, vma, tree_end, &counted);
	unmap.private = ktask_unmap_is_private(&unmap);
	threads = ktask_unmap_threads(&unmap, &counted);
	if (threads == 1)
		return false;

	if (serial) {
		ktask_unmap_whole_vmas(&unmap, *mas, vma, tree_end,
				       mm_wr_locked);
		/* Their page tables are still there. */
		counted = (struct ktask_unmap_cursor){ };
		ktask_unmap_count(&unmap, &counted, unmap.start, unmap.end);
	}
	ktask_unmap_run(&unmap, &counted, threads);
	return true;
}

/**
 * __ktask_dontneed_vma - MADV_DONTNEED for large ranges
 * @vma: the VMA
 * @start: first address to zap
 * @end: address past the last to zap, within @vma
 *
 * As zap_page_range_single() with no details. That itself is not a task: drivers
 * and BPF arenas call it as well, some without mmap_lock.
 *
 * Context: process context, may sleep; mmap_lock held at least for reading.
 *
 * Return: false, with nothing done, if the range is to be zapped serially.
 */
bool __ktask_dontneed_vma(struct vm_area_struct *vma, unsigned long start,
			  unsigned long end)
{
	struct ktask_unmap_cursor counted = { };
	struct mmu_notifier_range range;
	struct mmu_gather tlb;
	struct ktask_unmap unmap = {
		.mm = vma->vm_mm,
		.tlb = &tlb,
		.caller = current,
		.vma = vma,
		.start = start,
		.end = end,
	};
	unsigned int threads;

	mmap_assert_locked(vma->vm_mm);
	if (ktask_unmap_serial(vma) || !ktask_unmap_is_large(vma->vm_mm))
		return false;
	ktask_unmap_count(&unmap, &counted, start, end);
	unmap.private = ktask_unmap_is_private(&unmap);
	threads = ktask_unmap_threads(&unmap, &counted);
	if (threads == 1)
		return false;

	lru_add_drain();
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, vma->vm_mm, start,
				end);
	tlb_gather_mmu(&tlb, vma->vm_mm);
	update_hiwater_rss(vma->vm_mm);
	mmu_notifier_invalidate_range_start(&range);
	ktask_unmap_run(&unmap, &counted, threads);
	mmu_notifier_invalidate_range_end(&range);
	tlb_finish_mmu(&tlb);
	return true;
}
