# SPDX-License-Identifier: GPL-2.0-only
#
# compare.awk STOCK OURS: two files of what tap.awk prints, of the same programs
# on a stock kernel and on ours, into TAP. A case is "not ok" where ours does
# worse. Best is to pass, then to be skipped, then to give no result; worst is to
# fail, for some cases are there only where something failed, such as a crash.
# What does not pass on both kernels shows little: it counts as skipped.

# A program may print what it had not flushed yet once more where it forks, so
# the same case may come twice. The worse result of them counts.
function note(results, reasons)
{
	if ($2 in results && rank[results[$2]] <= rank[$1])
		return
	results[$2] = $1
	reasons[$2] = $3
}

function says(verdict, reason)
{
	return does[verdict] (reason != "" ? " (" reason ")" : "")
}

function judge(name, us, them, why, why_them,	both)
{
	both = says(us, why) " here, " says(them, why_them) " on the stock kernel"
	if (us == "fail" && name in chance)
		print "ok - " name " # SKIP " chance[name]
	else if (rank[us] < rank[them])
		print "not ok - " name ": " both
	else if (us == "pass" && them == "pass")
		print "ok - " name
	else
		print "ok - " name " # SKIP " both
}

BEGIN {
	FS = "\t"
	rank["fail"] = 0; does["fail"] = "fails"
	rank["none"] = 1; does["none"] = "gives no result"
	rank["skip"] = 2; does["skip"] = "is skipped"
	rank["pass"] = 3; does["pass"] = "passes"
	# It expects a cgroup to be frozen right after a task in it was detached
	# from. On the way from its tracer back into the freezer the task is not
	# (cgroup_leave_frozen() in ptrace_stop()), on any kernel; how often that
	# is seen depends on how busy the host is. So its failure is no verdict.
	chance["cgroup/test_freezer: test_cgfreezer_ptrace"] = \
		"met the task between its tracer and the freezer"
}

# How much a case took is no part of its name.
{ sub(/ Extra pages [0-9].*| with [0-9]+MB of memory allocations/, "", $2) }

!known[$2]++ { order[++cases] = $2 }

FILENAME == ARGV[1] { note(stock, stock_why); next }

{ note(ours, why) }

END {
	for (i = 1; i <= cases; i++) {
		name = order[i]
		judge(name, name in ours ? ours[name] : "none", name in stock ? stock[name] : "none",
		      why[name], stock_why[name])
	}
}
