// SPDX-License-Identifier: GPL-2.0-only
/*
 * ktask caps: how many helpers a cgroup may have on loan, and the control files
 *
 * Each helper on loan is charged to its caller's cgroup and to every ancestor.
 * The root's cap is what the pools may have: one helper per CPU. A cap and its
 * charges are one atomic word. So a charge succeeds only below the cap that is
 * valid at that moment, and after a write of cpu.ktask.max has returned, no
 * helper starts a chunk under the old cap. A cap may be lowered below the number
 * of helpers on loan: then as many helpers as are too many leave at the end of
 * their chunks.
 *
 * If a level has no room left, each of its sharers gets the same number of
 * helpers, or one more in turns. The sharers of a level are its children and the
 * tasks in the level itself. A caller that is refused a helper makes a claim at
 * this level and at all levels below. Helpers of sharers that have more see the
 * claim at the end of their chunks, and one leaves. The room for one helper is
 * kept for the claimant.
 *
 * The files belong to the cpu controller, because helpers use its bandwidth and
 * weight, just as swap files belong to the memory controller.
 */
#include <linux/cgroup.h>
#include <linux/mmu_context.h>
#include <linux/seq_file.h>

#include "sched.h"

/* When a claim expires; callers repeat it before each of their chunks */
#define KTASK_CLAIM_MS		10

/* How long a helper works before it leaves for a sharer with one helper less */
#define KTASK_TURN_MS		10

static struct task_group *ktask_tg(struct cgroup_subsys_state *css)
{
	return container_of(css, struct task_group, css);
}

static struct task_group *ktask_caller_tg(struct task_struct *caller)
{
	return ktask_tg(task_css(caller, cpu_cgrp_id));
}

static struct task_group *ktask_cset_tg(struct css_set *cset)
{
	return ktask_tg(cset->subsys[cpu_cgrp_id]);
}

/* This level if it has a cap of its own; NULL for the root */
static struct task_group *ktask_capped(struct task_group *tg)
{
	return tg->parent ? tg : NULL;
}

/* &ktask_group.use: upper half: the cap; then, in 16 bits each: */
#define KTASK_USE_LEAVING	BIT(16)
#define KTASK_USE_CHARGED	BIT(0)

static u64 ktask_use(unsigned int cap, unsigned int helpers)
{
	return (u64)cap << 32 | helpers;
}

static unsigned int ktask_use_cap(u64 use)
{
	return upper_32_bits(use);
}

static unsigned int ktask_use_charged(u64 use)
{
	return lower_32_bits(use) % KTASK_USE_LEAVING;
}

/* Without those that leave for the cap */
static unsigned int ktask_use_staying(u64 use)
{
	return ktask_use_charged(use) - lower_32_bits(use) / KTASK_USE_LEAVING;
}

static unsigned int ktask_cap(struct task_group *tg)
{
	return ktask_use_cap(atomic64_read(&tg->ktask.use));
}

static unsigned int ktask_charged(struct task_group *tg)
{
	return ktask_use_charged(atomic64_read(&tg->ktask.use));
}

static unsigned int ktask_staying(struct task_group *tg)
{
	return ktask_use_staying(atomic64_read(&tg->ktask.use));
}

/**
 * ktask_group_init - initialise ktask's data of a new cgroup
 * @kg: zeroed memory
 */
void ktask_group_init(struct ktask_group *kg)
{
	atomic64_set(&kg->use, ktask_use(KTASK_CAP_MAX, 0));
}

/* The cap in @use, which was read from @tg. */
static unsigned int ktask_level_cap(struct task_group *tg, u64 use)
{
	return tg->parent ? ktask_use_cap(use) : num_online_cpus();
}

/**
 * struct ktask_sharer - one of the sharers of a level
 * @id: a child of the level, or a loan of a task in the level itself
 * @nr: helpers that the sharer has
 */
struct ktask_sharer {
	const void	*id;
	int		nr;
};

static struct ktask_sharer ktask_sharer(struct ktask_loan *loan,
					struct task_group *child)
{
	if (child)
		return (struct ktask_sharer) {
			child, ktask_staying(child) };
	return (struct ktask_sharer) { loan, atomic_read(&loan->nr) };
}

/* Has a claim made, or served, at @when expired? */
static bool ktask_claim_expired(unsigned long when)
{
	return jiffies - when >= msecs_to_jiffies(KTASK_CLAIM_MS);
}

/* Is there a valid claim of another sharer? */
static bool ktask_claimed(struct ktask_claim *claim, struct ktask_sharer *sharer)
{
	const void *claimant = READ_ONCE(claim->claimant);

	return claimant && claimant != sharer->id &&
	       !ktask_claim_expired(READ_ONCE(claim->at));
}

/*
 * Returns true if the helper that asks is the one that leaves for a claim. Only
 * a sharer that has less than the claimant can take the room instead; then
 * another helper leaves later.
 */
static bool ktask_claim_serve(struct ktask_claim *claim)
{
	unsigned long last = READ_ONCE(claim->served_at);

	return ktask_claim_expired(last) &&
	       cmpxchg(&claim->served_at, last, jiffies) == last;
}

/* Claim the next room, unless a sharer with no more helpers has done so. */
static void ktask_claim_make(struct ktask_claim *claim, struct ktask_sharer *sharer)
{
	if (ktask_claimed(claim, sharer) && READ_ONCE(claim->nr) <= sharer->nr)
		return;

	if (READ_ONCE(claim->claimant) != sharer->id) {
		WRITE_ONCE(claim->claimant, sharer->id);
		WRITE_ONCE(claim->served_at,
			   jiffies - msecs_to_jiffies(KTASK_CLAIM_MS));
	}
	WRITE_ONCE(claim->nr, sharer->nr);
	WRITE_ONCE(claim->at, jiffies);
}

/*
 * Charge a level, but leave room for @kept more helpers. Returns
 * NR_KTASK_LIMITS if there was room.
 */
static enum ktask_limit ktask_charge_level(struct task_group *tg,
					   unsigned int kept)
{
	struct ktask_group *kg = &tg->ktask;
	s64 use = atomic64_read(&kg->use);

	do {
		unsigned int cap = ktask_level_cap(tg, use);

		if (ktask_use_charged(use) >= cap)
			return tg->parent ? KTASK_LIMIT_CAP : KTASK_LIMIT_POOL;
		if (cap - ktask_use_charged(use) <= kept)
			return KTASK_LIMIT_SHARE;
	} while (!atomic64_try_cmpxchg(&kg->use, &use,
				       use + KTASK_USE_CHARGED));

	return NR_KTASK_LIMITS;
}

/* Is @tg or one of its ancestors full, even when those have left that leave? */
static bool ktask_is_full(struct task_group *tg)
{
	for (; tg; tg = tg->parent) {
		u64 use = atomic64_read(&tg->ktask.use);

		if (ktask_use_staying(use) >= ktask_level_cap(tg, use))
			return true;
	}
	return false;
}

/* There was no room at @full: make claims there and at all levels below. */
static void ktask_claim_levels(struct ktask_loan *loan, struct task_group *from,
			       struct task_group *full)
{
	struct task_group *tg = from, *child = NULL;

	do {
		struct ktask_sharer sharer = ktask_sharer(loan, child);

		ktask_claim_make(&tg->ktask.claim, &sharer);
		child = tg;
		tg = tg->parent;
	} while (child != full);
}

/* A helper's part of &ktask_group.use, at each level */
static u32 ktask_use_of(bool over_cap)
{
	return KTASK_USE_CHARGED + (over_cap ? KTASK_USE_LEAVING : 0);
}

static void ktask_uncharge_level(struct task_group *tg, bool over_cap)
{
	u32 helper = ktask_use_of(over_cap);
	s64 use = atomic64_fetch_sub(helper, &tg->ktask.use);

	WARN_ON_ONCE(lower_32_bits(use) < helper || !ktask_use_charged(use));
}

static void ktask_uncharge_levels(struct task_group *from,
				  struct task_group *end, bool over_cap)
{
	struct task_group *tg;

	for (tg = from; tg != end; tg = tg->parent)
		ktask_uncharge_level(tg, over_cap);
}

/* Count a refusal by the cap of @over, and notify readers of its events. */
static void ktask_cap_event(struct task_group *over)
{
	struct task_group *tg;

	atomic64_inc(&over->ktask.capped_local);
	cgroup_file_notify(&over->ktask.events_local_file);

	for (tg = ktask_capped(over); tg; tg = ktask_capped(tg->parent)) {
		atomic64_inc(&tg->ktask.capped);
		cgroup_file_notify(&tg->ktask.events_file);
	}
}

/**
 * ktask_cap_charge - charge a helper before it is lent, if every level has room
 * @loan: the loan; the first refusal by a cap for a loan counts as an event
 * @cset: the caller's css_set
 * @limit: set to the limit that refused, if any
 *
 * Pairs with ktask_cap_uncharge(), also if then no helper or no CPU is found.
 *
 * Return: true if the helper was charged.
 */
bool ktask_cap_charge(struct ktask_loan *loan, struct css_set *cset,
		      enum ktask_limit *limit)
{
	struct task_group *from = ktask_cset_tg(cset), *tg, *child = NULL;
	bool kept = false;

	for (tg = from; tg; child = tg, tg = tg->parent) {
		struct ktask_sharer sharer = ktask_sharer(loan, child);

		/* This charge is already included in the child. */
		if (child)
			sharer.nr--;
		/* For others of this level, wherever above the room is missing */
		kept |= ktask_claimed(&tg->ktask.claim, &sharer) &&
			READ_ONCE(tg->ktask.claim.nr) <= sharer.nr;
		*limit = ktask_charge_level(tg, kept);
		if (*limit == NR_KTASK_LIMITS)
			continue;
		ktask_uncharge_levels(from, tg, false);
		if (*limit != KTASK_LIMIT_SHARE)
			ktask_claim_levels(loan, from, tg);
		if (*limit == KTASK_LIMIT_CAP && !(loan->refused & BIT(*limit)))
			ktask_cap_event(tg);
		return false;
	}
	return true;
}

/**
 * ktask_claim_end - end the claims of a loan that was charged, and has a helper
 * @loan: the loan
 * @cset: the caller's css_set
 */
void ktask_claim_end(struct ktask_loan *loan, struct css_set *cset)
{
	const void *id = loan;
	struct task_group *tg;

	for (tg = ktask_cset_tg(cset); tg; id = tg, tg = tg->parent)
		if (READ_ONCE(tg->ktask.claim.claimant) == id)
			cmpxchg(&tg->ktask.claim.claimant, id, NULL);
}

static void ktask_level_update_peak(struct task_group *tg)
{
	int nr = ktask_charged(tg);
	int peak = atomic_read(&tg->ktask.peak);

	while (peak < nr && !atomic_try_cmpxchg(&tg->ktask.peak, &peak, nr))
		;
}

/**
 * ktask_cap_update_peak - update the peaks when a helper was found for a charge
 * @cset: the css_set that the helper is charged to
 */
void ktask_cap_update_peak(struct css_set *cset)
{
	struct task_group *tg;

	for (tg = ktask_capped(ktask_cset_tg(cset)); tg;
	     tg = ktask_capped(tg->parent))
		ktask_level_update_peak(tg);
}

/**
 * ktask_cap_move - move a helper's charge to a new css_set, regardless of caps
 * @from: the css_set that the helper is charged to
 * @to: the css_set that the caller has now
 * @over_cap: whether the helper leaves because of a cap
 */
void ktask_cap_move(struct css_set *from, struct css_set *to, bool over_cap)
{
	struct task_group *old = ktask_cset_tg(from), *tg;

	for (tg = ktask_cset_tg(to);
	     !cgroup_is_descendant(old->css.cgroup, tg->css.cgroup);
	     tg = tg->parent) {
		atomic64_add(ktask_use_of(over_cap), &tg->ktask.use);
		ktask_level_update_peak(tg);
	}
	/* The common ancestors keep their charges. */
	ktask_uncharge_levels(old, tg, over_cap);
}

/**
 * ktask_cap_uncharge - uncharge a helper that has left, or that was not found
 * @cset: the css_set that the helper was charged to
 * @over_cap: whether the helper leaves because of a cap
 */
void ktask_cap_uncharge(struct css_set *cset, bool over_cap)
{
	ktask_uncharge_levels(ktask_cset_tg(cset), NULL, over_cap);
}

/* Count one helper as leaving if more stay at this level than its cap allows. */
static bool ktask_reclaim_level(struct task_group *tg)
{
	s64 use = atomic64_read(&tg->ktask.use);

	while (ktask_use_staying(use) > ktask_level_cap(tg, use))
		if (atomic64_try_cmpxchg(&tg->ktask.use, &use,
					 use + KTASK_USE_LEAVING))
			return true;
	return false;
}

/**
 * ktask_cap_reclaim - does a helper have to leave as a cap was lowered below it?
 * @cset: the css_set that the helper is charged to
 *
 * If so, it is counted as leaving at every level, so that only as many leave as
 * are too many. It stays charged until it has left: it may still free what it
 * has gathered.
 *
 * Return: true if the helper has to leave because of a cap.
 */
bool ktask_cap_reclaim(struct css_set *cset)
{
	struct task_group *from = ktask_cset_tg(cset), *over = from, *tg;

	while (over && !ktask_reclaim_level(over))
		over = over->parent;
	for (tg = from; over && tg; tg = tg->parent)
		if (tg != over)
			atomic64_add(KTASK_USE_LEAVING, &tg->ktask.use);
	return over;
}

/**
 * ktask_share_reclaim - does a helper have to leave for a sharer that has less?
 * @loan: the loan that the helper works for
 * @cset: the css_set that the helper is charged to
 * @since: when the helper was lent, in jiffies
 *
 * Return: true if the helper has to leave. The claim is then marked as served,
 * so no other helper leaves for it in the next KTASK_CLAIM_MS.
 */
bool ktask_share_reclaim(struct ktask_loan *loan, struct css_set *cset,
			 unsigned long since)
{
	bool turn = time_after_eq(jiffies,
				  since + msecs_to_jiffies(KTASK_TURN_MS));
	struct task_group *tg, *child = NULL;

	for (tg = ktask_cset_tg(cset); tg; child = tg, tg = tg->parent) {
		struct ktask_sharer sharer = ktask_sharer(loan, child);
		struct ktask_claim *claim = &tg->ktask.claim;

		if (ktask_claimed(claim, &sharer) &&
		    READ_ONCE(claim->nr) + !turn < sharer.nr &&
		    ktask_is_full(tg) && ktask_claim_serve(claim))
			return true;
	}
	return false;
}

/**
 * ktask_budget_caps - narrow a budget by the caps, less the helpers on loan
 * @budget: the budget
 * @caller: the task
 * @own: helpers that @caller has on loan, which do not reduce the budget
 *
 * Context: any.
 */
void ktask_budget_caps(struct ktask_budget *budget, struct task_struct *caller,
		       unsigned int own)
{
	struct task_group *tg;

	guard(rcu)();
	for (tg = ktask_caller_tg(caller); tg->parent; tg = tg->parent) {
		s64 room = (s64)ktask_cap(tg) - ktask_charged(tg) + own;

		ktask_budget_narrow(budget, clamp(room, 0, INT_MAX),
				    KTASK_LIMIT_CAP, NULL);
	}
}

/*
 * Narrow a budget by the caps, less the use of this cgroup. The use of other
 * cgroups below the same ancestor must not be visible in this cgroup.
 */
static void ktask_budget_own_caps(struct ktask_budget *budget,
				  struct task_group *tg)
{
	unsigned int used = ktask_charged(tg);

	for (; tg->parent; tg = tg->parent) {
		unsigned int cap = ktask_cap(tg);

		ktask_budget_narrow(budget, cap - min(cap, used),
				    KTASK_LIMIT_CAP, tg);
	}
}

/**
 * ktask_caps_allow - do the caps leave room for any helper at all?
 * @caller: the task
 *
 * Context: any.
 *
 * Return: false if one of them is 0.
 */
bool ktask_caps_allow(struct task_struct *caller)
{
	struct task_group *tg;

	guard(rcu)();
	for (tg = ktask_caller_tg(caller); tg->parent; tg = tg->parent)
		if (!ktask_cap(tg))
			return false;
	return true;
}

/**
 * ktask_account - add the statistics of a task to its cgroup and all ancestors
 * @caller: current
 * @stats: NR_KTASK_STATS numbers
 */
void ktask_account(struct task_struct *caller, const u64 *stats)
{
	struct task_group *tg;
	unsigned int i;

	guard(rcu)();
	for (tg = ktask_capped(ktask_caller_tg(caller)); tg;
	     tg = ktask_capped(tg->parent))
		for (i = 0; i < NR_KTASK_STATS; i++)
			if (stats[i])
				atomic64_add(stats[i], &tg->ktask.stats[i]);
}

static int ktask_max_show(struct seq_file *sf, void *v)
{
	unsigned int cap = ktask_cap(ktask_tg(seq_css(sf)));

	if (cap == KTASK_CAP_MAX)
		seq_puts(sf, "max\n");
	else
		seq_printf(sf, "%u\n", cap);
	return 0;
}

static ssize_t ktask_max_write(struct kernfs_open_file *of, char *buf,
			       size_t nbytes, loff_t off)
{
	struct ktask_group *kg = &ktask_tg(of_css(of))->ktask;
	unsigned int cap;
	s64 use;
	int err;

	buf = strstrip(buf);
	if (!strcmp(buf, "max")) {
		cap = KTASK_CAP_MAX;
	} else {
		err = kstrtouint(buf, 10, &cap);
		if (err)
			return err;
		if (cap >= KTASK_CAP_MAX)
			return -ERANGE;
	}

	use = atomic64_read(&kg->use);
	while (!atomic64_try_cmpxchg(&kg->use, &use,
				     ktask_use(cap, lower_32_bits(use))))
		;
	return nbytes;
}

static s64 ktask_current_read(struct cgroup_subsys_state *css,
			      struct cftype *cft)
{
	return ktask_charged(ktask_tg(css));
}

static s64 ktask_peak_read(struct cgroup_subsys_state *css, struct cftype *cft)
{
	return atomic_read(&ktask_tg(css)->ktask.peak);
}

/*
 * Show the path of a cgroup in the reader's namespace, or " ancestor" for any
 * cgroup above the root of that namespace. cgroup_path_ns() would take
 * cgroup_mutex, whose holder may wait until all readers of this file are done.
 */
static void ktask_show_path(struct seq_file *sf, struct cgroup *cgrp)
{
	struct cgroup_namespace *ns = current->nsproxy->cgroup_ns;
	struct cgroup *root = ns->root_cset->dfl_cgrp;
	char *path;

	path = kmalloc(PATH_MAX, GFP_KERNEL);
	if (path && cgroup_is_descendant(cgrp, root) &&
	    kernfs_path_from_node(cgrp->kn, root->kn, path, PATH_MAX) >= 0)
		seq_printf(sf, " %s", path);
	else
		seq_puts(sf, " ancestor");
	kfree(path);
}

static int ktask_effective_show(struct seq_file *sf, void *v)
{
	struct task_group *tg = ktask_tg(seq_css(sf));
	struct ktask_budget budget = {
		.helpers = UINT_MAX,
		.limit = KTASK_LIMIT_TASK,
	};
	const struct cpumask *cpus;

	/* The ancestors stay: this cgroup holds references on them. */
	scoped_guard(rcu) {
		ktask_budget_own_caps(&budget, tg);
		cpus = ktask_cgroup_cpus(tg->css.cgroup);
		/* For display: the mask may change while it is counted. */
		ktask_budget_limits(&budget, tg,
				    ktask_usable_cpus(cpus, NULL, UINT_MAX));
	}

	seq_printf(sf, "%u %s", budget.helpers,
		   ktask_limit_names[budget.limit]);
	if (budget.tg)
		ktask_show_path(sf, budget.tg->css.cgroup);
	seq_putc(sf, '\n');
	return 0;
}

static const char *const ktask_stat_names[NR_KTASK_STATS] = {
	[KTASK_STAT_TASKS]	= "tasks",
	[KTASK_STAT_SERIAL]	= "serial_tasks",
	[KTASK_STAT_HELPERS]	= "helpers_lent",
	[KTASK_STAT_REFUSED + KTASK_LIMIT_CPUS] = "refused_cpus",
	[KTASK_STAT_REFUSED + KTASK_LIMIT_CPU_MAX] = "refused_cpu_max",
	[KTASK_STAT_REFUSED + KTASK_LIMIT_QUOTA] = "refused_quota",
	[KTASK_STAT_REFUSED + KTASK_LIMIT_CAP] = "refused_ktask_max",
	[KTASK_STAT_REFUSED + KTASK_LIMIT_SYSTEM] = "refused_system",
	[KTASK_STAT_REFUSED + KTASK_LIMIT_CLASS] = "refused_class",
	[KTASK_STAT_REFUSED + KTASK_LIMIT_BUSY] = "refused_busy",
	[KTASK_STAT_REFUSED + KTASK_LIMIT_SHARE] = "refused_share",
	[KTASK_STAT_REFUSED + KTASK_LIMIT_POOL] = "refused_pool",
	[KTASK_STAT_REFUSED + KTASK_LIMIT_GAIN] = "refused_gain",
	[KTASK_STAT_CANCELLED]	= "cancelled",
	[KTASK_STAT_RENICED]	= "reniced",
	[KTASK_STAT_CHUNKS]	= "chunks",
};

static int ktask_stat_show(struct seq_file *sf, void *v)
{
	atomic64_t *stats = ktask_tg(seq_css(sf))->ktask.stats;
	unsigned int i;

	for (i = 0; i < NR_KTASK_STATS; i++)
		if (ktask_stat_names[i])
			seq_printf(sf, "%s %lld\n", ktask_stat_names[i],
				   (s64)atomic64_read(&stats[i]));

	seq_printf(sf, "helper_usec %llu\n",
		   div_u64(atomic64_read(&stats[KTASK_STAT_HELPER_NS]),
			   NSEC_PER_USEC));
	return 0;
}

static int ktask_events_show(struct seq_file *sf, void *v)
{
	seq_printf(sf, "max %lld\n",
		   (s64)atomic64_read(&ktask_tg(seq_css(sf))->ktask.capped));
	return 0;
}

static int ktask_events_local_show(struct seq_file *sf, void *v)
{
	struct ktask_group *kg = &ktask_tg(seq_css(sf))->ktask;

	seq_printf(sf, "max %lld\n", (s64)atomic64_read(&kg->capped_local));
	return 0;
}

static struct cftype ktask_files[] = {
	{
		.name = "ktask.max",
		.flags = CFTYPE_NOT_ON_ROOT,
		.seq_show = ktask_max_show,
		.write = ktask_max_write,
	},
	{
		.name = "ktask.current",
		.flags = CFTYPE_NOT_ON_ROOT,
		.read_s64 = ktask_current_read,
	},
	{
		.name = "ktask.peak",
		.flags = CFTYPE_NOT_ON_ROOT,
		.read_s64 = ktask_peak_read,
	},
	{
		.name = "ktask.effective",
		.flags = CFTYPE_NOT_ON_ROOT,
		.seq_show = ktask_effective_show,
	},
	{
		.name = "ktask.stat",
		.flags = CFTYPE_NOT_ON_ROOT,
		.seq_show = ktask_stat_show,
	},
	{
		.name = "ktask.events",
		.flags = CFTYPE_NOT_ON_ROOT,
		.file_offset = offsetof(struct task_group, ktask.events_file),
		.seq_show = ktask_events_show,
	},
	{
		.name = "ktask.events.local",
		.flags = CFTYPE_NOT_ON_ROOT,
		.file_offset = offsetof(struct task_group,
					ktask.events_local_file),
		.seq_show = ktask_events_local_show,
	},
	{ }	/* terminate */
};

static int __init ktask_cgroup_init(void)
{
	/* No more helpers than CPUs */
	BUILD_BUG_ON(CONFIG_NR_CPUS >= KTASK_USE_LEAVING);

	return cgroup_add_dfl_cftypes(&cpu_cgrp_subsys, ktask_files);
}
subsys_initcall(ktask_cgroup_init);
