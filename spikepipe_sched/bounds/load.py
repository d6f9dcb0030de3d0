"""Load of intervals: work that must fall between two times needs processors enough.

After Fernandez and Bussell, Bounds on the number of processors and time for multiprocessor optimal
schedules, IEEE Trans. Computers C-22(8), 1973, doi:10.1109/TC.1973.5009153.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.bounds.heads import NEVER

if TYPE_CHECKING:
    from spikepipe_sched.bounds.heads import Graph

Ints = NDArray[np.int64]

#: Tasks times interval ends that are looked at in one round: all heads of up to 447 tasks.
MOST_CELLS: Final = 200_000
#: Cells that are worked on at once, to stay in the cache.
CHUNK: Final = 2**16
#: Most sets of classes, by what tasks can run on, and most rounds of raising the length.
MOST_SETS, MOST_ROUNDS = 8, 20


def load_length(graph: Graph, head: Ints, tail: Ints, length: int, most_cells: int = MOST_CELLS) -> int:
    """Least length, at least ``length``, at which no interval is overloaded.

    ``head`` (N, C): earliest starts; ``tail`` (N, C): least time from the end of a task to the end of
    everything; the length is that of everything, and must not be below any head + cycles + tail.

    All tasks that can run on no class outside a set compete for the processors of that set, at every
    time one per processor (two tasks of zero cycles may meet, but they are no work). So every set of
    classes some task is confined to is looked at with the tasks that are confined to it. With the
    least head, cycles and tail of all its classes a task is no harder to place than on the one it gets.
    Tasks of one ``group`` compete for one processor.
    """
    first, last, cycles = head.min(axis=1), tail.min(axis=1), graph.fastest
    length = max(length, _alone(graph.group, first, cycles, last))
    for classes, tasks in _confined(graph.cycles >= 0):
        count = int(graph.processors[classes].sum())
        if count < tasks.sum():
            length = max(length, _at_the_ends(graph.group[tasks], first[tasks], cycles[tasks], last[tasks], count, length))
            length = _raise(first[tasks], cycles[tasks], last[tasks], count, length, most_cells)
    return length


def _confined(able: NDArray[np.bool_]) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Sets of classes (C,), and the tasks (N,) that can run on no other: all classes in use, and the most frequent sets."""
    used: NDArray[np.bool_] = np.any(able, axis=0)
    everything = np.ones(len(able), dtype=np.bool_)
    if able[:, used].all():
        return [(used, everything)]
    sets, which, counts = np.unique(able, axis=0, return_inverse=True, return_counts=True)
    confined = [(used, everything)]
    for i in np.argsort(-counts, kind="stable")[:MOST_SETS].tolist():
        classes: NDArray[np.bool_] = sets[i]
        within: NDArray[np.bool_] = np.logical_not(np.any(sets & ~classes, axis=1))
        confined.append((classes, within[which.reshape(-1)]))
    return confined


def _alone(group: Ints, head: Ints, cycles: Ints, tail: Ints) -> int:
    """Largest need of a group that shares one processor.

    The tasks of a group that start at r or later take r plus their cycles plus the least of
    their tails: r runs over their heads. Those of zero cycles add nothing to that.
    """
    order = np.lexsort((-head, group))  # within a group, the latest first
    group, head, cycles, tail = group[order], head[order], cycles[order], tail[order]
    total = np.cumsum(cycles)
    opens = np.concatenate([[True], group[1:] != group[:-1]])
    before = np.maximum.accumulate(np.where(opens, total - cycles, 0))  # work of the groups before
    rank = np.cumsum(opens)
    # The running least within each group: later groups are moved down beyond all tails of earlier ones.
    step = int(tail.max()) - int(tail.min()) + 1
    if step * int(rank[-1]) >= NEVER:
        return int((head + cycles + tail).max())
    least = np.minimum.accumulate(tail - step * rank) + step * rank
    return int((head + total - before + least).max())


def _at_the_ends(group: Ints, head: Ints, cycles: Ints, tail: Ints, processors: int, length: int) -> int:
    """Least length for all work, as processors begin and end with different tasks.

    Of the groups, which have one processor each, let h_k be the k-th least head and t_k the k-th least tail. The first
    tasks of u processors in use belong to u different groups, and so do the last ones: those processors do none of this work
    for h_1 + ... + h_u cycles before and t_1 + ... + t_u after. Each of the others does none in all the length, which is
    at least ``length``. So in the sum over all processors the length leaves min(h_k + t_k, ``length``) idle for every k.
    Tasks of zero cycles are no work.
    """
    some = cycles > 0
    _, which = np.unique(group[some], return_inverse=True)
    ends = np.full((2, int(which.max(initial=-1)) + 1), NEVER)
    np.minimum.at(ends[0], which, head[some])
    np.minimum.at(ends[1], which, tail[some])
    idle = np.sort(ends, axis=1)[:, :processors].sum(axis=0)
    return -(-int(cycles[some].sum() + np.minimum(idle, length).sum()) // processors)


def _raise(head: Ints, cycles: Ints, tail: Ints, processors: int, length: int, most_cells: int) -> int:
    """Raise the length by what the most overloaded interval lacks, until none is.

    If the tasks overlap [a, b] by W > processors * (b - a) cycles at length T, then at length T + x
    they overlap [a, b + x] by W or more, as their latest ends move with b: x must be at least
    W / processors - (b - a), for that interval to hold its load. Any selection of intervals is
    valid; the starts are heads of tasks (and, mirrored, the ends are tails), for each of which the
    worst other end is found exactly.
    """
    for _ in range(MOST_ROUNDS):
        lack = max(_lack(head, cycles, tail, processors, length, most_cells), _lack(tail, cycles, head, processors, length, most_cells))
        if lack <= 0:
            break
        length += -(-lack // processors)
        if len(head) > most_cells // 2:  # a further round would gain little
            break
    return length


def _lack(head: Ints, cycles: Ints, tail: Ints, processors: int, length: int, most_cells: int) -> int:
    """Largest W(a, b) - processors * (b - a) over starts a among the heads, and all ends b.

    A task overlaps [a, b] least where it starts as early or ends as late as it may:
    min(c, b - a, head + c - a, b - (length - tail - c)), not below 0. As a function of b that is a ramp
    of slope 1 from max(a, latest start) on, up to min(c, head + c - a). The sum of the ramps is largest
    against a straight line where one of them ends.
    """
    starts = np.unique(head)
    most = max(2, most_cells // len(head))
    if len(starts) > most:
        starts = starts[np.linspace(0, len(starts) - 1, most).astype(np.int64)]
    latest, worst = length - tail - cycles, 0
    rows = max(1, CHUNK // len(head))
    for i in range(0, len(starts), rows):
        a = starts[i : i + rows, None]
        height = np.clip(head + cycles - a, 0, cycles)  # (rows, N); 0: may be over by a
        begin = np.maximum(a, latest)
        time = np.concatenate([begin, begin + height], axis=1)
        order = np.argsort(time, axis=1)
        time = np.take_along_axis(time, order, axis=1)
        slope = np.cumsum(np.where(order < len(head), 1, -1), axis=1)
        work = np.cumsum(slope[:, :-1] * np.diff(time, axis=1), axis=1)  # never more than all work: no overflow
        worst = max(worst, int((work - processors * (time[:, 1:] - a)).max()))
    return worst
