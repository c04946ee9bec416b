/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of mapping memory for devices share: kinds of memory, boxes
 * that say how many helpers a mapping had, and figures of pinned memory.
 */
#ifndef _SELFTESTS_KTASK_MAP_UTIL_H
#define _SELFTESTS_KTASK_MAP_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dma.h"
#include "ktask_util.h"

#define RW		(PROT_READ | PROT_WRITE)
#define ANON		(MAP_PRIVATE | MAP_ANONYMOUS)

/* A size that is worth helpers, whatever the memory */
#define WORTH		MIB(64)

/* Smaller ranges are mapped without a thought of helpers. */
#define FLOOR		MIB(16)

/* Kinds of memory */

enum kind {
	KIND_ANON,		/* in small pages */
	KIND_THP,
	KIND_HUGETLB_2M,
	KIND_HUGETLB_1G,
	KIND_MEMFD,
	KIND_TMPFS,
	KIND_FILE_PRIVATE,	/* of a file on a disk, where there is one */
};

/* What of it is there before it is mapped for devices */
enum state {
	FRESH,
	PRESENT,
	MIXED,			/* every other page */
};

/**
 * struct memory - some memory that is to be mapped for devices
 * @base: its start
 * @size: its size in bytes
 * @step: size of its pages
 * @state: what of it was there at first
 */
struct memory {
	char		*base;
	size_t		size;
	size_t		step;
	enum state	state;
};

int make_memory(struct memory *memory, enum kind kind, enum state state,
		size_t size, size_t offset);
bool was_present(const struct memory *memory, size_t pos);
bool numbers_are_right(const struct memory *memory);

/*
 * A space for each interface, with devices, that all tests of a program share:
 * to open one takes its time. Whatever a test has done, the next one can use
 * it. Two more devices are left alone, for tests to open themselves.
 */
void open_spaces(void);
struct dma *space_of(enum dma_api api);
unsigned int first_spare(void);

/* Boxes. The one that this process is in, or was made last, is here(). */

struct box *here(void);
int in_box(int (*fn)(void *arg), void *arg);
long lent_here(void);
bool expect_lent(long before);

/* Pins of pages that are held in the whole system */
long pins_held(void);

/* Can a device use two pages that are mapped there? They are unmapped again. */
bool dma_works(struct dma *dma, uint64_t iova);

#endif /* _SELFTESTS_KTASK_MAP_UTIL_H */
