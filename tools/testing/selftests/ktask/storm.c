// SPDX-License-Identifier: GPL-2.0-only
/*
 * A storm: a process in each of many cgroups maps memory and tears it down,
 * again and again, while others change every limit that helpers have, move the
 * processes from cgroup to cgroup, kill them, and take CPUs away. Meanwhile no
 * cap may be exceeded and nobody may get stuck; afterwards nothing may be left
 * of it.
 *
 * All choices come from a seed, by way of one generator for each process. So a
 * seed gives the same tree, and each process the same list of things to do.
 * What it does not give is the order in which processes get to do them.
 *
 * No result depends on how fast anything is: seconds only say when it is time
 * to stop, and when to believe that something is stuck.
 */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/futex.h>
#include <linux/limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../cgroup/cgroup_util.h"
#include "ktask_util.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif

#define MAX_THREADS	"/proc/sys/debug/ktask_max_threads"
#define POOL_IDLE_MS	"/sys/module/ktask/parameters/pool_idle_ms"
#define CPU_ONLINE	"/sys/devices/system/cpu/cpu%d/online"

/* Helpers that each node's pool keeps, if the node has as many CPUs */
#define POOL_MIN	4

/* A pool that shrinks while the storm goes on is part of the storm. */
#define IDLE_MS		"100"

/* These pages are mapped over and over: long to tear down, but small. */
#define ALIAS_BYTES	MIB(2)

/* Sizes of a teardown in MiB, from too little for ktask upwards */
#define MIB_MIN		12
#define MIB_MAX		64

/* All cgroups with children, the top one first: 1 + 4 + 4 * 4 */
#define BRANCHES	4
#define NR_INNER	21
#define FIRST_LOWEST	5

#define NO_CAP		INT_MAX
#define MAX_WORKERS	16384
#define PATH_SIZE	160

static struct {
	int		workers;
	int		seconds;	/* 0: as many rounds as are asked for */
	int		rounds;		/* and more, until any had helpers */
	int		controllers;
	int		patience;	/* seconds, for each round */
	int		slack;		/* lets a test of this test fail */
	uint64_t	seed;
} opt = {
	.workers = 100,
	.rounds = 3,
	.controllers = 8,
	.patience = 240,
	.seed = 1,
};

/* What a worker and the others tell each other */
struct slot {
	pthread_mutex_t	lock;		/* pid is its process while held */
	pid_t		pid;		/* 0: reaped */
	int		ready;		/* mapped its memory for this round */
	unsigned int	lives;		/* of processes that were here */
	unsigned long	begun;		/* teardowns, by the present process */
	unsigned long	ended;
};

enum deed {
	CAP, CPU_MAX, CPUSET, AFFINITY, THREADS, MOVE, EXCURSION, KILL, LOOK,
	PLUG, NR_DEEDS,
};

static const char *const deed_names[NR_DEEDS] = {
	"caps set", "cpu.max set", "cpusets set", "affinities set",
	"ktask_max_threads set", "moves", "excursions", "kills", "looks",
	"CPUs plugged",
};

/* How often each is done, in percent; CPUs are plugged by a process apart */
static const int deed_share[NR_DEEDS] = {
	38, 10, 4, 8, 4, 12, 4, 6, 14, 0,
};

static struct shared {
	int		go;		/* the round that may tear down */
	int		stop;		/* workers are to leave */
	int		calm;		/* controllers are to leave */
	unsigned long	checks;		/* of helpers against caps */
	unsigned long	deeds[NR_DEEDS];
	struct slot	slots[];
} *shared;

/* Of the workers that are gone */
static unsigned long lives, begun, ended, cut_short;

static char root[PATH_SIZE], **cgroups;
static int nr_cgroups, cpus;
static bool have_cpuset, have_memory;

/*
 * Choices
 */

static uint64_t rng_state;

/* splitmix64: any state will do, so any seed and any number are fine. */
static uint64_t rng(void)
{
	uint64_t z = rng_state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static int below(int n)
{
	return rng() % n;
}

static void rng_seed(uint64_t number)
{
	rng_state = opt.seed;
	rng_state = rng() ^ (number * 0xd1342543de82ef95);
}

/*
 * The tree
 */

static int parent_of(int cg)
{
	if (cg < NR_INNER)
		return (cg - 1) / BRANCHES;
	return FIRST_LOWEST + (cg - NR_INNER) % (NR_INNER - FIRST_LOWEST);
}

static int leaf_of(int worker)
{
	return NR_INNER + worker;
}

static void delegate(const char *cgroup)
{
	EXPECT(!cg_write(cgroup, "cgroup.subtree_control", "+cpu"));
	if (have_memory)
		EXPECT(!cg_write(cgroup, "cgroup.subtree_control", "+memory"));
	if (have_cpuset)
		EXPECT(!cg_write(cgroup, "cgroup.subtree_control", "+cpuset"));
}

static bool make_cgroups(void)
{
	int cg;

	nr_cgroups = NR_INNER + opt.workers;
	cgroups = calloc(nr_cgroups, sizeof(*cgroups));
	if (!cgroups)
		return false;

	for (cg = 0; cg < nr_cgroups; cg++) {
		cgroups[cg] = cg ? cg_name_indexed(cgroups[parent_of(cg)],
						   "storm", cg) :
				   cg_name_indexed(root, "storm", getpid());
		if (!EXPECT(cgroups[cg] && !cg_create(cgroups[cg])))
			return false;
		if (cg < NR_INNER)
			delegate(cgroups[cg]);
	}
	return !failures;
}

static int put(const char *cgroup, const char *file, const char *text)
{
	int fd = cg_open(cgroup, file, O_WRONLY);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err = -errno;
	close(fd);
	return err;
}

/*
 * Workers
 */

static char *area;
static size_t area_bytes;

/* A file's pages are freed when the last alias of them is unmapped. */
static bool map_aliases(int mib)
{
	int fd = memfd_create("storm", MFD_CLOEXEC);
	size_t pos;

	if (fd < 0 || ftruncate(fd, ALIAS_BYTES))
		return false;

	area_bytes = MIB(mib);
	area = map_aligned(area_bytes, 0, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	if (!area)
		return false;

	for (pos = 0; pos < area_bytes; pos += ALIAS_BYTES)
		if (mmap(area + pos, ALIAS_BYTES, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) ==
		    MAP_FAILED)
			return false;
	close(fd);
	return true;
}

/* Nothing is left where the area was, if something else fits there. */
static bool area_is_free(void)
{
	void *at = mmap(area, area_bytes, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			MAP_FIXED_NOREPLACE, -1, 0);

	return at == area && !munmap(area, area_bytes);
}

static bool tear_down(struct slot *slot)
{
	bool ok = true;

	__atomic_add_fetch(&slot->begun, 1, __ATOMIC_SEQ_CST);
	if (!below(4))
		ok = !madvise(area, area_bytes, MADV_DONTNEED);
	ok = !munmap(area, area_bytes) && ok;
	__atomic_add_fetch(&slot->ended, 1, __ATOMIC_SEQ_CST);
	return ok && area_is_free();
}

static bool map_some(void)
{
	return map_aliases(MIB_MIN + 2 * below((MIB_MAX - MIB_MIN) / 2 + 1));
}

static int load(int *value)
{
	return __atomic_load_n(value, __ATOMIC_SEQ_CST);
}

static void store(int *value, int now)
{
	__atomic_store_n(value, now, __ATOMIC_SEQ_CST);
}

static void wait_for_go(int round)
{
	int go;

	while ((go = load(&shared->go)) < round && !load(&shared->stop))
		syscall(SYS_futex, &shared->go, FUTEX_WAIT, go, NULL, NULL, 0);
}

static void let_go(int round)
{
	store(&shared->go, round);
	syscall(SYS_futex, &shared->go, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Map, wait until all others have as well, tear down, some of it again. */
static int work(struct slot *slot)
{
	int round, again;

	do {
		round = load(&shared->go) + 1;
		if (!map_some())
			return 2;
		store(&slot->ready, round);
		wait_for_go(round);
		/* Some leave the rest to their exit. */
		if (load(&shared->stop) && below(2))
			return 0;
		if (!tear_down(slot))
			return 3;
		for (again = below(3); again; again--) {
			if (!map_some())
				return 2;
			if (!tear_down(slot))
				return 3;
		}
	} while (!load(&shared->stop));
	return 0;
}

static void start_worker(int worker)
{
	struct slot *slot = &shared->slots[worker];
	pid_t pid;

	slot->ready = 0;
	slot->begun = 0;
	slot->ended = 0;
	slot->lives++;
	pid = fork();
	if (pid < 0)
		ksft_exit_fail_msg("no process for worker %d\n", worker);
	if (pid) {
		slot->pid = pid;
		return;
	}

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	rng_seed(((uint64_t)slot->lives << 32) + worker);
	if (cg_enter_current(cgroups[leaf_of(worker)]))
		_exit(4);
	_exit(work(slot));
}

static const char *how_it_ended(int status)
{
	static const char *const reasons[] = {
		"left", "?", "could not map", "found memory left over",
		"could not enter its cgroup",
	};

	if (WIFSIGNALED(status))
		return strsignal(WTERMSIG(status));
	return WEXITSTATUS(status) < ARRAY_SIZE(reasons) ?
	       reasons[WEXITSTATUS(status)] : "?";
}

/* Add up what a worker did, and see whether it should have ended so. */
static void take_leave(int worker, int status)
{
	struct slot *slot = &shared->slots[worker];
	bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	bool left = WIFEXITED(status) && !WEXITSTATUS(status) &&
		    load(&shared->stop);

	if (!EXPECT(killed || left) ||
	    !EXPECT_RANGE(slot->begun - slot->ended, 0, killed))
		ksft_print_msg("worker %d: %s, %lu of %lu teardowns ended\n",
			       worker, how_it_ended(status), slot->ended,
			       slot->begun);
	lives++;
	begun += slot->begun;
	ended += slot->ended;
	cut_short += slot->begun - slot->ended;
}

/*
 * Reap whoever ended, and replace them. While a slot is locked, its pid is its
 * worker's and nobody else's: so nobody else is moved or killed by mistake.
 */
static void reap(bool replace)
{
	siginfo_t info;
	int i, status;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) ||
		    !info.si_pid)
			return;
		for (i = 0; i < opt.workers; i++)
			if (shared->slots[i].pid == info.si_pid)
				break;
		/* Controllers stay until they are told to leave. */
		if (!EXPECT(i < opt.workers))
			return;

		pthread_mutex_lock(&shared->slots[i].lock);
		waitpid(info.si_pid, &status, 0);
		take_leave(i, status);
		shared->slots[i].pid = 0;
		if (replace && !failures)
			start_worker(i);
		pthread_mutex_unlock(&shared->slots[i].lock);
	}
}

/*
 * Caps. Each cgroup's cap is written by one controller alone, who so knows at
 * any time how many helpers there may be.
 */

struct watch {
	int	fd;	/* cpu.ktask.current */
	int	cap;	/* in force now */
	int	high;	/* as many may be on loan as are left from earlier caps */
};

static struct watch *watches;

/*
 * After a cap was lowered there may be more helpers than it allows, but never
 * again as many once there were fewer.
 */
static void check_current(int cg)
{
	struct watch *watch = &watches[cg];
	long now = cg_read_long_fd(watch->fd);

	__atomic_add_fetch(&shared->checks, 1, __ATOMIC_SEQ_CST);
	if (watch->high == NO_CAP)
		return;
	if (!EXPECT_RANGE(now, 0, watch->high - opt.slack))
		ksft_print_msg("cpu.ktask.current of %s, where the cap is %d\n",
			       cgroups[cg], watch->cap);
	watch->high = now > watch->cap ? now : watch->cap;
}

static void set_cap(int cg, int cap)
{
	struct watch *watch = &watches[cg];
	char text[16] = "max";

	if (cap != NO_CAP)
		snprintf(text, sizeof(text), "%d", cap);
	if (cap > watch->high)
		watch->high = cap;
	if (!EXPECT_EQ(put(cgroups[cg], "cpu.ktask.max", text), 0))
		return;
	watch->cap = cap;
}

/*
 * Small caps are reached more often than large ones; but with four levels to a
 * leaf, few may have one, and hardly any 0, or nobody ever gets a helper.
 */
static int some_cap(void)
{
	switch (below(8)) {
	case 0:
		return below(4);
	case 1:
	case 2:
		return 1 + below(4);
	case 3:
		return 1 + below(cpus);
	default:
		return NO_CAP;
	}
}

static void open_watch(int cg)
{
	watches[cg].fd = cg_open(cgroups[cg], "cpu.ktask.current", O_RDONLY);
	EXPECT(watches[cg].fd >= 0);
	watches[cg].cap = NO_CAP;
	watches[cg].high = NO_CAP;
}

static void do_cap(int cg)
{
	check_current(cg);
	if (below(3))
		set_cap(cg, some_cap());
	check_current(cg);
}

/*
 * The other deeds
 */

/* Enough that a throttled worker gets somewhere until the next deed */
static void do_cpu_max(int cg)
{
	static const int periods[] = { 20000, 100000, 250000 };
	int period = periods[below(ARRAY_SIZE(periods))];
	int percent = cg < NR_INNER ? 100 + below(100 * cpus) :
				      20 + below(300);
	char text[40] = "max";

	if (below(3))
		snprintf(text, sizeof(text), "%d %d", period / 100 * percent,
			 period);
	EXPECT_EQ(put(cgroups[cg], "cpu.max", text), 0);
}

/* Once there are tasks, Linux has cpusets changed but not emptied. */
static void set_cpus(int cg, int first, int last)
{
	char text[32];

	if (!have_cpuset)
		return;
	snprintf(text, sizeof(text), "%d-%d", first, last);
	EXPECT_EQ(put(cgroups[cg], "cpuset.cpus", text), 0);
}

static void do_cpuset(int cg)
{
	int first = below(cpus), last = first + below(cpus - first);

	if (below(2))
		set_cpus(cg, first, last);
	else
		set_cpus(cg, 0, cpus - 1);
}

static struct slot *lock_slot(int worker)
{
	struct slot *slot = &shared->slots[worker];

	pthread_mutex_lock(&slot->lock);
	if (slot->pid)
		return slot;
	pthread_mutex_unlock(&slot->lock);
	return NULL;
}

static void unlock_slot(struct slot *slot)
{
	pthread_mutex_unlock(&slot->lock);
}

/* Its cpuset may rule all of these CPUs out, or it may be a zombie. */
static void do_affinity(int worker)
{
	struct slot *slot;
	cpu_set_t mask;
	int cpu, n;

	CPU_ZERO(&mask);
	n = 1 + below(cpus);
	for (cpu = below(cpus); n--; cpu = (cpu + 1) % cpus)
		CPU_SET(cpu, &mask);

	slot = lock_slot(worker);
	if (!slot)
		return;
	if (sched_setaffinity(slot->pid, sizeof(mask), &mask))
		EXPECT(errno == EINVAL || errno == ESRCH);
	unlock_slot(slot);
}

/* 1 switches ktask off. It is not to stay so, or there is no storm. */
static void do_threads(void)
{
	bool off = !below(4);
	char text[16];

	if (off) {
		EXPECT(write_text_to(MAX_THREADS, "1"));
		usleep(below(20000));
	}
	snprintf(text, sizeof(text), "%d", 2 + below(cpus));
	EXPECT(write_text_to(MAX_THREADS, text));
}

/* A task on its way out is not there to be moved. */
static bool move_to(struct slot *slot, const char *cgroup)
{
	char text[16];
	int err;

	snprintf(text, sizeof(text), "%d", slot->pid);
	err = put(cgroup, "cgroup.procs", text);
	return EXPECT(!err || err == -ESRCH);
}

static void do_move(int worker, int cg)
{
	struct slot *slot = lock_slot(worker);

	if (!slot)
		return;
	move_to(slot, cgroups[cg]);
	unlock_slot(slot);
}

/*
 * Into a new cgroup and out again, which is then removed, helpers or not. Only
 * a worker that is on its way out may hold that up.
 */
static void do_excursion(int worker, int number)
{
	struct slot *slot = lock_slot(worker);
	char path[PATH_SIZE];
	int tries = 0;

	if (!slot)
		return;
	snprintf(path, sizeof(path), "%.140s/x%d", cgroups[FIRST_LOWEST],
		 number);
	if (EXPECT(!cg_create(path))) {
		move_to(slot, path);
		if (below(2))
			EXPECT_EQ(put(path, "cpu.ktask.max", "1"), 0);
		move_to(slot, cgroups[leaf_of(worker)]);
	}
	unlock_slot(slot);

	while (rmdir(path) && EXPECT(errno == EBUSY))
		if (!EXPECT_RANGE(++tries, 0, opt.patience * 100) ||
		    usleep(10000))
			break;
}

/* The next one that is in the midst of a teardown, if there is any. */
static void do_kill(int worker)
{
	struct slot *slot;
	int i;

	for (i = 0; i < opt.workers; i++) {
		slot = &shared->slots[(worker + i) % opt.workers];
		if (slot->begun != slot->ended) {
			worker = (worker + i) % opt.workers;
			break;
		}
	}
	slot = lock_slot(worker);
	if (!slot)
		return;
	EXPECT(!kill(slot->pid, SIGKILL));
	unlock_slot(slot);
}

static void do_look(int cg)
{
	static const char *const files[] = {
		"cpu.ktask.max", "cpu.ktask.current", "cpu.ktask.peak",
		"cpu.ktask.effective", "cpu.ktask.stat", "cpu.ktask.events",
		"cpu.ktask.events.local", "cpu.stat", "cgroup.procs",
	};
	const char *file = files[below(ARRAY_SIZE(files))];
	char text[PAGE_SIZE];

	EXPECT(!cg_read(cgroups[cg], file, text, sizeof(text)));
	EXPECT_RANGE(cg_read_long(cgroups[cg], "cpu.ktask.current"), 0,
		     INT_MAX);
}

/*
 * Controllers
 */

/* One of the cgroups that are this controller's; half the time, high up. */
static int own_cgroup(int number)
{
	int range = below(2) ? NR_INNER : nr_cgroups;
	int cg = below(range);

	cg += (number - cg % opt.controllers + opt.controllers) %
	      opt.controllers;
	return cg < nr_cgroups ? cg : cg - opt.controllers;
}

static enum deed choose_deed(void)
{
	int left = below(100), deed = 0;

	while (left >= deed_share[deed])
		left -= deed_share[deed++];
	return deed;
}

static void do_deed(enum deed deed, int number)
{
	int cg = own_cgroup(number), worker = below(opt.workers);
	int other = leaf_of(below(opt.workers));

	switch (deed) {
	case CAP:
		do_cap(cg);
		break;
	case CPU_MAX:
		do_cpu_max(cg);
		break;
	case CPUSET:
		do_cpuset(cg);
		break;
	case AFFINITY:
		do_affinity(worker);
		break;
	case THREADS:
		/* One of them, so that there is an order to it. */
		if (number)
			return;
		do_threads();
		break;
	case MOVE:
		do_move(worker, other);
		break;
	case EXCURSION:
		do_excursion(worker, number);
		break;
	case KILL:
		do_kill(worker);
		break;
	default:
		do_look(cg);
	}
	__atomic_add_fetch(&shared->deeds[deed], 1, __ATOMIC_SEQ_CST);
}

/* For every limit to be gone from the cgroups that are this controller's */
static void lift_limits(int number)
{
	int cg;

	for (cg = number; cg < nr_cgroups; cg += opt.controllers) {
		check_current(cg);
		EXPECT_EQ(put(cgroups[cg], "cpu.max", "max"), 0);
		set_cap(cg, NO_CAP);
		set_cpus(cg, 0, cpus - 1);
	}
	if (!number)
		EXPECT(set_helpers(true));
}

static int control(int number)
{
	uint64_t choices;
	int cg;

	watches = calloc(nr_cgroups, sizeof(*watches));
	for (cg = number; cg < nr_cgroups; cg += opt.controllers)
		open_watch(cg);

	while (!failures && !load(&shared->calm)) {
		/* What a deed meets does not change those that follow. */
		choices = rng();
		do_deed(choose_deed(), number);
		rng_state = choices;
	}
	lift_limits(number);
	return 0;
}

/* CPUs come and go, but most of them stay. */
static int plug(int unused)
{
	int most = cpus < 8 ? 1 : cpus / 4;
	int away[CPU_SETSIZE], nr = 0, cpu, i;
	char path[64];

	set_fair_servers(false);
	while (!failures && !load(&shared->calm)) {
		cpu = 1 + below(cpus - 1);
		for (i = 0; i < nr && away[i] != cpu; i++)
			;
		if (i == nr && nr >= most)
			i = below(nr);
		snprintf(path, sizeof(path), CPU_ONLINE,
			 i < nr ? away[i] : cpu);
		EXPECT(write_text_to(path, i < nr ? "1" : "0"));
		if (i < nr)
			away[i] = away[--nr];
		else
			away[nr++] = cpu;
		shared->deeds[PLUG]++;
		usleep(below(50000));
	}
	while (nr--) {
		snprintf(path, sizeof(path), CPU_ONLINE, away[nr]);
		EXPECT(write_text_to(path, "1"));
	}
	set_fair_servers(true);
	return 0;
}

static bool can_plug(void)
{
	char path[64];

	snprintf(path, sizeof(path), CPU_ONLINE, cpus - 1);
	return cpus > 1 && read_long_from(path) == 1;
}

static pid_t start_controller(int (*fn)(int number), int number)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Limits are to change often, however many workers there are. */
	setpriority(PRIO_PROCESS, 0, -20);
	failures = 0;
	rng_seed(MAX_WORKERS + number);
	fn(number);
	fflush(stdout);
	_exit(failures ? KSFT_FAIL : KSFT_PASS);
}

static void end_controllers(pid_t *pids, int nr)
{
	int status;

	store(&shared->calm, 1);
	while (nr--)
		EXPECT(waitpid(pids[nr], &status, 0) == pids[nr] && !status);
}

/*
 * Rounds
 */

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static void show_stuck(void)
{
	int i, shown = 0;

	for (i = 0; i < opt.workers && shown < 10; i++) {
		struct slot *slot = &shared->slots[i];
		char text[PAGE_SIZE];

		if (!slot->pid || slot->ready > load(&shared->go))
			continue;
		shown++;
		ksft_print_msg("worker %d: pid %d, %lu teardowns begun, %lu ended\n",
			       i, slot->pid, slot->begun, slot->ended);
		if (proc_read_text(slot->pid, false, "stack", text,
				   sizeof(text)) > 0)
			ksft_print_msg("%s\n", text);
	}
	/* The same for the kernel's log: whoever is blocked, and all CPUs. */
	write_text_to("/proc/sysrq-trigger", "w");
	write_text_to("/proc/sysrq-trigger", "l");
}

/*
 * Wait until each worker was ready once. Those that were killed after that are
 * not waited for: somebody always is.
 */
static bool all_are_ready(int round)
{
	bool *seen = calloc(opt.workers, sizeof(*seen));
	time_t end = now() + opt.patience;
	int nr = 0, i;

	alarm(2 * opt.patience);
	while (nr < opt.workers && !failures) {
		reap(true);
		for (i = 0; i < opt.workers; i++) {
			if (seen[i] || load(&shared->slots[i].ready) < round)
				continue;
			seen[i] = true;
			nr++;
		}
		if (!EXPECT(now() < end)) {
			ksft_print_msg("round %d: %d of %d are ready\n", round,
				       nr, opt.workers);
			show_stuck();
		}
		usleep(5000);
	}
	free(seen);
	return !failures;
}

/* Wait until every worker is gone. After a failure nobody may be left either. */
static void all_have_left(void)
{
	time_t end = now() + opt.patience;
	int i;

	alarm(2 * opt.patience);
	store(&shared->stop, 1);
	let_go(load(&shared->go) + 1);
	for (i = 0; i < opt.workers && !failures; ) {
		reap(false);
		while (i < opt.workers && !shared->slots[i].pid)
			i++;
		if (!EXPECT(now() < end))
			show_stuck();
		usleep(5000);
	}
	if (!failures)
		return;

	EXPECT_EQ(put(cgroups[0], "cgroup.kill", "1"), 0);
	for (i = 0; i < opt.workers; i++) {
		pthread_mutex_lock(&shared->slots[i].lock);
		if (shared->slots[i].pid)
			waitpid(shared->slots[i].pid, NULL, 0);
		shared->slots[i].pid = 0;
		pthread_mutex_unlock(&shared->slots[i].lock);
	}
}

/* Go on where a busy host had no CPU to spare for helpers in any round. */
static bool have_enough(int rounds, time_t end)
{
	if (opt.seconds)
		return now() >= end;
	return rounds >= opt.rounds &&
	       (!can_have_helpers() || rounds >= 5 * opt.rounds ||
		keyed(cgroups[0], "cpu.ktask.stat", "helpers_lent"));
}

/* One round ends with munmap(), the next with the death of them all. */
static void run_rounds(void)
{
	time_t end = now() + opt.seconds;
	int round;

	for (round = 1; !have_enough(round - 1, end); round++) {
		if (!all_are_ready(round))
			return;
		if (round % 2 == 0)
			EXPECT_EQ(put(cgroups[0], "cgroup.kill", "1"), 0);
		let_go(round);
	}
	ksft_print_msg("%d rounds\n", round - 1);
	all_are_ready(round);
}

static void show_storm(void)
{
	int i;

	for (i = 0; i < NR_DEEDS; i++)
		ksft_print_msg("%lu %s\n", shared->deeds[i], deed_names[i]);
	ksft_print_msg("%lu looks at caps\n", shared->checks);
	ksft_print_msg("%lu workers; %lu teardowns: %lu ended, %lu cut short\n",
		       lives, begun, ended, cut_short);
}

/* No cap is exceeded, every teardown ends, every worker ends as it should. */
static int storm(const void *unused)
{
	pid_t *pids = calloc(opt.controllers + 1, sizeof(*pids));
	int nr, i;

	if (!pids || !make_cgroups())
		return KSFT_FAIL;
	for (nr = 0; nr < opt.controllers; nr++)
		pids[nr] = start_controller(control, nr);
	if (can_plug())
		pids[nr++] = start_controller(plug, opt.controllers);
	fflush(stdout);
	for (i = 0; i < opt.workers; i++)
		start_worker(i);

	run_rounds();
	all_have_left();
	alarm(2 * opt.patience);
	end_controllers(pids, nr);
	free(pids);

	show_storm();
	EXPECT_RANGE(shared->checks, 1, LONG_MAX);
	EXPECT_RANGE(ended, 1, LONG_MAX);
	return KSFT_PASS;
}

/*
 * Afterwards
 */

static long stat_of(int cg, const char *key)
{
	return keyed(cgroups[cg], "cpu.ktask.stat", key);
}

/* Wait for a number to become 0; what holds it up may be on its way out. */
static long wait_for_none(int cg, const char *file)
{
	time_t end = now() + opt.patience;
	long left;

	while ((left = cg_read_long(cgroups[cg], file)) && now() < end)
		usleep(10000);
	return left;
}

static int no_helper_on_loan(const void *unused)
{
	int cg;

	for (cg = 0; cg < nr_cgroups; cg++)
		if (!EXPECT_EQ(wait_for_none(cg, "cpu.ktask.current"), 0))
			ksft_print_msg("cgroup is %s\n", cgroups[cg]);
	return KSFT_PASS;
}

/* All that a cgroup counts is its children's: none but leaves have tasks. */
static void check_sums(const char *key, bool rounded)
{
	long sums[NR_INNER] = { 0 }, nr[NR_INNER] = { 0 };
	int cg;

	for (cg = nr_cgroups - 1; cg >= 0; cg--) {
		long value = stat_of(cg, key);

		/* Excursions have been to cgroups that are gone. */
		if (cg < NR_INNER &&
		    !EXPECT_RANGE(value, sums[cg], cg == FIRST_LOWEST ?
				  LONG_MAX : sums[cg] + rounded * nr[cg]))
			ksft_print_msg("%s of %s\n", key, cgroups[cg]);
		if (cg) {
			sums[parent_of(cg)] += value;
			nr[parent_of(cg)]++;
		}
	}
}

static int numbers_agree(const void *unused)
{
	static const char *const keys[] = {
		"tasks", "serial_tasks", "helpers_lent", "refused_cpus",
		"refused_cpu_max", "refused_quota", "refused_ktask_max",
		"refused_system", "refused_class", "refused_pool", "cancelled",
		"reniced", "chunks",
	};
	long tasks = stat_of(0, "tasks"), lent = stat_of(0, "helpers_lent");
	long serial = stat_of(0, "serial_tasks");
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		check_sums(keys[i], false);
	check_sums("helper_usec", true);

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		ksft_print_msg("%s %ld\n", keys[i], stat_of(0, keys[i]));
	/* A teardown is no task if limits leave it to the caller alone. */
	EXPECT_RANGE(tasks, can_have_helpers(), 2 * begun + lives);
	EXPECT_RANGE(serial, 0, tasks);
	/* Nor was it a storm of callers alone. */
	EXPECT_RANGE(lent, can_have_helpers(), LONG_MAX);
	EXPECT_RANGE(lent, tasks - serial, LONG_MAX);
	EXPECT_RANGE(stat_of(0, "cancelled"), 0, lent);
	EXPECT_RANGE(stat_of(0, "chunks"), tasks, LONG_MAX);
	EXPECT_EQ(stat_of(0, "refused_ktask_max"),
		  keyed(cgroups[0], "cpu.ktask.events", "max"));
	return KSFT_PASS;
}

static int memory_is_back(const void *unused)
{
	static const char *const keys[] = {
		"anon", "shmem", "file_mapped", "unevictable", "pagetables",
	};
	size_t i;

	if (!have_memory)
		return skip("no memory controller");
	flush_stats(cgroups[0]);
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (!EXPECT_EQ(keyed(cgroups[0], "memory.stat", keys[i]), 0))
			ksft_print_msg("that is %s\n", keys[i]);
	return KSFT_PASS;
}

/* Helper threads, and how many of them are not at rest */
static int count_helpers(int *busy)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	char text[PAGE_SIZE];
	int nr = 0;

	*busy = 0;
	while (proc && (entry = readdir(proc))) {
		int pid = atoi(entry->d_name);

		if (!pid || proc_read_text(pid, false, "stat", text,
					   sizeof(text)) <= 0 ||
		    !strstr(text, "(ktask/"))
			continue;
		nr++;
		*busy += !strstr(text, ") I ") ||
			 proc_read_strstr(pid, false, "cgroup", "0::/\n");
	}
	if (proc)
		closedir(proc);
	return nr;
}

static int nr_nodes(void)
{
	char path[64];
	int nr = 0, node;

	for (node = 0; node < 1024; node++) {
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%d",
			 node);
		nr += !access(path, F_OK);
	}
	return nr ? nr : 1;
}

/* Helpers that nobody needs any more end, and the others are at home. */
static int pool_is_at_rest(const void *unused)
{
	time_t end = now() + opt.patience;
	int most = nr_nodes() * POOL_MIN;
	int nr, busy;

	do {
		usleep(50000);
		nr = count_helpers(&busy);
	} while ((nr > most || busy) && now() < end);
	EXPECT_RANGE(nr, can_have_helpers(), most);
	EXPECT_EQ(busy, 0);
	return KSFT_PASS;
}

static int tear_down_once(void *arg)
{
	struct slot *slot = arg;

	return map_aliases(MIB_MAX) && tear_down(slot) ? KSFT_PASS : KSFT_FAIL;
}

/* And they can be had again. */
static int helpers_still_help(const void *unused)
{
	return run_in_box(tear_down_once, &shared->slots[0],
			  can_have_helpers());
}

static int cgroups_go(const void *unused)
{
	int cg;

	for (cg = nr_cgroups - 1; cg >= 0; cg--)
		EXPECT(!cg_destroy(cgroups[cg]));
	return KSFT_PASS;
}

static const struct test tests[] = {
	T(storm),
	T(no_helper_on_loan),
	T(numbers_agree),
	T(memory_is_back),
	T(pool_is_at_rest),
	T(helpers_still_help),
	T(cgroups_go),
};

/*
 * Setting up
 */

static char idle_ms[32];
static bool had_cpuset;

static void restore(void)
{
	if (have_cpuset && !had_cpuset)
		cg_write(root, "cgroup.subtree_control", "-cpuset");
	if (*idle_ms)
		write_text_to(POOL_IDLE_MS, idle_ms);
}

static void share_slots(void)
{
	pthread_mutexattr_t attr;
	int i;

	shared = shared_memory(sizeof(*shared) +
			       opt.workers * sizeof(struct slot));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	for (i = 0; i < opt.workers; i++)
		pthread_mutex_init(&shared->slots[i].lock, &attr);
}

static bool enabled(const char *controller)
{
	char text[32];

	snprintf(text, sizeof(text), "+%s", controller);
	return !cg_write(root, "cgroup.subtree_control", text);
}

/* Files are where the controller is, and that is not in the root. */
static bool have_caps(void)
{
	char path[PATH_SIZE + 32];
	struct stat st;
	bool have;

	snprintf(path, sizeof(path), "%s/ktask_probe", root);
	if (mkdir(path, 0755))
		return false;
	snprintf(path, sizeof(path), "%s/ktask_probe/cpu.ktask.max", root);
	have = !stat(path, &st);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	return have;
}

static void set_up(void)
{
	rlim_t nr = NR_INNER + opt.workers + 64;
	struct rlimit files = { nr, nr };
	struct stat st;

	cpus = nr_cpus();
	if (stat(MAX_THREADS, &st))
		ksft_exit_skip("kernel without CONFIG_KTASK\n");
	if (geteuid())
		ksft_exit_skip("needs root\n");
	if (cg_find_unified_root(root, sizeof(root), NULL) || !enabled("cpu"))
		ksft_exit_skip("no cgroup v2 with the cpu controller\n");
	if (!have_caps())
		ksft_exit_skip("kernel without CONFIG_CGROUP_KTASK\n");
	had_cpuset = !cg_read_strstr(root, "cgroup.subtree_control", "cpuset");
	have_cpuset = enabled("cpuset");
	have_memory = enabled("memory");

	/* cpu.ktask.current of each cgroup */
	setrlimit(RLIMIT_NOFILE, &files);
	if (read_text(POOL_IDLE_MS, idle_ms, sizeof(idle_ms)) > 0)
		write_text_to(POOL_IDLE_MS, IDLE_MS);
	atexit(restore);
	share_slots();
}

static void show_usage(void)
{
	fprintf(stderr,
		"storm [-n CGROUPS] [-r ROUNDS | -s SECONDS] [-c CONTROLLERS] [-S SEED] [-w PATIENCE] [-x SLACK]\n");
	exit(KSFT_FAIL);
}

static void parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "n:r:s:c:S:w:x:")) != -1) {
		switch (c) {
		case 'n':
			opt.workers = atoi(optarg);
			break;
		case 'r':
			opt.rounds = atoi(optarg);
			break;
		case 's':
			opt.seconds = atoi(optarg);
			break;
		case 'c':
			opt.controllers = atoi(optarg);
			break;
		case 'S':
			opt.seed = strtoull(optarg, NULL, 0);
			break;
		case 'w':
			opt.patience = atoi(optarg);
			break;
		case 'x':
			opt.slack = atoi(optarg);
			break;
		default:
			show_usage();
		}
	}
	if (opt.workers < 1 || opt.workers > MAX_WORKERS ||
	    opt.controllers < 1 || opt.controllers > NR_INNER ||
	    opt.patience < 1 || optind != argc)
		show_usage();
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	set_up();
	ksft_print_msg("seed %llu, %d cgroups, %d CPUs, %d controllers\n",
		       (unsigned long long)opt.seed, opt.workers, cpus,
		       opt.controllers);
	return run_tests(tests, ARRAY_SIZE(tests), 1, argv);
}
