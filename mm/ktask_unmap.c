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
 *   flushes: see ktask_unmap_is_private() and ktask_unmap_set_limits().
 * - Who else zaps pages of the range meanwhile, as MADV_DONTNEED may, and has not
 *   flushed yet, is noticed at the end, by the caller's tlb_finish_mmu().
 * - Page tables are freed after all that, with the caller's gather, when no
 *   other gather is left.
 * - mm->tlb_flush_pending is raised before the first entry is cleared and lowered
 *   after the last flush: each gather does so.
 * - MMU notifiers are told before and after, for the whole range, by the caller.
 *   hugetlb, DAX, PFN and mixed mappings are unmapped by the caller, before the rest:
 *   they concern VMAs as a whole, and none of the others depends on them.
 * - The CPU that unmaps uses the address space, so its TLB needs no interrupt. A
 *   helper's CPU does not use it. See ktask_unmap_leave_mm() for the caller's.
 * - mlock batches, LRU batches and lists of free pages are those of one CPU. What
 *   a helper leaves in a batch holds pages, so it drains those of the CPU that
 *   it ends on, and what that CPU has counted of the process's memory. Free pages
 *   do stay on the lists of its CPU, as many as the page allocator allows there.
 *
 * Nothing here can fail, so nothing is ever undone.
 */
#include <linux/hugetlb.h>
#include <linux/ktask.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/clock.h>
#include <linux/sizes.h>
#include <linux/swap.h>
#include <linux/uprobes.h>

#include <asm/tlb.h>

#include "internal.h"
#include "ktask_unmap.h"
#include "ktask_unmap_range.h"

/*
 * The most that one chunk has, however sparse the range has been so far: a
 * dense gigabyte of 4 KiB pages behind sparse ones would keep a helper for a
 * tenth of a second. It also bounds what ktask_unmap_iter() reads of page
 * tables under a spinlock: a table that has nothing counts like a PMD.
 */
#define KTASK_UNMAP_CHUNK_MAX	max(SZ_64M, PMD_SIZE)

/* What the caller begins with, before there is a task */
#define KTASK_UNMAP_FIRST	max(SZ_4M, PMD_SIZE)

/* The most that a helper puts off where it takes much of its time to free pages */
#define KTASK_UNMAP_PUT_OFF_MAX	SZ_256M

/* Entries that an mmu_gather has room for: then it flushes */
#define KTASK_UNMAP_GATHER	(MAX_GATHER_BATCH_COUNT * MAX_GATHER_BATCH)

/*
 * So large a part of the pages may be in swap where ktask takes long to find out
 * whether helpers gain: see ktask_unmap_set_limits().
 */
#define KTASK_UNMAP_SWAPPED	8

/*
 * Until ktask has found that out, threads may wait for each other for as long as so
 * large a part of the pages would take if it were in swap. So few may always work.
 */
#define KTASK_UNMAP_SWAP_WAITS	16
#define KTASK_UNMAP_SWAP_THREADS	4UL

/**
 * struct ktask_unmap - the job
 * @range: what to unmap
 * @tlb: the caller's gather, which it uses for its own chunks
 * @fullmm: nobody uses the address space any more
 * @caller: the task that calls ktask_run()
 * @details: what to zap
 * @max_threads: how many may unmap at once, 0 for no limit
 * @max_helpers: how many helpers it may have in all, 0 for no limit
 * @handed_out: where the chunks that were handed out end
 *
 * Constant while the task runs, but for @handed_out, which ktask's lock for
 * iterators protects.
 */
struct ktask_unmap {
	struct ktask_unmap_range	range;
	struct mmu_gather		*tlb;
	bool				fullmm;
	struct task_struct		*caller;
	struct zap_details		*details;
	unsigned int			max_threads;
	unsigned int			max_helpers;
	unsigned long			handed_out;
};

static void *ktask_unmap_iter(void *position, size_t nsteps, void *arg)
{
	struct ktask_unmap_cursor cursor = { .addr = (unsigned long)position };
	struct ktask_unmap *unmap = arg;

	ktask_unmap_advance(&unmap->range, &cursor, nsteps);
	unmap->handed_out = cursor.addr;
	return (void *)cursor.addr;
}

/*
 * May the caller's CPU stop using the address space? Only x86, which has leave_mm(),
 * leaves such a CPU alone; and segments of an LDT would not be reloaded.
 */
static bool ktask_unmap_can_leave_mm(struct mm_struct *mm)
{
#if !defined(leave_mm)
	return false;
#elif defined(CONFIG_MODIFY_LDT_SYSCALL)
	return !READ_ONCE(mm->context.ldt);
#else
	return true;
#endif
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
 * Being lazy would not do, nor leave_mm(), for which the CPU has to be lazy first:
 * an NMI that looks at user memory has to find that it must not.
 */
static void ktask_unmap_leave_mm(struct mm_struct *mm)
{
#ifdef leave_mm
	if (current->mm != mm || !ktask_unmap_can_leave_mm(mm))
		return;

	guard(irq)();
	switch_mm_irqs_off(mm, &init_mm, NULL);
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

	start = max(start, unmap->range.start);
	end = min(end, unmap->range.end);
	if (start >= end)
		return;

	ktask_unmap_walk_init(&walk, &unmap->range, start);
	while ((vma = ktask_unmap_next(&walk)) && vma->vm_start < end) {
		unsigned long first = max(vma->vm_start, start);
		unsigned long last = min(vma->vm_end, end);

		if (vma->vm_file)
			uprobe_munmap(vma, first, last);
		unmap_page_range(tlb, vma, first, last, unmap->details);
	}
}

/*
 * Will nobody else use the address space for as long as the task takes, neither
 * another CPU nor a device, so that a flush concerns nobody? At exit nobody does, but
 * some architectures interrupt CPUs that did all the same.
 */
static bool ktask_unmap_stays_private(const struct ktask_unmap *unmap)
{
	struct mm_struct *mm = unmap->range.mm;

	if (unmap->fullmm)
		return IS_ENABLED(CONFIG_X86) || IS_ENABLED(CONFIG_ARM64);

	return atomic_read(&mm->mm_users) <= 1 && !mm_has_notifiers(mm) &&
	       ktask_unmap_can_leave_mm(mm);
}

/*
 * A gather is kept from chunk to chunk. Where a flush interrupts other CPUs, or goes
 * to the TLBs of devices, it is for when the gather is full, as in the stock path.
 * Where it does not, free the pages of each chunk at once: so that a helper that has
 * to leave can do so, that an OOM victim's memory is there soon, and that chunks cost
 * what they cost.
 *
 * Others may begin to use the address space, and stop, so ask after each chunk: is
 * there nobody just now whom a flush would concern?
 */
static bool ktask_unmap_is_private(const struct ktask_unmap *unmap)
{
	struct mm_struct *mm = unmap->range.mm;

	if (ktask_unmap_stays_private(unmap))
		return true;
	/* Not everywhere does mm_cpumask() say who uses it. */
	return ktask_unmap_can_leave_mm(mm) && !mm_has_notifiers(mm) &&
	       cpumask_any_but(mm_cpumask(mm), raw_smp_processor_id()) >=
	       nr_cpu_ids;
}

/* Are pages written over when they are freed? */
static bool ktask_unmap_writes(void)
{
	return want_init_on_free() || page_poisoning_enabled_static();
}

/*
 * How many bytes freeing what a gather has may write over: folios are freed as a
 * whole, but not those of files, nor what others still map.
 */
static size_t ktask_unmap_gathered(const struct mmu_gather *tlb)
{
	const struct mmu_gather_batch *batch;
	struct folio *folio, *last = NULL;
	size_t bytes = 0;
	unsigned int i;

	for (batch = &tlb->local; batch && batch->nr; batch = batch->next) {
		for (i = 0; i < batch->nr; i++) {
			struct encoded_page *page = batch->encoded_pages[i];

			/* Then the next entry is a number. */
			if (encoded_page_flags(page) & ENCODED_PAGE_BIT_NR_PAGES_NEXT)
				i++;
			folio = page_folio(encoded_page_ptr(page));
			if (folio != last && folio_test_anon(folio) &&
			    !folio_mapped(folio))
				bytes += folio_size(folio);
			last = folio;
		}
	}
	return bytes;
}

/*
 * Has a helper put off so much that it would be kept for too long? A gather may
 * have 19 GiB of huge pages, and where pages are written over that takes seconds.
 * Of the addresses in @put_off there may be little that has pages: then that becomes
 * what has been gathered.
 */
static bool ktask_unmap_put_off_much(const struct mmu_gather *tlb, size_t *put_off)
{
	if (*put_off < KTASK_UNMAP_PUT_OFF_MAX || !ktask_unmap_writes())
		return false;

	*put_off = ktask_unmap_gathered(tlb);
	return *put_off >= KTASK_UNMAP_PUT_OFF_MAX;
}

/* The caller's chunks. What its gather has in the end is flushed as ever. */
static void ktask_unmap_by_caller(const struct ktask_unmap *unmap, void *start,
				  void *end)
{
	bool out = false;

	do {
		if (ktask_nr_helpers()) {
			ktask_unmap_leave_mm(unmap->range.mm);
			out = true;
		} else if (out) {
			ktask_unmap_return_to_mm(unmap->range.mm);
			out = false;
		}
		ktask_unmap_chunk(unmap->tlb, unmap, (unsigned long)start,
				  (unsigned long)end);
		if (ktask_unmap_is_private(unmap))
			tlb_flush_mmu(unmap->tlb);
	} while (ktask_next_chunk(&start, &end));
}

/* What this CPU has counted goes to the sums: most readers do not ask each CPU. */
static void ktask_unmap_sum_up(struct mm_struct *mm)
{
	int i;

	for (i = 0; i < NR_MM_COUNTERS; i++)
		percpu_counter_sync(&mm->rss_stat[i]);
}

/* A helper's chunks. Its gather flushes once more if it has something. */
static void ktask_unmap_by_helper(const struct ktask_unmap *unmap, void *start,
				  void *end)
{
	struct mmu_gather tlb;
	size_t put_off = 0;

	if (unmap->fullmm)
		tlb_gather_mmu_fullmm(&tlb, unmap->range.mm);
	else
		tlb_gather_mmu(&tlb, unmap->range.mm);
	do {
		ktask_unmap_chunk(&tlb, unmap, (unsigned long)start,
				  (unsigned long)end);
		put_off += end - start;
		if (ktask_unmap_is_private(unmap) ||
		    ktask_unmap_put_off_much(&tlb, &put_off)) {
			tlb_flush_mmu(&tlb);
			put_off = 0;
		}
	} while (ktask_next_chunk(&start, &end));
	tlb_finish_mmu_part(&tlb);
	mlock_drain_local();
	if (!unmap->fullmm)
		ktask_unmap_sum_up(unmap->range.mm);
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

/*
 * Set how many threads may unmap what was counted. Returns false if it is left to
 * the stock path.
 *
 * Swap entries are freed under locks of the swap device and of what lies below
 * it: with zram two threads took 63 % more CPU time to be 13 % faster. Where such
 * entries are the smaller part, ktask finds out whether helpers gain. Where chunks do
 * not cost what they cost that takes long, so there they have to be few. How many of
 * them are in the range, and where, nobody knows. Until it is found out that threads
 * wait for each other there, each takes as long as all of them: so the more entries
 * there may be, the fewer threads.
 *
 * Each helper flushes once more than the caller alone would. Where other CPUs use
 * the address space that interrupts them all. So if there may be such, or devices,
 * there are no more helpers than the caller alone would flush for pages of these
 * sizes, and at most twice as many interrupts. Nobody looks how much is mapped below
 * a PMD, or whether in folios, of which a gather has room for more: then there is one
 * interrupt more per helper. And helpers flush more often where freeing takes so long
 * that ktask_unmap_put_off_much() bounds it. Those that are sent away to see whether
 * they gain, and come again, flush once more each time; gathers get full more often.
 */
static bool ktask_unmap_set_limits(struct ktask_unmap *unmap,
				   const struct ktask_unmap_cursor *counted)
{
	struct mm_struct *mm = unmap->range.mm;
	unsigned long swapped = get_mm_counter(mm, MM_SWAPENTS);
	unsigned long rss = get_mm_rss(mm);
	unsigned long pages = min(rss, counted->bytes / PAGE_SIZE);
	unsigned long small, entries;

	if (ktask_eager())
		return true;
	if (counted->bytes < KTASK_UNMAP_FLOOR)
		return false;
	if (swapped)
		unmap->max_threads = clamp(pages / swapped / KTASK_UNMAP_SWAP_WAITS,
					   KTASK_UNMAP_SWAP_THREADS, UINT_MAX);
	if (ktask_unmap_stays_private(unmap))
		return true;
	if (!ktask_unmap_is_private(unmap) &&
	    swapped > pages / KTASK_UNMAP_SWAPPED)
		return false;

	small = (counted->bytes - counted->huge * PMD_SIZE) / PAGE_SIZE;
	entries = min(small, rss) + counted->huge;
	unmap->max_helpers = entries / KTASK_UNMAP_GATHER;
	return unmap->max_helpers;
}

/*
 * Begin as the stock path does, and go on like that while the rest is not worth a
 * helper: page tables may have little in them, and huge pages are unmapped soon. A
 * task would cost more than it could gain there. Pages are freed later, when the
 * gather is full: so not where that is most of the work. Returns how much is left.
 */
static size_t ktask_unmap_begin(struct ktask_unmap *unmap, size_t left)
{
	size_t step = KTASK_UNMAP_FIRST;

	if (ktask_unmap_writes() || ktask_eager())
		return left;

	while (left) {
		unsigned long start = unmap->handed_out;
		u64 ns = local_clock();

		ktask_unmap_iter((void *)start, step, unmap);
		ktask_unmap_chunk(unmap->tlb, unmap, start, unmap->handed_out);
		left -= min(left, step);
		if (ktask_would_help(left, step, local_clock() - ns))
			break;
		step = min_t(size_t, 2 * step, KTASK_UNMAP_CHUNK_MAX);
		cond_resched();
	}
	return left;
}

static void ktask_unmap_by_all(struct ktask_unmap *unmap, size_t bytes)
{
	DEFINE_KTASK_CTL(ctl, ktask_unmap_chunks, unmap, PMD_SIZE);

	if (ktask_unmap_is_private(unmap))
		tlb_flush_mmu(unmap->tlb);

	ktask_ctl_set_iter_func(&ctl, ktask_unmap_iter);
	ktask_ctl_set_max_threads(&ctl, unmap->max_threads);
	ktask_ctl_set_max_helpers(&ctl, unmap->max_helpers);
	ctl.kc_max_chunk_size = KTASK_UNMAP_CHUNK_MAX;
	/* A chunk in which the gather gets full frees pages of those before. */
	ctl.kc_uneven = !ktask_unmap_is_private(unmap);
	ktask_run((void *)unmap->handed_out, bytes, &ctl);

	ktask_unmap_return_to_mm(unmap->range.mm);
}

static void ktask_unmap_run(struct ktask_unmap *unmap,
			    const struct ktask_unmap_cursor *counted)
{
	size_t left;

	unmap->handed_out = round_down(unmap->range.start, PMD_SIZE);
	left = ktask_unmap_begin(unmap, counted->bytes);
	if (left)
		ktask_unmap_by_all(unmap, left);

	/* Page tables that came into being meanwhile, beside or below us. */
	if (unmap->handed_out < unmap->range.end)
		ktask_unmap_chunk(unmap->tlb, unmap, unmap->handed_out,
				  unmap->range.end);
}

/*
 * Could a part of an address space that others may go on to use be unmapped in
 * parallel? Not where a flush follows each part of a VMA, nor where the CPU of the
 * caller has to be interrupted by the flushes of helpers, as its own has not.
 */
static bool ktask_unmap_parts(void)
{
#ifdef leave_mm
	return IS_ENABLED(CONFIG_MMU_GATHER_MERGE_VMAS);
#else
	return false;
#endif
}

/*
 * Is there enough memory for a task, and may the caller have helpers for it? Not
 * where swap entries are the larger part: see ktask_unmap_set_limits().
 *
 * Of a process that ends, who has a gather besides the caller is the OOM reaper or
 * process_mrelease(). It walks the same tables, and is a second thread already.
 */
static bool ktask_unmap_is_worth(struct mm_struct *mm, bool fullmm)
{
	unsigned long rss, swapped;

	if (!ktask_enabled() || (!fullmm && !ktask_unmap_parts()))
		return false;
	/* Of a small process the counters may have nothing yet. */
	if (ktask_eager())
		return true;

	rss = get_mm_rss(mm);
	swapped = get_mm_counter(mm, MM_SWAPENTS);
	if (swapped > rss || (fullmm && mm_tlb_flush_nested(mm)))
		return false;
	return rss + swapped >= KTASK_UNMAP_FLOOR / PAGE_SIZE &&
	       ktask_available();
}

/* Unmap the VMAs that concern the caller as a whole. */
static void ktask_unmap_whole_vmas(struct ktask_unmap *unmap,
				   struct ma_state mas,
				   struct vm_area_struct *vma,
				   unsigned long tree_end, bool mm_wr_locked)
{
	do {
		unsigned long first = unmap->range.start;
		unsigned long last = unmap->range.end;

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
		.range = {
			.mm = tlb->mm,
			.tree = mas->tree,
			.tree_end = tree_end,
			.start = max(start, vma->vm_start),
			.end = end,
		},
		.tlb = tlb,
		.caller = current,
		.details = details,
		.fullmm = tlb->fullmm,
	};
	struct ktask_unmap_cursor counted = { };
	bool serial, uncounted = false;

	/* A mapping that failed half-way is in no tree: see unmap_region(). */
	if (mas->tree == &tlb->mm->mm_mt && tree_end != ULONG_MAX)
		return false;
	if (!ktask_unmap_is_worth(tlb->mm, tlb->fullmm))
		return false;
	serial = ktask_unmap_collect(&unmap.range, *mas, vma, tree_end,
				     &counted, &uncounted);
	if (!ktask_unmap_set_limits(&unmap, &counted))
		return false;

	if (serial)
		ktask_unmap_whole_vmas(&unmap, *mas, vma, tree_end,
				       mm_wr_locked);
	if (uncounted) {
		/* Their page tables are still there. */
		counted = (struct ktask_unmap_cursor){ };
		ktask_unmap_count(&unmap.range, &counted, unmap.range.start,
				  unmap.range.end);
	}
	ktask_unmap_run(&unmap, &counted);
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
		.range = {
			.mm = vma->vm_mm,
			.vma = vma,
			.start = start,
			.end = end,
		},
		.tlb = &tlb,
		.caller = current,
	};

	mmap_assert_locked(vma->vm_mm);
	if (ktask_unmap_serial(vma) || !ktask_unmap_is_worth(vma->vm_mm, false))
		return false;
	ktask_unmap_count(&unmap.range, &counted, start, end);
	if (!ktask_unmap_set_limits(&unmap, &counted))
		return false;

	lru_add_drain();
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, vma->vm_mm, start,
				end);
	tlb_gather_mmu(&tlb, vma->vm_mm);
	update_hiwater_rss(vma->vm_mm);
	mmu_notifier_invalidate_range_start(&range);
	ktask_unmap_run(&unmap, &counted);
	mmu_notifier_invalidate_range_end(&range);
	tlb_finish_mmu(&tlb);
	return true;
}
