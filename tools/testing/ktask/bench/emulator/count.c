// SPDX-License-Identifier: GPL-2.0-only
/*
 * Count the instructions that the guest executes, by address, on all CPUs: a
 * plugin for QEMU.
 *
 * arguments: out=FILE, where to; mark=ADDRESS, in hexadecimal: each time that
 * the guest executes the instruction there, what was counted since the last
 * time is written, and counted anew. One thread has to run all virtual CPUs
 * (-accel tcg,thread=single), as nothing is locked to count.
 *
 * A line has the address of a block of instructions, how many were executed of it,
 * and how often it was; user space is all at 0. "mark" ends what belongs together.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

#define NR_BUCKETS	65536
#define KERNEL_START	0xffffffff80000000UL

/* A block of instructions that are executed one after the other */
struct block {
	struct block	*next;
	unsigned long	address;
	size_t		insns;
	unsigned long	runs;
};

int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/* Protects the lists, and what is written. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *blocks[NR_BUCKETS];
static unsigned long mark;
static FILE *out;

/* The same block may be translated more than once. */
static struct block *find_block(unsigned long address, size_t insns)
{
	struct block **list = &blocks[(address >> 2) % NR_BUCKETS];
	struct block *block;

	pthread_mutex_lock(&lock);
	for (block = *list; block; block = block->next)
		if (block->address == address && block->insns == insns)
			break;
	if (!block) {
		block = calloc(1, sizeof(*block));
		if (!block)
			abort();
		block->address = address;
		block->insns = insns;
		block->next = *list;
		*list = block;
	}
	pthread_mutex_unlock(&lock);
	return block;
}

static void count(unsigned int cpu, void *data)
{
	struct block *block = data;

	(void)cpu;
	block->runs++;
}

static void write_block(struct block *block)
{
	if (block->runs)
		fprintf(out, "%lx %lu %lu\n", block->address,
			block->runs * block->insns, block->runs);
	block->runs = 0;
}

static void write_all(unsigned int cpu, void *data)
{
	struct block *block;
	int i;

	(void)cpu;
	(void)data;
	pthread_mutex_lock(&lock);
	for (i = 0; i < NR_BUCKETS; i++)
		for (block = blocks[i]; block; block = block->next)
			write_block(block);
	fputs("mark\n", out);
	fflush(out);
	pthread_mutex_unlock(&lock);
}

static void translate(unsigned long id, struct qemu_plugin_tb *tb)
{
	unsigned long address = qemu_plugin_tb_vaddr(tb);
	size_t i, insns = qemu_plugin_tb_n_insns(tb);

	(void)id;
	if (address < KERNEL_START)
		address = 0;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, count, QEMU_PLUGIN_CB_NO_REGS,
					     find_block(address, insns));
	for (i = 0; i < insns; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		if (qemu_plugin_insn_vaddr(insn) == mark)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, write_all,
							       QEMU_PLUGIN_CB_NO_REGS,
							       NULL);
	}
}

int qemu_plugin_install(unsigned long id, const struct qemu_info *info,
			int argc, char **argv)
{
	int i;

	(void)info;
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "mark=", 5))
			mark = strtoul(argv[i] + 5, NULL, 16);
		else if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "w");
	}
	if (!mark || !out) {
		fputs("count: mark=ADDRESS and out=FILE are needed\n", stderr);
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	return 0;
}
