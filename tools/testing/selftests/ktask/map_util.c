// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE

#include <fcntl.h>
#include <linux/mman.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../cgroup/cgroup_util.h"
#include "map_util.h"

#define STAT_REFRESH	"/proc/sys/vm/stat_refresh"

/*
 * Kinds of memory
 */

/* Each page that was there knows its number, away from where devices write. */
#define NUMBER_AT	2048

static uint64_t *number_of(const struct memory *memory, size_t pos)
{
	return (uint64_t *)(memory->base + pos + NUMBER_AT);
}

/* Was the page at this position there before? */
bool was_present(const struct memory *memory, size_t pos)
{
	switch (memory->state) {
	case FRESH:
		return false;
	case PRESENT:
		return true;
	default:
		return pos / memory->step % 2 == 0;
	}
}

static void fill_memory(struct memory *memory)
{
	size_t pos;

	for (pos = 0; pos < memory->size; pos += PAGE)
		if (was_present(memory, pos))
			*number_of(memory, pos) = pos + 1;
}

/* What was there still is, and the rest came as zeroes. */
bool numbers_are_right(const struct memory *memory)
{
	uint64_t number, wanted;
	size_t pos;

	for (pos = 0; pos < memory->size; pos += PAGE) {
		number = *number_of(memory, pos);
		wanted = was_present(memory, pos) ? pos + 1 : 0;
		if (number == wanted)
			continue;
		ksft_print_msg("the page at %#zx has number %#llx, not %#llx\n",
			       pos, (unsigned long long)number,
			       (unsigned long long)wanted);
		failures++;
		return false;
	}
	return true;
}

static int tmpfs_file(size_t size)
{
	char path[] = "/dev/shm/ktask_XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		return -1;
	unlink(path);
	if (!ftruncate(fd, size))
		return fd;
	close(fd);
	return -1;
}

static int memfd_of(size_t size)
{
	int fd = memfd_create("ktask", MFD_CLOEXEC);

	if (fd < 0 || !ftruncate(fd, size))
		return fd;
	close(fd);
	return -1;
}

static char *map_file_of(int fd, size_t size, size_t offset, int flags)
{
	char *base;

	if (!EXPECT(fd >= 0))
		return NULL;
	base = map_aligned(size, offset, RW, flags, fd);
	close(fd);
	return base;
}

/* No pages may be left, and then none is to be had here. */
static char *map_hugetlb(size_t size, int size_flag)
{
	char *base = mmap(NULL, size, RW, ANON | MAP_HUGETLB | size_flag, -1, 0);

	return base == MAP_FAILED ? NULL : base;
}

/* Without transparent huge pages there is no advice either: as well. */
static char *map_anon(size_t size, size_t offset, int advice)
{
	char *base = map_aligned(size, offset, RW, ANON, -1);

	if (base && madvise(base, size, advice) && advice == MADV_HUGEPAGE)
		return NULL;
	return base;
}

static char *map_kind(enum kind kind, size_t size, size_t offset)
{
	switch (kind) {
	case KIND_ANON:
		return map_anon(size, offset, MADV_NOHUGEPAGE);
	case KIND_THP:
		return map_anon(size, offset, MADV_HUGEPAGE);
	case KIND_HUGETLB_2M:
		return map_hugetlb(size, MAP_HUGE_2MB);
	case KIND_HUGETLB_1G:
		return map_hugetlb(size, MAP_HUGE_1GB);
	case KIND_MEMFD:
		return map_file_of(memfd_of(size), size, offset, MAP_SHARED);
	case KIND_TMPFS:
		return map_file_of(tmpfs_file(size), size, offset, MAP_SHARED);
	default:
		return map_file_of(make_file(size), size, offset, MAP_PRIVATE);
	}
}

/* Kinds that a machine may lack make their test skip. */
int make_memory(struct memory *memory, enum kind kind, enum state state,
		size_t size, size_t offset)
{
	*memory = (struct memory){
		.size = kind == KIND_HUGETLB_1G ? MIB(1024) : size,
		.step = PAGE,
		.state = state,
	};
	memory->base = map_kind(kind, memory->size, offset);
	if (kind == KIND_THP || kind == KIND_HUGETLB_2M)
		memory->step = PMD_BYTES;
	if (kind == KIND_HUGETLB_1G)
		memory->step = MIB(1024);

	if (!memory->base && memory->step > PAGE)
		return skip("no memory in pages of %zu KiB",
			    memory->step / 1024);
	if (!EXPECT(memory->base))
		return KSFT_FAIL;
	fill_memory(memory);
	return KSFT_PASS;
}

/*
 * Spaces
 */

static struct dma spaces[2];

/* Each has half of the devices, but for the two that are to spare. */
static unsigned int space_devices(void)
{
	unsigned int all = dma_count(DMA_IOMMUFD);
	unsigned int nr = all > 2 ? (all - 2) / 2 : 0;

	return nr < DMA_MAX_DEVICES ? nr : DMA_MAX_DEVICES;
}

void open_spaces(void)
{
	unsigned int nr = space_devices();

	if (nr && dma_count(DMA_TYPE1)) {
		dma_open(&spaces[DMA_TYPE1], DMA_TYPE1, 0, nr);
		dma_open(&spaces[DMA_IOMMUFD], DMA_IOMMUFD, nr, nr);
	}
}

/* None if there are no devices. */
struct dma *space_of(enum dma_api api)
{
	return spaces[api].nr_devices ? &spaces[api] : NULL;
}

unsigned int first_spare(void)
{
	return 2 * space_devices();
}

/*
 * Boxes
 */

static struct box box_here;

struct box *here(void)
{
	return &box_here;
}

/* Run @fn in a box. Whoever wants helpers there says so from within. */
int in_box(int (*fn)(void *arg), void *arg)
{
	int status;

	if (!make_box(&box_here) || !EXPECT(enter_box(&box_here, fn, arg) > 0))
		return KSFT_FAIL;
	status = leave_box(&box_here);
	empty_box(&box_here);
	if (!EXPECT(WIFEXITED(status)))
		return KSFT_FAIL;
	return failures ? KSFT_FAIL : WEXITSTATUS(status);
}

long lent_here(void)
{
	return box_lent(&box_here);
}

/* At least one helper was lent since, where that is possible and told. */
bool expect_lent(long before)
{
	long lent = lent_here() - before;

	return before < 0 || !can_have_helpers() ||
	       EXPECT_RANGE(lent, 1, LONG_MAX);
}

/*
 * Pins
 */

static long vmstat(const char *text, const char *key)
{
	const char *line = strstr(text, key);

	return line ? atol(line + strlen(key)) : -1;
}

long pins_held(void)
{
	static char text[1 << 14];

	/* What CPUs have counted for themselves goes to the sums first. */
	write_text_to(STAT_REFRESH, "1");
	if (read_text("/proc/vmstat", text, sizeof(text)) <= 0)
		return -1;
	return vmstat(text, "nr_foll_pin_acquired ") -
	       vmstat(text, "nr_foll_pin_released ");
}

bool dma_works(struct dma *dma, uint64_t iova)
{
	static const char hello[] = "a device was here";
	char *memory = map_aligned(2 * PAGE, PAGE, RW, ANON, -1);
	bool ok;

	if (!EXPECT(memory) ||
	    !EXPECT_EQ(dma_map(dma, memory, 2 * PAGE, iova, true), 0))
		return false;
	ok = EXPECT(dma_write(dma, iova + PAGE - 5, hello, sizeof(hello))) &&
	     EXPECT(!strcmp(memory + PAGE - 5, hello));
	ok &= EXPECT_EQ(dma_unmap(dma, iova, 2 * PAGE), 0);
	munmap(memory, 2 * PAGE);
	return ok;
}
