// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pinning of large ranges of user memory as ktask tasks
 *
 * Who maps a guest's memory for a device pins it from its start to its end, a
 * batch of pages at a time, and nearly all the time goes into faulting in and
 * clearing those that are not there yet. Here a window of pages is faulted in
 * and pinned by all threads that the caller may have, ahead of the client,
 * which then takes them out of the window batch by batch, as if it had pinned
 * them itself: it maps and unpins them as ever, in the same order.
 *
 * Either all pages of a window are pinned or none is. Where one cannot be, the
 * client's own call meets the same obstacle, and its error is the one that
 * counts; nothing is pinned ahead after that. What is too small to be worth a
 * task, or is there already and quickly pinned, is left to the client as well.
 *
 * A window is charged before it is pinned, and the charge is the client's as it
 * gets to it. So nothing is pinned ahead that the client's limit has no room for,
 * and where that is reached the client finds out as ever.
 *
 * A chunk is faulted in under the mmap_lock that it takes for itself, so the
 * caller must not hold it: a writer that waits would come between the two.
 */
#include <linux/export.h>
#include <linux/hugetlb.h>
#include <linux/ktask.h>
#include <linux/ktask_pin.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/sched/clock.h>
#include <linux/sizes.h>
#include <linux/slab.h>

/*
 * Ranges with less memory than this are left to the client: clearing it takes
 * some milliseconds, of which helpers could save a part.
 */
#define KTASK_PIN_FLOOR		(ktask_eager() ? 4 : SZ_16M / PAGE_SIZE)

/*
 * The client pins so many pages itself while we watch whether there would be
 * anything to do for helpers: that costs nothing where there is not. No window
 * has fewer.
 */
#define KTASK_PIN_WATCH		(ktask_eager() ? 2 : SZ_8M / PAGE_SIZE)

/* To clear a gigantic page takes tens of milliseconds; no less than this */
#define KTASK_PIN_GIGANTIC_NS	(20 * NSEC_PER_MSEC)

/*
 * There is if anything was faulted in, or if so many pages took half a
 * millisecond although they were there: 16 GiB/s. Large folios are faster. If a
 * window of pages that were there then takes as long as the client alone would,
 * the rest of the range has helpers only where something is faulted in.
 */
#define KTASK_PIN_CHEAP		(500 * NSEC_PER_USEC)

/*
 * Windows grow to this many pages. All threads meet at the end of one, and what
 * the client does with it is done by one thread: large enough that the former
 * does not matter. Many are to be unpinned if an error ends all: small enough
 * for that. The array takes 512 KiB.
 */
#define KTASK_PIN_WINDOW	(ktask_eager() ? 64 : SZ_256M / PAGE_SIZE)

/*
 * Chunks are multiples of this. Within a PMD one thread is enough to clear a
 * huge page; and no two of them meet at a folio's reference count, unless it is
 * one of hugetlbfs. But where base pages are large, a PMD is larger than a window.
 */
#define KTASK_PIN_UNIT		(ktask_eager() ? PAGE_SIZE : min(PMD_SIZE, SZ_2M))

/* Pages that are pinned with mmap_lock held for a caller like that */
#define KTASK_PIN_LOCKED	512UL

/* How to pin; constant while a task runs */
struct ktask_pin_how {
	struct mm_struct	*mm;
	unsigned int		gup_flags;
	bool			remote;
};

static struct ktask_pin_how ktask_pin_how(const struct ktask_pin *pin,
					  unsigned int gup_flags)
{
	return (struct ktask_pin_how) {
		.mm = current->mm,
		.gup_flags = gup_flags,
		.remote = pin->remote,
	};
}

/* As the client would; at least one page, or an error. */
static long ktask_pin_pages(const struct ktask_pin_how *how, unsigned long addr,
			    unsigned long nr_pages, struct page **pages)
{
	long ret;

	if (!how->remote) {
		ret = pin_user_pages_fast(addr, nr_pages, how->gup_flags,
					  pages);
		return ret ?: -EFAULT;
	}

	if (mmap_read_lock_killable(how->mm))
		return -EINTR;
	ret = pin_user_pages_remote(how->mm, addr,
				    min(nr_pages, KTASK_PIN_LOCKED),
				    how->gup_flags, pages, NULL);
	mmap_read_unlock(how->mm);
	return ret ?: -EFAULT;
}

/* A window that is being filled; constant while the task runs */
struct ktask_pin_task {
	struct ktask_pin_how	how;
	unsigned long		start;
	unsigned long		end;
	struct page		**pages;
};

static struct page **ktask_pin_slot(struct ktask_pin_task *task,
				    unsigned long addr)
{
	return task->pages + (addr - task->start) / PAGE_SIZE;
}

/* Chunks begin at multiples of a unit; a window may begin in between. */
static unsigned long ktask_pin_clamp(struct ktask_pin_task *task, void *addr)
{
	return clamp((unsigned long)addr, task->start, task->end);
}

static void ktask_pin_undo(void *start, void *end, void *arg)
{
	struct ktask_pin_task *task = arg;
	unsigned long first = ktask_pin_clamp(task, start);
	unsigned long last = ktask_pin_clamp(task, end);

	unpin_user_pages(ktask_pin_slot(task, first),
			 (last - first) / PAGE_SIZE);
}

static int ktask_pin_chunk(void *start, void *end, void *arg)
{
	struct ktask_pin_task *task = arg;
	unsigned long addr = ktask_pin_clamp(task, start);
	unsigned long last = ktask_pin_clamp(task, end);
	long ret;

	while (addr < last) {
		ret = ktask_pin_pages(&task->how, addr,
				      (last - addr) / PAGE_SIZE,
				      ktask_pin_slot(task, addr));
		if (ret < 0) {
			ktask_pin_undo(start, (void *)addr, task);
			return ret;
		}
		addr += ret * PAGE_SIZE;
		cond_resched();
	}
	return 0;
}

/*
 * Helpers use the caller's address space, but not its memory protection keys.
 * Where these matter they fail at memory with any other key than the first, and
 * so leave the decision to the caller. The first one, of memory that nobody gave
 * a key, is open to them.
 */
static void ktask_pin_ctl_init(struct ktask_ctl *ctl,
			       const struct ktask_pin_how *how)
{
	ctl->kc_mm = how->mm;
	ktask_ctl_set_killable(ctl);
}

/* @cost: what KTASK_PIN_WATCH pages took the client, in nanoseconds */
static int ktask_pin_run(struct ktask_pin_task *task, u64 cost)
{
	unsigned long start = round_down(task->start, KTASK_PIN_UNIT);
	unsigned long end = round_up(task->end, KTASK_PIN_UNIT);
	DEFINE_KTASK_CTL(ctl, ktask_pin_chunk, task, KTASK_PIN_UNIT);

	ktask_pin_ctl_init(&ctl, &task->how);
	ktask_ctl_set_undo_func(&ctl, ktask_pin_undo);
	ktask_ctl_set_cost(&ctl, KTASK_PIN_WATCH * PAGE_SIZE, cost);
	return ktask_run((void *)start, end - start, &ctl);
}

/* Gigantic pages of hugetlbfs that are to be faulted in */
struct ktask_pin_gigantic {
	struct ktask_pin_how	how;
	unsigned long		start;
	unsigned long		end;
	unsigned long		page_size;
};

/* Whoever pins the first small page of a huge one has faulted in all of it. */
static int ktask_pin_gigantic_chunk(void *start, void *end, void *arg)
{
	struct ktask_pin_gigantic *huge = arg;
	unsigned long addr;
	struct page *page;
	long ret;

	for (addr = (unsigned long)start; addr < (unsigned long)end;
	     addr += huge->page_size) {
		ret = ktask_pin_pages(&huge->how, addr, 1, &page);
		if (ret < 0)
			return ret;
		unpin_user_page(page);
		cond_resched();
	}
	return 0;
}

/* The next part of a range that is made of gigantic pages, in whole ones. */
static bool ktask_pin_find_gigantic(struct ktask_pin_gigantic *huge,
				    unsigned long start, unsigned long end)
{
	struct mm_struct *mm = huge->how.mm;
	struct vm_area_struct *vma;
	bool found = false;

	if (mmap_read_lock_killable(mm))
		return false;

	VMA_ITERATOR(vmi, mm, start);
	for_each_vma_range(vmi, vma, end) {
		if (!is_vm_hugetlb_page(vma) ||
		    huge_page_size(hstate_vma(vma)) <= PMD_SIZE)
			continue;
		huge->page_size = huge_page_size(hstate_vma(vma));
		huge->start = round_up(max(start, vma->vm_start),
				       huge->page_size);
		huge->end = round_down(min(end, vma->vm_end), huge->page_size);
		found = huge->start < huge->end;
		if (found)
			break;
	}
	mmap_read_unlock(mm);
	return found;
}

/* Have the client charge what is to be pinned. */
static bool ktask_pin_charge(struct ktask_pin *pin, unsigned long nr_pages)
{
	if (!pin->charge)
		return true;
	if (pin->charge(pin, nr_pages))
		return false;

	pin->charged += nr_pages;
	return true;
}

/* Take back what more than so many pages were charged. */
static void ktask_pin_uncharge(struct ktask_pin *pin, unsigned long nr_pages)
{
	if (pin->charged <= nr_pages)
		return;

	pin->charge(pin, nr_pages - pin->charged);
	pin->charged = nr_pages;
}

/*
 * A page of 1 GiB is larger than a window, so no two of them would be cleared
 * side by side there. So fault these in beforehand, for the whole range, if the
 * client's limit has room for that. If it fails, whoever pins will fail as well,
 * and say so.
 */
static void ktask_pin_fault_in_gigantic(struct ktask_pin *pin,
					unsigned long start, unsigned long end,
					unsigned int gup_flags)
{
	struct ktask_pin_gigantic huge = {
		.how = ktask_pin_how(pin, gup_flags),
	};
	unsigned long charged = pin->charged;
	int err = 0;

	while (!err && ktask_pin_find_gigantic(&huge, start, end)) {
		unsigned long size = huge.end - huge.start;
		DEFINE_KTASK_CTL(ctl, ktask_pin_gigantic_chunk, &huge,
				 huge.page_size);

		if (!ktask_pin_charge(pin, size / PAGE_SIZE))
			break;
		ktask_pin_ctl_init(&ctl, &huge.how);
		/* One page is worth a helper: do not wait for the first to tell. */
		ktask_ctl_set_cost(&ctl, huge.page_size, KTASK_PIN_GIGANTIC_NS);
		err = ktask_run((void *)huge.start, size, &ctl);
		ktask_pin_uncharge(pin, charged);
		start = huge.end;
	}
}

/* Make room for a window; if there is no memory for that, a smaller one does. */
static bool ktask_pin_alloc(struct ktask_pin *pin, unsigned long size)
{
	struct page **pages;

	if (size <= pin->size)
		return true;

	pages = kvmalloc_array(size, sizeof(*pages),
			       GFP_KERNEL_ACCOUNT | __GFP_NOWARN |
			       __GFP_RETRY_MAYFAIL);
	if (!pages)
		return pin->pages;

	kvfree(pin->pages);
	pin->pages = pages;
	pin->size = size;
	return true;
}

/* Page faults of current, and of its helpers once it has settled with them */
static unsigned long ktask_pin_faults(void)
{
	return current->min_flt + current->maj_flt;
}

static void ktask_pin_begin_to_watch(struct ktask_pin *pin)
{
	pin->faults = ktask_pin_faults();
	pin->since = local_clock();
}

/* What it took since then to pin so many pages, for KTASK_PIN_WATCH of them */
static u64 ktask_pin_took(struct ktask_pin *pin, unsigned long nr_pages)
{
	u64 ns = max_t(s64, local_clock() - pin->since, 0);

	return div64_ul(ns * KTASK_PIN_WATCH, nr_pages);
}

/*
 * Is there anything to do for helpers, as far as the last pages tell, be it a
 * window or what the client pinned alone? Both include what it did with them.
 */
static bool ktask_pin_is_worth_it(struct ktask_pin *pin)
{
	bool faulted = ktask_pin_faults() != pin->faults;
	bool ahead = pin->next;
	u64 ns = ktask_pin_took(pin, ahead ? pin->nr : KTASK_PIN_WATCH);

	if (!ahead) {
		pin->alone = ns;
		pin->present = !faulted;
	} else if (!faulted && pin->present && ns >= pin->alone) {
		pin->futile = true;
	}

	return faulted || (ns >= KTASK_PIN_CHEAP && !pin->futile) ||
	       ktask_eager();
}

/* Let the client go on, up to some pages from here. */
static void ktask_pin_watch(struct ktask_pin *pin, unsigned long start,
			    unsigned long end)
{
	pin->end = end;
	pin->watched = start + KTASK_PIN_WATCH * PAGE_SIZE;
	pin->next = 0;
	ktask_pin_begin_to_watch(pin);
}

/* Fill the window. Returns false if the client has to pin, for good. */
static bool ktask_pin_fill(struct ktask_pin *pin, unsigned long start,
			   unsigned long nr_ahead, unsigned int gup_flags)
{
	struct ktask_pin_task task = {
		.how = ktask_pin_how(pin, gup_flags),
		.start = start,
	};
	unsigned long charged = pin->charged;

	nr_ahead = min(nr_ahead, max(pin->next, KTASK_PIN_FLOOR));
	if (!ktask_pin_alloc(pin, nr_ahead))
		return false;

	nr_ahead = min(nr_ahead, pin->size);
	if (!ktask_pin_charge(pin, nr_ahead))
		return false;

	task.end = start + nr_ahead * PAGE_SIZE;
	task.pages = pin->pages;
	ktask_pin_begin_to_watch(pin);
	if (ktask_pin_run(&task, pin->alone)) {
		ktask_pin_uncharge(pin, charged);
		return false;
	}

	pin->start = start;
	pin->nr = nr_ahead;
	pin->taken = 0;
	pin->next = min(nr_ahead * 4, KTASK_PIN_WINDOW);
	return true;
}

/* At the start of a range. */
static void ktask_pin_begin(struct ktask_pin *pin, unsigned long start,
			    unsigned long end, unsigned int gup_flags)
{
	pin->futile = false;
	ktask_pin_fault_in_gigantic(pin, start, end, gup_flags);
	ktask_pin_watch(pin, start, end);
}

/* Is there enough to do, and may helpers do it? */
static bool ktask_pin_may(struct ktask_pin *pin, bool same_range,
			  unsigned long nr_ahead)
{
	if (nr_ahead < (same_range ? KTASK_PIN_WATCH : KTASK_PIN_FLOOR) ||
	    pin->serial || !time_after(jiffies, pin->refused))
		return false;
	if (ktask_available())
		return true;

	/* The client may ask for each single page: ask again a tick later. */
	pin->refused = jiffies;
	return false;
}

/* There is nothing left: pin another window, or watch, or leave it at that. */
static void ktask_pin_go_on(struct ktask_pin *pin, unsigned long start,
			    unsigned long nr_ahead, unsigned int gup_flags)
{
	unsigned long end = start + nr_ahead * PAGE_SIZE;
	bool same_range = end == pin->end;

	/* Asked first, because asked often. */
	if (same_range && start < pin->watched)
		return;
	if (!ktask_pin_may(pin, same_range, nr_ahead))
		return;

	if (!same_range)
		ktask_pin_begin(pin, start, end, gup_flags);
	else if (ktask_pin_is_worth_it(pin))
		pin->serial = !ktask_pin_fill(pin, start, nr_ahead, gup_flags);
	else
		ktask_pin_watch(pin, start, end);
}

/*
 * A client that would pin more than what is to be watched gets just that, from
 * here. Otherwise the client pins.
 */
static unsigned long ktask_pin_alone(struct ktask_pin *pin, unsigned long start,
				     unsigned long nr_pages,
				     unsigned long nr_ahead,
				     unsigned int gup_flags,
				     struct page **pages)
{
	unsigned long left = (pin->watched - start) / PAGE_SIZE;
	struct ktask_pin_how how = ktask_pin_how(pin, gup_flags);

	if (start + nr_ahead * PAGE_SIZE != pin->end || start >= pin->watched ||
	    nr_pages <= left)
		return 0;
	return max(ktask_pin_pages(&how, start, left, pages), 0L);
}

/**
 * ktask_pin_claim - pages that the client need not charge any more
 * @pin: what was pinned so far
 * @nr_pages: pages that the client would charge now
 * @nr_later: pages that it has taken, and will charge later
 *
 * What was charged beyond these and the rest of the window turns out not to
 * count towards the limit, and is uncharged.
 *
 * Context: process context, may sleep.
 *
 * Return: for how many of @nr_pages the charge was made ahead. It is the
 * client's from now on.
 */
unsigned long ktask_pin_claim(struct ktask_pin *pin, unsigned long nr_pages,
			      unsigned long nr_later)
{
	unsigned long claimed = min(nr_pages, pin->charged);

	pin->charged -= claimed;
	ktask_pin_uncharge(pin, pin->nr - pin->taken + nr_later);
	return claimed;
}
EXPORT_SYMBOL_GPL(ktask_pin_claim);

static void ktask_pin_drop(struct ktask_pin *pin)
{
	unpin_user_pages(pin->pages + pin->taken, pin->nr - pin->taken);
	pin->taken = pin->nr;
}

/**
 * ktask_pin_take - get pages that were pinned ahead, pinning more if need be
 * @pin: what was pinned so far
 * @start: user address of the first page
 * @nr_pages: pages wanted at most
 * @nr_ahead: pages from @start on that the client goes on to take
 * @gup_flags: as for pin_user_pages_fast()
 * @pages: filled with them
 *
 * Pages of current's address space. Each that is returned has been pinned as
 * by pin_user_pages_fast(), or as &ktask_pin.remote says, and is the client's
 * from now on. Before it charges them it asks ktask_pin_claim().
 *
 * Context: process context, may sleep. The caller must not hold mmap_lock.
 *
 * Return: the number of pages; 0 if the client has to pin them itself, because
 * there are too few, its caller may have no helper, helpers are no faster, the
 * limit has no room for a window, one of them could not be pinned, or current
 * was killed.
 */
unsigned long ktask_pin_take(struct ktask_pin *pin, unsigned long start,
			     unsigned long nr_pages, unsigned long nr_ahead,
			     unsigned int gup_flags, struct page **pages)
{
	/* Left over from a range that the client gave up? */
	if (pin->taken < pin->nr &&
	    pin->start + pin->taken * PAGE_SIZE != start)
		ktask_pin_drop(pin);

	if (pin->taken == pin->nr)
		ktask_pin_go_on(pin, start, nr_ahead, gup_flags);
	if (pin->taken == pin->nr)
		return ktask_pin_alone(pin, start, nr_pages, nr_ahead,
				       gup_flags, pages);

	nr_pages = min(nr_pages, pin->nr - pin->taken);
	memcpy(pages, pin->pages + pin->taken, nr_pages * sizeof(*pages));
	pin->taken += nr_pages;
	return nr_pages;
}
EXPORT_SYMBOL_GPL(ktask_pin_take);

/**
 * ktask_pin_end - unpin what was pinned ahead and not taken, and uncharge it
 * @pin: it; ready to be used again afterwards
 *
 * Context: process context, may sleep.
 */
void ktask_pin_end(struct ktask_pin *pin)
{
	ktask_pin_drop(pin);
	ktask_pin_uncharge(pin, 0);
	kvfree(pin->pages);
	*pin = (struct ktask_pin) {
		.remote = pin->remote,
		.charge = pin->charge,
		.client = pin->client,
	};
}
EXPORT_SYMBOL_GPL(ktask_pin_end);
