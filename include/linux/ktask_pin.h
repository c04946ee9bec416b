/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pinning large ranges of user memory with ktask, ahead of a client that uses
 * the pages in order
 */
#ifndef _LINUX_KTASK_PIN_H
#define _LINUX_KTASK_PIN_H

#include <linux/types.h>

struct page;

/**
 * struct ktask_pin - pages that were pinned ahead of their use
 * @remote: pin as pin_user_pages_remote() does with no one to drop mmap_lock:
 *	without regard to memory protection keys, and failing where userfaultfd
 *	would have to be waited for. Set by the client
 * @charge: charges so many pages against the limit that the client's pages count
 *	towards, or takes the charge back if negative, which cannot fail. May
 *	sleep. NULL if there is none. Set by the client
 * @client: for @charge. Set by the client
 * @charged: pages that were charged and that the client has not claimed
 * @pages: room for a window of them, NULL until the first one
 * @size: room in @pages
 * @end: where the range that the client is at ends
 * @watched: where the pages end that the client pins while we watch
 * @faults: the client's page faults when that began
 * @since: when that was, by local_clock()
 * @alone: what the client took for the pages that we watched last, in nanoseconds
 * @present: none of these had to be faulted in
 * @futile: helpers did not do better with pages of this range that were there
 * @next: pages that the next window should have, 0 while we watch
 * @start: user address that the window begins at
 * @nr: pages in the window
 * @taken: those of them that the client has got
 * @serial: nothing is pinned ahead any more
 * @refused: when limits had no room for any helper, in jiffies; 0 at first
 *
 * Zeroes to begin with, but for what the client sets; it serialises its calls.
 */
struct ktask_pin {
	bool		remote;
	int		(*charge)(struct ktask_pin *pin, long nr_pages);
	void		*client;
	unsigned long	charged;
	struct page	**pages;
	unsigned long	size;
	unsigned long	end;
	unsigned long	watched;
	unsigned long	faults;
	u64		since;
	u64		alone;
	bool		present;
	bool		futile;
	unsigned long	next;
	unsigned long	start;
	unsigned long	nr;
	unsigned long	taken;
	bool		serial;
	unsigned long	refused;
};

#ifdef CONFIG_KTASK
unsigned long ktask_pin_take(struct ktask_pin *pin, unsigned long start,
			     unsigned long nr_pages, unsigned long nr_ahead,
			     unsigned int gup_flags, struct page **pages);
unsigned long ktask_pin_claim(struct ktask_pin *pin, unsigned long nr_pages,
			      unsigned long nr_later);
void ktask_pin_end(struct ktask_pin *pin);
#else
static inline unsigned long ktask_pin_take(struct ktask_pin *pin,
					   unsigned long start,
					   unsigned long nr_pages,
					   unsigned long nr_ahead,
					   unsigned int gup_flags,
					   struct page **pages)
{
	return 0;
}

static inline unsigned long ktask_pin_claim(struct ktask_pin *pin,
					    unsigned long nr_pages,
					    unsigned long nr_later)
{
	return 0;
}

static inline void ktask_pin_end(struct ktask_pin *pin)
{
}
#endif

#endif /* _LINUX_KTASK_PIN_H */
