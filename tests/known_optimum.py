"""Task graphs whose least makespan is known, because an optimal schedule was there first.

P processors are busy from 0 to T without a pause; random cuts make the tasks, and edges join only what
that schedule has in order, with time for the transfer. No schedule is shorter than the work over P
(the idea of Kwok and Ahmad's graphs with pre-determined optimal schedules, doi:10.1006/jpdc.1999.1578).
"""

from __future__ import annotations

import numpy as np

from spikepipe_sched.problem import Problem
from tests.arrays import array_problem

#: Mean cycles of a task.
MEAN = 50
#: Share of the edges that lead to one of the tasks that start next.
NEAR = 0.5


def known_optimum(n: int, processors: int, *, density: float, transfers: bool, unlike: bool = False, seed: int = 0) -> tuple[Problem, int]:
    """A problem and its least makespan.

    Parameters
    ----------
    n
        Tasks, at least one per processor.
    density
        Edges per task that are drawn; those that do not fit the schedule are dropped.
    transfers
        Whether edges carry bytes. Transfers between tasks of one processor may be longer than the time
        between them.
    unlike
        Whether every processor is of a class of its own: the others are slower or cannot run its tasks.
    """
    rng = np.random.default_rng(seed)
    length = MEAN * n // processors
    counts = np.full(processors, n // processors) + (np.arange(processors) < n % processors)
    cuts = [np.concatenate([[0], np.sort(rng.choice(np.arange(1, length), size=count - 1, replace=False)), [length]]) for count in counts.tolist()]
    start, end = np.concatenate([cut[:-1] for cut in cuts]), np.concatenate([cut[1:] for cut in cuts])
    where = np.repeat(np.arange(processors), counts)

    source = rng.integers(0, n, size=int(n * density))
    by_start = np.argsort(start, kind="stable")
    first = np.searchsorted(start[by_start], end[source])  # of the tasks that start when the source has ended, or later
    later = np.where(rng.random(len(source)) < NEAR, rng.integers(0, 2 * processors, size=len(source)), rng.integers(0, n, size=len(source)))
    fits = first + later < n
    source, target = source[fits], by_start[(first + later)[fits]]
    pairs = np.unique(source * n + target)
    source, target = pairs // n, pairs % n
    size = np.zeros(len(pairs), dtype=np.int64)
    if transfers:
        size = rng.integers(0, 2 * MEAN, size=len(pairs))
        slack = start[target] - end[source]
        size = np.where(where[source] == where[target], size, np.minimum(size, slack))

    cycles = (end - start)[:, None]
    if unlike:
        slower = np.ceil(cycles * rng.uniform(1, 3, size=(n, processors))).astype(np.int64)
        slower[rng.random((n, processors)) < 0.1] = -1
        slower[np.arange(n), where] = end - start
        cycles = slower
    names = rng.permutation(n)  # the order of the tasks must not give the schedule away
    shuffled = np.empty_like(cycles)
    shuffled[names] = cycles
    kinds = list(range(processors)) if unlike else [0] * processors
    return array_problem(shuffled, names[source], names[target], size, kinds, name="known optimum"), length
