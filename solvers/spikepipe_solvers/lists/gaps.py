"""The idle time of every processor between the tasks placed so far.

Gaps of one processor are sorted by time and lie next to each other in a shared arena; a
processor that runs out of room moves to a place twice as large. A processor never has more gaps than
tasks, so an arena of four times the tasks is always enough.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikepipe_solvers.kernel import Kernel

#: Gaps a processor has room for at first.
ROOM = 4


class Gaps(NamedTuple):
    """``begin``, ``end`` (arena,) of gaps; ``at``, ``held``, ``room`` (P,) where each processor's lie.

    ``free`` (P,) the time from which a processor is idle for good; ``top`` (1,) the used part of
    the arena.
    """

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    at: NDArray[np.int64]
    held: NDArray[np.int64]
    room: NDArray[np.int64]
    free: NDArray[np.int64]
    top: NDArray[np.int64]


@Kernel
def no_gaps(n: int, processors: int) -> Gaps:
    """All processors idle, with room for ``n`` tasks."""
    size = ROOM * (n + processors)
    return Gaps(
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.arange(processors) * ROOM,
        np.zeros(processors, np.int64),
        np.full(processors, ROOM),
        np.zeros(processors, np.int64),
        np.full(1, processors * ROOM),
    )


@Kernel
def find_gap(gaps: Gaps, p: int, ready: int, cycles: int) -> int:
    """Index of the first gap of p that can take ``cycles`` from ``ready`` on; the index after the last if none can."""
    low, high = gaps.at[p], gaps.at[p] + gaps.held[p]
    last = high
    while low < high:  # ends are sorted: skip the gaps that end too early
        middle = (low + high) // 2
        if gaps.end[middle] < ready + cycles:
            low = middle + 1
        else:
            high = middle
    while low < last and gaps.end[low] - cycles < gaps.begin[low]:
        low += 1
    return low


@Kernel
def gap_start(gaps: Gaps, p: int, gap: int, ready: int) -> int:
    """Earliest start in what `find_gap` returned."""
    begin = gaps.begin[gap] if gap < gaps.at[p] + gaps.held[p] else gaps.free[p]
    return max(ready, begin)


@Kernel
def take_gap(gaps: Gaps, p: int, gap: int, start: int, stop: int, shortest: int) -> None:
    """Occupy p from ``start`` to ``stop`` in gap ``gap``; what remains is kept where ``shortest`` fits in."""
    last = gaps.at[p] + gaps.held[p]
    if gap == last:
        begin, end = gaps.free[p], start  # the part before the task is a new gap, if any
        gaps.free[p] = stop
        left, right = end - begin >= shortest, False
    else:
        begin, end = gaps.begin[gap], gaps.end[gap]
        left, right = start - begin >= shortest, end - stop >= shortest
        if not left and not right:
            for i in range(gap + 1, last):
                gaps.begin[i - 1] = gaps.begin[i]
                gaps.end[i - 1] = gaps.end[i]
            gaps.held[p] -= 1
            return
        if not left:
            gaps.begin[gap] = stop
            return
        if not right:
            gaps.end[gap] = start
            return
    if not left:
        return
    if gaps.held[p] == gaps.room[p]:
        old, new = gaps.at[p], gaps.top[0]
        for i in range(gaps.held[p]):
            gaps.begin[new + i] = gaps.begin[old + i]
            gaps.end[new + i] = gaps.end[old + i]
        gaps.at[p] = new
        gaps.room[p] *= 2
        gaps.top[0] += gaps.room[p]
        gap += new - old
        last += new - old
    for i in range(last, gap, -1):
        gaps.begin[i] = gaps.begin[i - 1]
        gaps.end[i] = gaps.end[i - 1]
    gaps.held[p] += 1
    gaps.begin[gap] = begin
    gaps.end[gap] = start
    if right:
        gaps.begin[gap + 1] = stop
        gaps.end[gap + 1] = end


@Kernel
def copy_gaps(to: Gaps, gaps: Gaps) -> None:
    """Make ``to`` equal to ``gaps``."""
    to.top[0] = gaps.top[0]
    to.begin[: gaps.top[0]] = gaps.begin[: gaps.top[0]]
    to.end[: gaps.top[0]] = gaps.end[: gaps.top[0]]
    to.at[:] = gaps.at
    to.held[:] = gaps.held
    to.room[:] = gaps.room
    to.free[:] = gaps.free
