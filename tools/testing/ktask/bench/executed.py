#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Instructions executed on all CPUs from mark to mark, by kernel function:
executed.sh.

usage: executed.py RESULTS KERNEL: make executed.csv of what the guest and its
emulator wrote
"""
import bisect
import collections
import csv
import os
import statistics
import subprocess
import sys

import others
from figures import MODES, spread

SHOWN = 12


class Functions:
    """The functions of a kernel by address."""

    def __init__(self, kernel):
        lines = subprocess.run(['nm', '-n', kernel], check=True, text=True,
                               stdout=subprocess.PIPE).stdout.splitlines()
        symbols = [line.split() for line in lines]
        self.found = [(int(where, 16), name) for where, kind, name in
                      (symbol for symbol in symbols if len(symbol) == 3) if kind in 'tTwW']
        self.starts = [where for where, _ in self.found]

    def name(self, address):
        """The one that an address lies in; all of user space is one."""
        if not address:
            return 'user space'
        return self.found[bisect.bisect_right(self.starts, address) - 1][1]

    def is_start(self, address):
        """Is it that of a function's first instruction?"""
        return self.starts[bisect.bisect_right(self.starts, address) - 1] == address


def counts(path, functions, calls=None):
    """Instructions by function, for each mark; and how often each was called."""
    found = [collections.Counter()]
    with open(path, encoding='ascii') as lines:
        for line in lines:
            if line == 'mark\n':
                found.append(collections.Counter())
                continue
            address, executed, runs = line.split()
            name = functions.name(int(address, 16))
            found[-1][name] += int(executed)
            if calls is not None and functions.is_start(int(address, 16)):
                calls[len(found) - 1][name] += int(runs)
    return found[:-1]


def convert(where, kernel):
    """executed.csv: a line for each sample and function."""
    with open(os.path.join(where, 'executed-order.csv'), encoding='ascii') as lines:
        order = list(csv.DictReader(lines))
    # The mark was passed before: the last ones are the samples'.
    marks = counts(os.path.join(where, 'executed.counts'), Functions(kernel))[-2 * len(order):]
    with open(os.path.join(where, 'executed.csv'), 'w', encoding='ascii') as out:
        print('rep,mode,function,instructions', file=out)
        for sample, executed in zip(order, marks[1::2]):
            for name, number in sorted(executed.items()):
                print(f'{sample["rep"]},{sample["mode"]},{name},{number}', file=out)


def load(where):
    """Samples by mode: instructions by function."""
    modes = {mode: [] for mode in MODES}
    for (mode, _), rows in others.load(where, 'executed.csv', 'mode', 'rep').items():
        modes[mode].append(collections.Counter(
            {row['function']: int(row['instructions']) for row in rows}))
    return modes


def report(where):
    """How much work it is, whoever does it; and where there is more of it."""
    modes = load(where)
    total = {mode: [sum(functions.values()) for functions in modes[mode]] for mode in MODES}
    middle = statistics.median(total['off'])
    print('Instructions that both CPUs executed until an exit under a cpu.max of 150 % was done,'
          ' in millions:\nmedian and [quartiles]. own: of two processes at once, each of which has'
          ' half the memory.\n')
    for mode in MODES:
        print(f'{mode:6}{spread([number / 1e6 for number in total[mode]])}'
              f' {statistics.median(total[mode]) / middle - 1:+7.2%}'
              f' {len(total[mode]):3} samples')
    each = {mode: {name: statistics.median(functions[name] for functions in modes[mode])
                   for name in set().union(*modes[mode])} for mode in MODES}

    def more(name, mode='on'):
        return each[mode].get(name, 0) - each['off'].get(name, 0)

    print(f'\n{"where most of the difference is":42} {"off":>10} {"on":>9} {"own":>9}')
    for name in sorted(set().union(*each.values()), key=more, reverse=True)[:SHOWN]:
        print(f'{name:42} {each["off"].get(name, 0):10.0f} {more(name):+9.0f}'
              f' {more(name, "own"):+9.0f}')
    print()


if __name__ == '__main__':
    convert(*sys.argv[1:])
