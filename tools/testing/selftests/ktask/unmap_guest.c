// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that a virtual machine uses while helpers tear it down. KVM maps it in
 * page tables of its own, without references to pages: it relies on the
 * notifiers of the process's mm, and a guest that misses one reads what is no
 * longer its memory.
 *
 * The guest adds up the first words of all pages, again and again. While each
 * is 1 it finds their number; none of them is left behind a teardown.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ktask_util.h"

#define NR_PAGES	12288UL
#define SIZE		(NR_PAGES * PAGE)
#define RW		(PROT_READ | PROT_WRITE)

/* In the guest's physical memory */
#define CODE_AT		PAGE
#define MEMORY_AT	MIB(16)

/* eax: the sum; esi: a page; ecx: how many there are from it on */
static const uint8_t code[] = {
	0x03, 0x06,				/* add (%esi),%eax */
	0x81, 0xc6, 0x00, 0x10, 0x00, 0x00,	/* add $4096,%esi */
	0x49,					/* dec %ecx */
	0x75, 0xf5,				/* jnz, back to the first */
	0xf4,					/* hlt */
};

struct guest {
	int		vm;
	int		vcpu;
	struct kvm_run	*run;
	char		*memory;
};

static void add_memory(const struct guest *guest, uint32_t slot, uint64_t at,
		       void *memory, size_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = at,
		.memory_size = size,
		.userspace_addr = (uintptr_t)memory,
	};

	EXPECT(!ioctl(guest->vm, KVM_SET_USER_MEMORY_REGION, &region));
}

/* Protected mode, 32 bits, all segments from 0 on and 4 GiB long, no paging */
static bool set_mode(const struct guest *guest)
{
	struct kvm_segment flat = {
		.limit = 0xffffffff,
		.selector = 1 << 3,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
	struct kvm_sregs sregs;

	if (!EXPECT(!ioctl(guest->vcpu, KVM_GET_SREGS, &sregs)))
		return false;
	sregs.cr0 |= 1;
	flat.type = 11;		/* code */
	sregs.cs = flat;
	flat.type = 3;		/* data */
	sregs.ds = flat;
	sregs.es = flat;
	sregs.fs = flat;
	sregs.gs = flat;
	sregs.ss = flat;
	return EXPECT(!ioctl(guest->vcpu, KVM_SET_SREGS, &sregs));
}

/* A virtual machine whose memory is not there yet. Fails where there is no KVM. */
static bool make_guest(struct guest *guest)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int run_size;
	char *page;

	if (kvm < 0)
		return false;
	guest->vm = ioctl(kvm, KVM_CREATE_VM, 0);
	run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	close(kvm);
	if (guest->vm < 0)
		return false;

	page = map_aligned(PAGE, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	guest->memory = map_aligned(SIZE, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS,
				    -1);
	EXPECT(page && guest->memory);
	memcpy(page, code, sizeof(code));
	add_memory(guest, 0, CODE_AT, page, PAGE);
	add_memory(guest, 1, MEMORY_AT, guest->memory, SIZE);

	guest->vcpu = ioctl(guest->vm, KVM_CREATE_VCPU, 0);
	EXPECT(guest->vcpu >= 0);
	guest->run = mmap(NULL, run_size, RW, MAP_SHARED, guest->vcpu, 0);
	return EXPECT(guest->run != MAP_FAILED) && set_mode(guest);
}

/* What the guest finds, or what KVM fails with */
static long sum_in_guest(const struct guest *guest)
{
	struct kvm_regs regs = {
		.rip = CODE_AT,
		.rsi = MEMORY_AT,
		.rcx = NR_PAGES,
		.rflags = 2,
	};

	EXPECT(!ioctl(guest->vcpu, KVM_SET_REGS, &regs));
	do {
		if (ioctl(guest->vcpu, KVM_RUN, 0) && errno != EINTR)
			return -errno;
	} while (guest->run->exit_reason == KVM_EXIT_INTR);
	if (!EXPECT_EQ(guest->run->exit_reason, KVM_EXIT_HLT))
		return -EIO;
	EXPECT(!ioctl(guest->vcpu, KVM_GET_REGS, &regs));
	return (uint32_t)regs.rax;
}

/* Memory that is new, page tables and all, so that huge pages find room */
static void fill(const struct guest *guest, int advice)
{
	size_t pos;

	EXPECT(mmap(guest->memory, SIZE, RW,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	       guest->memory);
	/* Fails where there are no huge pages. */
	madvise(guest->memory, SIZE, advice);
	for (pos = 0; pos < SIZE; pos += PAGE)
		*(uint32_t *)(guest->memory + pos) = 1;
}

/* A test's work with a guest that it is given */
struct work {
	void	(*fn)(const struct guest *guest);
};

static int work_in_box(void *arg)
{
	const struct work *work = arg;
	struct guest guest;

	/* It may be the next try of a test that has switched them off. */
	EXPECT(set_helpers(true));
	if (!make_guest(&guest))
		return skip("no virtual machine to be had: %s",
			    strerror(errno));
	work->fn(&guest);
	return KSFT_PASS;
}

static int run_with_guest(void (*fn)(const struct guest *guest),
			  bool wants_helpers)
{
	struct work work = { .fn = fn };

	return run_in_box(work_in_box, &work, wants_helpers);
}

/* The guest stands still meanwhile, but what it has mapped is there. */
static void tear_down_idle(const struct guest *guest)
{
	static const int advices[] = { MADV_NOHUGEPAGE, MADV_HUGEPAGE };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		fill(guest, advices[i]);
		EXPECT_EQ(sum_in_guest(guest), NR_PAGES);
		EXPECT(!madvise(guest->memory, SIZE, MADV_DONTNEED));
		EXPECT_EQ(sum_in_guest(guest), 0);
	}

	fill(guest, MADV_NOHUGEPAGE);
	EXPECT_EQ(sum_in_guest(guest), NR_PAGES);
	EXPECT(!munmap(guest->memory, SIZE));
	EXPECT_EQ(sum_in_guest(guest), -EFAULT);
}

/* What a guest had mapped it does not see any more. */
static int idle(const void *unused)
{
	return run_with_guest(tear_down_idle, can_have_helpers());
}

/* What a guest that runs on a thread of its own tells */
struct watch {
	const struct guest	*guest;
	unsigned int		begun;
	unsigned int		ended;
	long			sum;
	bool			stop;
};

static void *keep_summing(void *arg)
{
	struct watch *watch = arg;

	while (!__atomic_load_n(&watch->stop, __ATOMIC_SEQ_CST)) {
		__atomic_add_fetch(&watch->begun, 1, __ATOMIC_SEQ_CST);
		watch->sum = sum_in_guest(watch->guest);
		__atomic_add_fetch(&watch->ended, 1, __ATOMIC_SEQ_CST);
		if (!EXPECT_RANGE(watch->sum, 0, NR_PAGES))
			break;
	}
	return NULL;
}

/* A sum that was begun after this function was called */
static long next_sum(struct watch *watch)
{
	unsigned int after;

	after = __atomic_load_n(&watch->begun, __ATOMIC_SEQ_CST) + 1;
	while (__atomic_load_n(&watch->ended, __ATOMIC_SEQ_CST) < after &&
	       !failures)
		usleep(100);
	return __atomic_load_n(&watch->sum, __ATOMIC_SEQ_CST);
}

#define ROUNDS	4

static void tear_down_running(const struct guest *guest)
{
	struct watch watch = { .guest = guest };
	pthread_t thread;
	int round;

	fill(guest, MADV_NOHUGEPAGE);
	if (!EXPECT(!pthread_create(&thread, NULL, keep_summing, &watch)))
		return;
	for (round = 0; round < ROUNDS && !failures; round++) {
		EXPECT_EQ(next_sum(&watch), NR_PAGES);
		EXPECT(!madvise(guest->memory, SIZE, MADV_DONTNEED));
		EXPECT_EQ(next_sum(&watch), 0);
		fill(guest, round % 2 ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	}
	__atomic_store_n(&watch.stop, true, __ATOMIC_SEQ_CST);
	EXPECT(!pthread_join(thread, NULL));

	/* The helpers that are counted are those of teardowns that it watched. */
	EXPECT(set_helpers(false));
}

/*
 * A guest faults pages in while they are torn down, and keeps none of them. It
 * runs on a CPU that then is not a helper's.
 */
static int running(const void *unused)
{
	return run_with_guest(tear_down_running,
			      can_have_helpers() && nr_cpus() > 2);
}

/* The memory goes by exit, with the machine still there. */
static void leave_used(const struct guest *guest)
{
	fill(guest, MADV_NOHUGEPAGE);
	EXPECT_EQ(sum_in_guest(guest), NR_PAGES);
}

static int exits(const void *unused)
{
	return run_with_guest(leave_used, can_have_helpers());
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		T(idle),
		T(running),
		T(exits),
	};

	return run_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
