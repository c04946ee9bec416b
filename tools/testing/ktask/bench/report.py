#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Medians, spread, ratios and a plot of what bench.sh measured.

usage: report.py RESULTS
"""
import collections
import csv
import os
import shutil
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
import executed  # noqa: E402
import live  # noqa: E402
import others  # noqa: E402
from figures import MODES, spread  # noqa: E402

PLOT = """
set terminal pngcairo size 1200,700
set output 'speed.png'
set title 'Time to tear down memory: each dot is a run, 1 is the median with ktask off'
set ylabel 'time / median with ktask off'
set yrange [0:1.6]
set xrange [-0.6:{last}+0.6]
set grid y
set key outside right top
set xtics rotate by -45
set xtics ({tics})
plot for [i=0:{modes}] 'speed.dat' index i using 1:2 title columnhead(1) pt 7 ps 0.7
"""

# How much slower than its best a host may be to be called calm
CALM = 0.10

TITLES = {'off': '"ktask off"', 'on': '"ktask on"', 'own': '"own threads"'}


def load(path, keys, mode='mode'):
    """Rows by key and then by mode, in the order of the file."""
    table = collections.defaultdict(lambda: collections.defaultdict(list))
    with open(path, encoding='ascii') as lines:
        for row in csv.DictReader(lines):
            table[tuple(row[key] for key in keys)][row[mode]].append(row)
    return table


def values(rows, field, unit=1.0):
    """A numeric column."""
    return [int(row[field]) / unit for row in rows]


def pair_ratio(off, other):
    """Median of the ratios of samples of the same repetition, or None."""
    by_rep = {row['rep']: int(row['ns']) for row in other}
    ratios = [int(row['ns']) / by_rep[row['rep']]
              for row in off if row['rep'] in by_rep]
    return statistics.median(ratios) if ratios else None


def ratio(off, other, middle=statistics.median, field='ns'):
    """Ratio of medians, or of what else stands for all samples."""
    return middle(values(off, field)) / middle(values(other, field))


def row_pace(row):
    """The slower pace of the host around a sample."""
    return max(int(row['pace_before']), int(row['pace_after']))


def calm_pace(table):
    """The slowest pace at which the host counts as calm: CALM above its best.

    Its best is what one in twenty was faster than.
    """
    paces = [row_pace(row) for modes in table.values()
             for rows in modes.values() for row in rows]
    return statistics.quantiles(paces, n=20, method='inclusive')[0] * (1 + CALM)


def calm_samples(table):
    """Those between two moments at which the host was calm."""
    limit = calm_pace(table)
    print(f'Only samples before and after which the host had both its CPUs: a loop on each of\n'
          f'them took at most {CALM:.0%} more than at its best ({limit / 1e6:.2f} ms).\n')
    return {key: {mode: [row for row in modes[mode] if row_pace(row) <= limit]
                  for mode in MODES} for key, modes in table.items()}


def report_cases(table):
    """A line for each case that was measured in all its modes."""
    print(f'{"case":30} {"off":>24} {"on":>24} {"faster":>7} {"in pairs":>9} {"best":>7}'
          f' {"own":>7} {"samples":>9}')
    for key, modes in table.items():
        off, on, own = (modes[mode] for mode in MODES)
        if not off or not on:
            print(f'{" ".join(key) + " MiB":30} none')
            continue
        pairs = pair_ratio(off, on)
        print(f'{" ".join(key) + " MiB":30}'
              f' {spread(values(off, "ns", 1e6)):>24}'
              f' {spread(values(on, "ns", 1e6)):>24}'
              f' {ratio(off, on):6.2f}x'
              + (f' {pairs:8.2f}x' if pairs else f' {"-":>9}')
              + f' {ratio(off, on, min):6.2f}x'
              + (f' {ratio(off, own):6.2f}x' if own else f' {"":7}')
              + f' {f"{len(off)}/{len(on)}":>9}')
    print()


def report_speed(path):
    """How much faster; 'own' is what a program's own two threads achieve."""
    table = load(path, ('how', 'layout', 'mib'))
    print('Time in ms: median and [quartiles]. own: two threads of the program'
          ' itself, MADV_DONTNEED\nof a half each and then munmap(), with ktask off.'
          ' best: the best sample of each.\nOff and on in turn; samples of each.\n')
    report_cases(table)

    report_cases(calm_samples(table))
    return table


def report_map(where):
    """How much faster memory is mapped for a device, and at which cost."""
    table = load(os.path.join(where, 'map-max.csv'), ('api', 'kind', 'state', 'mib'))
    print('Mapping memory for a device, and unmapping it, in ms. own: threads of the program'
          ' itself touch\nfresh memory first, with ktask off.\n')
    report_cases(table)
    report_cases(calm_samples(table))
    print('CPU time that it took, in ms.\n')
    for key, modes in table.items():
        print(f'{" ".join(key) + " MiB":30}' + ''.join(
            f' {mode}: {spread(values(modes[mode], "usage_usec", 1e3)):24}'
            for mode in MODES if modes[mode]))
    print()
    print('Mapping fresh memory under cpu.max, all in ms: median and [quartiles].\n')
    for percent in '50', '150':
        report_limits(load(os.path.join(where, f'map-{percent}.csv'), ('percent', 'api')))


def plot_speed(table, where):
    """speed.dat for gnuplot, and speed.png if there is a gnuplot."""
    with open(os.path.join(where, 'speed.dat'), 'w', encoding='ascii') as out:
        for shift, mode in enumerate(MODES):
            print(TITLES[mode], file=out)
            for index, modes in enumerate(table.values()):
                mid = statistics.median(values(modes['off'], 'ns'))
                for sample in values(modes[mode], 'ns', mid):
                    print(index + (shift - 1) * 0.22, sample, file=out)
            print('\n', file=out)
    tics = ', '.join(f'"{" ".join(key)}" {i}' for i, key in enumerate(table))
    script = PLOT.format(last=len(table) - 1, modes=len(MODES) - 1, tics=tics)
    with open(os.path.join(where, 'speed.gp'), 'w', encoding='ascii') as out:
        out.write(script)
    if not shutil.which('gnuplot'):
        print('No plot: install gnuplot-nox, then run gnuplot on speed.gp.\n')
        return
    subprocess.run(['gnuplot', 'speed.gp'], cwd=where, check=True)


def report_small(where):
    """What ktask costs where there is nothing to win."""
    found = {}
    for kernel in ('ktask', 'stock'):
        with open(os.path.join(where, f'small-{kernel}.csv'), encoding='ascii') as lines:
            for row in csv.DictReader(lines):
                key = f'{row["how"]} {row["layout"]} {row["kib"]} KiB'
                found.setdefault(key, {})[row['mode']] = int(row['instructions'])
    print('Below the floor: instructions, counted by the emulator (-icount), median of'
          ' 101 times.\n')
    print(f'{"case":26} {"stock":>10} {"ktask off":>10} {"ktask on":>10}'
          f' {"on/stock":>9} {"on/off":>8}')
    for case, n in found.items():
        print(f'{case:26} {n["none"]:10} {n["off"]:10} {n["on"]:10}'
              f' {n["on"] / n["none"] - 1:+9.2%} {n["on"] / n["off"] - 1:+8.2%}')
    print()


def report_limits(table):
    """A line for each mode below each limit."""
    print(f'{"cpu.max":>8} {"":6}{"CPU time used":>24} {"throttled":>24} {"until gone":>24}'
          f' {"samples":>8}')
    for (percent, _), modes in table.items():
        for mode in MODES:
            rows = modes[mode]
            title = f'{percent + " %" if mode == "off" else "":>8} {mode:6}'
            if not rows:
                if mode != 'own':
                    print(f'{title} none')
                continue
            print(f'{title}'
                  f'{spread(values(rows, "usage_usec", 1e3)):>24}'
                  f' {spread(values(rows, "throttled_usec", 1e3)):>24}'
                  f' {spread(values(rows, "ns", 1e6)):>24} {len(rows):8}')
        for mode in MODES[1:]:
            if modes['off'] and modes[mode]:
                more = 1 / ratio(modes['off'], modes[mode], field='usage_usec') - 1
                print(f'{"":15}CPU time used, {mode} against off: {more:+.1%}')
    print()


def report_quota(path):
    """That nothing is used beside the quota, and nothing is throttled more."""
    table = load(path, ('percent', 'period'))
    periods = sorted({int(period) // 1000 for _, period in table})
    print(f'Exit under cpu.max, with a period of {" and ".join(map(str, periods))} ms,'
          ' all in ms: median and [quartiles]. own: of two processes at once,'
          ' each of which\nhas half the memory.\n')
    report_limits(table)
    report_limits(calm_samples(table))


def report_harm(path):
    """What must not be worse with ktask on: time, CPU time, TLB shootdowns."""
    table = load(path, ('how', 'layout', 'mib', 'with'))
    print('Teardowns that helpers are no help for, or that others suffer from: time and CPU'
          ' time in ms, and\nTLB shootdowns; median and [quartiles].\n')
    columns = (('time', 'ns', 1e6), ('CPU time', 'usage_usec', 1e3),
               ('shootdowns', 'shootdowns', 1))
    for key, modes in table.items():
        off, on = modes['off'], modes['on']
        print(f'{" ".join(key).strip()} ({len(off)} pairs)')
        for name, field, unit in columns:
            faster = (f'  off/on {ratio(off, on, field=field):5.2f}'
                      if field != 'shootdowns' else '')
            print(f'    {name:10} off {spread(values(off, field, unit)):>24}'
                  f'  on {spread(values(on, field, unit)):>24}{faster}')
    print()


def main():
    """Report whatever was measured."""
    where = sys.argv[1]

    def there(name):
        return os.path.exists(os.path.join(where, name))

    with open(os.path.join(where, 'machine'), encoding='utf-8') as lines:
        machine = lines.read()
    print(machine)
    if ', tcg,' in machine:
        print('The CPUs are emulated: times are good for ratios, and nothing else.\n')
    if there('speed.csv'):
        plot_speed(report_speed(os.path.join(where, 'speed.csv')), where)
    if there('small-stock.csv'):
        report_small(where)
    if there('harm.csv'):
        report_harm(os.path.join(where, 'harm.csv'))
    if there('quota.csv'):
        report_quota(os.path.join(where, 'quota.csv'))
    if there('executed.csv'):
        executed.report(where)
    if there('map-max.csv'):
        report_map(where)
    if there('traces'):
        live.report(where)
    others.report(where)


if __name__ == '__main__':
    main()
