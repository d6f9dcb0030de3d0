"""Peak memory of a schedule.

A tensor lies on its producer's processor from the producer's start, and on a receiving processor
from the producer's end, until its last reader there, or the last transfer out, ends. The shares
of a summed tensor (a gradient) lie on their processor from the first producer's start to the end
of the last reader, wherever that is (U's end), and on a receiving processor from the end of the
last producer that sends to it. With delays a reader runs iterations later than the producer, so a
tensor may live longer than a period: then several iterations' copies are alive at once.

Where links are shared a transfer may have to wait: the sender keeps the tensor until the last
transfer of the edge has really arrived. The receiver sets the space aside from the producer's end
as before, so that no schedule needs less memory than the same one would without sharing.

In finite mode weights and optimizer state are not produced within the run: they lie on the
update's processor all the time, and where F and B read them from 0 to their last reader's end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.rows import distinct
from spikepipe_sched.traffic import Flows
from spikepipe_sched.transfers import arrivals, shared

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.schedule import Schedule

Ints = NDArray[np.int64]


def lifetimes(problem: Problem, schedule: Schedule, flow: Flows) -> tuple[Ints, Ints, Ints, Ints]:
    """Processor, begin, end and bytes of everything that lies in a memory, (x,) each."""
    instance, processor, start = problem.instance, schedule.processor, schedule.start
    end = start + instance.duration[np.arange(instance.size), processor]
    sender, receiver = processor[flow.source], processor[flow.target]
    apart = sender != receiver
    read_until = end[flow.target] + flow.distance * (schedule.period or 0)
    # At the sender: until local readers and transfers end; a sum, until its reader ends anywhere.
    sent = np.maximum(end[flow.source], arrivals(problem, schedule)[flow.dependence]) if shared(problem) else end[flow.source] + flow.arrival
    keep_until = np.where(apart & ~flow.summed, sent, read_until)
    here = _grouped((flow.tensor, flow.copy, sender), start[flow.source], keep_until, latest_begin=False)
    away = _grouped((flow.tensor[apart], flow.copy[apart], sender[apart], receiver[apart]), end[flow.source][apart], read_until[apart], latest_begin=True)
    rows = [
        (here[0][2], here[1], here[2], problem.tensor_bytes[here[0][0]]),
        (away[0][3], away[1], away[2], problem.tensor_bytes[away[0][0]]),
    ]
    if problem.mode == "finite":
        rows.append(_resident(problem, schedule, end))
    first, second, third, fourth = (np.concatenate([np.asarray(row[i], dtype=np.int64) for row in rows]) for i in range(4))
    return first, second, third, fourth


def _grouped(key: tuple[Ints, ...], begin: Ints, until: Ints, *, latest_begin: bool) -> tuple[Ints, Ints, Ints]:
    """Distinct keys (columns) with the first (or latest) begin and the latest end of their rows."""
    groups, inverse = distinct(*key)
    count = groups.shape[1]
    starts = np.full(count, np.iinfo(np.int64).min if latest_begin else np.iinfo(np.int64).max)
    (np.maximum if latest_begin else np.minimum).at(starts, inverse, begin)
    ends = np.full(count, np.iinfo(np.int64).min)
    np.maximum.at(ends, inverse, until)
    return groups, starts, ends


def _resident(problem: Problem, schedule: Schedule, end: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Weights and optimizer state of a finite run."""
    edges, instance = problem.edges, problem.instance
    kept: dict[tuple[int, int], int] = {}
    updates = np.array([kind == "U" for kind in problem.tasks.kinds], dtype=bool)
    for e in np.flatnonzero(updates[edges.source]).tolist():
        update = instance.copies(int(edges.source[e]))[0]
        own = int(edges.source[e]) == int(edges.target[e])
        readers = instance.copies(int(edges.target[e]))
        for tensor in edges.tensor[edges.tensor_ptr[e] : edges.tensor_ptr[e + 1]].tolist():
            home = (tensor, int(schedule.processor[update]))
            kept[home] = int(end.max())
            if not own:
                for v in readers.tolist():
                    place = (tensor, int(schedule.processor[v]))
                    kept[place] = max(kept.get(place, 0), int(end[v]))
    tensors = np.array([t for t, _ in kept], dtype=np.int64)
    places = np.array([p for _, p in kept], dtype=np.int64)
    return places, np.zeros(len(kept), dtype=np.int64), np.array(list(kept.values()), dtype=np.int64), problem.tensor_bytes[tensors]


def peak_memory(problem: Problem, schedule: Schedule, flow: Flows) -> tuple[int, ...]:
    """Largest sum of live bytes at any time, over all iterations in flight, on every processor."""
    return tuple(profile.base + int(profile.live.max(initial=0)) for profile in memory_profiles(problem, schedule, flow))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MemoryProfile:
    """What lies in a memory over one steady-state period, or over a finite run.

    ``base`` bytes lie there all the time. ``time`` (x,) in cycles, ascending; ``live`` (x,) the bytes
    above the base after each change. At one time, ends come before begins, so that no value in
    between is above what lies there before or after; the last value of a time counts from then on.
    """

    base: int
    time: Ints
    live: Ints

    def steps(self) -> tuple[list[int], list[int]]:
        """Times from 0 on, each once, and the bytes that lie there from each on."""
        last = np.flatnonzero(np.diff(self.time, append=-1))  # of the changes at one time
        first = [] if last.size and self.time[last[0]] == 0 else [0]
        return first + self.time[last].tolist(), [self.base + live for live in first + self.live[last].tolist()]


def memory_profiles(problem: Problem, schedule: Schedule, flow: Flows) -> Iterator[MemoryProfile]:
    """The memory of every processor, over all iterations in flight; cycle 0 is the first of a period in steady state."""
    place, begin, until, size = lifetimes(problem, schedule, flow)
    lasting = np.flatnonzero(until > begin)
    lasting = lasting[np.argsort(place[lasting], kind="stable")]
    ends = np.searchsorted(place[lasting], np.arange(len(problem.processors) + 1))
    for first, last in pairwise(ends.tolist()):
        mine = lasting[first:last]
        a, b, bytes_ = begin[mine], until[mine], size[mine]
        base = 0
        if schedule.period is not None:
            whole, rest = np.divmod(b - a, schedule.period)
            base = sum(count * tensor for count, tensor in zip(whole.tolist(), bytes_.tolist(), strict=True) if count)  # may exceed int64
            some = rest > 0
            a, bytes_ = a[some] % schedule.period, bytes_[some]
            b = a + rest[some]
            wraps = b > schedule.period
            a = np.concatenate([a, np.zeros(int(wraps.sum()), dtype=np.int64)])
            b, bytes_ = np.concatenate([np.minimum(b, schedule.period), b[wraps] - schedule.period]), np.concatenate([bytes_, bytes_[wraps]])
        # Intervals are half-open: at one time, ends come before begins.
        event, change = np.concatenate([2 * a + 1, 2 * b]), np.concatenate([bytes_, -bytes_])
        order = np.argsort(event)
        yield MemoryProfile(base=base, time=event[order] // 2, live=np.cumsum(change[order]))
