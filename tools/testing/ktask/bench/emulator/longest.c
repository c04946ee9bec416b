// SPDX-License-Identifier: GPL-2.0-only
/*
 * Find the longest section between two functions that a virtual CPU executes, in
 * instructions: a plugin for QEMU.
 *
 * arguments: out=FILE, where to; from=ADDRESS and until=ADDRESS, in hexadecimal, of
 * functions that begin and end a section, several of each if need be;
 * mark=ADDRESS: each time that the guest executes the instruction there, the longest
 * section since the last time is written, and looked for anew. One thread has to
 * run all virtual CPUs (-accel tcg,thread=single), as nothing is locked.
 *
 * Lines are those of count.c, one for each time that a block of instructions was
 * executed, in that order.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

#define MAX_CPUS	256
#define MAX_EDGES	4

/* What a section has executed */
struct section {
	const struct block	**blocks;
	size_t			nr, room;
	unsigned long		insns;
	bool			open;
};

struct block {
	unsigned long	address;
	size_t		insns;
};

struct edges {
	unsigned long	address[MAX_EDGES];
	size_t		nr;
};

int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static struct section sections[MAX_CPUS], longest;
static struct edges from, until;
static unsigned long mark;
static FILE *out;

static void execute(unsigned int cpu, void *data)
{
	struct section *section = &sections[cpu];
	const struct block *block = data;

	if (!section->open)
		return;
	if (section->nr == section->room) {
		section->room = section->room ? 2 * section->room : 1024;
		section->blocks = realloc(section->blocks,
					  section->room * sizeof(block));
		if (!section->blocks)
			abort();
	}
	section->blocks[section->nr++] = block;
	section->insns += block->insns;
}

static void begin(unsigned int cpu, void *data)
{
	(void)data;
	sections[cpu].open = true;
	sections[cpu].insns = 0;
	sections[cpu].nr = 0;
}

static void end(unsigned int cpu, void *data)
{
	struct section *section = &sections[cpu], old = longest;

	(void)data;
	if (!section->open)
		return;
	section->open = false;
	if (section->insns <= longest.insns)
		return;
	longest = *section;
	*section = old;
}

static void write_longest(unsigned int cpu, void *data)
{
	size_t i;

	(void)cpu;
	(void)data;
	for (i = 0; i < longest.nr; i++)
		fprintf(out, "%lx %zu 1\n", longest.blocks[i]->address,
			longest.blocks[i]->insns);
	longest.nr = 0;
	longest.insns = 0;
	fputs("mark\n", out);
	fflush(out);
}

static bool is_edge(const struct edges *edges, unsigned long address)
{
	size_t i;

	for (i = 0; i < edges->nr; i++)
		if (edges->address[i] == address)
			return true;
	return false;
}

static void when_executed(struct qemu_plugin_insn *insn,
			  void (*call)(unsigned int cpu, void *data))
{
	qemu_plugin_register_vcpu_insn_exec_cb(insn, call, QEMU_PLUGIN_CB_NO_REGS,
					       NULL);
}

static void translate(unsigned long id, struct qemu_plugin_tb *tb)
{
	size_t i, insns = qemu_plugin_tb_n_insns(tb);
	struct block *block = malloc(sizeof(*block));

	(void)id;
	if (!block)
		abort();
	block->address = qemu_plugin_tb_vaddr(tb);
	block->insns = insns;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, execute, QEMU_PLUGIN_CB_NO_REGS,
					     block);
	for (i = 0; i < insns; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		unsigned long address = qemu_plugin_insn_vaddr(insn);

		if (is_edge(&from, address))
			when_executed(insn, begin);
		if (is_edge(&until, address))
			when_executed(insn, end);
		if (address == mark)
			when_executed(insn, write_longest);
	}
}

static bool add_edge(struct edges *edges, const char *address)
{
	if (edges->nr == MAX_EDGES)
		return false;
	edges->address[edges->nr++] = strtoul(address, NULL, 16);
	return true;
}

int qemu_plugin_install(unsigned long id, const struct qemu_info *info,
			int argc, char **argv)
{
	bool ok = true;
	int i;

	(void)info;
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "from=", 5))
			ok &= add_edge(&from, argv[i] + 5);
		else if (!strncmp(argv[i], "until=", 6))
			ok &= add_edge(&until, argv[i] + 6);
		else if (!strncmp(argv[i], "mark=", 5))
			mark = strtoul(argv[i] + 5, NULL, 16);
		else if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "w");
	}
	if (!ok || !from.nr || !until.nr || !mark || !out) {
		fputs("longest: from=, until=, mark=ADDRESS and out=FILE are needed\n",
		      stderr);
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	return 0;
}
