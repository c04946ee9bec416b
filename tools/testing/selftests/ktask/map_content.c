// SPDX-License-Identifier: GPL-2.0-only
/*
 * What devices see of memory that was mapped for them with helpers, and what
 * processes see of what devices write: the same bytes, at each place looked at.
 *
 * Devices are slow here, so they look at samples: both ends, the edges of page
 * tables and some places drawn by lot, most of them across the edge between
 * two pages.
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "map_test.h"

#define SAMPLE		((size_t)256)
#define NR_SAMPLES	16
#define SEED		20260406

/* What a test maps, and how */
struct content {
	enum dma_api	api;
	enum kind	kind;
	enum state	state;
	size_t		size;
	size_t		offset;		/* beyond an edge of page tables */
	bool		read_only;	/* for devices */
	bool		small;		/* too small, or too few pages, for helpers */
	bool		fork_before;
	bool		fork_after;
	bool		(*change)(struct memory *memory);
};

/*
 * Samples
 */

struct samples {
	size_t	at[NR_SAMPLES];
};

static bool is_chosen(const struct samples *samples, size_t nr, size_t at)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (samples->at[i] == at)
			return true;
	return false;
}

/* Across the edge before a page of the memory, or at its very start or end. */
static size_t sample_at(const struct memory *memory, size_t pos)
{
	if (!pos)
		return 0;
	return pos >= memory->size ? memory->size - SAMPLE : pos - SAMPLE / 2;
}

static void choose_samples(struct samples *samples, const struct memory *memory)
{
	size_t edge = -(uintptr_t)memory->base & (PMD_BYTES - 1);
	size_t fixed[] = {
		0, memory->size, edge, edge + PMD_BYTES, edge + FLOOR,
		memory->size / 2 / PAGE * PAGE, PAGE,
	};
	size_t nr = 0, pos;
	unsigned int seed = SEED;

	while (nr < NR_SAMPLES) {
		if (nr < ARRAY_SIZE(fixed) && fixed[nr] <= memory->size)
			pos = fixed[nr];
		else
			pos = rand_r(&seed) % (memory->size / PAGE) * PAGE;
		pos = sample_at(memory, pos);
		/* One that there is already makes room for another. */
		while (is_chosen(samples, nr, pos))
			pos = sample_at(memory, rand_r(&seed) %
					(memory->size / PAGE) * PAGE);
		samples->at[nr++] = pos;
	}
}

static unsigned char stamp_of(size_t at, size_t i, unsigned int round)
{
	return (at / SAMPLE * 31 + i * 7 + round * 101) % 251 + 1;
}

static void stamp(const struct memory *memory, size_t at, unsigned int round)
{
	size_t i;

	for (i = 0; i < SAMPLE; i++)
		memory->base[at + i] = stamp_of(at, i, round);
}

static bool is_stamped(const void *where, size_t at, unsigned int round,
		       const char *what, int line)
{
	const unsigned char *bytes = where;
	size_t i;

	for (i = 0; i < SAMPLE; i++) {
		if (bytes[i] == stamp_of(at, i, round))
			continue;
		ksft_print_msg("%s:%d: byte %zu of the sample at %#zx is %#x, not %#x\n",
			       what, line, i, at, bytes[i],
			       stamp_of(at, i, round));
		failures++;
		return false;
	}
	return true;
}

#define EXPECT_STAMPED(where, at, round) \
	is_stamped(where, at, round, __func__, __LINE__)

static bool sample_was_present(const struct memory *memory, size_t at)
{
	return was_present(memory, at) &&
	       was_present(memory, (at + SAMPLE - 1) / PAGE * PAGE);
}

/* What is there is stamped before it is mapped, the rest only after that. */
static void stamp_samples(const struct memory *memory,
			  const struct samples *samples, bool present)
{
	size_t i;

	for (i = 0; i < NR_SAMPLES; i++)
		if (sample_was_present(memory, samples->at[i]) == present)
			stamp(memory, samples->at[i], 0);
}

/*
 * Devices
 */

/* Devices copy every other sample to the one after it, then the other way. */
static void check_writable(struct dma *dma, const struct memory *memory,
			   const struct samples *samples)
{
	struct dma_copy copies[NR_SAMPLES / 2];
	unsigned int round;
	size_t i, from, to;

	for (round = 0; round < 2; round++) {
		for (i = 0; i < NR_SAMPLES / 2; i++) {
			from = samples->at[2 * i + round];
			to = samples->at[2 * i + !round];
			/* Written now, by the CPU, to memory that is mapped. */
			if (round)
				stamp(memory, from, round);
			copies[i] = (struct dma_copy){
				.from = DMA_BASE + from,
				.to = DMA_BASE + to,
				.size = SAMPLE,
			};
		}
		EXPECT(dma_copy(dma, copies, NR_SAMPLES / 2));
		for (i = 0; i < NR_SAMPLES / 2; i++) {
			from = samples->at[2 * i + round];
			to = samples->at[2 * i + !round];
			EXPECT_STAMPED(memory->base + from, from, round);
			EXPECT_STAMPED(memory->base + to, from, round);
		}
	}
}

/* Every other sample, the rest in the other round. */
static void check_reads(struct dma *dma, const struct samples *samples,
			unsigned int round)
{
	struct dma_copy copies[NR_SAMPLES / 2];
	size_t i;

	for (i = 0; i < NR_SAMPLES / 2; i++)
		copies[i] = (struct dma_copy){
			.from = DMA_BASE + samples->at[2 * i + round],
			.to = DMA_WINDOW + i * SAMPLE,
			.size = SAMPLE,
		};
	EXPECT(dma_copy(dma, copies, NR_SAMPLES / 2));
	for (i = 0; i < NR_SAMPLES / 2; i++)
		EXPECT_STAMPED(dma->window + i * SAMPLE,
			       samples->at[2 * i + round], round);
}

/* Devices see what the CPU writes before and after, and cannot write. */
static void check_read_only(struct dma *dma, const struct memory *memory,
			    const struct samples *samples)
{
	static const char nothing[SAMPLE];
	size_t i;

	check_reads(dma, samples, 0);
	for (i = 0; i < NR_SAMPLES; i++)
		stamp(memory, samples->at[i], 1);
	check_reads(dma, samples, 1);

	EXPECT(dma_write(dma, DMA_BASE + samples->at[1], nothing, SAMPLE));
	EXPECT_STAMPED(memory->base + samples->at[1], samples->at[1], 1);
}

/* What is not mapped any more can be neither read nor written. */
static void check_unmapped(struct dma *dma, const struct memory *memory,
			   const struct samples *samples)
{
	struct dma_copy copies[] = {
		{ DMA_BASE + samples->at[0], DMA_WINDOW, SAMPLE },
		{ DMA_BASE + samples->at[1], DMA_WINDOW + SAMPLE, SAMPLE },
		{ DMA_WINDOW + 2 * SAMPLE, DMA_BASE + samples->at[2], SAMPLE },
		{ DMA_WINDOW + 2 * SAMPLE, DMA_BASE + samples->at[3], SAMPLE },
	};
	size_t i;

	for (i = 0; i < 4; i++)
		stamp(memory, samples->at[i], 2);
	memset(dma->window, 0, DMA_WINDOW_SIZE);
	EXPECT(dma_copy(dma, copies, ARRAY_SIZE(copies)));
	for (i = 0; i < 2; i++)
		EXPECT(memcmp(dma->window + i * SAMPLE,
			      memory->base + samples->at[i], SAMPLE));
	for (i = 2; i < 4; i++)
		EXPECT_STAMPED(memory->base + samples->at[i], samples->at[i], 2);
}

/*
 * A mapping from its start to its end
 */

/* A child that has what its parent has, until it is told to go. */
static pid_t fork_sleeper(void)
{
	pid_t pid = fork();

	if (!pid) {
		pause();
		_exit(KSFT_FAIL);
	}
	EXPECT(pid > 0);
	return pid;
}

static void end_sleeper(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	EXPECT(waitpid(pid, NULL, 0) == pid);
}

static bool map_content(struct dma *dma, const struct content *c,
			const struct memory *memory)
{
	long lent = lent_here();

	if (!EXPECT_EQ(dma_map(dma, memory->base, memory->size, DMA_BASE,
			       !c->read_only), 0))
		return false;
	if (c->state == FRESH && !c->small)
		expect_lent(lent);
	if (memory->size < FLOOR)
		EXPECT_EQ(lent_here() - lent, 0);
	return true;
}

static void check_mapped(struct dma *dma, const struct content *c,
			 const struct memory *memory,
			 const struct samples *samples)
{
	pid_t child = c->fork_after ? fork_sleeper() : 0;

	stamp_samples(memory, samples, false);
	if (c->read_only)
		check_read_only(dma, memory, samples);
	else
		check_writable(dma, memory, samples);
	EXPECT(numbers_are_right(memory));
	end_sleeper(child);
}

static int content_in_box(void *arg)
{
	const struct content *c = arg;
	struct samples samples;
	struct memory memory;
	struct dma *dma = space_of(c->api);
	long pins = pins_held();
	pid_t child;
	int ret;

	ret = make_memory(&memory, c->kind, c->state, c->size, c->offset);
	if (ret)
		return ret;
	if (c->change && !c->change(&memory))
		return KSFT_FAIL;
	choose_samples(&samples, &memory);
	stamp_samples(&memory, &samples, true);

	child = c->fork_before ? fork_sleeper() : 0;
	if (map_content(dma, c, &memory)) {
		check_mapped(dma, c, &memory, &samples);
		EXPECT_EQ(dma_unmap(dma, DMA_BASE, memory.size), 0);
		if (c->state == FRESH)
			check_unmapped(dma, &memory, &samples);
	}
	end_sleeper(child);
	EXPECT_EQ(pins_held(), pins);
	return KSFT_PASS;
}

static int check(struct content content)
{
	return in_box(content_in_box, &content);
}

/*
 * Every kind of memory
 */

FIXTURE(kind)
{
};

FIXTURE_VARIANT(kind)
{
	enum dma_api	api;
	enum kind	kind;
};

FIXTURE_VARIANT_ADD(kind, type1_anon) { DMA_TYPE1, KIND_ANON };
FIXTURE_VARIANT_ADD(kind, type1_thp) { DMA_TYPE1, KIND_THP };
FIXTURE_VARIANT_ADD(kind, type1_hugetlb_2M) { DMA_TYPE1, KIND_HUGETLB_2M };
FIXTURE_VARIANT_ADD(kind, type1_hugetlb_1G) { DMA_TYPE1, KIND_HUGETLB_1G };
FIXTURE_VARIANT_ADD(kind, type1_memfd) { DMA_TYPE1, KIND_MEMFD };
FIXTURE_VARIANT_ADD(kind, type1_tmpfs) { DMA_TYPE1, KIND_TMPFS };
FIXTURE_VARIANT_ADD(kind, type1_file_private) { DMA_TYPE1, KIND_FILE_PRIVATE };
FIXTURE_VARIANT_ADD(kind, iommufd_anon) { DMA_IOMMUFD, KIND_ANON };
FIXTURE_VARIANT_ADD(kind, iommufd_thp) { DMA_IOMMUFD, KIND_THP };
FIXTURE_VARIANT_ADD(kind, iommufd_hugetlb_2M) { DMA_IOMMUFD, KIND_HUGETLB_2M };
FIXTURE_VARIANT_ADD(kind, iommufd_hugetlb_1G) { DMA_IOMMUFD, KIND_HUGETLB_1G };
FIXTURE_VARIANT_ADD(kind, iommufd_memfd) { DMA_IOMMUFD, KIND_MEMFD };
FIXTURE_VARIANT_ADD(kind, iommufd_tmpfs) { DMA_IOMMUFD, KIND_TMPFS };
FIXTURE_VARIANT_ADD(kind, iommufd_file_private) { DMA_IOMMUFD, KIND_FILE_PRIVATE };

FIXTURE_SETUP(kind)
{
	map_begin(_metadata, variant->api);
}

FIXTURE_TEARDOWN(kind)
{
}

static int check_kind(enum dma_api api, enum kind kind, enum state state,
		      bool read_only)
{
	return check((struct content) {
		.api = api,
		.kind = kind,
		.state = state,
		.size = WORTH,
		.read_only = read_only,
		.small = kind == KIND_HUGETLB_1G,
	});
}

TEST_F_TIMEOUT(kind, fresh, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_kind(variant->api, variant->kind, FRESH, false));
}

TEST_F_TIMEOUT(kind, present, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_kind(variant->api, variant->kind, PRESENT, false));
}

TEST_F_TIMEOUT(kind, mixed, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_kind(variant->api, variant->kind, MIXED, false));
}

TEST_F_TIMEOUT(kind, fresh_read_only, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_kind(variant->api, variant->kind, FRESH, true));
}

TEST_F_TIMEOUT(kind, present_read_only, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_kind(variant->api, variant->kind, PRESENT, true));
}

/*
 * Shapes of ranges
 */

static int check_range(enum dma_api api, enum kind kind, size_t size,
		       size_t offset)
{
	return check((struct content) {
		.api = api,
		.kind = kind,
		.size = size,
		.offset = offset,
		/* About the floor it depends on the machine. */
		.small = size < WORTH - MIB(1),
	});
}

static int check_changed(enum dma_api api, bool (*change)(struct memory *memory))
{
	return check((struct content) {
		.api = api,
		.kind = KIND_ANON,
		.size = WORTH,
		.change = change,
	});
}

/* Another mapping in the place of a part of the memory. */
static bool put(char *at, size_t size, int flags, int fd)
{
	return EXPECT(mmap(at, size, RW, flags | MAP_FIXED, fd, 0) == at);
}

/* Borders that are no edges of anything, between memory of all kinds. */
static bool mix_vmas(struct memory *memory)
{
	int memfd = memfd_create("ktask", MFD_CLOEXEC);
	int file = make_file(MIB(8));
	char *base = memory->base;

	return EXPECT(memfd >= 0 && !ftruncate(memfd, MIB(32))) &&
	       EXPECT(file >= 0) &&
	       put(base + MIB(3) + 3 * PAGE, MIB(9), MAP_SHARED, memfd) &&
	       put(base + MIB(20) - PAGE, MIB(5), MAP_PRIVATE, memfd) &&
	       put(base + MIB(30), MIB(8), MAP_PRIVATE, file) &&
	       put(base + MIB(40), PAGE, MAP_SHARED | MAP_ANONYMOUS, -1) &&
	       put(base + MIB(41), MIB(2), ANON, -1) &&
	       put(base + MIB(50), MIB(4), ANON | MAP_HUGETLB, -1) &&
	       EXPECT(!madvise(base + MIB(56), MIB(6), MADV_HUGEPAGE));
}

/* A border every 64 KiB: neighbours never have the same flags. */
static bool split_vmas(struct memory *memory)
{
	size_t pos;

	for (pos = 0; pos < memory->size; pos += 32 * PAGE)
		if (!EXPECT(!madvise(memory->base + pos, 16 * PAGE,
				     MADV_DONTDUMP)))
			return false;
	return true;
}

TEST_F_TIMEOUT(api, unaligned, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_range(variant->api, KIND_ANON, WORTH - 7 * PAGE,
			    5 * PAGE));
}

TEST_F_TIMEOUT(api, unaligned_thp, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_range(variant->api, KIND_THP, WORTH + 7 * PAGE,
			    300 * PAGE));
}

TEST_F_TIMEOUT(api, unaligned_memfd, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_range(variant->api, KIND_MEMFD, WORTH + 511 * PAGE,
			    PAGE));
}

TEST_F_TIMEOUT(api, below_floor, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_range(variant->api, KIND_ANON, FLOOR - PAGE, 0));
}

TEST_F_TIMEOUT(api, at_floor, MAP_TIMEOUT)
{
	map_end(_metadata, check_range(variant->api, KIND_ANON, FLOOR, 0));
}

TEST_F_TIMEOUT(api, above_floor, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_range(variant->api, KIND_ANON, FLOOR + PAGE, PAGE));
}

TEST_F_TIMEOUT(api, large, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_range(variant->api, KIND_ANON, MIB(256) + 3 * PAGE, 0));
}

TEST_F_TIMEOUT(api, large_thp, MAP_TIMEOUT)
{
	map_end(_metadata, check_range(variant->api, KIND_THP, MIB(512), 0));
}

TEST_F_TIMEOUT(api, mixed_vmas, MAP_TIMEOUT)
{
	map_end(_metadata, check_changed(variant->api, mix_vmas));
}

TEST_F_TIMEOUT(api, many_vmas, MAP_TIMEOUT)
{
	map_end(_metadata, check_changed(variant->api, split_vmas));
}

/*
 * Copies on write, which must not part devices from the process
 */

static int check_cow(enum dma_api api, enum kind kind, enum state state,
		     bool read_only, bool after)
{
	return check((struct content) {
		.api = api,
		.kind = kind,
		.state = state,
		.size = WORTH,
		.read_only = read_only,
		.fork_before = !after,
		.fork_after = after,
	});
}

TEST_F_TIMEOUT(api, forked_before, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_cow(variant->api, KIND_ANON, PRESENT, false, false));
}

TEST_F_TIMEOUT(api, forked_before_read_only, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_cow(variant->api, KIND_ANON, PRESENT, true, false));
}

TEST_F_TIMEOUT(api, forked_before_thp_read_only, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_cow(variant->api, KIND_THP, PRESENT, true, false));
}

TEST_F_TIMEOUT(api, forked_before_file_read_only, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_cow(variant->api, KIND_FILE_PRIVATE, MIXED, true, false));
}

TEST_F_TIMEOUT(api, forked_after, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_cow(variant->api, KIND_ANON, FRESH, false, true));
}

TEST_F_TIMEOUT(api, forked_after_read_only, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_cow(variant->api, KIND_ANON, FRESH, true, true));
}

TEST_F_TIMEOUT(api, forked_after_thp_read_only, MAP_TIMEOUT)
{
	map_end(_metadata,
		check_cow(variant->api, KIND_THP, MIXED, true, true));
}

TEST_HARNESS_MAIN
