/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests of mapping memory for devices, in terms of the kselftest harness: it
 * names, picks and reports them. What a test does is done by functions that
 * return KSFT_PASS, KSFT_SKIP or KSFT_FAIL and count in expect.h's way what
 * they find wrong, as they run in processes and cgroups of their own.
 */
#ifndef _SELFTESTS_KTASK_MAP_TEST_H
#define _SELFTESTS_KTASK_MAP_TEST_H

#include "../kselftest_harness.h"

/* expect.h has one of its own. */
#undef EXPECT_EQ

#include "map_util.h"

/* Far more than any test takes, on any kernel */
#define MAP_TIMEOUT	400

/* Before the harness starts: each test is a process of its own. */
static void __attribute__((constructor)) map_prepare(void)
{
	if (geteuid())
		return;
	prepare_tests();
	open_spaces();
}

/* What each test begins with. */
static inline void map_begin(struct __test_metadata *_metadata,
			     enum dma_api api)
{
	if (geteuid())
		SKIP(return, "needs root");
	if (dma_count(api) < 4)
		SKIP(return, "needs VFIO, iommufd, an IOMMU and 4 edu devices of QEMU");
	ASSERT_NE(space_of(api), NULL);
	/* What a test that failed may have left mapped is no concern of others. */
	dma_unmap(space_of(api), DMA_BASE, DMA_END - DMA_BASE);
	begin_test();
}

/* What each ends with: its verdict. */
static inline void map_end(struct __test_metadata *_metadata, int ret)
{
	end_test();
	if (failures)
		ret = KSFT_FAIL;
	if (ret == KSFT_SKIP)
		SKIP(return, "%s", skip_reason);
	ASSERT_EQ(ret, KSFT_PASS);
}

/* What each API is asked */
FIXTURE(api)
{
};

FIXTURE_VARIANT(api)
{
	enum dma_api	api;
};

FIXTURE_VARIANT_ADD(api, type1) { DMA_TYPE1 };
FIXTURE_VARIANT_ADD(api, iommufd) { DMA_IOMMUFD };

FIXTURE_SETUP(api)
{
	map_begin(_metadata, variant->api);
}

FIXTURE_TEARDOWN(api)
{
}

#endif /* _SELFTESTS_KTASK_MAP_TEST_H */
