#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the demo found, as one table for people who do not know ktask.

usage: table.py RUNS ACCELERATOR CPUS MIB
"""
import collections
import statistics
import sys

Run = collections.namedtuple(
    'Run', 'job pair mode name limits path effective peak lent ns usage throttled')

INTRO = {
    'end': """
Each container below held {mib} MiB of memory in pages of 4 KiB, and was killed. Its process is gone
only when the kernel has freed every one of them. That is work for one CPU, and the others look on.
With ktask helper threads of the kernel take part: as many as the limits of this container allow.
""",
    'map': """
Each container below mapped {mib} MiB of memory for a PCI device, through iommufd: that is how a virtual
machine starts that has a device of its own. The kernel has to find, clear and pin every page first.
"""}

TIMES = {'end': 'time to end', 'map': 'time to map'}

LEGEND = """
helpers       threads that may help at once, beside the container's own, and the limit that says so
              (from cpu.ktask.effective); then the most that did (cpu.ktask.peak)
time to end   milliseconds from the kill until the process was gone, with ktask off and on
time to map   milliseconds that IOMMU_IOAS_MAP took, with ktask off and on
CPU charged   CPU time that it cost the container (cpu.stat: usage_usec), helpers included
throttled     time for which cpu.max held the container up meanwhile (cpu.stat: throttled_usec)
"""


def read(path):
    """All runs but those of pair 0, which warms up."""
    with open(path, encoding='ascii') as lines:
        runs = [Run(*line.rstrip('\n').split('\t')) for line in lines]
    return [run for run in runs if run.pair != '0']


def median(runs, field, unit):
    """Median of a numeric field, in milliseconds."""
    return statistics.median(int(getattr(run, field)) for run in runs) / unit


def deviation(runs):
    """How far the runs' times are from their median, at most; a fraction."""
    mid = median(runs, 'ns', 1)
    return max(abs(int(run.ns) - mid) / mid for run in runs)


def budget(run):
    """cpu.ktask.effective in words."""
    helpers, limit, *where = run.effective.split()
    if limit == 'cpus':
        cpus = int(helpers) + 1
        reason = f'it has {cpus} CPUs' if cpus > 1 else 'it has 1 CPU'
    elif where and where[0] != run.path:
        reason = f'{limit} of {where[0]}'
    else:
        reason = limit
    return f'{helpers} ({reason})'


def row(off, on):
    """One container's line."""
    times = median(off, 'ns', 1e6), median(on, 'ns', 1e6)
    usage = median(off, 'usage', 1e3), median(on, 'usage', 1e3)
    throttled = median(off, 'throttled', 1e3), median(on, 'throttled', 1e3)
    peak = max(int(run.peak) for run in on)
    return (on[0].name, on[0].limits, budget(on[0]), str(peak),
            f'{times[0]:.0f}', f'{times[1]:.0f}', f'{times[0] / times[1]:.2f}x',
            f'{usage[0]:.0f}', f'{usage[1]:.0f}',
            f'{throttled[0]:.0f}', f'{throttled[1]:.0f}')


HEAD = ('container', 'limits', 'allowed (by what)', 'used', 'off', 'on',
        'faster', 'off', 'on', 'off', 'on')
LEFT = 3    # so many columns of text


def above(job):
    """Headings that stand above several columns."""
    return ('', '', 'helpers', '', TIMES[job], '', '', 'CPU charged', '',
            'throttled', '')


def show(job, rows):
    """Columns as wide as they need to be; the first headings may run over."""
    widths = [max(len(line[i]) for line in [HEAD] + rows)
              for i in range(len(HEAD))]
    for first, last in ((4, 5), (7, 8), (9, 10)):
        short = len(above(job)[first]) - widths[first] - widths[last] - 2
        widths[first] += max(short, 0)
    for line in [HEAD] + rows:
        cells = [cell.ljust(width) if i < LEFT else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        if line is HEAD:
            print(spanning(above(job), widths))
            print('  '.join(cells).rstrip())
            print('-' * len('  '.join(cells)))
        else:
            print('  '.join(cells).rstrip())


def spanning(titles, widths):
    """The upper line of headings, each above its first column."""
    text = ''
    start = 0
    for title, width in zip(titles, widths):
        if title:
            text = text.ljust(start) + title
        start += width + 2
    return text


def check(off, on):
    """What must be true of a container's runs, whatever the machine."""
    allowed = int(on[0].effective.split()[0])
    for run in off + on:
        limit = allowed if run.mode == 'on' else 0
        if int(run.peak) > limit:
            yield f'{run.job} {run.name} had {run.peak} helpers, {limit} were allowed'
    if allowed and not any(int(run.lent) for run in on):
        yield f'{on[0].job} {on[0].name} never had a helper, {allowed} were allowed'


def half(job, runs, mib):
    """The table of one job. Returns what is wrong, and how much times vary."""
    rows, wrong, spread = [], [], []
    for name in dict.fromkeys(run.name for run in runs):
        off, on = ([run for run in runs if (run.name, run.mode) == (name, mode)]
                   for mode in ('off', 'on'))
        rows.append(row(off, on))
        wrong += check(off, on)
        spread += [deviation(off), deviation(on)]
    print(INTRO[job].format(mib=mib))
    show(job, rows)
    return wrong, spread


def main():
    """Print it all; fail if ktask broke a limit."""
    path, accel, cpus, mib = sys.argv[1:]
    runs = read(path)
    wrong, spread = [], []
    for job in TIMES:
        more_wrong, more_spread = half(job, [run for run in runs if run.job == job], mib)
        wrong += more_wrong
        spread += more_spread

    print(LEGEND)
    pairs = len({run.pair for run in runs})
    print(f'Machine: QEMU with {cpus} CPUs under {accel}'
          + (', which emulates them: its times are good for ratios, and nothing else'
             if accel == 'tcg' else '') + '.')
    print(f'Each figure is the median of {pairs} pairs, off and on in turn. Times are'
          f' within {statistics.median(spread):.0%} of it in half of'
          f' the cases, within {max(spread):.0%} in all.')
    for line in wrong:
        print(f'ktask: WRONG: {line}', file=sys.stderr)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
