# SPDX-License-Identifier: GPL-2.0-only
#
# Read TAP or KTAP, print one line per case: "pass|fail|skip", a tab, its name,
# a tab, and the reason where there is one. A parent of nested results is not a
# case itself, unless it failed and none of its children did.
#
# One file may hold the output of several programs, each between these lines:
#	# ktask-program: begin NAME
#	# ktask-program: end NAME STATUS
# A program without results, or with an exit status that contradicts them, or
# with fewer results than its plan says, is a case of its own.

function out(verdict, name, reason)
{
	printf "%s\t%s\t%s\n", verdict, (program != "" ? program ": " : "") name, reason
	seen++
	if (verdict == "fail")
		failed++
}

function begin(name)
{
	program = name
	seen = failed = 0
	top_results = top_plan = 0
	split("", children)
	split("", bad_children)
}

# Status 4 is kselftest's for skipping the rest, whatever the plan was.
function end_program(status)
{
	if (status != 4 && top_plan > top_results)
		out("fail", "plan", "only " top_results " of " top_plan " results came")
	if (status == 124 || status == 137)
		out("fail", "timeout", "ran past its time")
	else if (seen == 0)
		out(status == 0 ? "pass" : status == 4 ? "skip" : "fail", "exit", "status " status ", no results")
	else if (status != 0 && status != 4 && failed == 0)
		out("fail", "exit", "status " status " though no case failed")
	begin("")
}

# The results one level deeper belong to the result that follows them.
function result(depth, ok, text,	d, name, reason, kids, bad, verdict)
{
	kids = bad = 0
	for (d in children) {
		if (d + 0 > depth) {
			kids += children[d]
			bad += bad_children[d]
			delete children[d]
			delete bad_children[d]
		}
	}
	children[depth]++
	if (!ok)
		bad_children[depth]++
	if (depth == 0)
		top_results++
	if (kids > 0 && (ok || bad > 0))
		return
	name = text
	reason = ""
	verdict = ok ? "pass" : "fail"
	if (match(text, /#[ \t]*[Ss][Kk][Ii][Pp]/)) {
		name = substr(text, 1, RSTART - 1)
		reason = substr(text, RSTART + RLENGTH)
		sub(/^[Pp]*[Ee]*[Dd]*:?[ \t]*/, "", reason)
		if (ok)
			verdict = "skip"
	}
	sub(/^[0-9]+[ \t]*/, "", name)
	sub(/^-[ \t]*/, "", name)
	sub(/[ \t]+$/, "", name)
	out(verdict, name, reason)
}

BEGIN { begin("") }

{ sub(/\r$/, "") }

/^# ktask-program: begin / { begin($4); next }
/^# ktask-program: end / { end_program($5); next }

/^[ \t]*1\.\.[0-9]+/ {
	if ($0 ~ /^1\.\./) {
		top_plan = substr($1, 4) + 0
		if (tolower($0) ~ /# *skip/) {
			reason = $0
			sub(/^[^#]*# *[A-Za-z]*[: ]*/, "", reason)
			out("skip", "all", reason)
		}
	}
	next
}

/^[ \t]*ok([ \t]|$)/ || /^[ \t]*not ok([ \t]|$)/ {
	match($0, /^[ \t]*/)
	depth = RLENGTH
	text = substr($0, depth + 1)
	ok = text !~ /^not /
	sub(/^(not )?ok[ \t]*/, "", text)
	result(depth, ok, text)
	next
}

/^Bail out!/ { out("fail", "bail out", substr($0, 11)) }

END {
	if (program != "")
		end_program(125)
	else if (top_plan > top_results)
		out("fail", "plan", "only " top_results " of " top_plan " results came")
}
