"""Local search over sequences and homes, a step at a time, each judged by placing all copies anew.

Late acceptance (Burke and Bykov, doi:10.1016/j.ejor.2016.07.012): a step stays that is no worse than the
current sequence, or than the one so many steps before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spikepipe_solvers.kernel import Kernel
from spikepipe_solvers.sequences.decode import Jobs, replay
from spikepipe_solvers.sequences.memory import Held, Tensors, no_live

#: Percent of the steps that move a task to another processor, let two change places, and move several micro-batches of a task at once.
MOVES, SWAPS, BLOCKS = 15, 15, 25
#: Most copies passed in a step, and in one of five.
NEAR, FAR = 3, 20
#: What a cycle of the makespan is worth in cycles of the mean start.
SHARP = 4


@Kernel
def shift(jobs: Jobs, sequence: Any, position: Any, home: Any, v: int, step: int, hops: int) -> bool:
    """Move v behind (``step`` 1) or before (-1) so many copies of its processor, as far as its neighbours in the graph allow; whether it passed one."""
    i, p, passed = position[v], home[jobs.task[v]], 0
    last = len(sequence) - 1 if step > 0 else 0
    if step > 0:
        for e in range(jobs.ptr_out[v], jobs.ptr_out[v + 1]):
            last = min(last, position[jobs.other_out[e]] - 1)
    else:
        for e in range(jobs.ptr[v], jobs.ptr[v + 1]):
            last = max(last, position[jobs.other[e]] + 1)
    j, k = i, i
    while k != last and passed < hops:
        k += step
        if home[jobs.task[sequence[k]]] == p:
            passed += 1
            j = k
    while i != j:
        sequence[i] = sequence[i + step]
        position[sequence[i]] = i
        i += step
    sequence[j], position[v] = v, j
    return passed > 0


@Kernel
def relocate(jobs: Jobs, home: Any, t: int, u: int, p: int, swap: bool) -> bool:
    """Move task t to processor p, or let it change processors with task u, where they can run; whether anything changed."""
    q = home[u] if swap else p
    if q == home[t] or jobs.cycles[t, jobs.kind[q]] < 0:
        return False
    if swap:
        if jobs.cycles[u, jobs.kind[home[t]]] < 0:
            return False
        home[u] = home[t]
    home[t] = q
    return True


@Kernel
def copied(source: Any, target: Any) -> None:
    """Into ``target`` (n,); a loop compiles much faster than a slice."""
    for i in range(len(source)):
        target[i] = source[i]


@Kernel
def late_acceptance(
    steps: int,
    seed: int,
    late: int,
    early: bool,
    target: int,
    jobs: Jobs,
    tensors: Tensors,
    held: Held,
    first: Any,
    able: Any,
    sequence: Any,
    home: Any,
    start: Any,
) -> int:
    """The least makespan found, -1 if the sequence itself does not fit; ``sequence``, ``home`` and ``start`` become its.

    Parameters
    ----------
    seed
        Of a Park-Miller generator (doi:10.1145/63039.63042), 1 to 2^31 - 2: the same numbers in plain Python.
    late
        How many steps back the comparison goes.
    early
        Whether of two equal makespans the one of earlier starts is better.
    target
        A makespan that ends the search.
    first, able
        (T + 1,) Where the copies of each task begin; (T,) how many processors can run it.
    """
    n, tasks, count, x = len(sequence), len(first) - 1, len(jobs.kind), seed
    live = no_live(tensors, held)
    now, end, free = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(count, np.int64)
    current, spot, trial, where = sequence.copy(), home.copy(), sequence.copy(), home.copy()
    position = np.empty(n, np.int32)
    for i in range(n):
        position[trial[i]] = i
    best = replay(jobs, tensors, held, live, trial, where, now, end, free)
    if best < 0:
        return -1
    copied(now, start)
    energy = SHARP * n * best + (now.sum() if early else 0)
    history = np.full(late, energy)
    for turn in range(steps):
        x = x * 48271 % 2147483647
        what = x % 100
        x = x * 48271 % 2147483647
        v = x % n
        t = jobs.task[v]
        x = x * 48271 % 2147483647
        step, hops = 1 - 2 * (x % 2), 1 + x // 2 % (FAR if x // 64 % 5 == 0 else NEAR)
        x = x * 48271 % 2147483647
        if able[t] > 1 and what < MOVES + SWAPS:
            changed = relocate(jobs, where, t, x // count % tasks, x % count, what < SWAPS)
        elif what < MOVES + SWAPS + BLOCKS:  # all micro-batches, or those from this one on; the leading ones first
            changed, begin = False, first[t] if x % 2 == 0 else v
            for i in range(begin, first[t + 1]):
                w = first[t + 1] - 1 - (i - begin) if step > 0 else i
                if shift(jobs, trial, position, where, w, step, hops):
                    changed = True
        else:
            changed = shift(jobs, trial, position, where, v, step, hops)
        slot = turn % late
        if changed:
            makespan = replay(jobs, tensors, held, live, trial, where, now, end, free)
            value = SHARP * n * makespan + (now.sum() if early else 0)
            if makespan >= 0 and (value <= energy or value <= history[slot]):
                energy = value
                copied(trial, current)
                copied(where, spot)
                if makespan < best:
                    best = makespan
                    copied(now, start)
                    copied(trial, sequence)
                    copied(where, home)
                    if best <= target:
                        break
            else:
                copied(current, trial)
                copied(spot, where)
                for i in range(n):
                    position[trial[i]] = i
        history[slot] = energy
    return best
