// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mapping memory for devices with helpers under hostile conditions: memory that
 * cannot be mapped, limits in the way, threads that meddle, death.
 *
 * Whatever happens, it is answered as without helpers, no page stays pinned,
 * nothing stays charged, and the device can go on. The log of the kernel, which
 * checks much of that itself, is part of the result.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../cgroup/cgroup_util.h"
#include "map_test.h"

/* Where something is wrong with the memory, and where it was mapped for devices */
#define MIDDLE		(WORTH / 2)
#define IOVA_MIDDLE	(DMA_BASE + MIDDLE)

/* Nothing of this was there before it is mapped. */
static bool make_fresh(struct memory *memory, size_t size)
{
	return EXPECT(!make_memory(memory, KIND_ANON, FRESH, size, 0));
}

/* Run a test without and with helpers. */
static int both(int (*fn)(enum dma_api api, bool helpers), enum dma_api api)
{
	int ret;

	EXPECT(set_helpers(false));
	ret = fn(api, false);
	EXPECT(set_helpers(true));
	return ret ? ret : fn(api, true);
}

/*
 * What is charged and pinned
 */

struct charges {
	long	locked;
	long	pinned;
	long	pins;
};

static void take_charges(struct charges *charges)
{
	struct figures figures;

	take_figures(&figures, "");
	charges->locked = figures.kb[VM_LCK];
	charges->pinned = figures.kb[VM_PIN];
	charges->pins = pins_held();
}

/* As it was, and devices can still use the addresses. */
static void expect_unharmed(struct dma *dma, const struct charges *before)
{
	struct charges now;

	take_charges(&now);
	EXPECT_EQ(now.locked, before->locked);
	EXPECT_EQ(now.pinned, before->pinned);
	EXPECT_EQ(now.pins, before->pins);
	EXPECT(dma_works(dma, IOVA_MIDDLE - PAGE));
}

/*
 * Memory that cannot be mapped, or hardly
 */

struct answer {
	int	error;
	long	lent;
};

struct question {
	enum dma_api	api;
	bool		much;		/* to do before anything is found */
	bool		(*change)(struct memory *memory, struct dma *dma);
	struct answer	*answer;
};

static int ask_in_box(void *arg)
{
	struct question *question = arg;
	struct dma *dma = space_of(question->api);
	struct charges before;
	struct memory memory;
	long lent;

	if (!make_fresh(&memory, WORTH))
		return KSFT_FAIL;
	*skip_reason = '\0';
	if (!question->change(&memory, dma))
		return *skip_reason ? KSFT_SKIP : KSFT_FAIL;

	take_charges(&before);
	lent = lent_here();
	question->answer->error = -dma_map(dma, memory.base, memory.size,
					   DMA_BASE, true);
	question->answer->lent = lent_here() - lent;
	if (!question->answer->error)
		EXPECT_EQ(dma_unmap(dma, DMA_BASE, memory.size), 0);
	expect_unharmed(dma, &before);
	return KSFT_PASS;
}

/* What is answered without helpers, and with: that, and what Linux always did. */
static int ask(struct question question, int type1_error, int iommufd_error)
{
	struct answer *answers = shared_memory(2 * sizeof(*answers));
	int wanted = question.api == DMA_TYPE1 ? type1_error : iommufd_error;
	int i, ret = KSFT_PASS;

	for (i = 0; i < 2 && !ret; i++) {
		EXPECT(set_helpers(i));
		question.answer = &answers[i];
		ret = in_box(ask_in_box, &question);
	}
	if (ret)
		return ret;
	EXPECT_EQ(answers[0].error, wanted);
	EXPECT_EQ(answers[1].error, wanted);
	EXPECT_RANGE(answers[0].lent, LONG_MIN, 0);
	if (can_have_helpers() && question.much)
		EXPECT_RANGE(answers[1].lent, 1, LONG_MAX);
	return KSFT_PASS;
}

static int ask_about(enum dma_api api,
		     bool (*change)(struct memory *memory, struct dma *dma),
		     int type1_error, int iommufd_error)
{
	struct question question = { .api = api, .change = change };

	question.much = true;
	return ask(question, type1_error, iommufd_error);
}

/* About what may be known before there was much to do. */
static int ask_early(enum dma_api api,
		     bool (*change)(struct memory *memory, struct dma *dma),
		     int error)
{
	struct question question = { .api = api, .change = change };

	return ask(question, error, error);
}

static bool hole(struct memory *memory, struct dma *dma)
{
	return EXPECT(!munmap(memory->base + MIDDLE, PAGE));
}

static bool hole_at_end(struct memory *memory, struct dma *dma)
{
	return EXPECT(!munmap(memory->base + memory->size - PAGE, PAGE));
}

static bool no_access(struct memory *memory, struct dma *dma)
{
	return EXPECT(!mprotect(memory->base + MIDDLE, MIB(3), PROT_NONE));
}

static bool read_only(struct memory *memory, struct dma *dma)
{
	return EXPECT(!mprotect(memory->base + MIDDLE, PAGE, PROT_READ));
}

static bool put(char *at, size_t size, int prot, int flags, int fd)
{
	bool ok = mmap(at, size, prot, flags | MAP_FIXED, fd, 0) == at;

	close(fd);
	return EXPECT(ok);
}

static bool read_only_file(struct memory *memory, struct dma *dma)
{
	int fd = open("/proc/self/exe", O_RDONLY);

	return EXPECT(fd >= 0) &&
	       put(memory->base + MIDDLE, 4 * PAGE, PROT_READ, MAP_SHARED, fd);
}

/* What is beyond the end of its file is not there. */
static bool beyond_end_of_file(struct memory *memory, struct dma *dma)
{
	int fd = memfd_create("ktask", MFD_CLOEXEC);

	return EXPECT(fd >= 0 && !ftruncate(fd, MIB(4) + PAGE)) &&
	       put(memory->base + MIDDLE, MIB(8), RW, MAP_SHARED, fd);
}

/* The first region of a device: memory that has no pages. */
static bool device_registers(struct memory *memory, struct dma *dma)
{
	return put(memory->base + MIDDLE, dma->devices[0].regs_size, RW,
		   MAP_SHARED, dup(dma->devices[0].fd));
}

/* Access by other means than this thread's does not ask for the key. */
static bool protection_key(struct memory *memory, struct dma *dma)
{
	int key = syscall(SYS_pkey_alloc, 0, 1);

	if (key < 0) {
		skip("no protection keys: %s", strerror(errno));
		return false;
	}
	return EXPECT(!syscall(SYS_pkey_mprotect, memory->base + MIDDLE,
			       MIB(2), RW, key));
}

static bool drop_ipc_lock(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return false;
	data[0].effective &= ~(1U << CAP_IPC_LOCK);
	return !syscall(SYS_capset, &header, data);
}

static bool limit_locked(size_t size)
{
	struct rlimit limit = { size, size };

	return EXPECT(!setrlimit(RLIMIT_MEMLOCK, &limit)) &&
	       EXPECT(drop_ipc_lock());
}

static bool locked_half(struct memory *memory, struct dma *dma)
{
	return limit_locked(MIDDLE);
}

static bool locked_all_but_one(struct memory *memory, struct dma *dma)
{
	return limit_locked(memory->size - PAGE);
}

static bool locked_all(struct memory *memory, struct dma *dma)
{
	return limit_locked(memory->size);
}

/* Huge pages for a quarter of the memory, which nobody has reserved. */
static bool hugetlb_runs_out(struct memory *memory, struct dma *dma)
{
	size_t left = memory->size / 4, free;
	struct figures figures;

	take_figures(&figures, "");
	free = figures.kb[SYS_HUGETLB_FREE] * PMD_BYTES;
	if (free < memory->size) {
		skip("too few huge pages of 2 MiB");
		return false;
	}
	return EXPECT(mmap(NULL, free - left, RW, ANON | MAP_HUGETLB, -1, 0) !=
		      MAP_FAILED) &&
	       EXPECT(mmap(memory->base, memory->size, RW,
			   ANON | MAP_HUGETLB | MAP_NORESERVE | MAP_FIXED,
			   -1, 0) == memory->base);
}

/*
 * Allocations that fail
 */

#define FAIL_PAGES	"/sys/kernel/debug/fail_page_alloc/"
#define FAIL_SLAB	"/sys/kernel/debug/failslab/"
#define FAIL_OWN	"/proc/thread-self/fail-nth"

/* Fail one allocation: the nth of this thread, or of all threads together. */
struct failure {
	bool		own;
	unsigned int	nth;
};

struct failures {
	enum dma_api	api;
	bool		helpers;
};

/* Any page, and any memory that may be waited for; without a word in the log. */
static bool prepare_failures(void)
{
	return write_text_to(FAIL_PAGES "ignore-gfp-wait", "N") &&
	       write_text_to(FAIL_PAGES "ignore-gfp-highmem", "N") &&
	       write_text_to(FAIL_PAGES "min-order", "0") &&
	       write_text_to(FAIL_PAGES "verbose", "0") &&
	       write_text_to(FAIL_SLAB "ignore-gfp-wait", "N") &&
	       write_text_to(FAIL_SLAB "verbose", "0");
}

static bool arm(const struct failure *failure, int own)
{
	char nth[16];
	int len = snprintf(nth, sizeof(nth), "%u", failure->nth);

	if (failure->own)
		return write(own, nth, len) == len;
	return write_text_to(FAIL_PAGES "interval", nth) &&
	       write_text_to(FAIL_PAGES "times", "1") &&
	       write_text_to(FAIL_PAGES "probability", "100");
}

/* Did anything fail? From now on nothing does. */
static bool disarm(const struct failure *failure, int own)
{
	char left[16] = "";

	if (failure->own) {
		EXPECT(pread(own, left, sizeof(left) - 1, 0) > 0);
		EXPECT(write(own, "0", 1) == 1);
		return !atoi(left);
	}
	EXPECT(write_text_to(FAIL_PAGES "probability", "0"));
	EXPECT(read_text(FAIL_PAGES "times", left, sizeof(left)) > 0);
	return !atoi(left);
}

static bool map_with_failure(struct dma *dma, const struct failure *failure)
{
	int own = open(FAIL_OWN, O_RDWR), ret;
	struct charges before;
	struct memory memory;
	bool failed;

	if (!EXPECT(own >= 0) || !make_fresh(&memory, WORTH / 2))
		return false;
	take_charges(&before);
	EXPECT(arm(failure, own));
	ret = dma_map(dma, memory.base, memory.size, DMA_BASE, true);
	failed = disarm(failure, own);
	close(own);
	/* iommufd has other errors for it than ENOMEM too, with no helpers. */
	EXPECT(!ret || failed);
	if (!ret)
		EXPECT_EQ(dma_unmap(dma, DMA_BASE, memory.size), 0);
	expect_unharmed(dma, &before);
	EXPECT(!munmap(memory.base, memory.size));
	return failed;
}

/* Early ones are the caller's own, of slabs too; late ones of pages, by anyone. */
static int failures_in_box(void *arg)
{
	static const struct failure list[] = {
		{ true, 1 }, { true, 2 }, { true, 3 }, { true, 5 },
		{ true, 8 }, { true, 1500 }, { true, 3000 }, { false, 100 },
		{ false, 3000 }, { false, 6000 },
	};
	struct failures *failures = arg;
	struct dma *dma = space_of(failures->api);
	long lent = lent_here();
	unsigned int i, failed = 0;

	if (!prepare_failures())
		return skip("kernel without CONFIG_FAIL_PAGE_ALLOC and CONFIG_FAILSLAB");
	for (i = 0; i < ARRAY_SIZE(list); i++)
		failed += map_with_failure(dma, &list[i]);
	EXPECT_RANGE(failed, ARRAY_SIZE(list) / 2, ARRAY_SIZE(list));
	if (failures->helpers)
		expect_lent(lent);
	return KSFT_PASS;
}

/* No memory for the pages, or for what holds them together. */
static int allocation_fails(enum dma_api api, bool helpers)
{
	struct failures failures = { .api = api, .helpers = helpers };

	return in_box(failures_in_box, &failures);
}

/*
 * userfaultfd
 */

struct handler {
	int		uffd;
	char		*base;
	size_t		size;
	unsigned int	faults;
	unsigned int	stop;
};

/* The piece of memory that is given at once, and what is in it */
#define GIVEN		MIB(1)
#define GIVEN_BYTE	0x5a

static void give(struct handler *handler, uint64_t address)
{
	static char given[GIVEN];
	struct uffdio_copy copy = {
		.dst = address & ~(GIVEN - 1),
		.src = (uintptr_t)given,
		.len = GIVEN,
	};
	struct uffdio_range range = { .start = copy.dst, .len = GIVEN };

	memset(given, GIVEN_BYTE, GIVEN);
	/* Two threads may have asked for the same. */
	if (ioctl(handler->uffd, UFFDIO_COPY, &copy) && errno == EEXIST)
		ioctl(handler->uffd, UFFDIO_WAKE, &range);
	handler->faults++;
}

static void *handle_faults(void *arg)
{
	struct handler *handler = arg;
	struct pollfd pollfd = { .fd = handler->uffd, .events = POLLIN };
	struct uffd_msg msg;

	while (!__atomic_load_n(&handler->stop, __ATOMIC_SEQ_CST))
		if (poll(&pollfd, 1, 20) > 0 &&
		    read(handler->uffd, &msg, sizeof(msg)) == sizeof(msg))
			give(handler, msg.arg.pagefault.address);
	return NULL;
}

static bool watch_faults(struct handler *handler)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = {
			.start = (uintptr_t)handler->base,
			.len = handler->size,
		},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	handler->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (handler->uffd < 0) {
		skip("no userfaultfd");
		return false;
	}
	return EXPECT(!ioctl(handler->uffd, UFFDIO_API, &api)) &&
	       EXPECT(!ioctl(handler->uffd, UFFDIO_REGISTER, &reg));
}

static void expect_given(const struct memory *memory)
{
	size_t pos;

	for (pos = 0; pos < memory->size; pos += PAGE)
		if (!EXPECT_EQ(memory->base[pos], GIVEN_BYTE))
			return;
}

static int uffd_in_box(void *arg)
{
	const enum dma_api *api = arg;
	struct dma *dma = space_of(*api);
	struct handler handler = { };
	struct charges before;
	struct memory memory;
	pthread_t thread;
	int ret;

	if (!make_fresh(&memory, WORTH))
		return KSFT_FAIL;
	handler.base = memory.base;
	handler.size = memory.size;
	if (!watch_faults(&handler))
		return handler.uffd < 0 ? KSFT_SKIP : KSFT_FAIL;
	EXPECT(!pthread_create(&thread, NULL, handle_faults, &handler));

	take_charges(&before);
	ret = dma_map(dma, memory.base, memory.size, DMA_BASE, true);
	/* type1 does not let go of the memory's lock, so it cannot wait. */
	EXPECT_EQ(ret, *api == DMA_TYPE1 ? -EFAULT : 0);
	if (!ret) {
		expect_given(&memory);
		EXPECT_EQ(dma_unmap(dma, DMA_BASE, memory.size), 0);
		EXPECT_RANGE(handler.faults, memory.size / GIVEN, LONG_MAX);
	}
	__atomic_store_n(&handler.stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	expect_unharmed(dma, &before);
	return KSFT_PASS;
}

/* Memory that another thread provides, page for page as it is asked for. */
static int userfaultfd(enum dma_api api, bool helpers)
{
	return in_box(uffd_in_box, &api);
}

/*
 * Threads that meddle
 */

struct meddler {
	enum dma_api	api;
	bool		helpers;
	void		(*meddle)(char *part, unsigned int round);
	struct memory	memory;
	unsigned int	rounds;
	unsigned int	stop;
};

/* What is meddled with, from where on; too small for helpers by itself */
#define PART		MIB(12)
#define PART_SIZE	MIB(14)

static void drop(char *part, unsigned int round)
{
	EXPECT(!madvise(part, PART_SIZE, MADV_DONTNEED));
}

static void protect(char *part, unsigned int round)
{
	EXPECT(!mprotect(part, PART_SIZE, round % 2 ? RW : PROT_NONE));
}

static void replace(char *part, unsigned int round)
{
	EXPECT(!munmap(part, PART_SIZE));
	EXPECT(mmap(part, PART_SIZE, RW, ANON | MAP_FIXED, -1, 0) == part);
}

/* Away and back, to where nothing is else. */
static void move(char *part, unsigned int round)
{
	static char *aside;
	char *from, *to;

	if (!aside)
		aside = map_aligned(PART_SIZE, 0, PROT_NONE,
				    ANON | MAP_NORESERVE, -1);
	from = round % 2 ? aside : part;
	to = round % 2 ? part : aside;
	EXPECT(mremap(from, PART_SIZE, PART_SIZE,
		      MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
}

/* Children have it all, for a moment. */
static void fork_child(char *part, unsigned int round)
{
	pid_t pid = fork();

	if (!pid) {
		part[PAGE * round % PART_SIZE] = 1;
		_exit(KSFT_PASS);
	}
	EXPECT(pid > 0 && waitpid(pid, NULL, 0) == pid);
}

static void *meddle(void *arg)
{
	struct meddler *m = arg;

	/* An even number of times, so that all is as it was. */
	while (!__atomic_load_n(&m->stop, __ATOMIC_SEQ_CST) || m->rounds % 2) {
		m->meddle(m->memory.base + PART, m->rounds);
		__atomic_add_fetch(&m->rounds, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

#define MEDDLED_ROUNDS	6

/* Either it works, or it fails as it does for memory that is not there. */
static void map_meddled(struct dma *dma, struct meddler *m)
{
	unsigned int rounds = m->rounds;
	int i, ret;

	/* At least twice each, and until somebody has meddled. */
	for (i = 0; i < MEDDLED_ROUNDS ||
	     __atomic_load_n(&m->rounds, __ATOMIC_SEQ_CST) == rounds; i++) {
		ret = dma_map(dma, m->memory.base, m->memory.size, DMA_BASE,
			      true);
		if (!ret)
			EXPECT_EQ(dma_unmap(dma, DMA_BASE, m->memory.size), 0);
		else
			EXPECT_EQ(ret, -EFAULT);
		EXPECT(!madvise(m->memory.base, PART, MADV_DONTNEED));
	}
}

static int meddle_in_box(void *arg)
{
	struct meddler *m = arg;
	struct dma *dma = space_of(m->api);
	struct charges before;
	pthread_t thread;
	long lent;

	if (!make_fresh(&m->memory, WORTH))
		return KSFT_FAIL;
	take_charges(&before);
	lent = lent_here();
	EXPECT(!pthread_create(&thread, NULL, meddle, m));
	map_meddled(dma, m);
	if (m->helpers)
		expect_lent(lent);
	__atomic_store_n(&m->stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	expect_unharmed(dma, &before);
	return KSFT_PASS;
}

static int meddled(enum dma_api api,
		   void (*with)(char *part, unsigned int round))
{
	struct meddler m = { .api = api, .meddle = with };
	int ret;

	EXPECT(set_helpers(false));
	ret = in_box(meddle_in_box, &m);
	EXPECT(set_helpers(true));
	m.helpers = true;
	return ret ? ret : in_box(meddle_in_box, &m);
}

/*
 * Death
 */

/* A child that maps memory for its parent's devices, and what it tells. */
struct victim {
	struct dma	*dma;
	size_t		size;
	unsigned int	begun;
	unsigned int	ended;
};

static int map_and_wait_in_box(void *arg)
{
	struct victim *v = arg;
	struct memory memory;

	if (!make_fresh(&memory, v->size))
		return KSFT_FAIL;
	__atomic_store_n(&v->begun, 1, __ATOMIC_SEQ_CST);
	dma_map(v->dma, memory.base, memory.size, DMA_BASE, true);
	__atomic_store_n(&v->ended, 1, __ATOMIC_SEQ_CST);
	pause();
	return KSFT_FAIL;
}

static bool is_alive(pid_t pid)
{
	siginfo_t info = { };

	return !waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) &&
	       !info.si_pid;
}

static long memory_of(const struct box *box)
{
	return cg_read_long(box->cgroup, "memory.current");
}

/* Wait until so much of the memory is there; true if more is to come. */
static bool wait_until_mapped(const struct box *box, struct victim *v,
			      long size, bool helpers)
{
	bool lent = !helpers || box_current(box) < 0;
	bool filled = !*box->cgroup;

	while (is_alive(box->pid) && !v->ended) {
		lent = lent || box_current(box) > 0;
		filled = filled || (v->begun && memory_of(box) > size);
		if (lent && filled)
			return true;
	}
	return false;
}

/*
 * Was the mapping complete before its maker died? The kill may have come before
 * that could tell. A mapping that was cut short does not have all pages pinned.
 */
static bool was_mapped(const struct victim *v, const struct charges *before)
{
	return v->ended ||
	       pins_held() - before->pins == (long)(v->size / PAGE);
}

/* Nothing is left of a mapping that was cut short; true if it was. */
static bool expect_gone(struct dma *dma, struct victim *v,
			const struct charges *before)
{
	bool mapped = was_mapped(v, before);

	/* Too late: then it is mapped, whoever made it. */
	if (mapped)
		EXPECT_EQ(dma_unmap(dma, DMA_BASE, v->size), 0);
	expect_unharmed(dma, before);
	return !mapped;
}

static bool kill_at(struct dma *dma, size_t size, size_t at, bool helpers)
{
	struct victim *v = shared_memory(sizeof(*v));
	struct charges before;
	bool caught;
	int status;

	v->dma = dma;
	v->size = size;
	take_charges(&before);
	if (!make_box(here()) ||
	    !EXPECT(enter_box(here(), map_and_wait_in_box, v) > 0))
		return false;
	wait_until_mapped(here(), v, at, helpers);
	kill(here()->pid, SIGKILL);
	status = leave_box(here());
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	caught = expect_gone(dma, v, &before);
	empty_box(here());
	munmap(v, sizeof(*v));
	return caught;
}

/* Early, in the middle and late; where nobody can look, at any time. */
static int killed(enum dma_api api, bool helpers)
{
	static const unsigned int percents[] = { 10, 50, 85 };
	unsigned int caught = 0;
	size_t i, size;

	for (i = 0; i < ARRAY_SIZE(percents); i++)
		for (size = MIB(128); size <= MIB(512); size *= 2) {
			if (!kill_at(space_of(api), size, size / 100 * percents[i],
				     helpers && can_have_helpers()))
				continue;
			caught++;
			break;
		}
	/* What each kill left behind was checked; when it came is chance. */
	if (!caught)
		return skip("every kill came before or after the mapping");
	return KSFT_PASS;
}

/* More memory than the cgroup may have. */
static int oom(enum dma_api api, bool helpers)
{
	struct victim *v = shared_memory(sizeof(*v));
	struct charges before;
	int status;

	if (!make_box(here()))
		return KSFT_FAIL;
	cg_write(here()->cgroup, "memory.swap.max", "0");
	if (!*here()->cgroup || cg_write(here()->cgroup, "memory.max", "96M")) {
		empty_box(here());
		return skip("no limits of memory");
	}
	v->dma = space_of(api);
	v->size = MIB(192);
	take_charges(&before);
	EXPECT(enter_box(here(), map_and_wait_in_box, v) > 0);
	while (is_alive(here()->pid) && !v->ended)
		;
	/* It would wait for ever. */
	if (v->ended)
		kill(here()->pid, SIGTERM);
	status = leave_box(here());
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	EXPECT(!v->ended);
	EXPECT_EQ(keyed(here()->cgroup, "memory.events", "oom_kill"), 1);
	if (helpers && can_have_helpers())
		EXPECT(box_lent(here()));
	expect_gone(v->dma, v, &before);
	empty_box(here());
	return KSFT_PASS;
}

#define MESSAGE_AT	(WORTH - 3 * PAGE - 7)

static const char message[] = "what a process leaves behind";

static int map_and_exit_in_box(void *arg)
{
	struct dma *dma = arg;
	struct memory memory;

	if (!make_fresh(&memory, WORTH))
		return KSFT_FAIL;
	EXPECT_EQ(dma_map(dma, memory.base, memory.size, DMA_BASE, true), 0);
	memcpy(memory.base + MESSAGE_AT, message, sizeof(message));
	return KSFT_PASS;
}

/* Memory that devices have stays, as long as they have it. */
static int outlived(enum dma_api api, bool helpers)
{
	char copy[sizeof(message)] = "";
	struct dma *dma = space_of(api);
	struct charges before;

	if (!make_box(here()))
		return KSFT_FAIL;
	take_charges(&before);
	EXPECT(enter_box(here(), map_and_exit_in_box, dma) > 0);
	EXPECT_EQ(leave_box(here()), 0);

	EXPECT_RANGE(pins_held() - before.pins, 1, LONG_MAX);
	EXPECT(dma_read(dma, DMA_BASE + MESSAGE_AT, copy, sizeof(copy)));
	EXPECT(!memcmp(copy, message, sizeof(message)));
	EXPECT_EQ(dma_unmap(dma, DMA_BASE, WORTH), 0);
	expect_unharmed(dma, &before);
	empty_box(here());
	return KSFT_PASS;
}

static unsigned int alarms;

static void count_alarm(int sig)
{
	alarms++;
}

static int signalled_in_box(void *arg)
{
	const enum dma_api *api = arg;
	struct dma *dma = space_of(*api);
	struct itimerval every = { { 0, 2000 }, { 0, 2000 } };
	struct sigaction action = { .sa_handler = count_alarm };
	struct charges before;
	struct memory memory;

	if (!make_fresh(&memory, WORTH))
		return KSFT_FAIL;
	take_charges(&before);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	EXPECT_EQ(dma_map(dma, memory.base, memory.size, DMA_BASE, true), 0);
	EXPECT(numbers_are_right(&memory));
	while (!alarms)
		;
	memset(&every, 0, sizeof(every));
	setitimer(ITIMER_REAL, &every, NULL);
	EXPECT_EQ(dma_unmap(dma, DMA_BASE, memory.size), 0);
	expect_unharmed(dma, &before);
	return KSFT_PASS;
}

/* A signal that does not kill makes no difference. */
static int signalled(enum dma_api api, bool helpers)
{
	return in_box(signalled_in_box, &api);
}

/*
 * Limits
 */

struct mapper {
	struct dma	*dma;
	struct memory	memory;
	int		ret;
};

static void *map_all(void *arg)
{
	struct mapper *m = arg;

	m->ret = dma_map(m->dma, m->memory.base, m->memory.size, DMA_BASE,
			 true);
	return NULL;
}

static void expect_mapped(struct mapper *m)
{
	static const char hello[] = "hello";

	EXPECT_EQ(m->ret, 0);
	EXPECT(dma_write(m->dma, IOVA_MIDDLE, hello, sizeof(hello)));
	EXPECT(!strcmp(m->memory.base + MIDDLE, hello));
}

static void end_mapper(struct mapper *m)
{
	expect_mapped(m);
	EXPECT_EQ(dma_unmap(m->dma, DMA_BASE, m->memory.size), 0);
}

static int two_spaces_in_box(void *arg)
{
	const enum dma_api *api = arg;
	long pins = pins_held(), lent;
	struct mapper mappers[2];
	pthread_t threads[2];
	struct dma spaces[2];
	int i;

	for (i = 0; i < 2; i++) {
		mappers[i].dma = &spaces[i];
		if (!make_fresh(&mappers[i].memory, WORTH) ||
		    !EXPECT(dma_open(&spaces[i], *api, first_spare() + i, 1)))
			return KSFT_FAIL;
	}
	if (lent_here() >= 0)
		EXPECT(!cg_write(here()->cgroup, "cpu.ktask.max", "1"));

	lent = lent_here();
	for (i = 0; i < 2; i++)
		EXPECT(!pthread_create(&threads[i], NULL, map_all,
				       &mappers[i]));
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	expect_lent(lent);
	if (lent >= 0)
		EXPECT_RANGE(cg_read_long(here()->cgroup, "cpu.ktask.peak"),
			     0, 1);
	for (i = 0; i < 2; i++)
		end_mapper(&mappers[i]);
	for (i = 0; i < 2; i++)
		dma_close(&spaces[i]);
	EXPECT_EQ(pins_held(), pins);
	return KSFT_PASS;
}

/* Two threads of a process map for two devices, below one cap. */
static int two_spaces(enum dma_api api)
{
	return in_box(two_spaces_in_box, &api);
}

struct lowering {
	enum dma_api	api;
	char		*file;
	char		*text;
	unsigned int	caught;
};

static bool maps(struct mapper *m)
{
	return __atomic_load_n(&m->ret, __ATOMIC_SEQ_CST) == 1;
}

/* Lower a limit once helpers work, and see them leave. */
static bool lower_while_mapping(struct lowering *lowering, struct mapper *m)
{
	pthread_t thread;
	bool caught;

	m->ret = 1;
	EXPECT(!pthread_create(&thread, NULL, map_all, m));
	while (!box_current(here()) && maps(m))
		;
	EXPECT(!cg_write(here()->cgroup, lowering->file, lowering->text));
	caught = maps(m);
	/* It goes on to its end without them. */
	while (box_current(here()))
		;
	caught = caught && maps(m);
	pthread_join(thread, NULL);
	return caught;
}

static int lower_in_box(void *arg)
{
	struct lowering *lowering = arg;
	struct charges before;
	struct mapper m = { .dma = space_of(lowering->api) };

	if (lent_here() < 0 || !can_have_helpers())
		return skip("no helpers to take away");
	if (!make_fresh(&m.memory, MIB(256)))
		return KSFT_FAIL;
	take_charges(&before);
	lowering->caught = lower_while_mapping(lowering, &m);
	EXPECT(numbers_are_right(&m.memory));
	end_mapper(&m);
	expect_unharmed(m.dma, &before);
	return KSFT_PASS;
}

/* A limit that takes all helpers away while they work. */
static int lowered(enum dma_api api, char *file, char *text)
{
	struct lowering *lowering = shared_memory(sizeof(*lowering));
	int ret = KSFT_PASS, tries;

	*lowering = (struct lowering){ .api = api, .file = file, .text = text };
	for (tries = 0; tries < 5 && !ret && !lowering->caught; tries++)
		ret = in_box(lower_in_box, lowering);
	if (!ret && !lowering->caught)
		return skip("the limit came before or after the helpers");
	return ret;
}

static int lowered_cpuset(enum dma_api api)
{
	if (!add_controller("cpuset"))
		return skip("no cpuset controller");
	return lowered(api, "cpuset.cpus", "0");
}

/*
 * A cgroup that is removed while a helper waits in it for a huge page
 */

/* Do two threads wait for memory, in two places? */
static bool two_wait(struct handler *handler)
{
	struct pollfd pollfd = { .fd = handler->uffd, .events = POLLIN };
	struct uffd_msg msgs[2];
	int i;

	for (i = 0; i < 2; i++)
		if (poll(&pollfd, 1, 1000) != 1 ||
		    read(handler->uffd, &msgs[i], sizeof(msgs[i])) < 0)
			return false;
	return msgs[0].arg.pagefault.address != msgs[1].arg.pagefault.address;
}

/* Let those go on who wait, and provide for themselves. */
static void stop_watching(struct handler *handler)
{
	struct uffdio_range range = {
		.start = (uintptr_t)handler->base,
		.len = handler->size,
	};

	EXPECT(!ioctl(handler->uffd, UFFDIO_UNREGISTER, &range));
	close(handler->uffd);
}

static bool nothing_dies(const char *cgroup)
{
	int tries;

	for (tries = 0; tries < 100; tries++) {
		if (!keyed(cgroup, "cgroup.stat", "nr_dying_descendants"))
			return true;
		usleep(100000);
	}
	return false;
}

/* Bytes of huge pages that cgroups which are there are charged, of all nodes */
static long charged_on_nodes(const char *cgroup)
{
	char text[4096], *part;
	long sum = 0;

	if (cg_read(cgroup, "hugetlb.2MB.numa_stat", text, sizeof(text)))
		return -1;
	for (part = strstr(text, " N"); part; part = strstr(part + 1, " N"))
		sum += atol(strchr(part, '=') + 1);
	return sum;
}

/* Into a cgroup of its own below its box, where CPU time and huge pages count */
static bool go_below(const char *cgroup)
{
	return EXPECT(!cg_create(cgroup)) &&
	       EXPECT(!cg_enter_current(cgroup)) &&
	       EXPECT(!cg_write(here()->cgroup, "cgroup.subtree_control",
				"+cpu +hugetlb"));
}

static void come_back(const char *cgroup)
{
	EXPECT(!cg_write(here()->cgroup, "cgroup.subtree_control",
			 "-cpu -hugetlb"));
	EXPECT(!cg_enter_current(here()->cgroup));
	EXPECT(!cg_destroy(cgroup));
}

static void change_cgroup(const char *old, const char *new)
{
	int i;

	if (EXPECT(!cg_create(new)) && EXPECT(!cg_enter_current(new)))
		EXPECT(!cg_destroy(old));
	/* A worker then takes it offline, after a grace period or two. */
	for (i = 0; i < 3; i++)
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	usleep(300000);
}

/* Helper threads that are in a cgroup of that name, removed or not */
static int helpers_in(const char *name)
{
	char path[PATH_MAX], text[4096];
	glob_t found;
	size_t i;
	int nr = 0;

	if (!EXPECT(!glob("/proc/[0-9]*", GLOB_NOSORT, NULL, &found)))
		return -1;
	for (i = 0; i < found.gl_pathc; i++) {
		snprintf(path, sizeof(path), "%s/comm", found.gl_pathv[i]);
		if (read_text(path, text, sizeof(text)) <= 0 ||
		    strncmp(text, "ktask/", 6))
			continue;
		snprintf(path, sizeof(path), "%s/cgroup", found.gl_pathv[i]);
		if (read_text(path, text, sizeof(text)) > 0 &&
		    strstr(text, name))
			nr++;
	}
	globfree(&found);
	return nr;
}

#define SCHED_DEBUG	"/sys/kernel/debug/sched/debug"

/* Helper threads that are scheduled in a group of that name */
static int helpers_scheduled_in(const char *name)
{
	FILE *debug = fopen(SCHED_DEBUG, "r");
	size_t size = 0;
	char *line = NULL;
	int nr = 0;

	if (!EXPECT(debug))
		return -1;
	while (getline(&line, &size, debug) > 0)
		if (strstr(line, " ktask/") && strstr(line, name))
			nr++;
	free(line);
	fclose(debug);
	return nr;
}

static int removed_in_box(void *arg)
{
	char *old = cg_name(here()->cgroup, "old");
	char *new = cg_name(here()->cgroup, "new");
	struct mapper m = { .dma = space_of(DMA_IOMMUFD) };
	struct handler handler = { };
	struct charges before;
	unsigned int *caught = arg;
	pthread_t thread;
	int ret;

	if (!can_have_helpers())
		return skip("no helpers");
	ret = make_memory(&m.memory, KIND_HUGETLB_2M, FRESH, WORTH, 0);
	if (ret)
		return ret;
	/* From there on another thread has to provide it. */
	handler.base = m.memory.base + MIDDLE;
	handler.size = WORTH - MIDDLE;
	if (!watch_faults(&handler))
		return handler.uffd < 0 ? KSFT_SKIP : KSFT_FAIL;
	if (!go_below(old))
		return KSFT_FAIL;

	take_charges(&before);
	EXPECT(!pthread_create(&thread, NULL, map_all, &m));
	*caught = two_wait(&handler);
	change_cgroup(old, new);
	EXPECT_EQ(helpers_in("/old"), 0);
	if (*caught)
		EXPECT_RANGE(helpers_in("/new"), 1, LONG_MAX);
	if (!access(SCHED_DEBUG, R_OK)) {
		EXPECT_EQ(helpers_scheduled_in("/old"), 0);
		if (*caught)
			EXPECT_RANGE(helpers_scheduled_in("/new"), 1, LONG_MAX);
	}
	stop_watching(&handler);
	pthread_join(thread, NULL);

	expect_mapped(&m);
	EXPECT(nothing_dies(here()->cgroup));
	EXPECT_EQ(cg_read_long(here()->cgroup, "hugetlb.2MB.current"), WORTH);
	EXPECT_EQ(charged_on_nodes(here()->cgroup), WORTH);
	/* All that had to be waited for, whoever did. */
	EXPECT_RANGE(cg_read_long(new, "hugetlb.2MB.current"), WORTH - MIDDLE,
		     WORTH);
	EXPECT_EQ(dma_unmap(m.dma, DMA_BASE, WORTH), 0);
	EXPECT(!munmap(m.memory.base, WORTH));
	EXPECT_EQ(cg_read_long(here()->cgroup, "hugetlb.2MB.current"), 0);
	expect_unharmed(m.dma, &before);
	come_back(new);
	return KSFT_PASS;
}

/* The helper goes where its caller goes, and charges there. */
static int cgroup_removed(void)
{
	unsigned int *caught = shared_memory(sizeof(*caught));
	int ret = KSFT_PASS, tries;

	if (!add_controller("hugetlb"))
		return skip("no hugetlb controller");
	for (tries = 0; tries < 5 && !ret && !*caught; tries++)
		ret = in_box(removed_in_box, caught);
	if (!ret && !*caught)
		return skip("no helper came to wait for memory");
	return ret;
}

TEST_F_TIMEOUT(api, hole, MAP_TIMEOUT)
{
	map_end(_metadata, ask_about(variant->api, hole, EFAULT, EFAULT));
}

TEST_F_TIMEOUT(api, hole_at_end, MAP_TIMEOUT)
{
	map_end(_metadata,
		ask_about(variant->api, hole_at_end, EFAULT, EFAULT));
}

TEST_F_TIMEOUT(api, no_access, MAP_TIMEOUT)
{
	map_end(_metadata, ask_about(variant->api, no_access, EFAULT, EFAULT));
}

TEST_F_TIMEOUT(api, read_only, MAP_TIMEOUT)
{
	map_end(_metadata, ask_about(variant->api, read_only, EFAULT, EFAULT));
}

TEST_F_TIMEOUT(api, read_only_file, MAP_TIMEOUT)
{
	map_end(_metadata,
		ask_about(variant->api, read_only_file, EFAULT, EFAULT));
}

TEST_F_TIMEOUT(api, beyond_end_of_file, MAP_TIMEOUT)
{
	map_end(_metadata,
		ask_about(variant->api, beyond_end_of_file, EFAULT, EFAULT));
}

TEST_F_TIMEOUT(api, device_registers, MAP_TIMEOUT)
{
	map_end(_metadata,
		ask_about(variant->api, device_registers, 0, EFAULT));
}

TEST_F_TIMEOUT(api, protection_key, MAP_TIMEOUT)
{
	map_end(_metadata, ask_about(variant->api, protection_key, 0, EFAULT));
}

TEST_F_TIMEOUT(api, hugetlb_runs_out, MAP_TIMEOUT)
{
	map_end(_metadata, ask_early(variant->api, hugetlb_runs_out, EFAULT));
}

TEST_F_TIMEOUT(api, allocation_fails, MAP_TIMEOUT)
{
	map_end(_metadata, both(allocation_fails, variant->api));
}

TEST_F_TIMEOUT(api, rlimit_in_the_middle, MAP_TIMEOUT)
{
	map_end(_metadata,
		ask_about(variant->api, locked_half, ENOMEM, ENOMEM));
}

TEST_F_TIMEOUT(api, rlimit_too_low_by_a_page, MAP_TIMEOUT)
{
	map_end(_metadata,
		ask_about(variant->api, locked_all_but_one, ENOMEM, ENOMEM));
}

TEST_F_TIMEOUT(api, rlimit_just_enough, MAP_TIMEOUT)
{
	map_end(_metadata, ask_about(variant->api, locked_all, 0, 0));
}

TEST_F_TIMEOUT(api, userfaultfd, MAP_TIMEOUT)
{
	map_end(_metadata, both(userfaultfd, variant->api));
}

TEST_F_TIMEOUT(api, meddled_drop, MAP_TIMEOUT)
{
	map_end(_metadata, meddled(variant->api, drop));
}

TEST_F_TIMEOUT(api, meddled_protect, MAP_TIMEOUT)
{
	map_end(_metadata, meddled(variant->api, protect));
}

TEST_F_TIMEOUT(api, meddled_replace, MAP_TIMEOUT)
{
	map_end(_metadata, meddled(variant->api, replace));
}

TEST_F_TIMEOUT(api, meddled_move, MAP_TIMEOUT)
{
	map_end(_metadata, meddled(variant->api, move));
}

TEST_F_TIMEOUT(api, meddled_fork_child, MAP_TIMEOUT)
{
	map_end(_metadata, meddled(variant->api, fork_child));
}

TEST_F_TIMEOUT(api, killed, MAP_TIMEOUT)
{
	map_end(_metadata, both(killed, variant->api));
}

TEST_F_TIMEOUT(api, oom, MAP_TIMEOUT)
{
	map_end(_metadata, both(oom, variant->api));
}

TEST_F_TIMEOUT(api, outlived, MAP_TIMEOUT)
{
	map_end(_metadata, both(outlived, variant->api));
}

TEST_F_TIMEOUT(api, signalled, MAP_TIMEOUT)
{
	map_end(_metadata, both(signalled, variant->api));
}

TEST_F_TIMEOUT(api, two_spaces, MAP_TIMEOUT)
{
	map_end(_metadata, two_spaces(variant->api));
}

TEST_F_TIMEOUT(api, lowered_cap, MAP_TIMEOUT)
{
	map_end(_metadata, lowered(variant->api, "cpu.ktask.max", "0"));
}

TEST_F_TIMEOUT(api, lowered_cpuset, MAP_TIMEOUT)
{
	map_end(_metadata, lowered_cpuset(variant->api));
}

/* type1 does not let go of the memory's lock, so it cannot wait for memory. */
FIXTURE(iommufd)
{
};

FIXTURE_SETUP(iommufd)
{
	map_begin(_metadata, DMA_IOMMUFD);
}

FIXTURE_TEARDOWN(iommufd)
{
}

TEST_F_TIMEOUT(iommufd, cgroup_removed, MAP_TIMEOUT)
{
	map_end(_metadata, cgroup_removed());
}

TEST_HARNESS_MAIN
