// SPDX-License-Identifier: GPL-2.0-only
/*
 * Teardowns with helpers under hostile conditions: memory that others hold on
 * to or look at, processes that are killed in the middle, many at once.
 *
 * Most of these ask for nothing but that everybody survives, sees the data
 * that is theirs, and that nothing is left: the latter is looked for in the
 * cgroup when it is empty, and by the kernel itself, whose log is read.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktask_util.h"

#define RW		(PROT_READ | PROT_WRITE)
#define ANON		(MAP_PRIVATE | MAP_ANONYMOUS)
#define SHARED		(MAP_SHARED | MAP_ANONYMOUS)

/* Enough for helpers */
#define SIZE		MIB(48)
#define NR_PAGES	(SIZE / PAGE)
#define GIGANTIC	MIB(1024)

/* Teardowns that are to be caught at work: made longer until they are */
#define ALIAS		MIB(32)
#define FEWEST_ALIASES	MIB(256)
#define MOST_ALIASES	MIB(8192)

/* A region in small pages, every page of which knows its number. */
static char *map_numbered(int flags, int fd, size_t size)
{
	char *base = map_aligned(size, 0, RW, flags, fd);
	size_t pos;

	if (!EXPECT(base))
		exit(KSFT_FAIL);
	madvise(base, size, MADV_NOHUGEPAGE);
	for (pos = 0; pos < size; pos += PAGE)
		*(uint64_t *)(base + pos) = pos + 1;
	return base;
}

static bool is_numbered(const char *base, size_t size)
{
	size_t pos;

	for (pos = 0; pos < size; pos += PAGE)
		if (*(uint64_t *)(base + pos) != pos + 1)
			return EXPECT(!"a page has its number");
	return true;
}

/* The same memory mapped many times: long to tear down, but small. */
static char *map_aliases(size_t size)
{
	int fd = memfd_create("ktask", MFD_CLOEXEC);
	char *base = map_aligned(size, 0, PROT_NONE, ANON | MAP_NORESERVE, -1);
	size_t pos;

	if (!EXPECT(fd >= 0 && base) || !EXPECT(!ftruncate(fd, ALIAS)))
		exit(KSFT_FAIL);
	for (pos = 0; pos < size; pos += ALIAS)
		EXPECT(mmap(base + pos, ALIAS, RW,
			    MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) !=
		       MAP_FAILED);
	close(fd);
	return base;
}

/*
 * userfaultfd
 */

static int open_uffd(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool protect(int uffd, char *start, size_t size)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = (uintptr_t)start, .len = size },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return !ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
}

/* Pages of a range that are write-protected, or marked to be when they come. */
static long count_protected(char *start, size_t size)
{
	static uint64_t map[SIZE / PAGE];
	int fd = open("/proc/self/pagemap", O_RDONLY);
	size_t nr = size / PAGE, i;
	long protected = 0;

	if (!EXPECT(pread(fd, map, nr * sizeof(*map),
			  (uintptr_t)start / PAGE * sizeof(*map)) ==
		    (ssize_t)(nr * sizeof(*map))))
		return -1;
	for (i = 0; i < nr; i++)
		protected += map[i] >> 57 & 1;
	close(fd);
	return protected;
}

struct uffd_result {
	long	anon;		/* protected pages left by MADV_DONTNEED */
	long	shared;
};

/* Write protection of pages, and of places where there is none yet. */
static void uffd_wp(int uffd, int flags, long *left)
{
	/* Neighbours keep the first and the last page table alive. */
	char *around = map_aligned(SIZE + MIB(2), 0, RW, flags, -1);
	char *base = around + MIB(1);
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)base, .len = SIZE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	EXPECT(around);
	madvise(around, SIZE + MIB(2), MADV_NOHUGEPAGE);
	EXPECT(!madvise(around, MIB(1), MADV_POPULATE_WRITE));
	EXPECT(!madvise(base + SIZE, MIB(1), MADV_POPULATE_WRITE));
	EXPECT(!ioctl(uffd, UFFDIO_REGISTER, &reg));
	EXPECT(!madvise(base, SIZE / 4 * 3, MADV_POPULATE_WRITE));
	EXPECT(protect(uffd, base + MIB(3), MIB(20)));
	EXPECT(protect(uffd, base + SIZE - MIB(2), MIB(1)));

	EXPECT(!madvise(base, SIZE, MADV_DONTNEED));
	*left = count_protected(base, SIZE);

	EXPECT(!madvise(base + MIB(23), MIB(22), MADV_POPULATE_WRITE));
	EXPECT(protect(uffd, base, SIZE));
	EXPECT(!munmap(base, SIZE));

	/* Whatever comes to be at these addresses is not protected. */
	EXPECT(mmap(base, SIZE, RW, flags | MAP_FIXED, -1, 0) == base);
	EXPECT_EQ(count_protected(base, SIZE), 0);
	EXPECT(!madvise(base, SIZE, MADV_POPULATE_READ));
	EXPECT_EQ(count_protected(base, SIZE), 0);
	EXPECT(!munmap(around, SIZE + MIB(2)));
}

static int uffd_wp_in_box(void *arg)
{
	struct uffd_result *result = arg;
	int uffd = open_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			     UFFD_FEATURE_WP_HUGETLBFS_SHMEM);

	if (uffd < 0)
		return skip("no write protection by userfaultfd: %s",
			    strerror(errno));
	uffd_wp(uffd, ANON, &result->anon);
	uffd_wp(uffd, SHARED, &result->shared);
	close(uffd);
	return KSFT_PASS;
}

/* Marks stay where they do without helpers, and go where they go. */
static int uffd_write_protect(const void *unused)
{
	struct uffd_result *off = shared_memory(sizeof(*off));
	struct uffd_result *on = shared_memory(sizeof(*on));
	int ret;

	EXPECT(set_helpers(false));
	ret = run_in_box(uffd_wp_in_box, off, false);
	EXPECT(set_helpers(true));
	if (ret)
		return ret;
	ret = run_in_box(uffd_wp_in_box, on, can_have_helpers());
	EXPECT_EQ(on->anon, off->anon);
	EXPECT_EQ(on->shared, off->shared);
	/* Or the test had nothing to look at. */
	EXPECT_RANGE(off->shared, 1, NR_PAGES);
	return ret;
}

/* A page of 1 GiB that is not there, marked to be protected when it comes. */
static bool mark_gigantic(int uffd, char **base)
{
	struct uffdio_register reg = {
		.range = { .len = GIGANTIC },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	*base = mmap(NULL, GIGANTIC, RW,
		     ANON | MAP_HUGETLB | MAP_HUGE_1GB | MAP_NORESERVE, -1, 0);
	if (*base == MAP_FAILED)
		return false;
	reg.range.start = (uintptr_t)*base;
	return EXPECT(!ioctl(uffd, UFFDIO_REGISTER, &reg)) &&
	       EXPECT(protect(uffd, *base, GIGANTIC));
}

static int uffd_gigantic_in_box(void *arg)
{
	int uffd = open_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			     UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	char *used = map_aligned(SIZE, 0, RW, ANON, -1), *gone, *left;

	EXPECT(used && !madvise(used, SIZE, MADV_POPULATE_WRITE));
	if (uffd < 0 || !mark_gigantic(uffd, &gone))
		return skip("no write protection of pages of 1 GiB by userfaultfd");
	EXPECT(!munmap(gone, GIGANTIC));
	/* This one goes with the process. */
	EXPECT(mark_gigantic(uffd, &left));
	return KSFT_PASS;
}

/* Entries of page tables that are neither none nor refer to anything. */
static int uffd_gigantic(const void *unused)
{
	return run_in_box(uffd_gigantic_in_box, NULL, false);
}

struct monitor {
	int	uffd;
	long	removed;	/* bytes */
	long	unmapped;
	long	filled;		/* pages */
	bool	stop;
};

/* Serve faults with zero pages, and take notice of what goes. */
static void *monitor(void *arg)
{
	struct monitor *m = arg;
	struct pollfd pollfd = { .fd = m->uffd, .events = POLLIN };
	struct uffd_msg msg;

	while (!__atomic_load_n(&m->stop, __ATOMIC_SEQ_CST)) {
		if (poll(&pollfd, 1, 10) <= 0 ||
		    read(m->uffd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		if (msg.event == UFFD_EVENT_REMOVE)
			m->removed += msg.arg.remove.end - msg.arg.remove.start;
		if (msg.event == UFFD_EVENT_UNMAP)
			m->unmapped += msg.arg.remove.end -
				       msg.arg.remove.start;
		if (msg.event == UFFD_EVENT_PAGEFAULT) {
			struct uffdio_zeropage zero = {
				.range = {
					.start = msg.arg.pagefault.address &
						 ~(PAGE - 1),
					.len = PAGE,
				},
			};

			m->filled++;
			ioctl(m->uffd, UFFDIO_ZEROPAGE, &zero);
		}
	}
	return NULL;
}

static int uffd_missing_in_box(void *arg)
{
	struct monitor m = {
		.uffd = open_uffd(UFFD_FEATURE_EVENT_REMOVE |
				  UFFD_FEATURE_EVENT_UNMAP),
	};
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_copy copy = { .len = SIZE };
	char *base, *source;
	pthread_t thread;
	size_t pos;

	if (m.uffd < 0)
		return skip("no userfaultfd: %s", strerror(errno));

	base = map_aligned(SIZE, 0, RW, ANON, -1);
	madvise(base, SIZE, MADV_NOHUGEPAGE);
	reg.range.start = (uintptr_t)base;
	reg.range.len = SIZE;
	EXPECT(!ioctl(m.uffd, UFFDIO_REGISTER, &reg));

	source = map_numbered(ANON, -1, SIZE);
	copy.dst = (uintptr_t)base;
	copy.src = (uintptr_t)source;
	EXPECT(!ioctl(m.uffd, UFFDIO_COPY, &copy));
	EXPECT(is_numbered(base, SIZE));

	EXPECT(!pthread_create(&thread, NULL, monitor, &m));
	EXPECT(!madvise(base, SIZE, MADV_DONTNEED));
	for (pos = 0; pos < MIB(1); pos += PAGE)
		EXPECT(!base[pos]);
	EXPECT(!munmap(source, SIZE));
	EXPECT(!munmap(base, SIZE));
	__atomic_store_n(&m.stop, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);

	EXPECT_EQ(m.removed, SIZE);
	EXPECT_EQ(m.filled, MIB(1) / PAGE);
	EXPECT_EQ(m.unmapped, SIZE);
	close(m.uffd);
	return KSFT_PASS;
}

/* A monitor hears of what goes, once, and serves what is asked for again. */
static int uffd_missing(const void *unused)
{
	return run_in_box(uffd_missing_in_box, NULL, can_have_helpers());
}

/*
 * KSM
 */

#define KSM	"/sys/kernel/mm/ksm/"

static int ksm_in_box(void *arg)
{
	char *base = map_aligned(SIZE, 0, RW, ANON, -1);
	long before = read_long_from(KSM "pages_sharing");
	size_t pos;

	EXPECT(base);
	madvise(base, SIZE, MADV_NOHUGEPAGE);
	/* 64 kinds of pages, many of each; half of the region takes part. */
	for (pos = 0; pos < SIZE; pos += PAGE)
		memset(base + pos, 1 + pos / PAGE % 64, PAGE);
	EXPECT(!madvise(base + SIZE / 4, SIZE / 2, MADV_MERGEABLE));
	while (read_long_from(KSM "pages_sharing") - before <
	       (long)NR_PAGES / 4)
		usleep(10000);

	EXPECT(!madvise(base, SIZE / 8 * 3, MADV_DONTNEED));
	for (pos = 0; pos < SIZE; pos += PAGE)
		if (!EXPECT(base[pos] == (pos < SIZE / 8 * 3 ? 0 :
					  (char)(1 + pos / PAGE % 64))))
			break;
	EXPECT(!munmap(base, SIZE));
	return KSFT_PASS;
}

/* Merged pages: each mapping of them goes, and when the last went, they do. */
static int ksm(const void *unused)
{
	long run = read_long_from(KSM "run"), shared, scans;
	int ret;

	if (run < 0)
		return skip("no KSM");
	shared = read_long_from(KSM "pages_sharing");
	scans = read_long_from(KSM "pages_to_scan");
	write_text_to(KSM "pages_to_scan", "20000");
	write_text_to(KSM "run", "1");

	ret = run_in_box(ksm_in_box, NULL, can_have_helpers());

	/* KSM itself notices when it looks for them the next time. */
	while (read_long_from(KSM "pages_sharing") > shared)
		usleep(10000);
	write_text_to(KSM "run", run ? "1" : "0");
	if (scans == 100)
		write_text_to(KSM "pages_to_scan", "100");
	return ret;
}

/*
 * Locked memory
 */

static void expect_unlocked(const struct figures *before)
{
	struct figures after;

	drain_batches();
	take_figures(&after, "");
	EXPECT_EQ(after.kb[VM_LCK], before->kb[VM_LCK]);
	EXPECT_RANGE(after.kb[SYS_MLOCKED] - before->kb[SYS_MLOCKED], -64, 64);
}

static int mlocked_in_box(void *arg)
{
	struct figures before, locked;
	char *base;
	int round;

	take_figures(&before, "");
	for (round = 0; round < 3; round++) {
		base = map_numbered(round == 2 ? SHARED : ANON, -1, SIZE);
		EXPECT(!mlock(base + MIB(1), SIZE - MIB(2)));
		take_figures(&locked, "");
		EXPECT_EQ(locked.kb[VM_LCK] - before.kb[VM_LCK],
			  (SIZE - MIB(2)) / 1024);
		EXPECT_RANGE(locked.kb[SYS_MLOCKED] - before.kb[SYS_MLOCKED],
			     (SIZE - MIB(2)) / 1024 - 64, SIZE / 1024);

		/* Zapping needs to be told that it means locked memory, too. */
		EXPECT(madvise(base, SIZE, MADV_DONTNEED) && errno == EINVAL);
		if (round == 1) {
			EXPECT(!madvise(base, SIZE, MADV_DONTNEED_LOCKED));
			EXPECT(!base[SIZE / 2]);
		}
		EXPECT(!munmap(base, SIZE));
		expect_unlocked(&before);
	}

	/* The last time by exit. */
	base = map_numbered(ANON, -1, SIZE);
	EXPECT(!mlock(base, SIZE));
	return KSFT_PASS;
}

static int mlocked(const void *unused)
{
	struct figures before;
	int ret;

	take_figures(&before, "");
	ret = run_in_box(mlocked_in_box, NULL, can_have_helpers());
	expect_unlocked(&before);
	return ret;
}

/*
 * Death
 */

/* Use more and more memory. */
static int eat_in_box(void *arg)
{
	map_numbered(ANON, -1, MIB(96));
	map_numbered(SHARED, -1, MIB(96));
	return KSFT_PASS;
}

/* The OOM killer of a cgroup ends a process that is large. */
static int oom_kill_once(void *unused, long *lent)
{
	struct box box;
	char path[512];
	int status;

	if (!make_box(&box))
		return KSFT_FAIL;
	snprintf(path, sizeof(path), "%s/memory.swap.max", box.cgroup);
	write_text_to(path, "0");
	snprintf(path, sizeof(path), "%s/memory.max", box.cgroup);
	if (!write_text_to(path, "128M")) {
		empty_box(&box);
		return skip("no limits of memory");
	}

	EXPECT(enter_box(&box, eat_in_box, NULL) > 0);
	status = leave_box(&box);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	EXPECT_EQ(keyed(box.cgroup, "memory.events", "oom_kill"), 1);
	*lent = box_lent(&box);
	empty_box(&box);
	return KSFT_PASS;
}

static int oom_kill(const void *unused)
{
	return try_for_helpers(oom_kill_once, NULL, can_have_helpers());
}

struct victim {
	size_t		size;
	bool		exits;
	bool		own_thread;
	unsigned int	begun;
	unsigned int	ended;
};

static void *kill_self(void *arg)
{
	struct victim *v = arg;

	while (!__atomic_load_n(&v->begun, __ATOMIC_SEQ_CST))
		;
	kill(getpid(), SIGKILL);
	return NULL;
}

static int victim_in_box(void *arg)
{
	struct victim *v = arg;
	char *base = map_aliases(v->size);
	char *own = map_numbered(ANON, -1, SIZE);
	pthread_t thread;

	if (v->own_thread)
		pthread_create(&thread, NULL, kill_self, v);
	EXPECT(is_numbered(own, SIZE));
	__atomic_store_n(&v->begun, 1, __ATOMIC_SEQ_CST);
	if (v->exits)
		_exit(KSFT_PASS);
	munmap(base, v->size);
	__atomic_store_n(&v->ended, 1, __ATOMIC_SEQ_CST);
	pause();
	return KSFT_FAIL;
}

/* Kill a process in the middle of a teardown; true if it was in the middle. */
static bool kill_victim(struct victim *v)
{
	bool caught = false;
	struct box box;
	pid_t pid;
	int status;

	v->begun = 0;
	v->ended = 0;
	if (!make_box(&box))
		return false;
	pid = enter_box(&box, victim_in_box, v);
	EXPECT(pid > 0);

	while (!__atomic_load_n(&v->begun, __ATOMIC_SEQ_CST))
		;
	/* Where nobody tells, the middle is wherever it is. */
	while (!v->own_thread && box_current(&box) == 0 && !v->ended &&
	       !waitpid(pid, &status, WNOHANG | WNOWAIT))
		;
	caught = box_current(&box) && !v->ended;
	if (!v->own_thread)
		kill(pid, SIGKILL);

	status = leave_box(&box);
	if (v->exits)
		EXPECT(WIFSIGNALED(status) || !status);
	else
		EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	empty_box(&box);
	return caught;
}

static int killed(bool exits, bool own_thread)
{
	struct victim *v = shared_memory(sizeof(*v));
	bool caught = false;

	v->exits = exits;
	v->own_thread = own_thread;
	for (v->size = FEWEST_ALIASES; v->size <= MOST_ALIASES && !caught;
	     v->size *= 2)
		caught = kill_victim(v) || own_thread || !can_have_helpers();
	/* What each kill left behind was checked; when it came is chance. */
	if (!caught)
		return skip("every kill came before or after the teardown");
	return KSFT_PASS;
}

static int killed_in_munmap(const void *unused)
{
	return killed(false, false);
}

static int killed_in_exit(const void *unused)
{
	return killed(true, false);
}

static int killed_by_own_thread(const void *unused)
{
	return killed(false, true);
}

/* A gate that many processes wait at. */
static int gate[2];

static int wait_and_exit_in_box(void *arg)
{
	char go;

	close(gate[1]);
	map_numbered(ANON, -1, *(size_t *)arg);
	map_numbered(SHARED, -1, MIB(8));
	/* The end of file comes to all of them at once. */
	return read(gate[0], &go, 1) ? KSFT_FAIL : KSFT_PASS;
}

static int exit_together_once(void *unused, long *lent)
{
	size_t small = MIB(24), large = MIB(192);
	pid_t pids[8];
	struct box box;
	int status, i;

	if (!make_box(&box) || !EXPECT(!pipe(gate)))
		return KSFT_FAIL;
	for (i = 0; i < 8; i++)
		pids[i] = enter_box(&box, wait_and_exit_in_box,
				    i ? &small : &large);
	close(gate[0]);
	close(gate[1]);
	for (i = 0; i < 8; i++)
		EXPECT(waitpid(pids[i], &status, 0) == pids[i] && !status);
	*lent = box_lent(&box);
	empty_box(&box);
	return KSFT_PASS;
}

/*
 * Many processes of one cgroup exit at the same moment. They need no helpers
 * while they keep all CPUs busy; one is large enough to be left over.
 */
static int exit_together(const void *unused)
{
	return try_for_helpers(exit_together_once, NULL, can_have_helpers());
}

static char *ground;
static bool started[8];

/* Write all over the ground for as long as there is a process. */
static void *trample(void *arg)
{
	size_t pos, start = (uintptr_t)arg;

	for (;;) {
		for (pos = start * PAGE; pos < SIZE; pos += 8 * PAGE)
			ground[pos + start]++;
		__atomic_store_n(&started[start], true, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static int exit_group_in_box(void *arg)
{
	pthread_t thread;
	uintptr_t i;

	ground = map_numbered(ANON, -1, SIZE);
	for (i = 0; i < 8; i++)
		EXPECT(!pthread_create(&thread, NULL, trample, (void *)i));
	for (i = 0; i < 8; i++)
		while (!__atomic_load_n(&started[i], __ATOMIC_SEQ_CST))
			;
	return KSFT_PASS;
}

/* One thread ends a process of many that are all at work. */
static int exit_group_of_threads(const void *unused)
{
	return run_in_box(exit_group_in_box, NULL, can_have_helpers());
}

/*
 * Others who have to do with the same memory
 */

#define FORK_ROUNDS	3

static int fork_in_box(void *arg)
{
	int round;

	for (round = 0; round < FORK_ROUNDS; round++) {
		char *private = map_numbered(ANON, -1, SIZE);
		char *shared = map_numbered(SHARED, -1, MIB(20));
		int status;
		pid_t pid;

		failures = 0;
		pid = fork();
		if (!pid) {
			/* While the parent unmaps, and again when it has. */
			is_numbered(private, SIZE);
			is_numbered(shared, MIB(20));
			private[round * MIB(1)] = 1;
			if (round == 1)
				EXPECT(!munmap(private, SIZE));
			else
				is_numbered(private + MIB(4), 0);
			_exit(failures ? KSFT_FAIL : KSFT_PASS);
		}
		EXPECT(pid > 0);
		if (round == 2)
			/* Each copies the pages that the other still has. */
			memset(private, 0, MIB(16));
		EXPECT(!munmap(private, SIZE));
		EXPECT(waitpid(pid, &status, 0) == pid && !status);
		is_numbered(shared, MIB(20));
		EXPECT(!munmap(shared, MIB(20)));
		if (failures)
			return KSFT_FAIL;
	}
	return KSFT_PASS;
}

/* A child has what its parent unmaps. */
static int fork_shares(const void *unused)
{
	return run_in_box(fork_in_box, NULL, can_have_helpers());
}

#define ZAP_ROUNDS	10
#define FAULTS_AT_ONCE	16

static pthread_barrier_t populated;
static unsigned int zaps_left;

/* Write to pages and read them back: as written, or zapped since. */
static void *fault_in(void *arg)
{
	unsigned int seed = (uintptr_t)arg;
	long faults = 0, wrong = 0;

	while (__atomic_load_n(&zaps_left, __ATOMIC_SEQ_CST)) {
		uint64_t *word = (uint64_t *)(ground +
					      rand_r(&seed) % NR_PAGES * PAGE) +
				 (uintptr_t)arg;
		uint64_t value;

		__atomic_store_n(word, (uintptr_t)word, __ATOMIC_SEQ_CST);
		value = __atomic_load_n(word, __ATOMIC_SEQ_CST);
		wrong += value && value != (uintptr_t)word;
		/* Threads that never rest leave no CPU for helpers. */
		if (++faults % FAULTS_AT_ONCE == 0)
			usleep(1000);
	}
	return (void *)wrong;
}

static void *zap_too(void *unused)
{
	long wrong = 0;
	int i;

	for (i = 0; i < ZAP_ROUNDS; i++) {
		pthread_barrier_wait(&populated);
		wrong += !!madvise(ground + MIB(5) + PAGE, MIB(20),
				   MADV_DONTNEED);
	}
	return (void *)wrong;
}

static int zap_and_fault_in_box(void *arg)
{
	char *above, *below;
	pthread_t threads[3];
	void *wrong;
	int i;

	/* What lies beside it is not touched by any of this. */
	below = map_numbered(ANON, -1, SIZE + MIB(8));
	ground = below + MIB(4);
	above = ground + SIZE;

	zaps_left = ZAP_ROUNDS;
	pthread_barrier_init(&populated, NULL, 2);
	pthread_create(&threads[0], NULL, fault_in, (void *)1);
	pthread_create(&threads[1], NULL, fault_in, (void *)2);
	pthread_create(&threads[2], NULL, zap_too, NULL);
	for (i = 0; i < ZAP_ROUNDS; i++) {
		EXPECT(!madvise(ground, SIZE, MADV_POPULATE_WRITE));
		pthread_barrier_wait(&populated);
		EXPECT(!madvise(ground, SIZE, MADV_DONTNEED));
		__atomic_sub_fetch(&zaps_left, 1, __ATOMIC_SEQ_CST);
	}
	for (i = 0; i < 3; i++) {
		pthread_join(threads[i], &wrong);
		EXPECT_EQ((long)wrong, 0);
	}

	is_numbered(below, MIB(4));
	for (i = 0; i < 1024; i++)
		EXPECT_EQ(*(uint64_t *)(above + i * PAGE),
			  above - below + i * PAGE + 1);
	EXPECT(!munmap(below, SIZE + MIB(8)));
	return KSFT_PASS;
}

/* Threads fault pages in, and zap some as well, while one zaps it all. */
static int zap_and_fault(const void *unused)
{
	return run_in_box(zap_and_fault_in_box, NULL, can_have_helpers());
}

struct stage {
	pid_t		pid;
	uintptr_t	base;
	unsigned int	rounds_left;
	unsigned int	watched;
};

static struct stage *stage;

static int perform_in_box(void *arg)
{
	while (__atomic_load_n(&stage->rounds_left, __ATOMIC_SEQ_CST)) {
		char *base = map_numbered(ANON, -1, SIZE);
		unsigned int watched = stage->watched;

		__atomic_store_n(&stage->base, (uintptr_t)base,
				 __ATOMIC_SEQ_CST);
		__atomic_store_n(&stage->pid, getpid(), __ATOMIC_SEQ_CST);
		/* Somebody has to look first. */
		while (__atomic_load_n(&stage->watched, __ATOMIC_SEQ_CST) ==
		       watched)
			;
		if (stage->rounds_left % 2)
			EXPECT(!madvise(base, SIZE, MADV_DONTNEED));
		EXPECT(!munmap(base, SIZE));
		__atomic_sub_fetch(&stage->rounds_left, 1, __ATOMIC_SEQ_CST);
	}
	/* Exit while they still look: one of them may be the last to. */
	map_numbered(ANON, -1, SIZE);
	return KSFT_PASS;
}

static void read_all_of(const char *name)
{
	static char text[1 << 16];
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", stage->pid, name);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return;
	while (read(fd, text, sizeof(text)) > 0)
		;
	close(fd);
}

static void advise(int pidfd, int advice)
{
	struct iovec range = { .iov_len = SIZE };

	range.iov_base = (void *)__atomic_load_n(&stage->base,
						 __ATOMIC_SEQ_CST);
	syscall(SYS_process_madvise, pidfd, &range, 1, advice, 0);
}

/* Look at the performer from outside, and meddle, until it is gone. */
static void watch(bool meddle)
{
	int pidfd;

	while (!__atomic_load_n(&stage->pid, __ATOMIC_SEQ_CST))
		;
	pidfd = syscall(SYS_pidfd_open, stage->pid, 0);
	while (!kill(stage->pid, 0)) {
		if (meddle) {
			advise(pidfd, MADV_COLD);
			advise(pidfd, MADV_PAGEOUT);
		} else {
			read_all_of("smaps_rollup");
			read_all_of("smaps");
			read_all_of("maps");
		}
		__atomic_add_fetch(&stage->watched, 1, __ATOMIC_SEQ_CST);
	}
	_exit(KSFT_PASS);
}

static int watched_once(void *unused, long *lent)
{
	pid_t watchers[2];
	struct box box;
	int status, i;

	stage = shared_memory(sizeof(*stage));
	stage->rounds_left = 6;
	if (!make_box(&box))
		return KSFT_FAIL;
	for (i = 0; i < 2; i++) {
		watchers[i] = fork();
		if (!watchers[i])
			watch(i);
	}
	EXPECT(enter_box(&box, perform_in_box, NULL) > 0);
	status = leave_box(&box);
	EXPECT(WIFEXITED(status) && !WEXITSTATUS(status));
	for (i = 0; i < 2; i++)
		EXPECT(waitpid(watchers[i], &status, 0) == watchers[i] &&
		       !status);
	*lent = box_lent(&box);
	empty_box(&box);
	return KSFT_PASS;
}

/* Others read smaps, and push pages out, while a process unmaps and exits. */
static int watched_from_outside(const void *unused)
{
	swap_on();
	return try_for_helpers(watched_once, NULL, can_have_helpers());
}

#define TRUNCATE_ROUNDS	60

static int shared_file = -1;

static int truncate_in_box(void *arg)
{
	while (__atomic_load_n((unsigned int *)arg, __ATOMIC_SEQ_CST)) {
		char *base = map_aligned(SIZE, 0, RW, MAP_SHARED, shared_file);

		if (!EXPECT(base))
			break;
		/* Parts of the file may be gone: then there is no page. */
		madvise(base, SIZE, MADV_POPULATE_WRITE);
		EXPECT(!munmap(base, SIZE));
	}
	return KSFT_PASS;
}

/* The file is cut short, and holes are punched in it, while it is unmapped. */
static int truncated(const void *unused)
{
	unsigned int *left = shared_memory(sizeof(*left));
	struct box box;
	int i;

	shared_file = memfd_create("ktask", MFD_CLOEXEC);
	if (!EXPECT(shared_file >= 0) || !EXPECT(!ftruncate(shared_file, SIZE)))
		return KSFT_FAIL;
	*left = 1;
	if (!make_box(&box) ||
	    !EXPECT(enter_box(&box, truncate_in_box, left) > 0))
		return KSFT_FAIL;
	while (can_have_helpers() && !box_lent(&box))
		;
	for (i = 0; i < TRUNCATE_ROUNDS; i++) {
		EXPECT(!ftruncate(shared_file, MIB(7) + i * PAGE));
		EXPECT(!ftruncate(shared_file, SIZE));
		EXPECT(!fallocate(shared_file, FALLOC_FL_PUNCH_HOLE |
					       FALLOC_FL_KEEP_SIZE,
				  MIB(i % 40), MIB(5)));
	}
	__atomic_store_n(left, 0, __ATOMIC_SEQ_CST);
	EXPECT_EQ(leave_box(&box), 0);
	close(shared_file);
	empty_box(&box);
	return KSFT_PASS;
}

#define CPU_ONLINE	"/sys/devices/system/cpu/cpu%ld/online"
#define HOTPLUG_ROUNDS	4

static int unmap_and_unmap_in_box(void *arg)
{
	while (__atomic_load_n((unsigned int *)arg, __ATOMIC_SEQ_CST)) {
		char *base = map_numbered(ANON, -1, SIZE);

		EXPECT(!munmap(base, SIZE));
	}
	return KSFT_PASS;
}

/* CPUs come and go, with the helpers that are on them. */
static int cpus_come_and_go(const void *unused)
{
	unsigned int *left = shared_memory(sizeof(*left));
	struct box box;
	char path[64];
	long lent;
	int i;

	snprintf(path, sizeof(path), CPU_ONLINE,
		 sysconf(_SC_NPROCESSORS_ONLN) - 1);
	if (nr_cpus() < 2)
		return skip("needs 2 CPUs");
	if (read_long_from(path) != 1)
		return skip("CPUs cannot be switched off");

	*left = 1;
	if (!make_box(&box) ||
	    !EXPECT(enter_box(&box, unmap_and_unmap_in_box, left) > 0))
		return KSFT_FAIL;
	set_fair_servers(false);
	for (i = 0; i < HOTPLUG_ROUNDS; i++) {
		EXPECT(write_text_to(path, "0"));
		EXPECT(write_text_to(path, "1"));
		/* With this CPU back there are helpers again. */
		lent = box_lent(&box);
		while (can_have_helpers() && lent >= 0 &&
		       box_lent(&box) == lent)
			;
	}
	set_fair_servers(true);
	__atomic_store_n(left, 0, __ATOMIC_SEQ_CST);
	EXPECT_EQ(leave_box(&box), 0);
	empty_box(&box);
	return KSFT_PASS;
}

static const struct test tests[] = {
	T(uffd_write_protect),
	T(uffd_gigantic),
	T(uffd_missing),
	T(ksm),
	T(mlocked),
	T(oom_kill),
	T(killed_in_munmap),
	T(killed_in_exit),
	T(killed_by_own_thread),
	T(exit_together),
	T(exit_group_of_threads),
	T(fork_shares),
	T(zap_and_fault),
	T(watched_from_outside),
	T(truncated),
	T(cpus_come_and_go),
};

int main(int argc, char **argv)
{
	/* Or locking memory is not allowed to anybody but the very first. */
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	return run_tests(tests, ARRAY_SIZE(tests), argc, argv);
}
