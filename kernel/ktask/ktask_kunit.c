// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of ktask: the core, loans of helpers, budgets and arithmetic.
 *
 * Thread functions run in several threads, where KUnit must not be called: they
 * count, and the test looks at the counts afterwards. Whether helpers take part
 * is up to the scheduler and to the limits of the machine, so most tests hold
 * for any number of them; the few that need one skip where there is one CPU.
 * Nothing depends on how long anything takes.
 */
#include <kunit/test.h>
#include <linux/cgroup.h>
#include <linux/cleanup.h>
#include <linux/cpumask.h>
#include <linux/debug_locks.h>
#include <linux/delay.h>
#include <linux/init.h>
#include <linux/kthread.h>
#include <linux/ktask.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>
#include <linux/mmu_context.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <uapi/linux/sched/types.h>

#include "../sched/sched.h"
#include "helper.h"
#include "math.h"

/* Positions of the units of tests: plain numbers from here on */
#define TEST_START		0x10000UL

/* Time in an iterator, under its lock: long enough for threads to meet there */
#define TEST_ITER_US		20

#define TEST_THREADS		64
#define TEST_FAILURES		4
#define TEST_SPINNERS		8U

/* What a thread function of these tests counts, and how it behaves */
struct test_task {
	size_t			size;
	size_t			min_chunk;
	atomic_t		*done;		/* by unit */
	atomic_t		*undone;	/* by unit */

	unsigned int		busy_us;	/* that each unit takes */
	size_t			fail[TEST_FAILURES];	/* units; of no use: SIZE_MAX */
	size_t			fail_from;	/* all units from this one on */
	int			error;
	unsigned int		gather;		/* chunks to do in one call */

	struct task_struct	*caller;
	atomic_t		calls;
	atomic_t		chunks;
	atomic_t		failures;
	atomic_t		late;			/* chunks after a failure */
	atomic_t		running;
	atomic_t		most_running;
	atomic_long_t		largest;
	atomic_t		bad;		/* whatever should never be */

	spinlock_t		lock;		/* protects what is below */
	struct task_struct	*threads[TEST_THREADS];
	unsigned int		nr_threads;
};

static void test_task_reset(struct test_task *t)
{
	memset(t->done, 0, t->size * sizeof(*t->done));
	memset(t->undone, 0, t->size * sizeof(*t->undone));
	memset(t->fail, 0xff, sizeof(t->fail));
	t->fail_from = SIZE_MAX;
	t->error = -EIO;
	atomic_set(&t->calls, 0);
	atomic_set(&t->chunks, 0);
	atomic_set(&t->failures, 0);
	atomic_set(&t->late, 0);
	atomic_set(&t->running, 0);
	atomic_set(&t->most_running, 0);
	atomic_long_set(&t->largest, 0);
	atomic_set(&t->bad, 0);
	t->nr_threads = 0;
}

static struct test_task *test_task_new(struct kunit *test, size_t size,
				       size_t min_chunk)
{
	struct test_task *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->size = size;
	t->min_chunk = min_chunk;
	t->done = kunit_kcalloc(test, size + 1, sizeof(*t->done), GFP_KERNEL);
	t->undone = kunit_kcalloc(test, size + 1, sizeof(*t->undone), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->done);
	KUNIT_ASSERT_NOT_NULL(test, t->undone);
	t->caller = current;
	spin_lock_init(&t->lock);
	test_task_reset(t);
	return t;
}

/* Keep a CPU busy for some of its time; whoever needs it may have it. */
static void test_busy(unsigned int us)
{
	u64 end = local_clock() + us * NSEC_PER_USEC;

	while (us && (s64)(local_clock() - end) < 0) {
		cpu_relax();
		cond_resched();
	}
}

static void test_raise(atomic_t *mark, int value)
{
	int old = atomic_read(mark);

	while (old < value && !atomic_try_cmpxchg(mark, &old, value))
		;
}

static void test_note_thread(struct test_task *t)
{
	unsigned int i;

	guard(spinlock)(&t->lock);
	for (i = 0; i < t->nr_threads; i++)
		if (t->threads[i] == current)
			return;
	if (t->nr_threads < TEST_THREADS)
		t->threads[t->nr_threads++] = current;
}

static bool test_fails(struct test_task *t, size_t first, size_t units)
{
	unsigned int i;

	for (i = 0; i < TEST_FAILURES; i++)
		if (t->fail[i] >= first && t->fail[i] - first < units)
			return true;
	return first + units > t->fail_from;
}

/* One chunk, by the number of its first unit. */
static int test_do(struct test_task *t, size_t first, size_t units)
{
	size_t i, largest = atomic_long_read(&t->largest);
	int ret = 0;

	atomic_inc(&t->chunks);
	if (atomic_read(&t->failures))
		atomic_inc(&t->late);
	test_note_thread(t);
	test_raise(&t->most_running, atomic_inc_return(&t->running));

	if (!units || first >= t->size || units > t->size - first) {
		atomic_inc(&t->bad);
		atomic_dec(&t->running);
		return 0;
	}
	if (units > largest)
		atomic_long_cmpxchg(&t->largest, largest, units);

	test_busy(t->busy_us * units);
	if (test_fails(t, first, units)) {
		atomic_inc(&t->failures);
		ret = t->error;
	} else {
		for (i = first; i < first + units; i++)
			atomic_inc(&t->done[i]);
	}
	atomic_dec(&t->running);
	return ret;
}

static void test_undo_units(struct test_task *t, size_t first, size_t units)
{
	size_t i;

	if (current != t->caller || atomic_read(&t->running) || !units ||
	    first >= t->size || units > t->size - first) {
		atomic_inc(&t->bad);
		return;
	}
	for (i = first; i < first + units; i++)
		atomic_inc(&t->undone[i]);
}

static int test_range_thread(void *start, void *end, void *arg)
{
	struct test_task *t = arg;
	size_t first = (unsigned long)start - TEST_START;
	size_t units = (unsigned long)end - (unsigned long)start;

	/* Edges are multiples of the minimum, but for the end of the task. */
	if (first % t->min_chunk ||
	    (units % t->min_chunk && first + units != t->size))
		atomic_inc(&t->bad);
	return test_do(t, first, units);
}

static void test_range_undo(void *start, void *end, void *arg)
{
	test_undo_units(arg, (unsigned long)start - TEST_START,
			(unsigned long)end - (unsigned long)start);
}

static int test_run_ctl(struct test_task *t, struct ktask_ctl *ctl,
			unsigned int max_threads)
{
	ktask_ctl_set_undo_func(ctl, test_range_undo);
	ktask_ctl_set_max_threads(ctl, max_threads);
	return ktask_run((void *)TEST_START, t->size, ctl);
}

static int test_run_range(struct test_task *t, unsigned int max_threads)
{
	DEFINE_KTASK_CTL(ctl, test_range_thread, t, t->min_chunk);

	return test_run_ctl(t, &ctl, max_threads);
}

/* Every unit was done once, and nothing undone. */
static void expect_all_done(struct kunit *test, struct test_task *t)
{
	size_t i, wrong = 0;

	for (i = 0; i < t->size; i++)
		wrong += atomic_read(&t->done[i]) != 1 ||
			 atomic_read(&t->undone[i]) != 0;

	KUNIT_EXPECT_EQ_MSG(test, wrong, 0, "size %zu min %zu", t->size,
			    t->min_chunk);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->bad), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->running), 0);
}

/* Units were undone once if they had been done, and else not. */
static void expect_undone(struct kunit *test, struct test_task *t)
{
	size_t i, wrong = 0;

	for (i = 0; i < t->size; i++)
		wrong += atomic_read(&t->done[i]) > 1 ||
			 atomic_read(&t->done[i]) != atomic_read(&t->undone[i]);

	KUNIT_EXPECT_EQ_MSG(test, wrong, 0, "size %zu min %zu", t->size,
			    t->min_chunk);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->bad), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->running), 0);
}

static void expect_exact_undo(struct kunit *test, struct test_task *t)
{
	expect_undone(test, t);
	KUNIT_EXPECT_GT(test, atomic_read(&t->failures), 0);
}

static unsigned int test_cpus(void)
{
	return ktask_usable_cpus(&current->cpus_mask, NULL, UINT_MAX);
}

/* Skip where nobody may have a helper. */
static void test_needs_helpers(struct kunit *test, unsigned int helpers)
{
	struct ktask_budget budget;

	ktask_budget_configured(&budget, current, helpers);
	if (budget.helpers < helpers)
		kunit_skip(test, "%s leaves room for %u helpers, not %u",
			   ktask_limit_names[budget.limit], budget.helpers, helpers);
}

static void test_sizes(struct kunit *test)
{
	static const size_t sizes[] = { 0, 1, 2, 97, 256, 1009, 4095 };
	static const size_t mins[] = { 0, 1, 2, 7, 64, 97, 10000 };
	struct test_task *t;
	int i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = 0; j < ARRAY_SIZE(mins); j++) {
			DEFINE_KTASK_CTL(ctl, test_range_thread, NULL, mins[j]);

			t = test_task_new(test, sizes[i], mins[j] ?: 1);
			ctl.kc_func_arg = t;
			KUNIT_EXPECT_EQ(test, ktask_run((void *)TEST_START, t->size,
							&ctl), 0);
			expect_all_done(test, t);
			KUNIT_EXPECT_EQ(test, atomic_read(&t->chunks) != 0,
					t->size != 0);
		}
	}
}

static void test_min_chunk_above_size(struct kunit *test)
{
	struct test_task *t = test_task_new(test, 100, 101);

	KUNIT_EXPECT_EQ(test, test_run_range(t, 0), 0);
	expect_all_done(test, t);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->chunks), 1);
	KUNIT_EXPECT_PTR_EQ(test, t->threads[0], current);
}

/* The same with helpers, where the machine has CPUs for any. */
static void test_every_unit_once(struct kunit *test)
{
	static const size_t mins[] = { 1, 3, 8 };
	struct test_task *t;
	int i;

	for (i = 0; i < ARRAY_SIZE(mins); i++) {
		t = test_task_new(test, 4001, mins[i]);
		t->busy_us = 20;
		KUNIT_EXPECT_EQ(test, test_run_range(t, 0), 0);
		expect_all_done(test, t);
	}
}

/* Of a huge task only sums can be kept. */
struct test_huge {
	atomic_long_t	units;
	atomic_t	chunks;
	atomic_t	bad;
	size_t		size;
	size_t		min_chunk;
};

static int test_huge_thread(void *start, void *end, void *arg)
{
	size_t units = (size_t)end - (size_t)start;
	struct test_huge *huge = arg;

	if (!units || (units % huge->min_chunk && (size_t)end != huge->size))
		atomic_inc(&huge->bad);
	atomic_long_add(units, &huge->units);
	atomic_inc(&huge->chunks);
	return 0;
}

static void test_huge_sizes(struct kunit *test)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 1 };
	static const size_t mins[] = {
		1, 4096, SIZE_MAX / 4, SIZE_MAX / 2 + 1, SIZE_MAX - 1, SIZE_MAX,
	};
	int i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = 0; j < ARRAY_SIZE(mins); j++) {
			struct test_huge huge = {
				.size = sizes[i],
				.min_chunk = mins[j],
			};
			DEFINE_KTASK_CTL(ctl, test_huge_thread, &huge, mins[j]);

			KUNIT_EXPECT_EQ(test, ktask_run(NULL, sizes[i], &ctl), 0);
			KUNIT_EXPECT_EQ(test, (size_t)atomic_long_read(&huge.units),
					sizes[i]);
			KUNIT_EXPECT_EQ(test, atomic_read(&huge.bad), 0);
		}
	}
}

/* The sizes of its parts add up to more than a size_t holds. */
static void test_huge_nodes(struct kunit *test)
{
	struct test_huge huge = { .size = SIZE_MAX / 2 + 1, .min_chunk = 1 };
	DEFINE_KTASK_CTL(ctl, test_huge_thread, &huge, 1);
	struct ktask_node nodes[2] = {
		{ .kn_task_size = huge.size, .kn_nid = NUMA_NO_NODE },
		{ .kn_task_size = huge.size, .kn_nid = NUMA_NO_NODE },
	};

	KUNIT_EXPECT_EQ(test, ktask_run_numa(nodes, 2, &ctl), 0);
	KUNIT_EXPECT_EQ(test, (size_t)atomic_long_read(&huge.units), 0);
	KUNIT_EXPECT_GE(test, atomic_read(&huge.chunks), 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&huge.bad), 0);
}

static void test_max_chunk(struct kunit *test)
{
	static const struct {
		size_t max_chunk, largest;
	} cases[] = { { 64, 64 }, { 67, 64 }, { 16, 16 }, { 1, 16 }, { 0, 4096 } };
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct test_task *t = test_task_new(test, 4096, 16);
		DEFINE_KTASK_CTL(ctl, test_range_thread, t, 16);

		ctl.kc_max_chunk_size = cases[i].max_chunk;
		KUNIT_EXPECT_EQ(test, ktask_run((void *)TEST_START, t->size, &ctl), 0);
		expect_all_done(test, t);
		KUNIT_EXPECT_LE(test, (size_t)atomic_long_read(&t->largest),
				cases[i].largest);
	}
}

static void test_max_threads(struct kunit *test)
{
	struct test_task *t = test_task_new(test, 200, 1);
	unsigned int max;

	t->busy_us = 300;
	for (max = 1; max <= 4; max++) {
		test_task_reset(t);
		KUNIT_EXPECT_EQ(test, test_run_range(t, max), 0);
		expect_all_done(test, t);
		KUNIT_EXPECT_LE(test, atomic_read(&t->most_running), max);
		if (max == 1)
			KUNIT_EXPECT_EQ(test, t->nr_threads, 1);
	}
}

/* What is asked of the system as a whole holds for each task. */
static void test_system_limit(struct kunit *test)
{
	struct test_task *t = test_task_new(test, 100, 1);
	unsigned int saved = ktask_max_threads;

	t->busy_us = 300;

	WRITE_ONCE(ktask_max_threads, 1);
	KUNIT_EXPECT_FALSE(test, ktask_enabled());
	KUNIT_EXPECT_EQ(test, test_run_range(t, 0), 0);
	expect_all_done(test, t);
	KUNIT_EXPECT_EQ(test, t->nr_threads, 1);

	test_task_reset(t);
	WRITE_ONCE(ktask_max_threads, 2);
	KUNIT_EXPECT_TRUE(test, ktask_enabled());
	KUNIT_EXPECT_EQ(test, test_run_range(t, 0), 0);
	expect_all_done(test, t);
	KUNIT_EXPECT_LE(test, atomic_read(&t->most_running), 2);

	WRITE_ONCE(ktask_max_threads, saved);
}

/* A task of two chunks: the caller waits in the first for somebody else. */
struct test_meeting {
	struct task_struct	*caller;
	bool			waited, helped, met;
};

static int test_meeting_thread(void *start, void *end, void *arg)
{
	struct test_meeting *m = arg;
	int ticks = HZ / 10;

	if (current != m->caller) {
		WRITE_ONCE(m->helped, true);
	} else if (!m->waited) {
		m->waited = true;
		while (!READ_ONCE(m->helped) && ticks--)
			schedule_timeout_uninterruptible(1);
		m->met = READ_ONCE(m->helped);
	}
	return 0;
}

/* Helpers come at once where it is known that there is enough for them. */
static void test_known_cost(struct kunit *test)
{
	struct test_meeting m = { .caller = current };
	DEFINE_KTASK_CTL(ctl, test_meeting_thread, &m, 1);
	int tries = 20;

	test_needs_helpers(test, 1);
	KUNIT_EXPECT_EQ(test, ktask_run(NULL, 2, &ctl), 0);
	KUNIT_EXPECT_TRUE(test, m.waited);
	KUNIT_EXPECT_FALSE(test, m.met);

	ktask_ctl_set_cost(&ctl, 2, KTASK_SHARE_NS);
	m = (struct test_meeting){ .caller = current };
	KUNIT_EXPECT_EQ(test, ktask_run(NULL, 2, &ctl), 0);
	KUNIT_EXPECT_FALSE(test, m.met);

	/* For others may run on all CPUs just then. */
	ktask_ctl_set_cost(&ctl, 2, 2 * KTASK_SHARE_NS);
	do {
		m = (struct test_meeting){ .caller = current };
		KUNIT_EXPECT_EQ(test, ktask_run(NULL, 2, &ctl), 0);
	} while (!m.met && --tries);
	KUNIT_EXPECT_TRUE(test, m.met);
}

/* A task of which the caller does little while it has helpers, or as much */
struct test_hindrance {
	struct task_struct	*caller;
	unsigned int		helped_us;	/* that a unit takes it then */
	atomic_t		units;
	atomic_t		alone;		/* units that it did without */
	atomic_t		helped;		/* units that helpers did */
};

static int test_hindrance_thread(void *start, void *end, void *arg)
{
	struct test_hindrance *h = arg;
	unsigned long unit;

	for (unit = (unsigned long)start; unit < (unsigned long)end; unit++) {
		bool hindered = current == h->caller && ktask_nr_helpers();

		test_busy(hindered ? h->helped_us : 50);
		atomic_inc(&h->units);
		if (current != h->caller)
			atomic_inc(&h->helped);
		else if (!hindered)
			atomic_inc(&h->alone);
	}
	return 0;
}

static void test_hindrance_run(struct kunit *test, struct test_hindrance *h,
			       int units)
{
	DEFINE_KTASK_CTL(ctl, test_hindrance_thread, h, 1);

	atomic_set(&h->units, 0);
	atomic_set(&h->alone, 0);
	atomic_set(&h->helped, 0);
	KUNIT_EXPECT_EQ(test, ktask_run(NULL, units, &ctl), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&h->units), units);
}

/*
 * Helpers with which units cost the caller twenty times as much are sent home; a
 * busy host does not add that much. Those with which they do not are welcome.
 */
static void test_gain(struct kunit *test)
{
	struct test_hindrance h = { .caller = current, .helped_us = 50 };
	const int units = 4000;
	int tries = 10;

	test_needs_helpers(test, 1);
	do {
		test_hindrance_run(test, &h, units);
	} while (atomic_read(&h.helped) < units / 4 && --tries);
	KUNIT_EXPECT_GE(test, atomic_read(&h.helped), units / 4);

	/* Two units are a sample, and a pause has 32 of them at least. */
	h.helped_us = 1000;
	tries = 10;
	do {
		test_hindrance_run(test, &h, units);
	} while (atomic_read(&h.alone) < 64 && --tries);
	KUNIT_EXPECT_GE(test, atomic_read(&h.alone), 64);
}

/* Chunks too short to say anything by themselves do so together. */
static void test_uneven(struct kunit *test)
{
	struct test_hindrance h = { .caller = current, .helped_us = 50 };
	DEFINE_KTASK_CTL(ctl, test_hindrance_thread, &h, 1);
	int tries = 10;

	test_needs_helpers(test, 1);
	ctl.kc_max_chunk_size = 1;
	ctl.kc_uneven = true;
	do {
		/* Others may want the CPUs for a moment. */
		fsleep(20 * USEC_PER_MSEC);
		atomic_set(&h.alone, 0);
		KUNIT_EXPECT_EQ(test, ktask_run(NULL, 400, &ctl), 0);
	} while (atomic_read(&h.alone) > 4 && --tries);
	KUNIT_EXPECT_LE(test, atomic_read(&h.alone), 4);
}

static void test_cpu_limit(struct kunit *test)
{
	struct test_task *t = test_task_new(test, 100, 1);
	cpumask_var_t saved;

	KUNIT_ASSERT_TRUE(test, alloc_cpumask_var(&saved, GFP_KERNEL));
	cpumask_copy(saved, &current->cpus_mask);

	t->busy_us = 300;
	set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id()));
	KUNIT_EXPECT_EQ(test, test_run_range(t, 0), 0);
	expect_all_done(test, t);
	KUNIT_EXPECT_EQ(test, t->nr_threads, 1);

	set_cpus_allowed_ptr(current, saved);
	free_cpumask_var(saved);
}

/* Fail at one unit each, of those of a task that @max_threads work on. */
static void test_errors_at(struct kunit *test,
			   int (*run)(struct test_task *t,
				      unsigned int max_threads),
			   unsigned int max_threads, size_t min_chunk)
{
	struct test_task *t = test_task_new(test, 500, min_chunk);
	size_t units[] = { 0, 1, t->size / 2, t->size - 2, t->size - 1 };
	int i;

	t->busy_us = 20;
	t->gather = 4;
	for (i = 0; i < ARRAY_SIZE(units); i++) {
		test_task_reset(t);
		t->fail[0] = units[i];
		t->error = -ENOSPC;
		KUNIT_EXPECT_EQ(test, run(t, max_threads), -ENOSPC);
		expect_exact_undo(test, t);
		KUNIT_EXPECT_EQ(test, atomic_read(&t->failures), 1);
		KUNIT_EXPECT_EQ(test, atomic_read(&t->done[units[i]]), 0);
	}
}

static void test_error_one(struct kunit *test)
{
	test_errors_at(test, test_run_range, 0, 1);
	test_errors_at(test, test_run_range, 0, 7);
	test_errors_at(test, test_run_range, 1, 1);
	test_errors_at(test, test_run_range, 1, 500);
	test_errors_at(test, test_run_range, 1, 501);
}

/* An error ends the task: alone, the caller does not start another chunk. */
static void test_error_stops(struct kunit *test)
{
	struct test_task *t = test_task_new(test, 100, 10);

	t->fail[0] = 0;
	t->fail[1] = 99;
	KUNIT_EXPECT_EQ(test, test_run_range(t, 1), -EIO);
	expect_exact_undo(test, t);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->chunks), 1);

	test_task_reset(t);
	t->fail[0] = 99;
	KUNIT_EXPECT_EQ(test, test_run_range(t, 1), -EIO);
	expect_exact_undo(test, t);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->done[0]), 1);
}

/*
 * The other threads start no more chunks either, but for those that they get
 * before the core has heard of the failure: normally one each.
 */
static void test_error_stops_all(struct kunit *test)
{
	struct test_task *t = test_task_new(test, 500, 1);
	int i, least = INT_MAX;

	t->busy_us = 200;
	for (i = 0; i < 10 && least > 20; i++) {
		test_task_reset(t);
		t->fail[0] = 50;
		KUNIT_EXPECT_EQ(test, test_run_range(t, 0), -EIO);
		expect_exact_undo(test, t);
		least = min(least, atomic_read(&t->late));
	}
	KUNIT_EXPECT_LE(test, least, 20);
}

/* Several threads fail at about the same time, at chunks side by side and not. */
static void test_error_several(struct kunit *test)
{
	struct test_task *t = test_task_new(test, 400, 1);
	int i, most = 0;

	t->busy_us = 200;
	for (i = 0; i < 20; i++) {
		test_task_reset(t);
		t->fail_from = 10 + 5 * i;
		if (i % 2) {
			t->fail_from = SIZE_MAX;
			t->fail[0] = 40;
			t->fail[1] = 41;
			t->fail[2] = 43;
			t->fail[3] = 44;
		}
		KUNIT_EXPECT_EQ(test, test_run_range(t, 0), -EIO);
		expect_exact_undo(test, t);
		most = max(most, atomic_read(&t->failures));
	}
	kunit_info(test, "up to %d chunks failed at once", most);
}

static void test_error_without_undo(struct kunit *test)
{
	struct test_task *t = test_task_new(test, 400, 1);
	DEFINE_KTASK_CTL(ctl, test_range_thread, t, 1);

	t->busy_us = 50;
	t->fail_from = 200;
	KUNIT_EXPECT_EQ(test, ktask_run((void *)TEST_START, t->size, &ctl), -EIO);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->bad), 0);

	/* Helpers that failed are of use again. */
	test_task_reset(t);
	KUNIT_EXPECT_EQ(test, ktask_run((void *)TEST_START, t->size, &ctl), 0);
	expect_all_done(test, t);
}

/* The helper that fails first, and how far it is */
struct test_race {
	struct task_struct	*caller;
	struct task_struct	*helper;
	bool			failed;
};

/*
 * A helper fails; the caller fails after the helper has left the task. Until a
 * helper has come the caller goes on.
 */
static int test_race_thread(void *start, void *end, void *arg)
{
	struct test_race *race = arg;
	struct task_struct *helper;

	if (current != race->caller) {
		if (cmpxchg(&race->helper, NULL, current))
			return 0;
		return -ENOENT;
	}

	test_busy(1000);
	helper = READ_ONCE(race->helper);
	if (!helper)
		return 0;
	while (READ_ONCE(helper->__state) != TASK_IDLE)
		schedule_timeout_uninterruptible(1);
	race->failed = true;
	return -ENOSPC;
}

/* Of several errors the first one is returned. */
static void test_first_error(struct kunit *test)
{
	struct test_race race = { .caller = current };
	DEFINE_KTASK_CTL(ctl, test_race_thread, &race, 1);
	int i;

	test_needs_helpers(test, 1);
	ktask_ctl_set_max_threads(&ctl, 2);
	for (i = 0; i < 20 && !race.failed; i++) {
		race.helper = NULL;
		KUNIT_EXPECT_EQ(test, ktask_run(NULL, 200, &ctl),
				race.helper ? -ENOENT : 0);
	}
	if (!race.failed)
		kunit_skip(test, "no helper came while the caller was at work");
}

/* As test_range_thread(), with several chunks in a call. */
static int test_gathering_thread(void *start, void *end, void *arg)
{
	struct test_task *t = arg;
	unsigned int chunks = 0;
	int error;

	atomic_inc(&t->calls);
	do {
		error = test_range_thread(start, end, arg);
		if (error || ++chunks == t->gather)
			return error;
	} while (ktask_next_chunk(&start, &end));

	if (current->ktask_worker->chunk.units)
		atomic_inc(&t->bad);
	return 0;
}

static int test_run_gathering(struct test_task *t, unsigned int max_threads)
{
	DEFINE_KTASK_CTL(ctl, test_gathering_thread, t, t->min_chunk);

	/* So that there are many */
	ctl.kc_max_chunk_size = t->min_chunk;
	return test_run_ctl(t, &ctl, max_threads);
}

static void test_next_chunk(struct kunit *test)
{
	struct test_task *t = test_task_new(test, 600, 3);
	static const unsigned int gathers[] = { 1, 2, 7, 200, 201 };
	unsigned int chunks = t->size / t->min_chunk, i;

	t->busy_us = 20;
	for (i = 0; i < ARRAY_SIZE(gathers); i++) {
		t->gather = gathers[i];

		test_task_reset(t);
		KUNIT_EXPECT_EQ(test, test_run_gathering(t, 1), 0);
		expect_all_done(test, t);
		KUNIT_EXPECT_EQ(test, atomic_read(&t->chunks), chunks);
		KUNIT_EXPECT_EQ(test, atomic_read(&t->calls),
				DIV_ROUND_UP(chunks, t->gather));

		test_task_reset(t);
		KUNIT_EXPECT_EQ(test, test_run_gathering(t, 0), 0);
		expect_all_done(test, t);
		KUNIT_EXPECT_EQ(test, atomic_read(&t->chunks), chunks);
	}
}

/* What a call has done before the chunk that it fails at is undone too. */
static void test_next_chunk_errors(struct kunit *test)
{
	test_errors_at(test, test_run_gathering, 0, 2);
	test_errors_at(test, test_run_gathering, 1, 2);
}

/* A helper that stays in its call for as long as it gets chunks */
struct test_stay {
	struct task_struct	*caller;
	unsigned int		saved;		/* of ktask_max_threads */
	atomic_t		calls, returns;
	int			patience;	/* chunks to wait for it */
	bool			go_on;		/* after that, to see who comes */
	bool			told;		/* it is at work, and has to go */
	bool			gone;
	int			more;		/* calls after that */
};

static int test_stay_thread(void *start, void *end, void *arg)
{
	struct test_stay *s = arg;
	int ticks = 10 * HZ, calls;

	if (current != s->caller) {
		atomic_inc(&s->calls);
		while (ktask_next_chunk(&start, &end))
			;
		atomic_inc(&s->returns);
		return 0;
	}

	test_busy(1000);
	calls = atomic_read(&s->calls);
	/* One may have left for reasons of its own. */
	if (calls == atomic_read(&s->returns))
		return s->patience-- ? 0 : -ETIME;
	if (s->told) {
		s->more += s->gone;
		return -ECANCELED;
	}

	WRITE_ONCE(ktask_max_threads, 1);
	s->told = true;
	while (atomic_read(&s->returns) != calls && ticks--)
		schedule_timeout_uninterruptible(1);
	s->gone = atomic_read(&s->returns) == calls;
	schedule_timeout_uninterruptible(2);
	s->more = atomic_read(&s->calls) - calls;
	WRITE_ONCE(ktask_max_threads, s->saved);
	return s->go_on ? 0 : -ECANCELED;
}

/* A helper in the middle of a call learns that it has to go, and does. */
static void test_next_chunk_limits(struct kunit *test)
{
	struct test_stay s = { .caller = current, .saved = ktask_max_threads };
	DEFINE_KTASK_CTL(ctl, test_stay_thread, &s, 1);
	int tries;

	test_needs_helpers(test, 1);
	ktask_ctl_set_max_threads(&ctl, 2);
	ctl.kc_max_chunk_size = 1;
	for (tries = 0; tries < 20 && !s.told; tries++) {
		s.patience = 200;
		ktask_run(NULL, SIZE_MAX, &ctl);
	}
	if (!s.told)
		kunit_skip(test, "no helper came while the caller was at work");

	KUNIT_EXPECT_TRUE(test, s.gone);
	KUNIT_EXPECT_EQ(test, s.more, 0);
}

/* Does another helper come for one that had to leave? */
static bool test_comes_again(struct kunit *test, unsigned int max_helpers,
			     int tries)
{
	struct test_stay s = {
		.caller = current,
		.saved = ktask_max_threads,
		.go_on = true,
	};
	DEFINE_KTASK_CTL(ctl, test_stay_thread, &s, 1);
	bool told = false;

	ktask_ctl_set_max_threads(&ctl, 2);
	ktask_ctl_set_max_helpers(&ctl, max_helpers);
	ctl.kc_max_chunk_size = 1;
	while (tries-- && !s.more) {
		s.told = false;
		s.patience = 200;
		ktask_run(NULL, SIZE_MAX, &ctl);
		told |= s.told;
	}
	if (!told && READ_ONCE(test->status) == KUNIT_SUCCESS)
		kunit_skip(test, "no helper came while the caller was at work");
	return s.more;
}

/* How many work at once is one thing, how many have come another. */
static void test_max_helpers(struct kunit *test)
{
	test_needs_helpers(test, 1);
	KUNIT_EXPECT_TRUE(test, test_comes_again(test, 0, 20));
	KUNIT_EXPECT_TRUE(test, test_comes_again(test, 2, 20));
	KUNIT_EXPECT_FALSE(test, test_comes_again(test, 1, 5));
}

static int test_look_thread(void *start, void *end, void *arg)
{
	struct test_stay *s = arg;

	if (current != s->caller) {
		atomic_inc(&s->calls);
		do {
			test_busy(50 * (end - start));
		} while (ktask_next_chunk(&start, &end));
		return 0;
	}

	/* So much longer that it does not look like a host that is busy now and then */
	test_busy((ktask_nr_helpers() ? 1000 : 50) * (end - start));
	if (atomic_read(&s->calls) > 1)
		return -ECANCELED;
	return s->patience-- ? 0 : -ETIME;
}

/* Who leaves for the caller to see what units cost without does not count. */
static void test_max_helpers_look(struct kunit *test)
{
	struct test_stay s = { .caller = current };
	DEFINE_KTASK_CTL(ctl, test_look_thread, &s, 1);
	int tries = 10, error;

	test_needs_helpers(test, 1);
	if (ktask_eager())
		kunit_skip(test, "nobody looks with ktask.eager");
	ktask_ctl_set_max_helpers(&ctl, 1);
	ctl.kc_max_chunk_size = 4;
	do {
		atomic_set(&s.calls, 0);
		s.patience = 1000;
		error = ktask_run(NULL, SIZE_MAX, &ctl);
	} while (error == -ETIME && --tries);
	if (!atomic_read(&s.calls))
		kunit_skip(test, "no helper came while the caller was at work");
	KUNIT_EXPECT_EQ(test, error, -ECANCELED);
}

/* A task whose positions are the items of a list */
struct test_item {
	struct test_item	*next;
	size_t			index;
};

struct test_list {
	struct test_task	*task;
	struct test_item	*items;
	atomic_t		in_iter;
};

static void *test_list_iter(void *position, size_t nsteps, void *arg)
{
	struct test_item *item = position;
	struct test_list *list = arg;

	/* Nobody else is in here. */
	if (atomic_inc_return(&list->in_iter) != 1)
		atomic_inc(&list->task->bad);
	udelay(TEST_ITER_US);
	while (nsteps--)
		item = item->next;
	atomic_dec(&list->in_iter);
	return item;
}

static int test_list_thread(void *start, void *end, void *arg)
{
	struct test_item *first = start, *last = end;
	struct test_list *list = arg;

	return test_do(list->task, first->index, last->index - first->index);
}

static void test_list_undo(void *start, void *end, void *arg)
{
	struct test_item *first = start, *last = end;
	struct test_list *list = arg;

	test_undo_units(list->task, first->index, last->index - first->index);
}

/* One item more than units: the position just past the last one. */
static void test_list_make(struct kunit *test, struct test_list *list)
{
	size_t i, nr = list->task->size + 1;

	atomic_set(&list->in_iter, 0);
	list->items = kunit_kcalloc(test, nr, sizeof(*list->items), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, list->items);
	for (i = 0; i < nr; i++) {
		list->items[i].index = i;
		list->items[i].next = i + 1 < nr ? &list->items[i + 1] : NULL;
	}
}

static void test_iterator(struct kunit *test)
{
	static const size_t sizes[] = { 1, 2, 97, 1500 };
	struct test_list list;
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		DEFINE_KTASK_CTL(ctl, test_list_thread, &list, 4);

		list.task = test_task_new(test, sizes[i], 4);
		list.task->busy_us = 20;
		test_list_make(test, &list);
		ktask_ctl_set_iter_func(&ctl, test_list_iter);
		/* Many chunks, so that threads meet in the iterator. */
		ctl.kc_max_chunk_size = 4;
		KUNIT_EXPECT_EQ(test, ktask_run(list.items, sizes[i], &ctl), 0);
		expect_all_done(test, list.task);
	}
}

static void test_iterator_errors(struct kunit *test)
{
	struct test_list list = { .task = test_task_new(test, 300, 3) };
	size_t units[] = { 0, 150, 299 };
	DEFINE_KTASK_CTL(ctl, test_list_thread, &list, 3);
	int i;

	list.task->busy_us = 30;
	test_list_make(test, &list);
	ktask_ctl_set_iter_func(&ctl, test_list_iter);
	ktask_ctl_set_undo_func(&ctl, test_list_undo);
	for (i = 0; i < ARRAY_SIZE(units); i++) {
		test_task_reset(list.task);
		list.task->fail[0] = units[i];
		KUNIT_EXPECT_EQ(test, ktask_run(list.items, 300, &ctl), -EIO);
		expect_exact_undo(test, list.task);

		test_task_reset(list.task);
		list.task->fail_from = units[i];
		KUNIT_EXPECT_EQ(test, ktask_run(list.items, 300, &ctl), -EIO);
		expect_exact_undo(test, list.task);
	}
}

/* Split the units of a task over nodes; their positions stay what they were. */
static void test_split(struct test_task *t, struct ktask_node *nodes,
		       const size_t *sizes, const int *nids, unsigned int nr)
{
	size_t first = 0;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		nodes[i] = (struct ktask_node) {
			.kn_start = (void *)(TEST_START + first),
			.kn_task_size = sizes[i],
			.kn_nid = nids[i],
		};
		first += sizes[i];
	}
	t->size = first;
}

/* Plain ranges do without the lock, and without what it protects. */
static void test_range_without_lock(struct kunit *test)
{
	struct test_task *t = test_task_new(test, 100, 1);
	DEFINE_KTASK_CTL(ctl, test_range_thread, t, 1);
	const int nid = NUMA_NO_NODE;
	struct ktask_node node;

	test_split(t, &node, &t->size, &nid, 1);
	KUNIT_EXPECT_EQ(test, ktask_run_numa(&node, 1, &ctl), 0);
	expect_all_done(test, t);
	KUNIT_EXPECT_PTR_EQ(test, node.kn_position, node.kn_start);
}

static void test_numa_splits(struct kunit *test)
{
	static const struct {
		unsigned int nr;
		size_t sizes[3];
		int nids[3];
	} cases[] = {
		{ 1, { 300 }, { 0 } },
		{ 1, { 300 }, { NUMA_NO_NODE } },
		{ 2, { 150, 150 }, { 0, 1 } },
		{ 2, { 10, 290 }, { 1, 0 } },
		{ 2, { 0, 300 }, { 0, 1 } },
		{ 2, { 300, 0 }, { 0, 1 } },
		{ 2, { 150, 150 }, { 0, 0 } },
		{ 3, { 100, 100, 100 }, { 0, 1, 2 } },
		{ 3, { 0, 300, 0 }, { 0, 1, 2 } },
		{ 3, { 1, 1, 298 }, { 2, NUMA_NO_NODE, 0 } },
		/* Nodes that are not there */
		{ 2, { 150, 150 }, { MAX_NUMNODES - 1, MAX_NUMNODES } },
		{ 3, { 100, 100, 100 }, { INT_MAX, -2, INT_MIN } },
	};
	struct test_task *t = test_task_new(test, 300, 1);
	DEFINE_KTASK_CTL(ctl, test_range_thread, t, 1);
	struct ktask_node nodes[3];
	int i;

	t->busy_us = 50;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		test_task_reset(t);
		test_split(t, nodes, cases[i].sizes, cases[i].nids, cases[i].nr);
		KUNIT_EXPECT_EQ(test, ktask_run_numa(nodes, cases[i].nr, &ctl), 0);
		expect_all_done(test, t);
	}
}

static void test_numa_nothing(struct kunit *test)
{
	struct test_task *t = test_task_new(test, 1, 1);
	DEFINE_KTASK_CTL(ctl, test_range_thread, t, 1);
	struct ktask_node nodes[3] = { };

	KUNIT_EXPECT_EQ(test, ktask_run_numa(nodes, 3, &ctl), 0);
	KUNIT_EXPECT_EQ(test, ktask_run_numa(nodes, 0, &ctl), 0);
	KUNIT_EXPECT_EQ(test, ktask_run(NULL, 0, &ctl), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->chunks), 0);
}

/* A worker whose node has nothing left goes on to the others. */
static void test_numa_balance(struct kunit *test)
{
	struct test_task *t = test_task_new(test, 300, 1);
	DEFINE_KTASK_CTL(ctl, test_range_thread, t, 1);
	struct ktask_node nodes[3];
	int first;

	ktask_ctl_set_max_threads(&ctl, 1);
	for (first = 0; first < 3; first++) {
		const int nids[] = { first, (first + 1) % 3, (first + 2) % 3 };
		const size_t sizes[] = { 100, 50, 150 };

		test_task_reset(t);
		test_split(t, nodes, sizes, nids, 3);
		KUNIT_EXPECT_EQ(test, ktask_run_numa(nodes, 3, &ctl), 0);
		expect_all_done(test, t);
		KUNIT_EXPECT_EQ(test, t->nr_threads, 1);
	}
}

static void test_numa_errors(struct kunit *test)
{
	static const size_t sizes[] = { 100, 100, 100 };
	static const size_t units[] = { 0, 99, 100, 150, 200, 299 };
	static const int nids[] = { 0, 1, 0 };
	struct test_task *t = test_task_new(test, 300, 1);
	DEFINE_KTASK_CTL(ctl, test_range_thread, t, 1);
	struct ktask_node nodes[3];
	int i;

	t->busy_us = 50;
	ktask_ctl_set_undo_func(&ctl, test_range_undo);
	for (i = 0; i < ARRAY_SIZE(units); i++) {
		test_task_reset(t);
		test_split(t, nodes, sizes, nids, 3);
		t->fail[0] = units[i];
		t->fail[1] = (units[i] + 101) % 300;
		t->fail[2] = (units[i] + 203) % 300;
		KUNIT_EXPECT_EQ(test, ktask_run_numa(nodes, 3, &ctl), -EIO);
		expect_exact_undo(test, t);
	}
}

struct test_nested {
	atomic_t	units;
	atomic_t	strangers;
	atomic_t	errors;
};

struct test_nested_inner {
	struct task_struct	*caller;
	struct test_nested	*outer;
	atomic_t		units;
};

static int test_nested_inner_thread(void *start, void *end, void *arg)
{
	struct test_nested_inner *inner = arg;

	if (current != inner->caller)
		atomic_inc(&inner->outer->strangers);
	test_busy(10);
	atomic_add((unsigned long)end - (unsigned long)start, &inner->units);
	return 0;
}

static int test_nested_thread(void *start, void *end, void *arg)
{
	struct test_nested_inner inner = { .caller = current, .outer = arg };
	DEFINE_KTASK_CTL(ctl, test_nested_inner_thread, &inner, 1);

	/* The next chunk is one of the outer task, not of the inner one. */
	do {
		atomic_set(&inner.units, 0);
		if (ktask_run(NULL, 100, &ctl) ||
		    atomic_read(&inner.units) != 100)
			atomic_inc(&inner.outer->errors);
		atomic_add((unsigned long)end - (unsigned long)start,
			   &inner.outer->units);
	} while (ktask_next_chunk(&start, &end));
	return 0;
}

static void test_nested(struct kunit *test)
{
	struct test_nested nested = { };
	DEFINE_KTASK_CTL(ctl, test_nested_thread, &nested, 1);
	int i;

	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, ktask_run(NULL, 50, &ctl), 0);
		KUNIT_EXPECT_NULL(test, current->ktask_worker);
	}
	KUNIT_EXPECT_EQ(test, atomic_read(&nested.units), 3 * 50);
	KUNIT_EXPECT_EQ(test, atomic_read(&nested.strangers), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&nested.errors), 0);
}

/* A caller's fatal signal, as it were: KUnit's threads can be sent none. */
static void test_kill(struct task_struct *caller, bool kill)
{
	struct sighand_struct *sighand = rcu_access_pointer(caller->sighand);

	guard(spinlock_irqsave)(&sighand->siglock);
	if (kill) {
		sigaddset(&caller->pending.signal, SIGKILL);
		set_tsk_thread_flag(caller, TIF_SIGPENDING);
	} else {
		sigdelset(&caller->pending.signal, SIGKILL);
		clear_tsk_thread_flag(caller, TIF_SIGPENDING);
	}
}

/* The caller is killed in the chunk that has the task's first wrong unit. */
static int test_killed_thread(void *start, void *end, void *arg)
{
	size_t first = (unsigned long)start - TEST_START;
	size_t units = (unsigned long)end - (unsigned long)start;
	struct test_task *t = arg;

	if (t->fail[0] >= first && t->fail[0] - first < units) {
		t->fail[0] = SIZE_MAX;
		test_kill(t->caller, true);
	}
	return test_do(t, first, units);
}

/* A fatal signal ends tasks that say so, exactly, and no others. */
static void test_killable(struct kunit *test)
{
	static const size_t at[] = { 0, 150, 250 };
	struct test_task *t = test_task_new(test, 300, 1);
	DEFINE_KTASK_CTL(ctl, test_killed_thread, t, 1);
	int i;

	ktask_ctl_set_undo_func(&ctl, test_range_undo);
	t->busy_us = 100;
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		test_task_reset(t);
		t->fail[0] = at[i];
		ctl.kc_killable = false;
		KUNIT_EXPECT_EQ(test, ktask_run((void *)TEST_START, t->size, &ctl), 0);
		test_kill(current, false);
		expect_all_done(test, t);

		test_task_reset(t);
		t->fail[0] = at[i];
		ktask_ctl_set_killable(&ctl);
		KUNIT_EXPECT_EQ(test, ktask_run((void *)TEST_START, t->size, &ctl),
				-EINTR);
		test_kill(current, false);
		expect_undone(test, t);
	}
}

struct test_stuck {
	struct task_struct	*caller;
	bool			stuck;
	atomic_t		helpers;
	atomic_t		woken;		/* by a signal, or have one */
};

/*
 * Helpers sleep as for a page that never comes, and the caller is killed once
 * one does; or they look whether they are still killed.
 */
static int test_stuck_thread(void *start, void *end, void *arg)
{
	struct test_stuck *s = arg;

	if (current != s->caller) {
		atomic_inc(&s->helpers);
		if (s->stuck ? schedule_timeout_killable(10 * HZ) :
			       signal_pending(current))
			atomic_inc(&s->woken);
		return s->stuck ? -EINTR : 0;
	}

	if (s->stuck && atomic_read(&s->helpers))
		test_kill(current, true);
	fsleep(100);
	return 0;
}

/* Helpers are killed with their caller, and no longer than that. */
static void test_killed_helpers(struct kunit *test)
{
	struct test_stuck s = { .caller = current, .stuck = true };
	DEFINE_KTASK_CTL(ctl, test_stuck_thread, &s, 1);
	int tries;

	test_needs_helpers(test, 1);
	ktask_ctl_set_killable(&ctl);
	ctl.kc_max_chunk_size = 1;
	KUNIT_EXPECT_EQ(test, ktask_run(NULL, 20000, &ctl), -EINTR);
	test_kill(current, false);
	KUNIT_EXPECT_GT(test, atomic_read(&s.helpers), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&s.woken), atomic_read(&s.helpers));

	s = (struct test_stuck) { .caller = current };
	for (tries = 0; tries < 20 && !atomic_read(&s.helpers); tries++)
		KUNIT_EXPECT_EQ(test, ktask_run(NULL, 300, &ctl), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&s.helpers), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&s.woken), 0);
}

/* Nobody works on a task that has returned. */
static void test_return_is_final(struct kunit *test)
{
	struct test_task *t = test_task_new(test, 30, 1);
	int i, chunks;

	t->busy_us = 200;
	for (i = 0; i < 30; i++) {
		test_task_reset(t);
		if (i % 3 == 1)
			t->fail[0] = 15;
		KUNIT_EXPECT_EQ(test, test_run_range(t, 0),
				i % 3 == 1 ? -EIO : 0);
		chunks = atomic_read(&t->chunks);
		KUNIT_EXPECT_EQ(test, atomic_read(&t->running), 0);
		if (i % 3)
			continue;
		fsleep(5 * USEC_PER_MSEC);
		KUNIT_EXPECT_EQ(test, atomic_read(&t->chunks), chunks);
		expect_all_done(test, t);
	}
}

#define TEST_EARLY_UNITS	1009UL

static atomic_long_t test_early_units;
static int test_early_error = -ENODATA;

static int test_early_thread(void *start, void *end, void *arg)
{
	atomic_long_add(end - start, &test_early_units);
	return 0;
}

/* Before there are helpers, or a second CPU */
static int __init test_run_early(void)
{
	DEFINE_KTASK_CTL(ctl, test_early_thread, NULL, 1);

	test_early_error = ktask_run((void *)TEST_START, TEST_EARLY_UNITS, &ctl);
	return 0;
}
early_initcall(test_run_early);

static void test_early_boot(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, test_early_error, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&test_early_units),
			TEST_EARLY_UNITS);
}

/*
 * Whoever frees memory for others must not wait for memory. Lockdep, which thinks
 * that this is reclaim, has a word to say where the caller would.
 */
static void test_in_reclaim(struct kunit *test)
{
	struct test_task *t = test_task_new(test, 300, 1);
	DEFINE_KTASK_CTL(ctl, test_range_thread, t, 1);

	if (!IS_ENABLED(CONFIG_PROVE_LOCKING) || !debug_locks)
		kunit_skip(test, "no lockdep to say so");

	t->busy_us = 50;
	fs_reclaim_acquire(GFP_KERNEL);
	KUNIT_EXPECT_EQ(test, ktask_run((void *)TEST_START, t->size, &ctl), 0);
	fs_reclaim_release(GFP_KERNEL);
	expect_all_done(test, t);
	KUNIT_EXPECT_TRUE(test, debug_locks);
}

static struct kunit_case ktask_core_cases[] = {
	KUNIT_CASE(test_sizes),
	KUNIT_CASE(test_min_chunk_above_size),
	KUNIT_CASE(test_every_unit_once),
	KUNIT_CASE(test_huge_sizes),
	KUNIT_CASE(test_huge_nodes),
	KUNIT_CASE(test_max_chunk),
	KUNIT_CASE(test_max_threads),
	KUNIT_CASE(test_max_helpers),
	KUNIT_CASE(test_max_helpers_look),
	KUNIT_CASE(test_known_cost),
	KUNIT_CASE(test_system_limit),
	KUNIT_CASE(test_gain),
	KUNIT_CASE(test_uneven),
	KUNIT_CASE(test_cpu_limit),
	KUNIT_CASE(test_error_one),
	KUNIT_CASE(test_error_stops),
	KUNIT_CASE(test_error_stops_all),
	KUNIT_CASE(test_error_several),
	KUNIT_CASE(test_error_without_undo),
	KUNIT_CASE(test_first_error),
	KUNIT_CASE(test_next_chunk),
	KUNIT_CASE(test_next_chunk_errors),
	KUNIT_CASE(test_next_chunk_limits),
	KUNIT_CASE(test_iterator),
	KUNIT_CASE(test_iterator_errors),
	KUNIT_CASE(test_range_without_lock),
	KUNIT_CASE(test_numa_splits),
	KUNIT_CASE(test_numa_nothing),
	KUNIT_CASE(test_numa_balance),
	KUNIT_CASE(test_numa_errors),
	KUNIT_CASE(test_nested),
	KUNIT_CASE(test_early_boot),
	KUNIT_CASE(test_in_reclaim),
	KUNIT_CASE(test_killable),
	KUNIT_CASE(test_killed_helpers),
	KUNIT_CASE(test_return_is_final),
	{ }
};

static struct kunit_suite ktask_core_suite = {
	.name = "ktask_core",
	.test_cases = ktask_core_cases,
};

/* What helpers wear while they work, compared with the caller */
struct test_outfit {
	struct test_task	*task;
	struct css_set		*cset;
	unsigned int		memalloc;
	atomic_t		helpers_chunks;
	atomic_t		no_kthread;
	atomic_t		other_cset;
	atomic_t		other_cpus;
	atomic_t		other_nice;
	atomic_t		other_slice;
	atomic_t		other_class;
	atomic_t		other_flags;
	atomic_t		other_mems;
	atomic_t		other_policy;
};

#define TEST_MEMALLOC	(PF_MEMALLOC_NOIO | PF_MEMALLOC_NOFS | PF_MEMALLOC_PIN)

static struct css_set *test_cset(struct task_struct *task)
{
#ifdef CONFIG_CGROUPS
	return rcu_access_pointer(task->cgroups);
#else
	return NULL;
#endif
}

static bool test_same_mems(struct task_struct *caller)
{
#ifdef CONFIG_CPUSETS
	return nodes_equal(current->mems_allowed, caller->mems_allowed);
#else
	return true;
#endif
}

/* A copy; and where nothing is said, what is near the caller. */
static bool test_same_policy(struct task_struct *caller)
{
#ifdef CONFIG_NUMA
	struct mempolicy *policy = current->mempolicy, *said = caller->mempolicy;

	if (!policy || policy == said)
		return false;
	if (said && said->mode != MPOL_LOCAL)
		return policy->mode == said->mode &&
		       nodes_equal(policy->nodes, said->nodes) &&
		       policy->home_node != NUMA_NO_NODE;
	return policy->mode == MPOL_PREFERRED &&
	       nodes_weight(policy->nodes) == 1;
#else
	return true;
#endif
}

static int test_outfit_thread(void *start, void *end, void *arg)
{
	struct test_outfit *o = arg;
	struct task_struct *caller = o->task->caller;
	/* data_race: the caller lends a helper its nice value at any time. */
	int nice = data_race(task_nice(current));

	if (current != caller) {
		atomic_inc(&o->helpers_chunks);
		if (!(current->flags & PF_KTHREAD))
			atomic_inc(&o->no_kthread);
		if (test_cset(current) != o->cset)
			atomic_inc(&o->other_cset);
		if (!cpumask_subset(current->cpus_ptr, &caller->cpus_mask) ||
		    !cpumask_test_cpu(raw_smp_processor_id(), &caller->cpus_mask))
			atomic_inc(&o->other_cpus);
		/* The caller's is lent while it waits. */
		if (nice != MAX_NICE && nice != task_nice(caller))
			atomic_inc(&o->other_nice);
		if (current->se.slice != NSEC_PER_MSEC / 10)
			atomic_inc(&o->other_slice);
		if (current->policy != caller->policy)
			atomic_inc(&o->other_class);
		if ((current->flags & TEST_MEMALLOC) != o->memalloc)
			atomic_inc(&o->other_flags);
		if (!test_same_mems(caller))
			atomic_inc(&o->other_mems);
		if (!test_same_policy(caller))
			atomic_inc(&o->other_policy);
	}
	return test_range_thread(start, end, o->task);
}

static void test_outfit_run(struct kunit *test, struct test_outfit *o)
{
	DEFINE_KTASK_CTL(ctl, test_outfit_thread, o, 1);

	o->cset = test_cset(current);
	o->memalloc = current->flags & TEST_MEMALLOC;
	test_task_reset(o->task);
	KUNIT_EXPECT_EQ(test, ktask_run((void *)TEST_START, o->task->size, &ctl), 0);
	expect_all_done(test, o->task);
	KUNIT_EXPECT_EQ(test, atomic_read(&o->no_kthread), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&o->other_cset), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&o->other_cpus), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&o->other_nice), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&o->other_slice), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&o->other_class), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&o->other_flags), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&o->other_mems), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&o->other_policy), 0);
}

/* Helpers do take part. The pool may have to grow first, in its own time. */
static void test_helpers_take_part(struct kunit *test)
{
	struct test_outfit o = { .task = test_task_new(test, 100, 1) };
	int i;

	test_needs_helpers(test, 1);
	o.task->busy_us = 1000;
	for (i = 0; i < 100 && !atomic_read(&o.helpers_chunks); i++)
		test_outfit_run(test, &o);

	KUNIT_EXPECT_GT(test, atomic_read(&o.helpers_chunks), 0);
	KUNIT_EXPECT_GT(test, o.task->nr_threads, 1);
	kunit_info(test, "%u threads at task %d, %d at once", o.task->nr_threads, i,
		   atomic_read(&o.task->most_running));
}

/* Run with a memory policy, which stays untouched. */
static void test_outfit_with_policy(struct kunit *test, struct test_outfit *o,
				    unsigned short mode)
{
#ifdef CONFIG_NUMA
	struct mempolicy policy = {
		.refcnt = ATOMIC_INIT(1),
		.mode = mode,
		.nodes = node_states[N_MEMORY],
		.home_node = NUMA_NO_NODE,
	};
	struct mempolicy *saved = current->mempolicy;

	scoped_guard(task_lock, current)
		current->mempolicy = &policy;
	test_outfit_run(test, o);
	scoped_guard(task_lock, current)
		current->mempolicy = saved;
	KUNIT_EXPECT_EQ(test, atomic_read(&policy.refcnt), 1);
	KUNIT_EXPECT_EQ(test, policy.home_node, NUMA_NO_NODE);
#endif
}

/* What a caller changes about itself its next helpers take over. */
static void test_helpers_follow_caller(struct kunit *test)
{
	struct test_outfit o = { .task = test_task_new(test, 60, 1) };
	static const struct sched_param param;
	cpumask_var_t saved, two;
	unsigned int flags;
	int cpu;

	test_needs_helpers(test, 1);
	KUNIT_ASSERT_TRUE(test, alloc_cpumask_var(&saved, GFP_KERNEL));
	KUNIT_ASSERT_TRUE(test, zalloc_cpumask_var(&two, GFP_KERNEL));
	cpumask_copy(saved, &current->cpus_mask);
	o.task->busy_us = 500;

	flags = memalloc_nofs_save();
	test_outfit_run(test, &o);
	memalloc_nofs_restore(flags);
	test_outfit_run(test, &o);

	for_each_cpu(cpu, saved) {
		cpumask_set_cpu(cpu, two);
		if (cpumask_weight(two) < 2)
			continue;
		set_cpus_allowed_ptr(current, two);
		test_outfit_run(test, &o);
		cpumask_clear(two);
	}
	set_cpus_allowed_ptr(current, saved);

	set_user_nice(current, 5);
	test_outfit_run(test, &o);
	set_user_nice(current, 0);
	sched_setscheduler_nocheck(current, SCHED_IDLE, &param);
	test_outfit_run(test, &o);
	sched_setscheduler_nocheck(current, SCHED_NORMAL, &param);
	test_outfit_run(test, &o);

	test_outfit_with_policy(test, &o, MPOL_BIND);
	test_outfit_with_policy(test, &o, MPOL_LOCAL);
	KUNIT_EXPECT_GT(test, atomic_read(&o.helpers_chunks), 0);

	free_cpumask_var(two);
	free_cpumask_var(saved);
}

/* Writes through the caller's address space, each page its number. */
static int test_mm_thread(void *start, void *end, void *arg)
{
	unsigned long __user *base = (unsigned long __user *)arg;
	unsigned long i;

	if (!current->mm)
		return -EFAULT;
	for (i = (unsigned long)start; i < (unsigned long)end; i++) {
		if (put_user(i, base + i * PAGE_SIZE / sizeof(*base)))
			return -EFAULT;
		test_busy(100);
	}
	return 0;
}

static void test_mm(struct kunit *test)
{
	const unsigned long pages = 200;
	unsigned long i, value, addr, wrong = 0;
	DEFINE_KTASK_CTL(ctl, test_mm_thread, NULL, 1);

	addr = kunit_vm_mmap(test, NULL, 0, pages * PAGE_SIZE,
			     PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, addr, 0);
	KUNIT_ASSERT_LT(test, addr, TASK_SIZE);

	ctl.kc_func_arg = (void *)addr;
	ctl.kc_mm = current->mm;
	KUNIT_EXPECT_EQ(test, ktask_run(NULL, pages, &ctl), 0);
	for (i = 0; i < pages; i++)
		if (get_user(value, (unsigned long __user *)(addr + i * PAGE_SIZE)) ||
		    value != i)
			wrong++;
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

/* Loans without a core: helpers that work until they are told to end. */
struct test_work {
	struct ktask_loan	loan;
	bool			end;
	bool			real_time;
	atomic_t		started;
	atomic_t		ended;
	atomic_t		missed;		/* were lent nothing */
	atomic_t		raised;
	atomic_t		most_raised;
	int			nid;		/* that the last one was kept to */
	struct ktask_worker	*kept;
	struct task_struct	*task;
};

static bool test_has_lent(struct test_work *w)
{
	struct task_struct *caller = w->loan.caller;

	if (w->real_time)
		return READ_ONCE(current->prio) == max(READ_ONCE(caller->prio), 0);
	return task_nice(current) == task_nice(caller);
}

/* Until the caller waits, and has lent its nice value or priority; seconds. */
static bool test_work_until_lent(struct ktask_worker *worker, void *arg)
{
	struct test_work *w = arg;
	int tries = 50000;

	WRITE_ONCE(w->task, current);
	atomic_inc(&w->started);
	while (!test_has_lent(w) && tries--)
		test_busy(100);
	if (!test_has_lent(w))
		atomic_inc(&w->missed);

	test_raise(&w->most_raised, atomic_inc_return(&w->raised));
	/* If the next one were raised as well it would show now. */
	test_busy(2000);
	atomic_dec(&w->raised);
	atomic_inc(&w->ended);
	return false;
}

/* Take on as many helpers as there may be, and wait for them to start. */
static unsigned int test_lend_on(struct test_work *w, unsigned int want, int nid)
{
	unsigned int lent = 0, tries;

	for (tries = 0; tries < 200 && lent < want; tries++) {
		if (ktask_loan_extend(&w->loan, want, nid))
			lent++;
		else
			fsleep(10 * USEC_PER_MSEC);
	}
	for (tries = 0; tries < 1000 && atomic_read(&w->started) < lent; tries++)
		fsleep(10 * USEC_PER_MSEC);
	return lent;
}

static unsigned int test_lend(struct test_work *w, unsigned int want)
{
	return test_lend_on(w, want, NUMA_NO_NODE);
}

/* The caller's nice value goes to one helper after the other. */
static void test_renice(struct kunit *test)
{
	struct test_work w = { };
	unsigned int lent;

	test_needs_helpers(test, 1);
	ktask_loan_init(&w.loan, NULL, test_work_until_lent, &w);
	lent = test_lend(&w, min(test_cpus() - 1, 3U));
	KUNIT_EXPECT_GT(test, lent, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.started), lent);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.ended), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.loan.nr), lent);

	ktask_loan_settle(&w.loan);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.ended), lent);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.missed), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.most_raised), 1);
	KUNIT_EXPECT_EQ(test, w.loan.stats[KTASK_STAT_RENICED], lent);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.loan.nr), 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&w.loan.helpers));
}

/* A helper is put back after its caller was told that it has ended. */
static bool test_is_at_home(struct task_struct *helper)
{
	int tries = 10000;

	while (READ_ONCE(helper->prio) != NICE_TO_PRIO(MAX_NICE) && tries--)
		fsleep(USEC_PER_MSEC);
	return helper->prio == NICE_TO_PRIO(MAX_NICE) &&
	       helper->policy == SCHED_NORMAL &&
	       helper->se.slice == NSEC_PER_MSEC / 10;
}

/*
 * The priority of a caller that has become a real-time one goes to one helper after
 * the other, on loan. Such a caller gets no others.
 */
static void test_boost(struct kunit *test)
{
	static const struct sched_attr normal = { .sched_policy = SCHED_NORMAL };
	static const struct sched_attr real_time[] = {
		{ .sched_policy = SCHED_FIFO, .sched_priority = 20 },
		{ .sched_policy = SCHED_RR, .sched_priority = 1 },
		{
			.sched_policy	= SCHED_DEADLINE,
			.sched_runtime	= 10 * NSEC_PER_MSEC,
			.sched_deadline	= 50 * NSEC_PER_MSEC,
			.sched_period	= 50 * NSEC_PER_MSEC,
		},
	};
	int i;

	test_needs_helpers(test, 1);
	for (i = 0; i < ARRAY_SIZE(real_time); i++) {
		struct test_work w = { .real_time = true };
		unsigned int lent;

		ktask_loan_init(&w.loan, NULL, test_work_until_lent, &w);
		lent = test_lend(&w, min(test_cpus() - 1, 3U));
		KUNIT_EXPECT_GT(test, lent, 0);
		KUNIT_EXPECT_EQ(test, sched_setattr_nocheck(current, &real_time[i]), 0);
		KUNIT_EXPECT_FALSE(test, ktask_available());
		KUNIT_EXPECT_FALSE(test, ktask_loan_extend(&w.loan, INT_MAX,
							   NUMA_NO_NODE));
		ktask_loan_settle(&w.loan);
		KUNIT_EXPECT_EQ(test, sched_setattr_nocheck(current, &normal), 0);

		KUNIT_EXPECT_EQ(test, atomic_read(&w.ended), lent);
		KUNIT_EXPECT_EQ(test, atomic_read(&w.missed), 0);
		KUNIT_EXPECT_EQ(test, atomic_read(&w.most_raised), 1);
		KUNIT_EXPECT_EQ(test, w.loan.stats[KTASK_STAT_RENICED], lent);
		/* Nothing is left of it, and the helper is no less nice. */
		if (w.task)
			KUNIT_EXPECT_TRUE(test, test_is_at_home(w.task));
	}
}

static int test_spin(void *unused)
{
	while (!kthread_should_stop())
		cond_resched();
	return 0;
}

/* A thread on each CPU that helpers may use. */
static unsigned int test_spin_start(struct kunit *test,
				    struct task_struct **spinners)
{
	unsigned int nr = 0;
	cpumask_var_t cpus;
	int cpu;

	KUNIT_ASSERT_TRUE(test, alloc_cpumask_var(&cpus, GFP_KERNEL));
	ktask_usable_cpus(&current->cpus_mask, cpus, TEST_SPINNERS);
	for_each_cpu(cpu, cpus) {
		spinners[nr] = kthread_run_on_cpu(test_spin, NULL, cpu,
						  "ktask_spin/%u");
		if (IS_ERR(spinners[nr]))
			break;
		nr++;
	}
	KUNIT_EXPECT_EQ(test, nr, cpumask_weight(cpus));
	free_cpumask_var(cpus);
	return nr;
}

static void test_spin_stop(struct task_struct **spinners, unsigned int nr)
{
	while (nr)
		kthread_stop(spinners[--nr]);
}

/* Until it has to leave. */
static bool test_work_until_told(struct ktask_worker *worker, void *arg)
{
	struct test_work *w = arg;

	atomic_inc(&w->started);
	while (ktask_helper_may_stay(worker->helper) && !READ_ONCE(w->end))
		test_busy(100);
	atomic_inc(&w->ended);
	return false;
}

/* Where the CPUs are all wanted by others no helper is lent, and none stays. */
static void test_no_helper_when_busy(struct kunit *test)
{
	struct task_struct *spinners[TEST_SPINNERS];
	struct test_work w = { };
	unsigned int nr, tries;
	int spare, ended = 1;

	test_needs_helpers(test, 1);
	if (test_cpus() > TEST_SPINNERS)
		kunit_skip(test, "more than %u CPUs", TEST_SPINNERS);

	ktask_loan_init(&w.loan, NULL, test_work_until_told, &w);
	/* Others may want the CPUs for a moment: until one stays. */
	for (tries = 0; tries < 100; tries++) {
		atomic_set(&w.started, 0);
		atomic_set(&w.ended, 0);
		KUNIT_EXPECT_EQ(test, test_lend(&w, 1), 1);
		ended = atomic_read(&w.ended);
		if (!ended)
			break;
		while (atomic_read(&w.loan.nr))
			fsleep(10 * USEC_PER_MSEC);
	}
	KUNIT_EXPECT_EQ(test, ended, 0);

	nr = test_spin_start(test, spinners);
	spare = ktask_spare_cpus(current);
	for (tries = 0; tries < 500 && spare >= 0; tries++) {
		fsleep(10 * USEC_PER_MSEC);
		spare = ktask_spare_cpus(current);
	}
	KUNIT_EXPECT_LT(test, spare, 0);
	for (tries = 0; tries < 500 && !atomic_read(&w.ended); tries++)
		fsleep(10 * USEC_PER_MSEC);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.ended), 1);
	for (tries = 0; tries < 500 && atomic_read(&w.loan.nr); tries++)
		fsleep(10 * USEC_PER_MSEC);
	KUNIT_EXPECT_FALSE(test, ktask_loan_extend(&w.loan, 1, NUMA_NO_NODE));
	KUNIT_EXPECT_TRUE(test, w.loan.refused & BIT(KTASK_LIMIT_BUSY));
	test_spin_stop(spinners, nr);

	/* There is room again. */
	atomic_set(&w.started, 0);
	KUNIT_EXPECT_EQ(test, test_lend(&w, 1), 1);
	WRITE_ONCE(w.end, true);
	ktask_loan_settle(&w.loan);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.loan.nr), 0);
}

static bool test_work_nothing(struct ktask_worker *worker, void *arg)
{
	struct test_work *w = arg;

	atomic_inc(&w->started);
	return false;
}

/* A helper is either cancelled or has worked; its caller knows which. */
static void test_cancel(struct kunit *test)
{
	unsigned int lent = 0, cancelled = 0;
	int i;

	test_needs_helpers(test, 1);
	for (i = 0; i < 200; i++) {
		struct test_work w = { };

		ktask_loan_init(&w.loan, NULL, test_work_nothing, &w);
		if (!ktask_loan_extend(&w.loan, 1, NUMA_NO_NODE)) {
			fsleep(USEC_PER_MSEC);
			continue;
		}
		lent++;
		ktask_loan_settle(&w.loan);
		cancelled += w.loan.stats[KTASK_STAT_CANCELLED];
		KUNIT_EXPECT_EQ(test, 1, atomic_read(&w.started) +
				w.loan.stats[KTASK_STAT_CANCELLED]);
		KUNIT_EXPECT_EQ(test, atomic_read(&w.loan.nr), 0);
	}
	KUNIT_EXPECT_GT(test, lent, 0);
	/* Who settles at once is faster than nearly all that have to wake up. */
	KUNIT_EXPECT_GT(test, cancelled, 0);
	kunit_info(test, "%u of %u helpers cancelled", cancelled, lent);
}

static bool test_work_note_node(struct ktask_worker *worker, void *arg)
{
	struct test_work *w = arg;

	/* By chance it may be on a node that it does not have to stay on. */
	w->nid = cpu_to_node(raw_smp_processor_id());
	if (!cpumask_subset(current->cpus_ptr, cpumask_of_node(w->nid)))
		w->nid = NUMA_NO_NODE;
	atomic_inc(&w->started);
	return false;
}

/* A helper runs on the node that it is asked for, and nowhere else. */
static void test_nodes(struct kunit *test)
{
	int nid;

	test_needs_helpers(test, 1);
	if (num_node_state(N_CPU) < 2)
		kunit_skip(test, "one node has all CPUs");

	for_each_node_state(nid, N_CPU) {
		struct test_work w = { .nid = NUMA_NO_NODE };

		ktask_loan_init(&w.loan, NULL, test_work_note_node, &w);
		KUNIT_EXPECT_EQ(test, test_lend_on(&w, 1, nid), 1);
		ktask_loan_settle(&w.loan);
		KUNIT_EXPECT_EQ(test, w.nid, nid);
	}
}

static bool test_work_keep(struct ktask_worker *worker, void *arg)
{
	struct test_work *w = arg;

	WRITE_ONCE(w->kept, worker);
	atomic_inc(&w->started);
	return true;
}

/* A helper that is kept stays out of the pool, and can be had back after. */
static void test_keep(struct kunit *test)
{
	struct test_work w = { };

	test_needs_helpers(test, 1);
	ktask_loan_init(&w.loan, NULL, test_work_keep, &w);
	KUNIT_ASSERT_EQ(test, test_lend(&w, 1), 1);
	ktask_loan_settle(&w.loan);
	KUNIT_ASSERT_NOT_NULL(test, w.kept);
	KUNIT_EXPECT_NOT_NULL(test, w.kept->helper);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.loan.nr), 0);
	ktask_helper_release(w.kept->helper);
}

/* A budget without room is no error, and says what bound it. */
static void test_refused(struct kunit *test)
{
	struct test_work w = { };
	cpumask_var_t saved;

	KUNIT_ASSERT_TRUE(test, alloc_cpumask_var(&saved, GFP_KERNEL));
	cpumask_copy(saved, &current->cpus_mask);

	ktask_loan_init(&w.loan, NULL, test_work_nothing, &w);
	KUNIT_EXPECT_FALSE(test, ktask_loan_extend(&w.loan, 0, NUMA_NO_NODE));
	KUNIT_EXPECT_EQ(test, w.loan.refused, BIT(KTASK_LIMIT_TASK));

	set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id()));
	atomic64_set(&w.loan.number.made_at, 0);
	KUNIT_EXPECT_FALSE(test, ktask_loan_extend(&w.loan, 1, NUMA_NO_NODE));
	KUNIT_EXPECT_TRUE(test, w.loan.refused & BIT(KTASK_LIMIT_CPUS));
	set_cpus_allowed_ptr(current, saved);

	/* As if there were room, whatever else runs. */
	atomic64_set(&w.loan.number.made_at, S64_MAX);
	atomic64_set(&w.loan.number.allowed, (u64)KTASK_LIMIT_CPUS << 32 | 5);
	w.loan.max_helpers = 0;
	KUNIT_EXPECT_FALSE(test, ktask_loan_extend(&w.loan, 1, NUMA_NO_NODE));
	KUNIT_EXPECT_TRUE(test, w.loan.refused & BIT(KTASK_LIMIT_GAIN));

	ktask_loan_settle(&w.loan);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.started), 0);
	free_cpumask_var(saved);
}

/* Of three helpers two leave where one may stay, and that one does. */
static void test_leave_too_many(struct kunit *test, struct test_work *w)
{
	unsigned int tries, lent;

	ktask_loan_init(&w->loan, NULL, test_work_until_told, w);
	lent = test_lend(w, 3);
	/* Read by all helpers at about the same time. */
	WRITE_ONCE(w->loan.max_helpers, 1);
	for (tries = 0; tries < 500 && atomic_read(&w->loan.nr) > 1; tries++)
		fsleep(10 * USEC_PER_MSEC);
	fsleep(20 * USEC_PER_MSEC);
	if (lent < 3 || w->loan.refused & BIT(KTASK_LIMIT_BUSY)) {
		lent = 0;
	} else {
		KUNIT_EXPECT_EQ(test, atomic_read(&w->loan.staying), 1);
		KUNIT_EXPECT_EQ(test, atomic_read(&w->ended), 2);
		KUNIT_EXPECT_EQ(test, w->loan.stats[KTASK_STAT_CANCELLED], 2);
	}
	WRITE_ONCE(w->end, true);
	ktask_loan_settle(&w->loan);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->loan.nr), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->loan.staying), 0);
}

static void test_too_many(struct kunit *test)
{
	unsigned int rounds;

	test_needs_helpers(test, 3);
	for (rounds = 0; rounds < 10; rounds++) {
		struct test_work w = { };

		test_leave_too_many(test, &w);
	}
}

/* Until it has to leave, and then until the caller has no more to do */
static bool test_work_linger(struct ktask_worker *worker, void *arg)
{
	struct test_work *w = arg;

	test_work_until_told(worker, w);
	while (!READ_ONCE(w->end))
		fsleep(USEC_PER_MSEC);
	return false;
}

/* Set a loan's number, and keep it, whatever else runs. */
static void test_number_keep(struct ktask_number *number, unsigned int helpers)
{
	/* A thread that renews it may still be about to store its result. */
	do {
		atomic64_set(&number->made_at, S64_MAX);
		atomic64_set(&number->allowed, (u64)KTASK_LIMIT_TASK << 32 | helpers);
		fsleep(20 * USEC_PER_MSEC);
	} while (atomic64_read(&number->made_at) != S64_MAX ||
		 lower_32_bits(atomic64_read(&number->allowed)) != helpers);
}

/* Lend two helpers that stay. */
static void test_lend_two(struct kunit *test, struct test_work *w)
{
	int tries;

	/* Others may want the CPUs for a moment, and one leaves. */
	for (tries = 0; tries < 100; tries++) {
		*w = (struct test_work) { };
		ktask_loan_init(&w->loan, NULL, test_work_linger, w);
		KUNIT_EXPECT_EQ(test, test_lend(w, 2), 2);
		test_number_keep(&w->loan.number, 2);
		if (!atomic_read(&w->ended))
			return;
		WRITE_ONCE(w->end, true);
		ktask_loan_settle(&w->loan);
	}
	KUNIT_FAIL_AND_ABORT(test, "two helpers never stayed");
}

/* One leaves for its CPUs: where one is too many, the other need not leave. */
static void test_leave_once(struct kunit *test)
{
	struct ktask_helper *first;
	unsigned int tries;
	struct test_work w;

	test_needs_helpers(test, 2);
	test_lend_two(test, &w);

	scoped_guard(spinlock, &w.loan.lock) {
		first = list_first_entry(&w.loan.helpers, struct ktask_helper, node);
		cpumask_clear(first->cpus);
	}
	for (tries = 0; tries < 500 && !atomic_read(&w.ended); tries++)
		fsleep(10 * USEC_PER_MSEC);
	WRITE_ONCE(w.loan.max_helpers, 1);
	fsleep(20 * USEC_PER_MSEC);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.ended), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.loan.staying), 1);

	WRITE_ONCE(w.end, true);
	ktask_loan_settle(&w.loan);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.loan.nr), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&w.loan.staying), 0);
}

/* Lend one helper that stays until the caller has no more to do. */
static struct ktask_helper *test_lend_one(struct kunit *test, struct test_work *w)
{
	ktask_loan_init(&w->loan, NULL, test_work_linger, w);
	KUNIT_ASSERT_EQ(test, test_lend(w, 1), 1);
	guard(spinlock)(&w->loan.lock);
	return list_first_entry(&w->loan.helpers, struct ktask_helper, node);
}

/* A helper has the priority that its caller has now, also if that is lower. */
static void test_prio_follows(struct kunit *test)
{
	static const struct sched_attr normal = { .sched_policy = SCHED_NORMAL };
	static const int prios[] = { 20, 10, 30 };
	struct test_work w = { };
	struct ktask_helper *helper;
	int i;

	test_needs_helpers(test, 1);
	helper = test_lend_one(test, &w);

	for (i = 0; i < ARRAY_SIZE(prios); i++) {
		struct sched_attr attr = {
			.sched_policy	= SCHED_FIFO,
			.sched_priority	= prios[i],
		};

		KUNIT_EXPECT_EQ(test, sched_setattr_nocheck(current, &attr), 0);
		ktask_helper_set_prio(helper);
		KUNIT_EXPECT_EQ(test, helper->task->policy, SCHED_FIFO);
		KUNIT_EXPECT_EQ(test, helper->task->rt_priority, prios[i]);
	}
	KUNIT_EXPECT_EQ(test, sched_setattr_nocheck(current, &normal), 0);
	ktask_helper_set_prio(helper);
	KUNIT_EXPECT_EQ(test, helper->task->policy, SCHED_NORMAL);
	KUNIT_EXPECT_EQ(test, task_nice(helper->task), task_nice(current));
	set_user_nice(current, 10);
	ktask_helper_set_prio(helper);
	KUNIT_EXPECT_EQ(test, task_nice(helper->task), 10);
	set_user_nice(current, 0);

	WRITE_ONCE(w.end, true);
	ktask_loan_settle(&w.loan);
}

#ifdef CONFIG_CGROUP_KTASK
static void test_cap_set(struct task_group *tg, unsigned int cap)
{
	u64 use = atomic64_read(&tg->ktask.use);

	atomic64_set(&tg->ktask.use, (u64)cap << 32 | lower_32_bits(use));
}

/* A helper that leaves for a cap counts until it has left. */
static void test_cap_leaving(struct kunit *test)
{
	struct task_group *tgs = kunit_kcalloc(test, 3, sizeof(*tgs), GFP_KERNEL);
	struct css_set *cset = kunit_kzalloc(test, sizeof(*cset), GFP_KERNEL);
	struct test_work w = { };
	enum ktask_limit limit;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, tgs);
	KUNIT_ASSERT_NOT_NULL(test, cset);
	/* A cgroup, its parent and the root */
	for (i = 0; i < 3; i++) {
		ktask_group_init(&tgs[i].ktask);
		tgs[i].parent = i < 2 ? &tgs[i + 1] : NULL;
	}
	cset->subsys[cpu_cgrp_id] = &tgs[0].css;
	ktask_loan_init(&w.loan, NULL, test_work_nothing, &w);

	test_needs_helpers(test, 1);
	for (i = 0; i < 2; i++)
		KUNIT_ASSERT_TRUE(test, ktask_cap_charge(&w.loan, cset, &limit));
	KUNIT_EXPECT_FALSE(test, ktask_cap_reclaim(cset));

	/* One of two leaves for both caps. The other one ends before it has left. */
	test_cap_set(&tgs[0], 1);
	test_cap_set(&tgs[1], 1);
	KUNIT_EXPECT_TRUE(test, ktask_cap_reclaim(cset));
	KUNIT_EXPECT_FALSE(test, ktask_cap_reclaim(cset));
	ktask_cap_uncharge(cset, false);
	KUNIT_EXPECT_FALSE(test, ktask_cap_charge(&w.loan, cset, &limit));
	KUNIT_EXPECT_EQ(test, limit, KTASK_LIMIT_CAP);

	ktask_cap_uncharge(cset, true);
	KUNIT_EXPECT_TRUE(test, ktask_cap_charge(&w.loan, cset, &limit));
	KUNIT_EXPECT_FALSE(test, ktask_cap_reclaim(cset));
	ktask_cap_uncharge(cset, false);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, lower_32_bits(atomic64_read(&tgs[i].ktask.use)), 0);
}
#endif

/* No administrator moves a helper to another class than its caller's. */
static void test_class_is_kept(struct kunit *test)
{
	static const struct sched_attr attrs[] = {
		{ .sched_policy = SCHED_FIFO, .sched_priority = 1 },
		{ .sched_policy = SCHED_BATCH },
		{
			.sched_policy	= SCHED_DEADLINE,
			.sched_runtime	= 10 * NSEC_PER_MSEC,
			.sched_deadline	= 50 * NSEC_PER_MSEC,
			.sched_period	= 50 * NSEC_PER_MSEC,
		},
	};
	struct test_work w = { };
	struct ktask_helper *helper;
	int i;

	test_needs_helpers(test, 1);
	helper = test_lend_one(test, &w);

	KUNIT_EXPECT_TRUE(test, ktask_is_helper(helper->task));
	for (i = 0; i < ARRAY_SIZE(attrs); i++)
		KUNIT_EXPECT_EQ(test, sched_setattr(helper->task, &attrs[i]), -EPERM);
	KUNIT_EXPECT_EQ(test, helper->task->policy, SCHED_NORMAL);

	KUNIT_EXPECT_FALSE(test, ktask_is_helper(current));
	KUNIT_EXPECT_EQ(test, sched_setattr(current, &attrs[1]), 0);
	KUNIT_EXPECT_EQ(test, current->policy, SCHED_BATCH);
	KUNIT_EXPECT_EQ(test, sched_setattr(current, &(struct sched_attr) { }), 0);

	WRITE_ONCE(w.end, true);
	ktask_loan_settle(&w.loan);
}

/* A loan's number is made anew when it is old, and by its caller as well. */
static void test_number(struct kunit *test)
{
	struct ktask_budget budget;
	struct test_work w = { };
	s64 made_at, allowed;
	cpumask_var_t saved;

	KUNIT_ASSERT_TRUE(test, alloc_cpumask_var(&saved, GFP_KERNEL));
	cpumask_copy(saved, &current->cpus_mask);
	ktask_loan_init(&w.loan, NULL, test_work_nothing, &w);

	ktask_loan_budget(&w.loan, &budget, 0);
	KUNIT_EXPECT_EQ(test, budget.helpers, 0);
	KUNIT_EXPECT_EQ(test, budget.limit, KTASK_LIMIT_TASK);
	made_at = atomic64_read(&w.loan.number.made_at);
	KUNIT_EXPECT_NE(test, made_at, 0);

	/* As if that were just now, whoever runs meanwhile */
	atomic64_set(&w.loan.number.made_at, S64_MAX);
	set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id()));
	atomic64_set(&w.loan.number.allowed, (u64)KTASK_LIMIT_QUOTA << 32 | 5);
	ktask_loan_budget(&w.loan, &budget, INT_MAX);
	KUNIT_EXPECT_EQ(test, budget.helpers, 5);
	KUNIT_EXPECT_EQ(test, budget.limit, KTASK_LIMIT_QUOTA);

	atomic64_set(&w.loan.number.made_at, made_at - NSEC_PER_SEC);
	ktask_loan_budget(&w.loan, &budget, INT_MAX);
	KUNIT_EXPECT_EQ(test, budget.helpers, 0);
	KUNIT_EXPECT_GT(test, atomic64_read(&w.loan.number.made_at),
			made_at - NSEC_PER_SEC);

	/* The same result is another number, for who began before. */
	allowed = atomic64_read(&w.loan.number.allowed);
	atomic64_set(&w.loan.number.made_at, made_at - NSEC_PER_SEC);
	ktask_loan_budget(&w.loan, &budget, INT_MAX);
	KUNIT_EXPECT_EQ(test, budget.helpers, 0);
	KUNIT_EXPECT_EQ(test, budget.limit, KTASK_LIMIT_CPUS);
	KUNIT_EXPECT_NE(test, atomic64_read(&w.loan.number.allowed), allowed);
	set_cpus_allowed_ptr(current, saved);
	free_cpumask_var(saved);
}

static struct kunit_case ktask_loan_cases[] = {
	KUNIT_CASE(test_helpers_take_part),
	KUNIT_CASE(test_helpers_follow_caller),
	KUNIT_CASE(test_mm),
	KUNIT_CASE(test_renice),
	KUNIT_CASE(test_boost),
	KUNIT_CASE(test_no_helper_when_busy),
	KUNIT_CASE(test_cancel),
	KUNIT_CASE(test_nodes),
	KUNIT_CASE(test_keep),
	KUNIT_CASE(test_refused),
	KUNIT_CASE(test_too_many),
	KUNIT_CASE(test_leave_once),
	KUNIT_CASE(test_prio_follows),
	KUNIT_CASE(test_class_is_kept),
#ifdef CONFIG_CGROUP_KTASK
	KUNIT_CASE(test_cap_leaving),
#endif
	KUNIT_CASE(test_number),
	{ }
};

static struct kunit_suite ktask_loan_suite = {
	.name = "ktask_loan",
	.test_cases = ktask_loan_cases,
};

static void test_budget_narrow(struct kunit *test)
{
	struct ktask_budget budget = { .helpers = 10, .limit = KTASK_LIMIT_TASK };
	struct task_group *tg = (struct task_group *)&budget;

	ktask_budget_narrow(&budget, 11, KTASK_LIMIT_CPUS, NULL);
	KUNIT_EXPECT_EQ(test, budget.helpers, 10);
	KUNIT_EXPECT_EQ(test, budget.limit, KTASK_LIMIT_TASK);

	/* Of equal limits the first one is named. */
	ktask_budget_narrow(&budget, 10, KTASK_LIMIT_CPUS, NULL);
	KUNIT_EXPECT_EQ(test, budget.limit, KTASK_LIMIT_TASK);

	ktask_budget_narrow(&budget, 3, KTASK_LIMIT_CPU_MAX, tg);
	KUNIT_EXPECT_EQ(test, budget.helpers, 3);
	KUNIT_EXPECT_EQ(test, budget.limit, KTASK_LIMIT_CPU_MAX);
	KUNIT_EXPECT_PTR_EQ(test, budget.tg, tg);

	ktask_budget_narrow(&budget, 0, KTASK_LIMIT_SYSTEM, NULL);
	KUNIT_EXPECT_EQ(test, budget.helpers, 0);
	KUNIT_EXPECT_EQ(test, budget.limit, KTASK_LIMIT_SYSTEM);
	KUNIT_EXPECT_NULL(test, budget.tg);
}

static void test_usable_cpus(struct kunit *test)
{
	unsigned int all = ktask_usable_cpus(cpu_possible_mask, NULL, UINT_MAX);
	cpumask_var_t usable;
	unsigned int enough;

	KUNIT_ASSERT_TRUE(test, alloc_cpumask_var(&usable, GFP_KERNEL));

	KUNIT_EXPECT_EQ(test, ktask_usable_cpus(cpu_none_mask, usable, UINT_MAX), 0);
	KUNIT_EXPECT_TRUE(test, cpumask_empty(usable));

	KUNIT_EXPECT_EQ(test, ktask_usable_cpus(cpu_possible_mask, usable,
						UINT_MAX), all);
	KUNIT_EXPECT_EQ(test, cpumask_weight(usable), all);
	KUNIT_EXPECT_TRUE(test, cpumask_subset(usable, cpu_active_mask));
	KUNIT_EXPECT_GT(test, all, 0);

	for (enough = 1; enough <= all + 1; enough++)
		KUNIT_EXPECT_EQ(test, ktask_usable_cpus(cpu_possible_mask, NULL,
							enough), min(enough, all));
	free_cpumask_var(usable);
}

/* Without limits of cgroups: the test runs in the root group. */
static void test_budget_make(struct kunit *test)
{
	unsigned int cpus = test_cpus(), saved = ktask_max_threads;
	struct ktask_budget budget;

	ktask_budget_configured(&budget, current, 0);
	KUNIT_EXPECT_EQ(test, budget.helpers, 0);
	KUNIT_EXPECT_EQ(test, budget.limit, KTASK_LIMIT_TASK);

	ktask_budget_configured(&budget, current, INT_MAX);
	KUNIT_EXPECT_EQ(test, budget.helpers, min(cpus, saved) - 1);

	WRITE_ONCE(ktask_max_threads, 1);
	ktask_budget_configured(&budget, current, 1);
	KUNIT_EXPECT_EQ(test, budget.helpers, 0);
	if (cpus > 1)
		KUNIT_EXPECT_EQ(test, budget.limit, KTASK_LIMIT_SYSTEM);
	WRITE_ONCE(ktask_max_threads, saved);

	/* What others use may narrow it, but here no quota does. */
	ktask_budget_make(&budget, current, 0);
	KUNIT_EXPECT_LE(test, budget.helpers, min(cpus, saved) - 1);
	KUNIT_EXPECT_NE(test, budget.limit, KTASK_LIMIT_QUOTA);
}

static void test_budget_affinity(struct kunit *test)
{
	cpumask_var_t saved, few;
	struct ktask_budget budget;
	unsigned int nr = 0;
	int cpu;

	KUNIT_ASSERT_TRUE(test, alloc_cpumask_var(&saved, GFP_KERNEL));
	KUNIT_ASSERT_TRUE(test, zalloc_cpumask_var(&few, GFP_KERNEL));
	cpumask_copy(saved, &current->cpus_mask);

	for_each_cpu_and(cpu, saved, cpu_active_mask) {
		cpumask_set_cpu(cpu, few);
		KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, few), 0);
		nr = ktask_usable_cpus(few, NULL, UINT_MAX);
		ktask_budget_configured(&budget, current, INT_MAX);
		KUNIT_EXPECT_EQ(test, budget.helpers,
				min(nr, ktask_max_threads) - 1);
		if (nr < ktask_max_threads)
			KUNIT_EXPECT_EQ(test, budget.limit, KTASK_LIMIT_CPUS);
	}
	set_cpus_allowed_ptr(current, saved);
	free_cpumask_var(few);
	free_cpumask_var(saved);
}

static void test_limits_have_names(struct kunit *test)
{
	int i, j;

	for (i = 0; i < NR_KTASK_LIMITS; i++) {
		KUNIT_ASSERT_NOT_NULL(test, ktask_limit_names[i]);
		for (j = 0; j < i; j++)
			KUNIT_EXPECT_STRNEQ(test, ktask_limit_names[i],
					    ktask_limit_names[j]);
	}
}

static struct kunit_case ktask_budget_cases[] = {
	KUNIT_CASE(test_budget_narrow),
	KUNIT_CASE(test_usable_cpus),
	KUNIT_CASE(test_budget_make),
	KUNIT_CASE(test_budget_affinity),
	KUNIT_CASE(test_limits_have_names),
	{ }
};

static struct kunit_suite ktask_budget_suite = {
	.name = "ktask_budget",
	.test_cases = ktask_budget_cases,
};

/*
 * The arithmetic as this compiler and this machine do it; with random numbers
 * and under sanitizers it is tested in tools/testing/ktask/user.
 */
static void test_chunk_size(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, ktask_chunk_size(1, 1, 1, 1), 1);
	KUNIT_EXPECT_EQ(test, ktask_chunk_size(100, 7, 10, 1), 10);
	KUNIT_EXPECT_EQ(test, ktask_chunk_size(100, 39, 10, 1), 30);
	KUNIT_EXPECT_EQ(test, ktask_chunk_size(9, 100, 10, 8), 9);
	KUNIT_EXPECT_EQ(test, ktask_chunk_size(100, 100, 10, 1), 100);
	KUNIT_EXPECT_EQ(test, ktask_chunk_size(100, 100, 10, 2), 20);
	KUNIT_EXPECT_EQ(test, ktask_chunk_size(100, 160, 1, 10), 20);
	KUNIT_EXPECT_EQ(test, ktask_chunk_size(100, 7, 1, UINT_MAX), 1);
	KUNIT_EXPECT_EQ(test, ktask_chunk_size(SIZE_MAX, SIZE_MAX, 1, 1), SIZE_MAX);
	KUNIT_EXPECT_EQ(test, ktask_chunk_size(SIZE_MAX, SIZE_MAX, 1, 2), SIZE_MAX / 4);
	KUNIT_EXPECT_EQ(test, ktask_chunk_size(SIZE_MAX - 1, 0, SIZE_MAX, 3),
			SIZE_MAX - 1);
}

static void test_chunk_adapt(struct kunit *test)
{
	const u64 ns = KTASK_CHUNK_NS;

	KUNIT_EXPECT_EQ(test, ktask_chunk_adapt(100, ns, 1, SIZE_MAX), 100);
	KUNIT_EXPECT_EQ(test, ktask_chunk_adapt(100, 1, 1, SIZE_MAX), 200);
	KUNIT_EXPECT_EQ(test, ktask_chunk_adapt(100, 4 * ns, 1, SIZE_MAX), 25);
	KUNIT_EXPECT_EQ(test, ktask_chunk_adapt(100, U64_MAX, 1, SIZE_MAX), 1);
	KUNIT_EXPECT_EQ(test, ktask_chunk_adapt(100, 1, 8, 150), 144);
	KUNIT_EXPECT_EQ(test, ktask_chunk_adapt(100, U64_MAX, 64, SIZE_MAX), 64);
	KUNIT_EXPECT_EQ(test, ktask_chunk_adapt(SIZE_MAX, 1, 1, SIZE_MAX), SIZE_MAX);
	KUNIT_EXPECT_EQ(test, ktask_chunk_adapt(SIZE_MAX, ns, 1, SIZE_MAX), SIZE_MAX);
	KUNIT_EXPECT_EQ(test, ktask_chunk_adapt(SIZE_MAX, ns / 2, 1, SIZE_MAX),
			SIZE_MAX);
	KUNIT_EXPECT_EQ(test, ktask_chunk_adapt(SIZE_MAX, 2 * ns, 1, SIZE_MAX),
			SIZE_MAX / 2);
	KUNIT_EXPECT_EQ(test, ktask_chunk_adapt(SIZE_MAX / 2 + 1, ns / 2, 1, SIZE_MAX),
			SIZE_MAX);
}

static void test_helpers_for_size(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_size(0, 1), 0);
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_size(1, 1), 0);
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_size(10, 10), 0);
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_size(11, 10), 1);
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_size(SIZE_MAX, SIZE_MAX - 1), 1);
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_size(SIZE_MAX, 1), INT_MAX);
}

static void test_helpers_for_time(struct kunit *test)
{
	const u64 share = KTASK_SHARE_NS;

	KUNIT_EXPECT_EQ(test, ktask_helpers_for_time(0, 1, U64_MAX), 0);
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_time(1, 1, share), 0);
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_time(1, 1, 2 * share - 1), 0);
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_time(1, 1, 2 * share), 1);
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_time(10, 5, 5 * share), 9);
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_time(SIZE_MAX, 1, U64_MAX), INT_MAX);
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_time(SIZE_MAX, SIZE_MAX, 4 * share), 3);
}

static void test_helpers_for_quota(struct kunit *test)
{
	static const struct {
		unsigned int percent, helpers;
	} cases[] = {
		{ 1, 0 }, { 50, 0 }, { 100, 0 }, { 101, 1 }, { 150, 1 },
		{ 200, 1 }, { 201, 2 }, { 300, 2 },
	};
	const u64 period = 100 * NSEC_PER_MSEC;
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		KUNIT_EXPECT_EQ(test, ktask_helpers_for_quota(NSEC_PER_MSEC *
							      cases[i].percent,
							      period),
				cases[i].helpers);
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_quota(KTASK_QUOTA_INF, period), INT_MAX);
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_quota(0, period), 0);
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_quota(1, U64_MAX), 0);
}

static void test_helpers_for_runtime(struct kunit *test)
{
	const u64 slice = 5 * NSEC_PER_MSEC, period = 20 * slice;
	static const struct {
		u64		slices;
		unsigned int	threads, helpers;
	} t[] = { { 21, 1, 0 }, { 22, 1, 1 }, { 50, 1, 29 }, { 50, 2, 8 }, { 50, 3, 0 } };
	struct ktask_runtime rest = { .slice = slice, .period_left = period };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		rest.ns = t[i].slices * slice;
		rest.threads = t[i].threads;
		KUNIT_EXPECT_EQ(test, ktask_helpers_for_runtime(&rest), t[i].helpers);
	}
	rest.ns = U64_MAX;
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_runtime(&rest), INT_MAX);
	rest.period_left = U64_MAX;
	KUNIT_EXPECT_EQ(test, ktask_helpers_for_runtime(&rest), 0);
}

static struct kunit_case ktask_math_cases[] = {
	KUNIT_CASE(test_chunk_size),
	KUNIT_CASE(test_chunk_adapt),
	KUNIT_CASE(test_helpers_for_size),
	KUNIT_CASE(test_helpers_for_time),
	KUNIT_CASE(test_helpers_for_quota),
	KUNIT_CASE(test_helpers_for_runtime),
	{ }
};

static struct kunit_suite ktask_math_suite = {
	.name = "ktask_math",
	.test_cases = ktask_math_cases,
};

kunit_test_suites(&ktask_core_suite, &ktask_loan_suite, &ktask_budget_suite,
		  &ktask_math_suite);
