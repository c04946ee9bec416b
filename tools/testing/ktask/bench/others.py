# SPDX-License-Identifier: GPL-2.0-only
"""What a teardown takes from others, with ktask off and on: window.sh,
saturated.sh, bystander.sh and waits.sh.
"""
import collections
import csv
import os
import statistics

from figures import high, spread

MODES = ('off', 'on')

# The period of cpu.max, and how late the scheduler may find that a quota is
# used up; in us
WINDOW = 100000
TICK = 4000
CPUS = 2


def load(where, name, *keys):
    """Rows of a file by some of their fields, in its order."""
    table = collections.OrderedDict()
    with open(os.path.join(where, name), encoding='ascii') as lines:
        for row in csv.DictReader(lines):
            table.setdefault(tuple(row[key] for key in keys), []).append(row)
    return table


def by_instructions(where):
    """Was it measured with CLOCK=instructions?"""
    with open(os.path.join(where, 'machine'), encoding='utf-8') as lines:
        return 'clock: instructions\n' in lines


def percents(table):
    """Those that were measured, as they come."""
    return list(collections.OrderedDict((key[0], None) for key in table))


def read_looks(rows):
    """(time, CPU time, periods) of each look; both times in us."""
    return [(int(row['ns']) / 1e3, int(row['usage_usec']), int(row['nr_periods']))
            for row in rows]


def undisturbed(looks):
    """Parts of a run between two moments at which the host stood in the way.

    A virtual CPU that its host does not run seems to use CPU time, and that is
    seen at once when it goes on: more than all CPUs can have used since the
    last look, even with what they had not accounted for by then.
    """
    parts = [looks[:1]]
    for last, look in zip(looks, looks[1:]):
        if look[1] - last[1] > CPUS * (look[0] - last[0] + TICK):
            parts.append([])
        parts[-1].append(look)
    return parts


def windows(looks):
    """CPU time within each window, however it lies: us."""
    first = 0
    for time, used, _ in looks:
        # As many looks apart as fit: a longer window would not be one.
        while time - looks[first][0] > WINDOW:
            first += 1
        yield used - looks[first][1]


def periods(looks):
    """CPU time within each period of cpu.max, or what there is of it: us."""
    start = looks[0]
    for last, look in zip(looks, looks[1:]):
        if look[2] != start[2]:
            yield last[1] - start[1]
            start = look
    yield looks[-1][1] - start[1]


def report_window(where):
    """What a group with a quota really used."""
    table = load(where, 'window.csv', 'percent', 'mode', 'rep')
    print('CPU time of a group below cpu.max during the exit of 1 GiB, in ms: the most in any'
          ' 100 ms, however\nthey lie (so they may have a part of the quotas of two periods), and'
          ' the most in a period; of all runs.\nThe scheduler may notice a tick late that a quota'
          ' is used up, on each CPU, and takes that off the next.\nstalls: moments at which the'
          ' host did not run a virtual CPU; what spans one does not count.\n')
    print(f'{"cpu.max":>8} {"quota + tick":>13} {"100 ms: off":>12} {"on":>7}'
          f' {"a period: off":>15} {"on":>7} {"runs":>6} {"stalls: off":>13} {"on":>4}')
    for percent in percents(table):
        runs = {mode: [undisturbed(read_looks(rows)) for key, rows in table.items()
                       if key[:2] == (percent, mode)] for mode in MODES}
        most = [max(max(measure(part)) for parts in runs[mode] for part in parts) / 1e3
                for measure in (windows, periods) for mode in MODES]
        stalls = [sum(len(parts) - 1 for parts in runs[mode]) for mode in MODES]
        print(f'{percent + " %":>8} {(int(percent) * WINDOW / 100 + TICK) / 1e3:13.1f}'
              f' {most[0]:12.1f} {most[1]:7.1f} {most[2]:15.1f} {most[3]:7.1f}'
              f' {len(runs["on"]):6} {stalls[0]:13} {stalls[1]:4}')
    print()


def instructions(row):
    """What the machine did beside the loops of the busy threads, where its
    clock counts instructions: in ms, which are millions.
    """
    loop = int(row['alone_ns']) / int(row['alone_loops'])
    return (int(row['beside_ns']) - int(row['beside_loops']) * loop) / 1e6


def compare_modes(what, samples):
    """On against off, by the median and by the least."""
    print(f'{what}, on against off: '
          f'{statistics.median(samples["on"]) / statistics.median(samples["off"]) - 1:+.1%},'
          f' of the least {min(samples["on"]) / min(samples["off"]) - 1:+.1%}\n')


def report_saturated(where):
    """Helpers would only take turns with what runs there anyway."""
    table = load(where, 'saturated.csv', 'mode')
    print('A teardown in a group that has a busy thread for each CPU: CPU time of the caller and'
          ' its helpers,\nand time until it was done, in ms: median, [quartiles], least.\n')
    print(f'{"":4} {"CPU time":>24} {"least":>8} {"of helpers":>11} {"lent":>5}'
          f' {"until done":>24} {"n":>4}')
    sums = {}
    for mode in MODES:
        rows = table[(mode,)]
        helpers = [int(row['helper_usec']) / 1e3 for row in rows]
        sums[mode] = [int(row['caller_ns']) / 1e6 + usec for row, usec in zip(rows, helpers)]
        done = [int(row['ns']) / 1e6 for row in rows]
        lent = statistics.median(int(row['helpers_lent']) for row in rows)
        print(f'{mode:4} {spread(sums[mode]):>24} {min(sums[mode]):8.1f}'
              f' {statistics.median(helpers):11.1f} {lent:5.1f} {spread(done):>24}'
              f' {len(rows):4}')
    compare_modes('CPU time', sums)
    if not by_instructions(where):
        return
    print('Millions of instructions of the whole machine until it was done, less the loops of the'
          ' busy threads:\n')
    counts = {mode: [instructions(row) for row in table[(mode,)]] for mode in MODES}
    for mode in MODES:
        print(f'{mode:4} {spread(counts[mode]):>24} {min(counts[mode]):8.1f}')
    compare_modes('Instructions', counts)


def report_neighbour(where):
    """What a busy thread of another group loses."""
    table = load(where, 'neighbour.csv', 'whose', 'mode')
    print('A busy thread of another group while a teardown runs, on the CPU where a helper would'
          ' work, or on the\ncaller\'s, where it comes in the middle: its share of that CPU in %,'
          ' its loops per us (which a busy host\ncuts down as well), and the time that the'
          ' teardown takes in ms. Median and [quartiles].\n')
    print(f'{"":11} {"share":>22} {"loops per us":>26} {"teardown":>26} {"n":>4}')
    for whose in percents(table):
        mids = collections.defaultdict(dict)
        for mode in MODES:
            rows = table[(whose, mode)]
            share = [int(row['hog_cpu_ns']) / int(row['hog_ns']) * 100 for row in rows]
            loops = [int(row['hog_loops']) / int(row['hog_ns']) * 1e3 for row in rows]
            mids['share'][mode], mids['loops'][mode] = map(statistics.median, (share, loops))
            print(f'{whose:7}{mode:4} {spread(share):>22} {spread(loops):>26}'
                  f' {spread([int(row["ns"]) / 1e6 for row in rows]):>26} {len(rows):4}')
        print('On against off: ' + ', '.join(f'{name} {mid["on"] / mid["off"] - 1:+.1%}'
                                             for name, mid in mids.items()) + '\n')


def longest(values):
    """What most and what a few have waited, in ms."""
    return f'{statistics.median(values):8.2f} {high(values, 99):8.2f} {max(values):8.2f}'


def report_wakeups(where):
    """What a thread of the same group feels."""
    table = load(where, 'wakeups.csv', 'percent', 'mode')
    print('By how much a thread of the same group wakes up too late while a teardown runs, in'
          ' ms; and how\noften by more than 1 ms: a teardown that is faster has fewer of all'
          ' wake-ups.\n')
    print(f'{"cpu.max":>8} {"":4} {"median":>8} {"p99":>8} {"max":>8} {"> 1 ms":>7} {"n":>7}')
    for percent in percents(table):
        for mode in MODES:
            late = [int(row['late_ns']) / 1e6 for row in table.get((percent, mode), [])]
            if late:
                print(f'{percent + " %":>8} {mode:4} {longest(late)}'
                      f' {sum(ms > 1 for ms in late):7} {len(late):7}')
    print()


def report_waits(where):
    """The longest that anybody waits while others want all CPUs now and then."""
    table = load(where, 'waits.csv', 'what', 'mode')
    print('Teardowns in a group, and mmap() by another thread of the process meanwhile, while'
          ' threads of another\ngroup want each CPU for 15 ms of 30: in ms.\n')
    print(f'{"":7} {"":4} {"median":>8} {"p99":>8} {"max":>8} {"n":>7}')
    for what in percents(table):
        for mode in MODES:
            took = [int(row['ns']) / 1e6 for row in table.get((what, mode), [])]
            if took:
                print(f'{what:7} {mode:4} {longest(took)} {len(took):7}')
    print()


REPORTS = (('window.csv', report_window), ('saturated.csv', report_saturated),
           ('neighbour.csv', report_neighbour), ('wakeups.csv', report_wakeups),
           ('waits.csv', report_waits))


def report(where):
    """Whatever of it was measured."""
    for name, report_file in REPORTS:
        if os.path.exists(os.path.join(where, name)):
            report_file(where)
