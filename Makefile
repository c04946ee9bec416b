# SPDX-License-Identifier: GPL-2.0-only
#
# ktask is an overlay of the Linux tree; this builds, boots and tests it.

KT := tools/testing/ktask
VARIANT ?= default
SUITES ?= tap input lint user kunit selftests vfio cpus regress nocgroup ktaskctl guide runner demo
QUICK_SUITES := tap input lint user kunit selftests
MATRIX_SUITES := noktask preempt rt poison cgroup-v1

export CPUS MEM JOBS KSRC KTASK_CACHE

.PHONY: help deps kernel rootfs shell run test test-quick test-debug test-matrix bench lint docs clean

help:
	@cat $(KT)/help.txt

deps:
	@$(KT)/deps.sh

kernel: deps
	@$(KT)/build.sh $(VARIANT)

rootfs: deps
	@$(KT)/rootfs.sh

shell: deps
	@$(KT)/vm.sh --variant $(VARIANT) --shell

run: deps
	@$(KT)/demo/demo.sh

test: deps
	@$(KT)/test.sh $(SUITES)

test-quick: deps
	@$(KT)/test.sh $(QUICK_SUITES)

test-debug: deps
	@$(KT)/test.sh debug eager

test-matrix: deps
	@$(KT)/test.sh $(MATRIX_SUITES)

bench: deps
	@$(KT)/bench/bench.sh

lint: deps
	@$(KT)/test.sh lint

docs: deps
	@$(KT)/test.sh docs

clean:
	@$(KT)/clean.sh
