#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The longest of some sections that run while a teardown does, in instructions.

usage: longest.py RESULTS KERNEL: make longest.csv of what the guest and its
emulator wrote, and show it
"""
import csv
import os
import statistics
import sys

from executed import Functions, counts

SHOWN = 8


def samples(where, kernel):
    """(how, mode, helpers, instructions by function) of each sample."""
    with open(os.path.join(where, 'longest-order.csv'), encoding='ascii') as lines:
        order = list(csv.DictReader(lines))
    marks = counts(os.path.join(where, 'longest.sections'), Functions(kernel))
    # The mark was passed before: the last ones are the samples'. The first repetition warms up.
    return [(row['how'], row['mode'], int(row['helpers']), section)
            for row, section in zip(order, marks[-2 * len(order):][1::2]) if int(row['rep'])]


def main(where, kernel):
    """Each sample's, and of which functions the longest of all is."""
    rows = samples(where, kernel)
    with open(os.path.join(where, 'longest.csv'), 'w', encoding='ascii') as out:
        print('how,mode,helpers,instructions', file=out)
        for how, mode, helpers, section in rows:
            print(f'{how},{mode},{helpers},{sum(section.values())}', file=out)
    for key in dict.fromkeys(row[:2] for row in rows):
        mine = [row for row in rows if row[:2] == key]
        lengths = [sum(row[3].values()) for row in mine]
        most = max(mine, key=lambda row: sum(row[3].values()))[3]
        print(f'{key[0]:7} {key[1]:4} median {statistics.median(lengths):9.0f}'
              f' longest {max(lengths):9} helpers'
              f' {statistics.median(row[2] for row in mine):4.0f}  '
              + ', '.join(f'{name} {insns}' for name, insns in most.most_common(SHOWN)))


if __name__ == '__main__':
    main(*sys.argv[1:])
