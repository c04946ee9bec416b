# SPDX-License-Identifier: GPL-2.0-only
"""From the traces of live.sh: how fast helpers follow limits that move."""
import collections
import csv
import os
import statistics
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '../../../ktask'))

# pylint: disable=wrong-import-position
import ktask_trace  # noqa: E402
from figures import high  # noqa: E402

# Times are in us; nothing where the run was over before there was anything to see
SAMPLE_FIELDS = ('kind', 'rep', 'what', 'write', 'from_write', 'from_return', 'limit',
                 'more_chunks', 'its_chunk', 'longest_chunk')
# What makes all helpers leave, for others to come: they were placed by it
REPLACED = ('affinity', 'cpuset.cpus', 'moved')
CHUNK_FIELDS = ('layout', 'rep', 'thread', 'units', 'ns')


def us(seconds):
    """Whole microseconds: traces have no more."""
    return round(seconds * 1e6)


def find_writes(events):
    """The two marks around each write: what was written, before, after, room."""
    writes, before = [], {}
    for event in events:
        if event.kind != 'marker':
            continue
        when, what, _, room = event.fields['text'].split()
        if when == 'before':
            before[what] = event.time
        else:
            writes.append((what, before[what], event.time, int(room.partition('=')[2])))
    return writes


def helpers_at(task, time):
    """The helpers that were on loan at a time."""
    helpers = set()
    for event in task.of('lend', 'return'):
        if event.time > time:
            break
        if event.kind == 'lend':
            helpers.add(event.fields['helper'])
        else:
            helpers.discard(event.fields['helper'])
    return helpers


def longest_chunk(task):
    """Of a helper, in us."""
    return max((event.fields['ns'] for event in task.of('chunk')
                if event.fields['thread'] != task.caller), default=0) // 1000


def chunk_at(task, thread, time):
    """The length of the chunk that a thread was at, in us."""
    for event in task.of('chunk'):
        ns = event.fields['ns']
        if event.fields['thread'] == thread and event.time - ns / 1e9 <= time <= event.time:
            return ns // 1000
    return 0


def more_chunks(task, start, leavers):
    """The most chunks that one of those who left has ended after a time.

    One is what it was at; to start another after the write it must not.
    """
    counts = collections.Counter(
        event.fields['thread'] for event in task.of('chunk')
        if event.time > start and event.time <= leavers.get(event.fields['thread'], 0))
    return max(counts.values(), default=0)


def when_narrowed(task, before, after, room):
    """A limit was narrowed: until the last helper over the budget has left."""
    helpers, leavers, limit = helpers_at(task, before), {}, ''
    for event in task.of('cancel', 'return'):
        helper = event.fields['helper']
        if event.time < before or helper not in helpers:
            continue
        if event.kind == 'cancel':
            limit = event.fields['limit']
            continue
        leavers[helper] = event.time
        if len(helpers) - len(leavers) == room:
            return {'time': event.time, 'limit': limit,
                    'more_chunks': more_chunks(task, after, leavers),
                    'its_chunk': chunk_at(task, helper, after)}
    return None


def when_widened(task, before, after, room):
    """A limit was widened: until a helper is lent that it did not allow before."""
    for event in task.of('lend'):
        if event.time >= before and event.fields['on_loan'] > room:
            return {'time': event.time, 'its_chunk': chunk_at(task, task.caller, after)}
    return None


def samples_of_run(kind, rep, events):
    """A row for each of the two writes."""
    tasks = ktask_trace.tasks_of(events)
    task = max(tasks, key=lambda task: task.length) if tasks else None
    for what, before, after, room in find_writes(events):
        row = {'kind': kind, 'rep': rep, 'what': what, 'write': us(after - before)}
        if what == 'widen':
            seen = task and when_widened(task, before, after, room)
        else:
            stay = 0 if kind in REPLACED else room
            seen = task and when_narrowed(task, before, after, stay)
        if seen:
            time = seen.pop('time')
            row.update(seen, from_write=us(time - before),
                       from_return=us(max(time - after, 0)), longest_chunk=longest_chunk(task))
        yield row


def chunks_of_run(layout, rep, events):
    """A row for each chunk."""
    for task in ktask_trace.tasks_of(events):
        for event in task.of('chunk'):
            yield {'layout': layout, 'rep': rep, 'units': event.fields['units'],
                   'ns': event.fields['ns'],
                   'thread': 'caller' if event.fields['thread'] == task.caller else 'helper'}


def write_csv(path, fields, rows):
    """All samples."""
    with open(path, 'w', encoding='ascii') as out:
        table = csv.DictWriter(out, fields, restval='')
        table.writeheader()
        table.writerows(rows)


def read_traces(where):
    """(case, repetition, events) of each run."""
    for name in sorted(os.listdir(where)):
        case, _, rep = os.path.splitext(name)[0].rpartition('-')
        with open(os.path.join(where, name), encoding='utf-8', errors='replace') as lines:
            events, missing = ktask_trace.parse(lines)
        if missing:
            print(f'NOTE: {name} lacks {missing} events')
        yield case, int(rep), events


def evaluate(where):
    """All rows of live.csv and of chunks.csv, from the traces."""
    samples, chunks = [], []
    for case, rep, events in read_traces(os.path.join(where, 'traces')):
        kind, _, layout = case.partition('-')
        if kind == 'chunks':
            chunks += chunks_of_run(layout, rep, events)
        else:
            samples += samples_of_run(case, rep, events)
    write_csv(os.path.join(where, 'live.csv'), SAMPLE_FIELDS, samples)
    write_csv(os.path.join(where, 'chunks.csv'), CHUNK_FIELDS, chunks)
    return samples, chunks


def by(rows, *fields):
    """Rows by what some of their fields say, in their order."""
    table = collections.OrderedDict()
    for row in rows:
        table.setdefault(tuple(row[field] for field in fields), []).append(row)
    return table


def three(values):
    """Median, nine in ten, worst; from us to ms."""
    return (f'{statistics.median(values) / 1e3:9.2f} {high(values, 90) / 1e3:8.2f}'
            f' {max(values) / 1e3:8.2f}')


MOVES_HEAD = """\
A limit is moved while a teardown runs. narrow: until the last helper over the budget has left.
widen: until one is lent that was not allowed before. In ms, from the start of the write and from
its return. Of the run with the worst time from the return: the chunk that the thread was at when
the write returned (narrow: the helper that left last; widen: the caller, which lends before each
of its chunks), and the longest chunk of a helper. more: the most chunks that a helper over the
budget still ended after the return, in any run; one is what it was at.
"""


def move_line(rows):
    """The figures of one kind and direction."""
    seen = [row for row in rows if 'from_write' in row]
    line = f'{len(seen):3} {len(rows) - len(seen):6}'
    if not seen:
        return line
    worst = max(seen, key=lambda row: row['from_return'])
    more = max(row.get('more_chunks', 0) for row in seen)
    return (f'{line} {three([row["from_write"] for row in seen])}'
            f' {three([row["from_return"] for row in seen])}'
            f' {worst["its_chunk"] / 1e3:9.2f} {worst["longest_chunk"] / 1e3:8.2f}'
            f' {more if seen[0]["what"] == "narrow" else "":>5}'
            f' {statistics.median(row["write"] for row in seen) / 1e3:8.2f}')


def report_moves(samples):
    """A line for each kind of limit and direction."""
    print(MOVES_HEAD)
    print(f'{"":31} {"from the start of the write":>27} {"from its return":>27}'
          f' {"of the worst":>18} {"":5} {"write,":>8}')
    print(f'{"limit":14} {"":6} {"n":>3} {"unseen":>6} {"median":>9} {"p90":>8} {"worst":>8}'
          f' {"median":>9} {"p90":>8} {"worst":>8} {"its chunk":>9} {"longest":>8} {"more":>5}'
          f' {"median":>8}')
    for (what, kind), rows in sorted(by(samples, 'what', 'kind').items()):
        print(f'{kind:14} {what:6} {move_line(rows)}')
    left = by([row for row in samples if row.get('limit')], 'kind', 'limit')
    print('\nThe limit that helpers left for, in their own words: ' +
          ', '.join(f'{kind}: {limit} ({len(rows)})' for (kind, limit), rows in left.items()) +
          '\n')


def report_chunks(chunks):
    """How long chunks take; a millisecond is the aim."""
    print('How long chunks take, in us.\n')
    print(f'{"layout":12} {"by":7} {"n":>6} {"median":>9} {"p99":>9} {"max":>9}'
          f' {"KiB, median":>12}')
    for (layout, thread), rows in sorted(by(chunks, 'layout', 'thread').items()):
        times = [row['ns'] / 1e3 for row in rows]
        units = statistics.median(row['units'] for row in rows) / 1024
        print(f'{layout:12} {thread:7} {len(rows):6} {statistics.median(times):9.0f}'
              f' {high(times, 99):9.0f} {max(times):9.0f} {units:12.0f}')
    print()


def report(where):
    """What the traces of live.sh say."""
    samples, chunks = evaluate(where)
    if samples:
        report_moves(samples)
    if chunks:
        report_chunks(chunks)
