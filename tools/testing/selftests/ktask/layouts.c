// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ktask_util.h"
#include "layouts.h"

#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

#define NR_HUGEPAGES	"/proc/sys/vm/nr_hugepages"

static bool touch(char *area, size_t size)
{
	return !madvise(area, size, MADV_POPULATE_WRITE);
}

static int mapped(struct region *region, char *base, size_t size)
{
	*region = (struct region) {
		.base = base,
		.size = size,
		.resident = size,
		.fd = -1,
	};
	return EXPECT(base) ? KSFT_PASS : KSFT_FAIL;
}

/* Anonymous memory in 4 KiB pages, not touched yet. */
static int map_small_pages(struct region *region, size_t size, size_t offset)
{
	char *base = map_aligned(size, offset, RW, ANON, -1);

	if (mapped(region, base, size))
		return KSFT_FAIL;
	/* Fails without transparent huge pages: as well. */
	madvise(base, size, MADV_NOHUGEPAGE);
	return KSFT_PASS;
}

static int map_anon(struct region *region, int scale)
{
	if (map_small_pages(region, MIB(64) * scale, 0))
		return KSFT_FAIL;
	return EXPECT(touch(region->base, region->size)) ? KSFT_PASS :
							   KSFT_FAIL;
}

/* Neither start nor end is where a page table starts or ends. */
static int map_unaligned(struct region *region, int scale)
{
	if (map_small_pages(region, MIB(64) * scale - 5 * PAGE, 3 * PAGE))
		return KSFT_FAIL;
	return EXPECT(touch(region->base, region->size)) ? KSFT_PASS :
							   KSFT_FAIL;
}

static int map_thp(struct region *region, int scale)
{
	size_t size = MIB(192) * scale;
	struct figures figures;

	if (mapped(region, map_aligned(size, 0, RW, ANON, -1), size))
		return KSFT_FAIL;
	if (madvise(region->base, size, MADV_HUGEPAGE))
		return skip("no transparent huge pages");
	if (!EXPECT(touch(region->base, size)))
		return KSFT_FAIL;

	take_figures(&figures, "");
	if (figures.kb[SYS_ANON_HUGE] < (long)(size / 2048))
		return skip("not enough transparent huge pages");
	return KSFT_PASS;
}

static int map_shmem(struct region *region, int scale)
{
	size_t size = MIB(48) * scale;

	if (mapped(region, map_aligned(size, 0, RW,
				       MAP_SHARED | MAP_ANONYMOUS, -1), size))
		return KSFT_FAIL;
	return EXPECT(touch(region->base, size)) ? KSFT_PASS : KSFT_FAIL;
}

static int map_memfd(struct region *region, int scale)
{
	size_t size = MIB(48) * scale;
	int fd = memfd_create("ktask", MFD_CLOEXEC);

	if (!EXPECT(fd >= 0) || !EXPECT(!ftruncate(fd, size)) ||
	    mapped(region, map_aligned(size, PAGE, RW, MAP_SHARED, fd), size))
		return KSFT_FAIL;
	region->fd = fd;
	return EXPECT(touch(region->base, size)) ? KSFT_PASS : KSFT_FAIL;
}

static int map_file(struct region *region, size_t size, int flags)
{
	int fd = make_file(size);

	if (!EXPECT(fd >= 0) ||
	    mapped(region, map_aligned(size, 0, RW, flags, fd), size))
		return KSFT_FAIL;
	region->fd = fd;
	return KSFT_PASS;
}

/* Half of it as it is in the file, half of it copied. */
static int map_file_private(struct region *region, int scale)
{
	size_t half = MIB(24) * scale;

	if (map_file(region, 2 * half, MAP_PRIVATE))
		return KSFT_FAIL;
	return EXPECT(!madvise(region->base, half, MADV_POPULATE_READ)) &&
	       EXPECT(touch(region->base + half, half)) ? KSFT_PASS : KSFT_FAIL;
}

static int map_file_shared(struct region *region, int scale)
{
	if (map_file(region, MIB(48) * scale, MAP_SHARED))
		return KSFT_FAIL;
	return EXPECT(touch(region->base, region->size)) ? KSFT_PASS :
							   KSFT_FAIL;
}

/* Slots of pages that are still being written are not freed with the pages. */
static void wait_for_writeback(void)
{
	char text[256];
	long left;
	FILE *file;

	do {
		left = -1;
		file = fopen("/proc/meminfo", "r");
		while (file && left < 0 && fgets(text, sizeof(text), file))
			sscanf(text, "Writeback: %ld", &left);
		if (file)
			fclose(file);
	} while (left > 0 && !usleep(1000));
	EXPECT_EQ(left, 0);
}

/* Every second MiB swapped out. */
static int map_swapped(struct region *region, int scale)
{
	struct figures figures;
	size_t pos;

	if (map_anon(region, scale))
		return KSFT_FAIL;
	for (pos = 0; pos < region->size; pos += MIB(2))
		EXPECT(!madvise(region->base + pos, MIB(1), MADV_PAGEOUT));
	wait_for_writeback();

	take_figures(&figures, "");
	region->resident -= (size_t)figures.kb[SMAPS_SWAP] << 10;
	if (!EXPECT_RANGE(figures.kb[SMAPS_SWAP], 4096, region->size >> 10))
		return KSFT_FAIL;
	return KSFT_PASS;
}

static int map_every(struct region *region, size_t size, size_t step)
{
	size_t pos;

	if (map_small_pages(region, size, 0))
		return KSFT_FAIL;
	for (pos = 0; pos < size; pos += step)
		region->base[pos + step / 2] = 1;
	region->resident = size / step * PAGE;
	return KSFT_PASS;
}

/* One page in 16. */
static int map_sparse(struct region *region, int scale)
{
	return map_every(region, MIB(768) * scale, 16 * PAGE);
}

/* One page in each page table. */
static int map_very_sparse(struct region *region, int scale)
{
	return map_every(region, (MIB(1) << 14) * scale, PMD_BYTES);
}

/* A dense part behind a hole that was never touched. */
static int map_lopsided(struct region *region, int scale)
{
	size_t dense = MIB(48) * scale;

	if (map_small_pages(region, MIB(2048) + dense, PAGE))
		return KSFT_FAIL;
	region->resident = dense;
	return EXPECT(touch(region->base + region->size - dense, dense)) ?
	       KSFT_PASS : KSFT_FAIL;
}

/* A VMA for each @step: two neighbours never have the same protection. */
static int map_vmas(struct region *region, size_t size, size_t step)
{
	size_t pos;

	if (map_small_pages(region, size, 0) ||
	    !EXPECT(touch(region->base, size)))
		return KSFT_FAIL;
	for (pos = 0; pos < size; pos += 2 * step)
		if (!EXPECT(!mprotect(region->base + pos, step, PROT_READ)))
			return KSFT_FAIL;
	return KSFT_PASS;
}

static int map_many_vmas(struct region *region, int scale)
{
	return map_vmas(region, MIB(48) * scale, 4 * PAGE);
}

/* A VMA for each page. */
static int map_thin_vmas(struct region *region, int scale)
{
	return map_vmas(region, 6000 * PAGE * scale, PAGE);
}

/* Every second MiB was moved away. */
static int map_remapped(struct region *region, int scale)
{
	size_t pos;

	if (map_anon(region, scale))
		return KSFT_FAIL;

	region->aside_size = region->size / 2;
	region->aside = map_aligned(region->aside_size, 0, PROT_NONE, ANON, -1);
	if (!EXPECT(region->aside))
		return KSFT_FAIL;
	for (pos = 0; pos < region->size; pos += MIB(2))
		if (!EXPECT(mremap(region->base + pos, MIB(1), MIB(1),
				   MREMAP_MAYMOVE | MREMAP_FIXED,
				   region->aside + pos / 2) != MAP_FAILED))
			return KSFT_FAIL;
	region->resident -= region->aside_size;
	return KSFT_PASS;
}

/* Parts that cannot be accessed, with memory in them. */
static int map_prot_none(struct region *region, int scale)
{
	if (map_anon(region, scale))
		return KSFT_FAIL;
	return EXPECT(!mprotect(region->base + MIB(11), MIB(21), PROT_NONE)) ?
	       KSFT_PASS : KSFT_FAIL;
}

/* Put another mapping into a region. */
static bool put(char *at, size_t size, int prot, int flags, int fd)
{
	return mmap(at, size, prot, flags | MAP_FIXED, fd, 0) == at;
}

/* Huge pages of hugetlbfs between small ones. */
static int map_hugetlb(struct region *region, int scale)
{
	size_t huge = 2 * PMD_BYTES;

	if (read_long_from(NR_HUGEPAGES) < 2)
		write_text_to(NR_HUGEPAGES, "2");
	if (read_long_from(NR_HUGEPAGES) < 2)
		return skip("no huge pages to be had");
	/* From here on they are there, unless a teardown has lost them. */
	if (map_small_pages(region, MIB(64) * scale, 0) ||
	    !EXPECT(put(region->base + MIB(30), huge, RW,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1)))
		return KSFT_FAIL;
	/* smaps does not count them as resident. */
	region->resident -= huge;
	return EXPECT(touch(region->base, region->size)) ? KSFT_PASS :
							   KSFT_FAIL;
}

/* Something of everything. */
static int map_mixed(struct region *region, int scale)
{
	int memfd = memfd_create("ktask", MFD_CLOEXEC);
	char *at;

	if (map_file(region, MIB(96) * scale, MAP_PRIVATE))
		return KSFT_FAIL;

	at = region->base + MIB(8) + PAGE;
	if (!EXPECT(memfd >= 0) || !EXPECT(!ftruncate(memfd, MIB(64))) ||
	    !EXPECT(put(at, MIB(8), RW, ANON, -1)) ||
	    !EXPECT(put(at + MIB(8), MIB(8), RW, MAP_SHARED, memfd)) ||
	    !EXPECT(put(at + MIB(16), MIB(5), RW, MAP_PRIVATE, memfd)) ||
	    !EXPECT(put(at + MIB(22), MIB(3), PROT_NONE, ANON, -1)) ||
	    !EXPECT(put(at + MIB(25), PAGE, RW, MAP_SHARED, region->fd)) ||
	    !EXPECT(put(at + MIB(27), MIB(7), RW,
			MAP_SHARED | MAP_ANONYMOUS, -1)) ||
	    !EXPECT(put(at + MIB(40), MIB(20), RW, ANON, -1)))
		return KSFT_FAIL;
	close(memfd);
	madvise(at + MIB(40), MIB(20), MADV_HUGEPAGE);
	EXPECT(touch(region->base, MIB(30)));
	EXPECT(touch(at + MIB(25), MIB(10)));
	EXPECT(touch(at + MIB(40), MIB(21)));
	EXPECT(!munmap(at + MIB(36), MIB(2)));
	EXPECT(!mlock(at + MIB(50), MIB(1)));
	EXPECT(!madvise(at + MIB(62), MIB(9), MADV_POPULATE_READ));
	region->resident = MIB(30 + 10 + 21 + 9);
	return KSFT_PASS;
}

const struct layout layouts[] = {
	{ .name = "anon", .map = map_anon, .one_vma = true },
	{ .name = "unaligned", .map = map_unaligned, .one_vma = true },
	{ .name = "thp", .map = map_thp, .one_vma = true },
	{ .name = "shmem", .map = map_shmem, .one_vma = true },
	{ .name = "memfd", .map = map_memfd, .one_vma = true },
	{ .name = "file_private", .map = map_file_private, .one_vma = true },
	{ .name = "file_shared", .map = map_file_shared, .one_vma = true },
	{ .name = "swapped", .map = map_swapped, .one_vma = true,
	  .swap = true },
	{ .name = "sparse", .map = map_sparse, .one_vma = true },
	{ .name = "very_sparse", .map = map_very_sparse, .one_vma = true },
	{ .name = "lopsided", .map = map_lopsided, .one_vma = true },
	{ .name = "many_vmas", .map = map_many_vmas },
	{ .name = "thin_vmas", .map = map_thin_vmas },
	{ .name = "remapped", .map = map_remapped },
	{ .name = "prot_none", .map = map_prot_none },
	{ .name = "hugetlb", .map = map_hugetlb },
	{ .name = "mixed", .map = map_mixed },
};

const size_t nr_layouts = ARRAY_SIZE(layouts);

/* Take away what is beside the region; that itself has been unmapped. */
void unmap_region(struct region *region)
{
	if (region->aside)
		munmap(region->aside, region->aside_size);
	if (region->fd >= 0)
		close(region->fd);
}
