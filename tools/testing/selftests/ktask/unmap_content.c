// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is in memory after parts of it were torn down with helpers: all that
 * was to go is gone, and all that was to stay is there, byte for byte.
 *
 * Every word of a region is stamped with a value of its own beforehand and
 * looked at afterwards.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktask_util.h"

#define WORDS		(PAGE / sizeof(uint64_t))
#define RW		(PROT_READ | PROT_WRITE)
#define ANON		(MAP_PRIVATE | MAP_ANONYMOUS)

/* Pages of a region: 48 MiB */
#define NR_PAGES	12288UL

/* Two writers that must not be taken for each other */
#define FIRST		0x0123456789abcdefULL
#define SECOND		0xfedcba9876543210ULL

/* Parts of a region, all large enough for helpers, with edges of all kinds */
static const struct part {
	unsigned long	first;
	unsigned long	end;
} parts[] = {
	{ 0, NR_PAGES },
	{ 1, NR_PAGES - 1 },
	{ 511, NR_PAGES - 511 },
	{ 513, NR_PAGES - 1023 },
	{ 512, NR_PAGES - 512 },
	{ 3000, 3000 + 4096 },
	{ 0, 4097 },
	{ NR_PAGES - 5000, NR_PAGES },
};

static uint64_t stamp_of(unsigned long page, size_t word, uint64_t writer)
{
	return (page * WORDS + word + 1) * writer;
}

static void stamp(char *base, unsigned long first, unsigned long end,
		  uint64_t writer)
{
	unsigned long page;
	size_t word;

	for (page = first; page < end; page++)
		for (word = 0; word < WORDS; word++)
			((uint64_t *)(base + page * PAGE))[word] =
				stamp_of(page, word, writer);
}

/* Does memory hold a writer's stamps, or zeroes if that is 0? */
static bool holds(const char *base, unsigned long first, unsigned long end,
		  uint64_t writer, const char *when, int line)
{
	unsigned long page;
	size_t word;

	for (page = first; page < end; page++) {
		for (word = 0; word < WORDS; word++) {
			uint64_t is, wanted = stamp_of(page, word, writer);

			is = ((uint64_t *)(base + page * PAGE))[word];
			if (is == wanted)
				continue;
			ksft_print_msg("%s:%d: page %lu, word %zu is %#llx, not %#llx\n",
				       when, line, page, word,
				       (unsigned long long)is,
				       (unsigned long long)wanted);
			failures++;
			return false;
		}
	}
	return true;
}

#define EXPECT_HOLDS(base, first, end, writer) \
	holds(base, first, end, writer, __func__, __LINE__)

static void expect_unmapped(char *base, unsigned long first, unsigned long end)
{
	unsigned char present;
	unsigned long page;

	for (page = first; page < end; page++)
		if (!EXPECT(mincore(base + page * PAGE, PAGE, &present) &&
			    errno == ENOMEM))
			return;
}

static char *map_stamped(int flags, int fd, size_t offset, int advice)
{
	char *base = map_aligned(NR_PAGES * PAGE, offset, RW, flags, fd);

	if (!EXPECT(base))
		exit(KSFT_FAIL);
	if (advice)
		madvise(base, NR_PAGES * PAGE, advice);
	stamp(base, 0, NR_PAGES, FIRST);
	return base;
}

static int zap(char *base, const struct part *part)
{
	return madvise(base + part->first * PAGE,
		       (part->end - part->first) * PAGE, MADV_DONTNEED);
}

/* Anonymous memory: what is zapped reads as zeroes. */
static void zap_anon(int advice, size_t offset)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		const struct part *part = &parts[i];
		/* With and without an edge of a page table at that of a part */
		char *base = map_stamped(ANON, -1, i % 2 ? offset : 0, advice);

		EXPECT(!zap(base, part));
		EXPECT_HOLDS(base, 0, part->first, FIRST);
		EXPECT_HOLDS(base, part->first, part->end, 0);
		EXPECT_HOLDS(base, part->end, NR_PAGES, FIRST);

		/* And can be used again. */
		stamp(base, part->first, part->end, SECOND);
		EXPECT_HOLDS(base, 0, part->first, FIRST);
		EXPECT_HOLDS(base, part->first, part->end, SECOND);
		EXPECT_HOLDS(base, part->end, NR_PAGES, FIRST);
		EXPECT(!munmap(base, NR_PAGES * PAGE));
	}
}

static int dontneed_anon_in_box(void *arg)
{
	zap_anon(MADV_NOHUGEPAGE, 3 * PAGE);
	return KSFT_PASS;
}

static int dontneed_anon(const void *unused)
{
	return run_in_box(dontneed_anon_in_box, NULL, can_have_helpers());
}

/* Huge pages that are cut in two at the edges. */
static int dontneed_thp_in_box(void *arg)
{
	zap_anon(MADV_HUGEPAGE, 100 * PAGE);
	return KSFT_PASS;
}

static int dontneed_thp(const void *unused)
{
	/* 24 huge pages may not be worth a helper. */
	return run_in_box(dontneed_thp_in_box, NULL, false);
}

/* Shared memory stays as it is: only this mapping of it is zapped. */
static int dontneed_shared_in_box(void *arg)
{
	int fd = memfd_create("ktask", MFD_CLOEXEC);
	size_t i;

	EXPECT(fd >= 0 && !ftruncate(fd, NR_PAGES * PAGE));
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		char *base = map_stamped(MAP_SHARED, fd, PAGE, 0);

		EXPECT(!zap(base, &parts[i]));
		EXPECT_HOLDS(base, 0, NR_PAGES, FIRST);
		EXPECT(!munmap(base, NR_PAGES * PAGE));
	}
	close(fd);
	return KSFT_PASS;
}

static int dontneed_shared(const void *unused)
{
	return run_in_box(dontneed_shared_in_box, NULL, can_have_helpers());
}

static bool file_holds(int fd, unsigned long first, unsigned long end,
		       uint64_t writer, const char *when, int line)
{
	static uint64_t words[WORDS];
	unsigned long page;

	for (page = first; page < end; page++) {
		/* As if the page was in its place of a region. */
		if (pread(fd, words, PAGE, page * PAGE) != (ssize_t)PAGE ||
		    !holds((char *)words - page * PAGE, page, page + 1, writer,
			   when, line))
			return false;
	}
	return true;
}

#define EXPECT_FILE_HOLDS(fd, first, end, writer) \
	EXPECT(file_holds(fd, first, end, writer, __func__, __LINE__))

/* Forget what the page cache knows: what is read then was written back. */
static void write_back(int fd)
{
	EXPECT(!fsync(fd));
	EXPECT(!posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
}

/* Copies of a file's pages are dropped, and the file shows again. */
static int dontneed_private_in_box(void *arg)
{
	int fd = make_file(NR_PAGES * PAGE);
	char *base;
	size_t i;

	EXPECT(fd >= 0);
	base = map_stamped(MAP_SHARED, fd, 0, 0);
	EXPECT(!munmap(base, NR_PAGES * PAGE));

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		const struct part *part = &parts[i];

		base = map_aligned(NR_PAGES * PAGE, 0, RW, MAP_PRIVATE, fd);
		if (!EXPECT(base))
			return KSFT_FAIL;
		/* Every third MiB stays the file's. */
		stamp(base, 0, NR_PAGES * 2 / 3, SECOND);
		EXPECT_HOLDS(base, NR_PAGES * 2 / 3, NR_PAGES, FIRST);

		EXPECT(!zap(base, part));
		EXPECT_HOLDS(base, part->first, part->end, FIRST);
		if (part->first < NR_PAGES * 2 / 3)
			EXPECT_HOLDS(base, 0, part->first, SECOND);
		EXPECT_HOLDS(base, part->end > NR_PAGES * 2 / 3 ?
				   part->end : NR_PAGES * 2 / 3,
			     NR_PAGES, FIRST);
		EXPECT(!munmap(base, NR_PAGES * PAGE));
	}
	EXPECT_FILE_HOLDS(fd, 0, NR_PAGES, FIRST);
	close(fd);
	return KSFT_PASS;
}

static int dontneed_private(const void *unused)
{
	return run_in_box(dontneed_private_in_box, NULL, can_have_helpers());
}

/* munmap() of a part leaves the rest alone. */
static int munmap_part_in_box(void *arg)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		const struct part *part = &parts[i];
		char *base = map_stamped(ANON, -1, 3 * PAGE, MADV_NOHUGEPAGE);

		/* A hole and a border, so that several VMAs are cut. */
		EXPECT(!munmap(base + MIB(20), PAGE));
		EXPECT(!mprotect(base + MIB(22), MIB(2), PROT_READ));

		EXPECT(!munmap(base + part->first * PAGE,
			       (part->end - part->first) * PAGE));
		expect_unmapped(base, part->first, part->end);
		EXPECT_HOLDS(base, 0, part->first < 5000 ? part->first : 5000,
			     FIRST);
		EXPECT_HOLDS(base, part->end > 5200 ? part->end : 5200,
			     NR_PAGES, FIRST);
		munmap(base, NR_PAGES * PAGE);
	}
	return KSFT_PASS;
}

static int munmap_part(const void *unused)
{
	return run_in_box(munmap_part_in_box, NULL, can_have_helpers());
}

/* Memory that was moved out of a region does not go with it. */
static int munmap_moved_in_box(void *arg)
{
	char *base = map_stamped(ANON, -1, 0, MADV_NOHUGEPAGE);
	char *aside = map_aligned(NR_PAGES * PAGE, 0, PROT_NONE,
				  ANON | MAP_NORESERVE, -1);
	unsigned long page;

	/* To the same place in another region, for the stamps' sake. */
	for (page = 100; page + 200 <= NR_PAGES; page += 600)
		EXPECT(mremap(base + page * PAGE, 200 * PAGE, 200 * PAGE,
			      MREMAP_MAYMOVE | MREMAP_FIXED,
			      aside + page * PAGE) != MAP_FAILED);
	EXPECT(!munmap(base, NR_PAGES * PAGE));
	expect_unmapped(base, 0, NR_PAGES);
	for (page = 100; page + 200 <= NR_PAGES; page += 600)
		EXPECT_HOLDS(aside, page, page + 200, FIRST);
	EXPECT(!munmap(aside, NR_PAGES * PAGE));
	return KSFT_PASS;
}

static int munmap_moved(const void *unused)
{
	return run_in_box(munmap_moved_in_box, NULL, can_have_helpers());
}

/* What was written to a shared mapping is in the file, and on the disk. */
static int munmap_dirty_in_box(void *arg)
{
	int fd = make_file(NR_PAGES * PAGE);
	char *base;

	EXPECT(fd >= 0);
	base = map_stamped(MAP_SHARED, fd, 0, 0);
	EXPECT(!munmap(base, NR_PAGES * PAGE));
	EXPECT_FILE_HOLDS(fd, 0, NR_PAGES, FIRST);
	write_back(fd);
	EXPECT_FILE_HOLDS(fd, 0, NR_PAGES, FIRST);

	/* Now that pages have been clean once, by MADV_DONTNEED. */
	base = map_aligned(NR_PAGES * PAGE, 0, RW, MAP_SHARED, fd);
	if (!EXPECT(base))
		return KSFT_FAIL;
	EXPECT_HOLDS(base, 0, NR_PAGES, FIRST);
	stamp(base, 0, NR_PAGES, SECOND);
	EXPECT(!madvise(base, NR_PAGES * PAGE, MADV_DONTNEED));
	write_back(fd);
	EXPECT_FILE_HOLDS(fd, 0, NR_PAGES, SECOND);
	EXPECT(!munmap(base, NR_PAGES * PAGE));
	close(fd);
	return KSFT_PASS;
}

static int munmap_dirty(const void *unused)
{
	return run_in_box(munmap_dirty_in_box, NULL, can_have_helpers());
}

/* The same by exit, of a process that has written to the file and a copy. */
static int exit_dirty_in_box(void *arg)
{
	int fd = *(int *)arg;
	char *copy;

	map_stamped(MAP_SHARED, fd, 0, 0);
	copy = map_aligned(NR_PAGES * PAGE, 0, RW, MAP_PRIVATE, fd);
	if (!EXPECT(copy))
		return KSFT_FAIL;
	stamp(copy, 0, NR_PAGES, SECOND);
	return KSFT_PASS;
}

static int exit_dirty(const void *unused)
{
	int fd = make_file(NR_PAGES * PAGE);
	int ret;

	if (!EXPECT(fd >= 0))
		return KSFT_FAIL;
	ret = run_in_box(exit_dirty_in_box, &fd, can_have_helpers());
	write_back(fd);
	EXPECT_FILE_HOLDS(fd, 0, NR_PAGES, FIRST);
	close(fd);
	return ret;
}

/* What was swapped out and not torn down comes back in. */
static int swapped_in_box(void *arg)
{
	size_t i;

	for (i = 1; i < 4; i++) {
		const struct part *part = &parts[i];
		char *base = map_stamped(ANON, -1, 0, MADV_NOHUGEPAGE);
		struct figures figures;

		/* The edges of the part are out, and some of the middle. */
		EXPECT(!madvise(base, MIB(6), MADV_PAGEOUT));
		EXPECT(!madvise(base + MIB(20), MIB(5), MADV_PAGEOUT));
		EXPECT(!madvise(base + MIB(40), MIB(8), MADV_PAGEOUT));
		take_figures(&figures, "");
		EXPECT_RANGE(figures.kb[SMAPS_SWAP], 4096, 19 * 1024);

		if (i % 2) {
			EXPECT(!zap(base, part));
			EXPECT_HOLDS(base, part->first, part->end, 0);
		} else {
			EXPECT(!munmap(base + part->first * PAGE,
				       (part->end - part->first) * PAGE));
			expect_unmapped(base, part->first, part->end);
		}
		EXPECT_HOLDS(base, 0, part->first, FIRST);
		EXPECT_HOLDS(base, part->end, NR_PAGES, FIRST);
		munmap(base, NR_PAGES * PAGE);
		take_figures(&figures, "");
		EXPECT_EQ(figures.kb[SMAPS_SWAP], 0);
	}
	return KSFT_PASS;
}

static int swapped(const void *unused)
{
	if (!swap_on())
		return skip("no swap space to be had");
	return run_in_box(swapped_in_box, NULL, can_have_helpers());
}

static const struct test tests[] = {
	T(dontneed_anon),
	T(dontneed_thp),
	T(dontneed_shared),
	T(dontneed_private),
	T(munmap_part),
	T(munmap_moved),
	T(munmap_dirty),
	T(exit_dirty),
	T(swapped),
};

int main(int argc, char **argv)
{
	return run_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
