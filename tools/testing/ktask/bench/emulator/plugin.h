/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the plugins here need of QEMU's interface for TCG plugins, version 1:
 * Debian has no package with the header. For hosts whose long has 64 bits.
 */
#ifndef KTASK_BENCH_PLUGIN_H
#define KTASK_BENCH_PLUGIN_H

#include <stddef.h>

#define QEMU_PLUGIN_VERSION	1
#define QEMU_PLUGIN_CB_NO_REGS	0

struct qemu_info;
struct qemu_plugin_insn;
struct qemu_plugin_tb;

/* QEMU looks for these in a plugin. */
extern int qemu_plugin_version;
int qemu_plugin_install(unsigned long id, const struct qemu_info *info,
			int argc, char **argv);

void qemu_plugin_register_vcpu_tb_trans_cb(unsigned long id,
					   void (*cb)(unsigned long id,
						      struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
					  void (*cb)(unsigned int cpu, void *data),
					  int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*cb)(unsigned int cpu,
						       void *data),
					    int flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
unsigned long qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *
qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t idx);
unsigned long qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

#endif /* KTASK_BENCH_PLUGIN_H */
