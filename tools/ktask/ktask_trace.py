# SPDX-License-Identifier: GPL-2.0-only
"""Read the text of a trace with ktask:* events, and find the tasks in it.

For ktask-timeline and for what measures by the same events. Times are in
seconds, as the trace has them.
"""
import collections
import re

# The words at the start (command, PID, CPU and, between CPU and time, flags)
# are the same for all events of a trace.
LINE = re.compile(r'\s*.+-\d+\s+(?:\(.*?\)\s+)?\[(\d+)\]\s+(?:\S+\s+)?'
                  r'(\d+\.\d+): (?:ktask:)?(\w+): ?(.*)')
LOST = re.compile(r'CPU:\d+ \[LOST (\d+) EVENTS\]')
FIELD = re.compile(r'(\w+)=(\S+)')
TEXTS = ('func', 'limit')
MARKERS = ('tracing_mark_write', 'print')

# What an event has to say besides caller and cgroup
NEEDED = {
    'start': ('func', 'units', 'room', 'limit'),
    'end': ('error', 'room', 'limit'),
    'chunk': ('thread', 'ns', 'on_loan', 'room', 'limit'),
    'refuse': ('on_loan', 'limit'),
    'lend': ('helper', 'on_loan'),
    'cancel': ('helper', 'limit'),
    'return': ('helper', 'on_loan'),
    'renice': ('helper', 'prio'),
    'migrate': ('helper',),
}


# time: seconds. kind: the event's name without ktask_, or 'marker'. Fields
# that are numbers are ints; a marker's only field is text.
Event = collections.namedtuple('Event', 'time kind fields')


class Task:
    """The events of one call of ktask_run(), in the order of time."""

    def __init__(self, caller, cgroup):
        self.caller = caller
        self.cgroup = cgroup
        self.events = []

    def of(self, *kinds):
        """Those of some kinds."""
        return [event for event in self.events if event.kind in kinds]

    def first(self, kind):
        """The first of a kind, or None: the trace may lack it."""
        return next(iter(self.of(kind)), None)

    @property
    def start(self):
        """When it started, or the first that is known of it."""
        first = self.events[0]
        if first.kind == 'chunk':
            return first.time - first.fields['ns'] / 1e9
        return first.time

    @property
    def end(self):
        """When it ended, or the last that is known of it."""
        return self.events[-1].time

    @property
    def length(self):
        """Seconds from start to end."""
        return self.end - self.start


def fields_of(kind, text):
    """What an event says, or None if a part of it is missing."""
    if kind == 'marker':
        return {'text': text.strip()}
    fields = dict(FIELD.findall(text))
    if not fields.keys() >= {'caller', 'cgroup', *NEEDED[kind]}:
        return None
    try:
        return {name: value if name in TEXTS else int(value, 0)
                for name, value in fields.items()}
    except ValueError:
        return None


def kind_of(name):
    """Of an event by its name in the trace, or None if it is none of ours."""
    if name in MARKERS:
        return 'marker'
    kind = name[len('ktask_'):] if name.startswith('ktask_') else None
    return kind if kind in NEEDED else None


def parse(lines):
    """All events by time, and how many are missing: lost, or cut off."""
    events, missing = [], 0
    for line in lines:
        gap = LOST.match(line)
        missing += int(gap.group(1)) if gap else 0
        match = LINE.match(line)
        kind = match and kind_of(match.group(3))
        if not kind:
            continue
        fields = fields_of(kind, match.group(4))
        if fields:
            events.append(Event(float(match.group(2)), kind, fields))
        else:
            missing += 1
    # The sort is stable: events of the same microsecond keep their order.
    return sorted(events, key=lambda event: event.time), missing


def tasks_of(events):
    """The tasks, by their start. A caller has one at a time.

    A trace may begin after a task has started, and end before it has: so any
    event may be the first of its task, and a start ends what went before.
    """
    tasks, open_tasks = [], {}
    for event in events:
        if event.kind == 'marker':
            continue
        caller = event.fields['caller']
        if event.kind == 'start':
            open_tasks.pop(caller, None)
        if caller not in open_tasks:
            open_tasks[caller] = Task(caller, event.fields['cgroup'])
            tasks.append(open_tasks[caller])
        open_tasks[caller].events.append(event)
        if event.kind == 'end':
            del open_tasks[caller]
    return tasks


def markers_of(events, start, end):
    """What was written to trace_marker within a time."""
    return [event for event in events
            if event.kind == 'marker' and start <= event.time <= end]
