#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Instructions of ktask's own functions until an exit is done, by function and call.

usage: ends.py RESULTS KERNEL: make ends.csv of what the guest and its emulator
wrote, and show it
"""
import collections
import csv
import os
import sys

from executed import Functions, counts

# What a chunk is about, and neither the core nor the controller
CLIENTS = ('ktask_unmap', 'ktask_pin')
SHOWN = 24


def samples(where, kernel):
    """For each sample: chunks, helpers lent, instructions and calls by function."""
    with open(os.path.join(where, 'ends-order.csv'), encoding='ascii') as lines:
        order = list(csv.DictReader(lines))
    calls = collections.defaultdict(collections.Counter)
    marks = counts(os.path.join(where, 'ends.counts'), Functions(kernel), calls)
    first = len(marks) - 2 * len(order)
    return [(int(row['chunks']), int(row['helpers']), marks[first + 2 * i + 1],
             calls[first + 2 * i + 1]) for i, row in enumerate(order)]


def is_ours(name):
    """Is a function the core's or the controller's?"""
    return name.startswith('ktask_') and not name.startswith(CLIENTS)


def main(where, kernel):
    """All samples together: they do the same."""
    chunks = helpers = 0
    executed, called = collections.Counter(), collections.Counter()
    for sample in samples(where, kernel):
        chunks += sample[0]
        helpers += sample[1]
        executed.update(sample[2])
        called.update(sample[3])
    ours = sorted(filter(is_ours, executed), key=executed.get, reverse=True)
    with open(os.path.join(where, 'ends.csv'), 'w', encoding='ascii') as out:
        print('function,instructions,calls', file=out)
        for name in ours:
            print(f'{name},{executed[name]},{called[name]}', file=out)
    print(f'{chunks} chunks, {helpers} helpers lent: of ktask itself'
          f' {sum(executed[name] for name in ours) / max(chunks, 1):.0f} instructions per chunk\n')
    print(f'{"function":34} {"per chunk":>10} {"calls":>8} {"per call":>9}')
    for name in ours[:SHOWN]:
        print(f'{name:34} {executed[name] / max(chunks, 1):10.1f} {called[name]:8}'
              f' {executed[name] / max(called[name], 1):9.0f}')


if __name__ == '__main__':
    main(*sys.argv[1:])
