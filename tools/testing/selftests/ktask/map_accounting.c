// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is mapped for devices with helpers is accounted for as if it had
 * been mapped without: by the process, its cgroup and the system, to the same
 * nodes, and so is the CPU time that it takes.
 *
 * Each kind of memory is mapped with helpers switched off, then on. On kernels
 * without ktask both are the same, and the tests still say something about the
 * kernel.
 */
#define _GNU_SOURCE

#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../cgroup/cgroup_util.h"
#include "map_test.h"

#define NR_PAGES	(WORTH / PAGE)

/* Where pages are to come from */
enum policy {
	ANYWHERE,
	BIND,			/* to node 1 */
	INTERLEAVE,		/* by the address, over nodes 0 and 1 */
	INTERLEAVE_TASK,	/* by the turn of the task */
	CPUSET,			/* node 1 is all there is */
};

/* What one mapping left behind, for the test */
struct record {
	struct figures	mapped;
	struct figures	unmapped;
	long		pins_mapped;	/* since before */
	long		pins_unmapped;
	long		hugetlb_mapped;	/* bytes that the cgroup is charged */
	long		hugetlb_unmapped;
	long		lent;
	int		nodes[NR_PAGES];
};

struct account {
	enum dma_api	api;
	enum kind	kind;
	enum state	state;
	bool		read_only;
	enum policy	policy;
	struct record	*record;
};

/*
 * Nodes
 */

static bool has_two_nodes(void)
{
	return !access("/sys/devices/system/node/node1/meminfo", R_OK);
}

static bool set_policy(enum policy policy, const struct memory *memory)
{
	unsigned long node1 = 2, both = 3;

	switch (policy) {
	case BIND:
		return !syscall(SYS_mbind, memory->base, memory->size,
				MPOL_BIND, &node1, 3, 0);
	case INTERLEAVE:
		return !syscall(SYS_mbind, memory->base, memory->size,
				MPOL_INTERLEAVE, &both, 3, 0);
	case INTERLEAVE_TASK:
		return !syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, &both, 3);
	case CPUSET:
		return !cg_write(here()->cgroup, "cpuset.mems", "1");
	default:
		return true;
	}
}

/* Which node each page is on, or a negative errno. */
static void find_nodes(const struct memory *memory, int *nodes)
{
	static void *pages[NR_PAGES];
	size_t i;

	for (i = 0; i < NR_PAGES; i++)
		pages[i] = memory->base + i * PAGE;
	EXPECT(!syscall(SYS_move_pages, 0, NR_PAGES, pages, NULL, nodes, 0));
}

static long count_on(const int *nodes, int node)
{
	long count = 0;
	size_t i;

	for (i = 0; i < NR_PAGES; i++)
		count += nodes[i] == node;
	return count;
}

/* Neighbours that are not on different nodes. */
static long count_alike(const int *nodes)
{
	long count = 0;
	size_t i;

	for (i = 1; i < NR_PAGES; i++)
		count += nodes[i] == nodes[i - 1];
	return count;
}

static void check_nodes(enum policy policy, const struct record *off,
			const struct record *on)
{
	long pages = NR_PAGES;

	switch (policy) {
	case BIND:
	case CPUSET:
		EXPECT_EQ(count_on(off->nodes, 1), pages);
		EXPECT_EQ(count_on(on->nodes, 1), pages);
		break;
	case INTERLEAVE:
		EXPECT_EQ(count_alike(off->nodes), 0);
		EXPECT_EQ(count_alike(on->nodes), 0);
		break;
	case INTERLEAVE_TASK:
		/* It is also the turn of page tables and the like. */
		EXPECT_RANGE(count_on(off->nodes, 1), pages / 2 - pages / 16,
			     pages / 2 + pages / 16);
		EXPECT_RANGE(count_on(on->nodes, 1), pages / 2 - pages / 16,
			     pages / 2 + pages / 16);
		break;
	default:
		break;
	}
}

/*
 * One mapping
 */

static long hugetlb_charge(enum kind kind)
{
	if (!*here()->cgroup)
		return -1;
	return cg_read_long(here()->cgroup, kind == KIND_HUGETLB_1G ?
			    "hugetlb.1GB.current" : "hugetlb.2MB.current");
}

/* What the kernel says that it charges for pinned memory, to the byte. */
static void check_charges(const struct account *account,
			  const struct figures *before)
{
	const struct record *record = account->record;
	bool huge_page = account->kind == KIND_HUGETLB_1G;
	long kb = (huge_page ? MIB(1024) : WORTH) / 1024;
	bool type1 = account->api == DMA_TYPE1;

	EXPECT_EQ(record->mapped.kb[VM_LCK] - before->kb[VM_LCK],
		  type1 ? kb : 0);
	EXPECT_EQ(record->mapped.kb[VM_PIN] - before->kb[VM_PIN],
		  type1 ? 0 : kb);
	EXPECT_EQ(record->unmapped.kb[VM_LCK] - before->kb[VM_LCK], 0);
	EXPECT_EQ(record->unmapped.kb[VM_PIN] - before->kb[VM_PIN], 0);
	EXPECT_RANGE(record->pins_mapped, 1, kb / 4);
	EXPECT_EQ(record->pins_unmapped, 0);
	if (account->kind == KIND_ANON && *here()->cgroup &&
	    account->state == FRESH)
		EXPECT_RANGE(record->mapped.kb[CG_ANON] - before->kb[CG_ANON],
			     kb - 128, LONG_MAX);
	/* Or the test would be about small pages. */
	if (account->kind == KIND_THP && *here()->cgroup)
		EXPECT_RANGE(record->mapped.kb[CG_ANON_THP], kb / 2, LONG_MAX);
}

static void map_and_unmap(const struct account *account, struct dma *dma,
			  const struct memory *memory)
{
	struct record *record = account->record;
	long pins = pins_held(), lent = lent_here();

	EXPECT_EQ(dma_map(dma, memory->base, memory->size, DMA_BASE,
			  !account->read_only), 0);
	record->lent = lent_here() - lent;
	record->pins_mapped = pins_held() - pins;
	record->hugetlb_mapped = hugetlb_charge(account->kind);
	take_figures(&record->mapped, here()->cgroup);
	if (account->policy)
		find_nodes(memory, record->nodes);

	EXPECT_EQ(dma_unmap(dma, DMA_BASE, memory->size), 0);
	record->pins_unmapped = pins_held() - pins;
	record->hugetlb_unmapped = hugetlb_charge(account->kind);
	take_figures(&record->unmapped, here()->cgroup);
}

static int account_in_box(void *arg)
{
	const struct account *account = arg;
	struct dma *dma = space_of(account->api);
	struct figures before;
	struct memory memory;
	int ret;

	ret = make_memory(&memory, account->kind, account->state, WORTH, 0);
	if (ret)
		return ret;
	if (!EXPECT(set_policy(account->policy, &memory)))
		return KSFT_FAIL;

	take_figures(&before, here()->cgroup);
	map_and_unmap(account, dma, &memory);
	check_charges(account, &before);
	return KSFT_PASS;
}

static int record(struct account *account, struct record *record, bool helpers)
{
	EXPECT(set_helpers(helpers));
	account->record = record;
	return in_box(account_in_box, account);
}

/* Fresh memory in more than one page is worth helpers. */
static bool worth_helpers(const struct account *account)
{
	return account->state == FRESH && account->kind != KIND_HUGETLB_1G &&
	       can_have_helpers();
}

static int compare(struct account account)
{
	struct record *off = shared_memory(sizeof(*off));
	struct record *on = shared_memory(sizeof(*on));
	int ret;

	add_controller("hugetlb");
	ret = record(&account, off, false);
	if (!ret)
		ret = record(&account, on, true);
	if (ret)
		return ret;

	same_figures(&off->mapped, &on->mapped, "mapped");
	same_figures(&off->unmapped, &on->unmapped, "unmapped");
	EXPECT_EQ(on->pins_mapped, off->pins_mapped);
	EXPECT_EQ(on->hugetlb_mapped, off->hugetlb_mapped);
	EXPECT_EQ(on->hugetlb_unmapped, off->hugetlb_unmapped);
	EXPECT_RANGE(off->lent, LONG_MIN, 0);
	check_nodes(account.policy, off, on);
	/* The test is about helpers: none at all is not good enough. */
	if (worth_helpers(&account))
		EXPECT_RANGE(on->lent, 1, LONG_MAX);
	return KSFT_PASS;
}

static int fresh(enum dma_api api, enum kind kind)
{
	return compare((struct account) { .api = api, .kind = kind });
}

static int some_present(enum dma_api api, enum kind kind, enum state state)
{
	return compare((struct account) {
		.api = api,
		.kind = kind,
		.state = state,
	});
}

static int for_reading(enum dma_api api, enum kind kind)
{
	return compare((struct account) {
		.api = api,
		.kind = kind,
		.read_only = true,
	});
}

/*
 * CPU time and caps
 */

/* Map fresh memory once; how many helpers that took. */
static long map_fresh(struct dma *dma)
{
	long lent = lent_here();
	struct memory memory;

	if (make_memory(&memory, KIND_ANON, FRESH, WORTH, 0))
		return -1;
	EXPECT_EQ(dma_map(dma, memory.base, memory.size, DMA_BASE, true), 0);
	lent = lent_here() - lent;
	EXPECT_EQ(dma_unmap(dma, DMA_BASE, memory.size), 0);
	EXPECT(!munmap(memory.base, memory.size));
	return lent;
}

static bool set_here(const char *file, char *text)
{
	return EXPECT(!cg_write(here()->cgroup, file, text));
}

static int caps_in_box(void *arg)
{
	const enum dma_api *api = arg;
	struct dma *dma = space_of(*api);

	if (lent_here() < 0)
		return skip("kernel without cpu.ktask.stat");

	set_here("cpu.ktask.max", "0");
	EXPECT_EQ(map_fresh(dma), 0);
	EXPECT_EQ(cg_read_long(here()->cgroup, "cpu.ktask.peak"), 0);
	set_here("cpu.ktask.max", "1");
	EXPECT_RANGE(map_fresh(dma), can_have_helpers(), LONG_MAX);
	EXPECT_RANGE(cg_read_long(here()->cgroup, "cpu.ktask.peak"), 0, 1);
	set_here("cpu.ktask.max", "max");
	EXPECT_RANGE(map_fresh(dma), can_have_helpers(), LONG_MAX);
	EXPECT_RANGE(cg_read_long(here()->cgroup, "cpu.ktask.peak"), 0,
		     nr_cpus() - 1);
	return KSFT_PASS;
}

static int caps(enum dma_api api)
{
	return in_box(caps_in_box, &api);
}

/* With a single CPU to run on there is none for helpers. */
static int one_cpu_in_box(void *arg)
{
	const enum dma_api *api = arg;
	struct dma *dma = space_of(*api);

	if (lent_here() < 0)
		return skip("kernel without cpu.ktask.stat");
	if (cg_write(here()->cgroup, "cpuset.cpus", "1"))
		return skip("no cpuset controller, or a single CPU");
	EXPECT_EQ(map_fresh(dma), 0);
	return KSFT_PASS;
}

static int one_cpu(enum dma_api api)
{
	add_controller("cpuset");
	return in_box(one_cpu_in_box, &api);
}

static long own_usec(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000L +
	       usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static long usage_here(const char *file, const char *key)
{
	return keyed(here()->cgroup, file, key);
}

/* CPU time in microseconds, as each of the accounts has it */
struct cpu_times {
	long	own;
	long	helpers;
	long	all;
};

static void time_mappings(struct dma *dma, struct cpu_times *times)
{
	times->own = own_usec();
	times->helpers = usage_here("cpu.ktask.stat", "helper_usec");
	times->all = usage_here("cpu.stat", "usage_usec");
	EXPECT_RANGE(map_fresh(dma), can_have_helpers(), LONG_MAX);
	EXPECT_RANGE(map_fresh(dma), can_have_helpers(), LONG_MAX);
	times->own = own_usec() - times->own;
	times->helpers = usage_here("cpu.ktask.stat", "helper_usec") -
			 times->helpers;
	times->all = usage_here("cpu.stat", "usage_usec") - times->all;
}

/*
 * What a thread does between its last tick and the reading; and where the
 * machine is a virtual one, what that is made to wait for then.
 */
static long slack_of(const struct cpu_times *times)
{
	return 20000 + (times->own + times->helpers) / 4;
}

/* The cgroup pays for the process and for the helpers, and for nothing else. */
static int cpu_time_in_box(void *arg)
{
	const enum dma_api *api = arg;
	struct dma *dma = space_of(*api);
	struct cpu_times times;
	int tries = 5;
	long sum;

	if (lent_here() < 0)
		return skip("kernel without cpu.ktask.stat");

	/* A machine that is stopped between two readings has them disagree. */
	do {
		time_mappings(dma, &times);
		sum = times.own + times.helpers;
	} while (labs(times.all - sum) > slack_of(&times) && !failures &&
		 --tries);
	EXPECT_RANGE(times.helpers, can_have_helpers(), LONG_MAX);
	EXPECT_RANGE(times.all, sum - slack_of(&times), sum + slack_of(&times));
	return KSFT_PASS;
}

static int cpu_time(enum dma_api api)
{
	return in_box(cpu_time_in_box, &api);
}

/*
 * Locked memory
 */

/*
 * Pages that a client may have pinned and not charged yet, with ktask or without:
 * what it is watched at, and a batch
 */
#define UNCHARGED	(MIB(10) / PAGE)

/* Who compares what is pinned with what is charged, all the while */
struct watcher {
	long		before;		/* pins that others hold */
	long		uncharged;	/* the most seen, in pages */
	unsigned int	stop;
	unsigned int	looks;
};

/* Pages that the process is charged for: type1 and iommufd have a line each. */
static long charged_pages(void)
{
	static const char *const keys[] = { "VmLck:", "VmPin:" };
	static char text[1 << 12];
	long kb = 0;
	int i;

	if (read_text("/proc/self/status", text, sizeof(text)) <= 0)
		return 0;
	for (i = 0; i < 2; i++)
		kb += atol(strstr(text, keys[i]) + strlen(keys[i]));
	return kb * 1024 / PAGE;
}

/* Pins are read first: what comes in between makes it look better, not worse. */
static void *watch_locked(void *arg)
{
	struct watcher *watcher = arg;
	long pins, uncharged;
	bool last;

	do {
		/* What is mapped stays so until the last look. */
		last = __atomic_load_n(&watcher->stop, __ATOMIC_SEQ_CST);
		pins = pins_held() - watcher->before;
		if (pins <= 0)
			continue;
		uncharged = pins - charged_pages();
		if (uncharged > watcher->uncharged)
			watcher->uncharged = uncharged;
		watcher->looks++;
	} while (!last);
	return NULL;
}

/* Whatever is pinned ahead counts as locked before that. */
static int charged_ahead_in_box(void *arg)
{
	const enum dma_api *api = arg;
	struct dma *dma = space_of(*api);
	struct watcher watcher = { .before = pins_held() };
	long lent = lent_here();
	struct memory memory;
	pthread_t thread;

	if (make_memory(&memory, KIND_ANON, FRESH, MIB(128), 0))
		return KSFT_FAIL;
	EXPECT(!pthread_create(&thread, NULL, watch_locked, &watcher));
	EXPECT_EQ(dma_map(dma, memory.base, memory.size, DMA_BASE, true), 0);
	__atomic_store_n(&watcher.stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);

	expect_lent(lent);
	EXPECT_RANGE(watcher.looks, 1, LONG_MAX);
	EXPECT_RANGE(watcher.uncharged, LONG_MIN, UNCHARGED);
	EXPECT_EQ(charged_pages(), memory.size / PAGE);
	EXPECT_EQ(dma_unmap(dma, DMA_BASE, memory.size), 0);
	EXPECT_EQ(charged_pages(), 0);
	return KSFT_PASS;
}

static int charged_ahead(enum dma_api api)
{
	return in_box(charged_ahead_in_box, &api);
}

#define ROUNDS	8

/* Again and again in one process: what is left does not grow. */
static int drift_in_box(void *arg)
{
	const enum dma_api *api = arg;
	struct dma *dma = space_of(*api);
	struct figures first, last;
	long pins = pins_held();
	int round;

	for (round = 0; round < ROUNDS; round++) {
		map_fresh(dma);
		if (!round)
			take_figures(&first, here()->cgroup);
	}
	take_figures(&last, here()->cgroup);
	same_figures(&first, &last, "after many rounds");
	EXPECT_EQ(last.kb[VM_LCK] - first.kb[VM_LCK], 0);
	EXPECT_EQ(last.kb[VM_PIN] - first.kb[VM_PIN], 0);
	EXPECT_EQ(pins_held(), pins);
	return KSFT_PASS;
}

static int drift(enum dma_api api)
{
	return in_box(drift_in_box, &api);
}

static int place(enum dma_api api, enum policy policy, enum kind kind)
{
	if (!has_two_nodes())
		return skip("needs 2 NUMA nodes");
	if (policy == CPUSET && !add_controller("cpuset"))
		return skip("no cpuset controller");
	return compare((struct account) {
		.api = api,
		.kind = kind,
		.policy = policy,
	});
}

TEST_F_TIMEOUT(api, anon_fresh, MAP_TIMEOUT)
{
	map_end(_metadata, fresh(variant->api, KIND_ANON));
}

TEST_F_TIMEOUT(api, thp_fresh, MAP_TIMEOUT)
{
	map_end(_metadata, fresh(variant->api, KIND_THP));
}

TEST_F_TIMEOUT(api, hugetlb_2M_fresh, MAP_TIMEOUT)
{
	map_end(_metadata, fresh(variant->api, KIND_HUGETLB_2M));
}

TEST_F_TIMEOUT(api, hugetlb_1G_fresh, MAP_TIMEOUT)
{
	map_end(_metadata, fresh(variant->api, KIND_HUGETLB_1G));
}

TEST_F_TIMEOUT(api, memfd_fresh, MAP_TIMEOUT)
{
	map_end(_metadata, fresh(variant->api, KIND_MEMFD));
}

TEST_F_TIMEOUT(api, tmpfs_fresh, MAP_TIMEOUT)
{
	map_end(_metadata, fresh(variant->api, KIND_TMPFS));
}

TEST_F_TIMEOUT(api, file_private_fresh, MAP_TIMEOUT)
{
	map_end(_metadata, fresh(variant->api, KIND_FILE_PRIVATE));
}

TEST_F_TIMEOUT(api, anon_mixed, MAP_TIMEOUT)
{
	map_end(_metadata, some_present(variant->api, KIND_ANON, MIXED));
}

TEST_F_TIMEOUT(api, thp_mixed, MAP_TIMEOUT)
{
	map_end(_metadata, some_present(variant->api, KIND_THP, MIXED));
}

TEST_F_TIMEOUT(api, memfd_mixed, MAP_TIMEOUT)
{
	map_end(_metadata, some_present(variant->api, KIND_MEMFD, MIXED));
}

TEST_F_TIMEOUT(api, file_private_mixed, MAP_TIMEOUT)
{
	map_end(_metadata,
		some_present(variant->api, KIND_FILE_PRIVATE, MIXED));
}

TEST_F_TIMEOUT(api, anon_present, MAP_TIMEOUT)
{
	map_end(_metadata, some_present(variant->api, KIND_ANON, PRESENT));
}

TEST_F_TIMEOUT(api, anon_read_only, MAP_TIMEOUT)
{
	map_end(_metadata, for_reading(variant->api, KIND_ANON));
}

TEST_F_TIMEOUT(api, file_private_read_only, MAP_TIMEOUT)
{
	map_end(_metadata, for_reading(variant->api, KIND_FILE_PRIVATE));
}

TEST_F_TIMEOUT(api, bind, MAP_TIMEOUT)
{
	map_end(_metadata, place(variant->api, BIND, KIND_ANON));
}

TEST_F_TIMEOUT(api, bind_memfd, MAP_TIMEOUT)
{
	map_end(_metadata, place(variant->api, BIND, KIND_MEMFD));
}

TEST_F_TIMEOUT(api, interleave, MAP_TIMEOUT)
{
	map_end(_metadata, place(variant->api, INTERLEAVE, KIND_ANON));
}

TEST_F_TIMEOUT(api, interleave_task, MAP_TIMEOUT)
{
	map_end(_metadata, place(variant->api, INTERLEAVE_TASK, KIND_ANON));
}

TEST_F_TIMEOUT(api, cpuset_mems, MAP_TIMEOUT)
{
	map_end(_metadata, place(variant->api, CPUSET, KIND_ANON));
}

TEST_F_TIMEOUT(api, caps, MAP_TIMEOUT)
{
	map_end(_metadata, caps(variant->api));
}

TEST_F_TIMEOUT(api, one_cpu, MAP_TIMEOUT)
{
	map_end(_metadata, one_cpu(variant->api));
}

TEST_F_TIMEOUT(api, cpu_time, MAP_TIMEOUT)
{
	map_end(_metadata, cpu_time(variant->api));
}

TEST_F_TIMEOUT(api, charged_ahead, MAP_TIMEOUT)
{
	map_end(_metadata, charged_ahead(variant->api));
}

TEST_F_TIMEOUT(api, drift, MAP_TIMEOUT)
{
	map_end(_metadata, drift(variant->api));
}

TEST_HARNESS_MAIN
