// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ktaskctl.h"

static const char usage[] =
"usage: ktaskctl show [--json|--prometheus] [CGROUP]\n"
"       ktaskctl explain CGROUP\n"
"       ktaskctl set CGROUP HELPERS|max\n"
"       ktaskctl top [--delay SECONDS] [--times N] [CGROUP]\n"
"\n"
"Shows and limits the helper threads of the kernel that take part in the big\n"
"jobs of a cgroup's processes, such as giving back their memory.\n"
"\n"
"  show      what each cgroup may have, has, and had; below CGROUP or all\n"
"  explain   which limit binds in CGROUP, and what to do for more helpers\n"
"  set       write cpu.ktask.max: at most so many helpers in CGROUP and below\n"
"  top       what goes on, again each second\n"
"\n"
"  --root DIR   take this cgroup, or mount point of cgroup v2, for the root\n"
"  --help       print this text\n"
"\n"
"CGROUP is a path below the mount point of cgroup v2, or a directory there.\n"
"Options come before arguments.\n"
"Ends with 0; 1 if the system refuses; 2 for wrong arguments; 3 if there is no\n"
"such cgroup; 4 if the kernel or the cgroup has no cpu.ktask files.\n";

#define misused(format, ...) \
	errx(STATUS_USAGE, format "; see ktaskctl --help", ##__VA_ARGS__)

enum option_of {
	OPTION_ROOT	= 1 << 8,	/* no character has these */
	OPTION_JSON	= 1 << 9,
	OPTION_PROMETHEUS = 1 << 10,
	OPTION_DELAY	= 1 << 11,
	OPTION_TIMES	= 1 << 12,
};

static const struct option options[] = {
	{ "root", required_argument, NULL, OPTION_ROOT },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "prometheus", no_argument, NULL, OPTION_PROMETHEUS },
	{ "delay", required_argument, NULL, OPTION_DELAY },
	{ "times", required_argument, NULL, OPTION_TIMES },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

struct choices {
	int		given;		/* which options */
	const char	*root;
	double		delay;
	unsigned long	times;
	const char	*value;		/* a second argument */
};

static double seconds_of(const char *text)
{
	char *rest;
	double seconds = strtod(text, &rest);

	if (rest == text || *rest || !(seconds >= 0.01 && seconds <= 86400))
		misused("--delay %s: not a number of seconds from 0.01 to 86400", text);
	return seconds;
}

static unsigned long times_of(const char *text)
{
	unsigned long times;
	char *rest;

	errno = 0;
	times = strtoul(text, &rest, 10);
	if (*rest || errno || !times || strspn(text, "0123456789") != strlen(text))
		misused("--times %s: not a number from 1", text);
	return times;
}

/* Those up to the next argument that is none: a value may begin with a dash. */
static void parse(int argc, char **argv, struct choices *choices)
{
	int option;

	while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		switch (option) {
		case OPTION_ROOT:
			choices->root = optarg;
			break;
		case OPTION_DELAY:
			choices->delay = seconds_of(optarg);
			break;
		case OPTION_TIMES:
			choices->times = times_of(optarg);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(STATUS_DONE);
		case '?':
			/* It has said what is wrong. */
			exit(STATUS_USAGE);
		}
		choices->given |= option;
	}
}

/* Each returns false if it had to leave something out, and has said so. */

static bool run_show(const char *path, const struct choices *choices)
{
	if (choices->given & OPTION_JSON && choices->given & OPTION_PROMETHEUS)
		misused("--json or --prometheus, not both");
	if (choices->given & OPTION_JSON)
		return show_json(path);
	if (choices->given & OPTION_PROMETHEUS)
		return show_prometheus(path);
	return show(path);
}

static bool run_explain(const char *path, const struct choices *choices)
{
	explain(path);
	return true;
}

static bool run_set(const char *path, const struct choices *choices)
{
	set_cap(path, choices->value);
	return true;
}

static bool run_top(const char *path, const struct choices *choices)
{
	top(path, choices->delay, choices->times);
	return true;
}

static const struct command {
	const char	*name;
	bool		(*run)(const char *path, const struct choices *choices);
	int		least, most;	/* arguments */
	int		options;
} commands[] = {
	{ "show", run_show, 0, 1, OPTION_ROOT | OPTION_JSON | OPTION_PROMETHEUS },
	{ "explain", run_explain, 1, 1, OPTION_ROOT },
	{ "set", run_set, 2, 2, OPTION_ROOT },
	{ "top", run_top, 0, 1, OPTION_ROOT | OPTION_DELAY | OPTION_TIMES },
	{ }
};

static const struct command *command_of(const char *name)
{
	const struct command *command = commands;

	while (command->name && strcmp(command->name, name))
		command++;
	if (!command->name)
		misused("%s: no such command", name);
	return command;
}

static void check(const struct command *command, int nr_arguments, int options)
{
	if (nr_arguments < command->least)
		misused("%s: too few arguments", command->name);
	if (nr_arguments > command->most)
		misused("%s: too many arguments", command->name);
	if (options & ~command->options)
		misused("%s: not with these options", command->name);
}

int main(int argc, char **argv)
{
	struct choices choices = { .delay = 1 };
	const struct command *command;
	bool complete;
	char *path;

	parse(argc, argv, &choices);
	if (optind == argc)
		misused("no command");
	command = command_of(argv[optind++]);
	parse(argc, argv, &choices);
	argc -= optind;
	argv += optind;
	check(command, argc, choices.given);

	find_cgroups(choices.root);
	path = group_path(argc > 0 ? argv[0] : "/");
	if (argc > 1)
		choices.value = argv[1];
	complete = command->run(path, &choices);
	free(path);

	/* A table that nobody got was not shown. */
	if (fflush(stdout) || ferror(stdout))
		errx(STATUS_FAILED, "standard output: not all could be written");
	return complete ? STATUS_DONE : STATUS_FAILED;
}
