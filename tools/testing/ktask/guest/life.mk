# SPDX-License-Identifier: GPL-2.0-only
#
# A build's mix of processes: compilers, and small ones around them. The sources are
# programs, so some names are defined more than once.

# What comes out is compared with what came out on the host.
export LC_ALL := C

objects := $(patsubst sources/%.i,%.o,$(wildcard sources/*.i))
words := $(objects:.o=.words)

.PHONY: all
all: all.o all.words sources.tar.gz

%.o: sources/%.i
	gcc -O1 -c -o $@ $<

%.words: sources/%.i
	tr -cs 'A-Za-z_' '\n' <$< | sort | uniq -c | sort -rn | awk '$$1 > 9 { print $$2, $$1 }' >$@

all.o: $(objects)
	ld -r -z muldefs -o $@ $^

all.words: $(words)
	cat $^ | sort | (sed 's/ .*//'; :) | uniq | wc -l >$@

sources.tar.gz: $(wildcard sources/*.i)
	tar -cf - $^ | gzip -1 | tee $@ | gzip -t
