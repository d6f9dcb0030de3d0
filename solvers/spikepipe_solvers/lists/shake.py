"""Local search in the sequence of a list schedule: some copies of a stretch change places, the stretch is placed anew.

Copies keep their processors except those that moved and some of their neighbours, which go where they
end first. What lies before the stretch is placed once for many tries.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spikepipe_solvers.kernel import Kernel
from spikepipe_solvers.lists.gaps import copy_gaps, no_gaps
from spikepipe_solvers.lists.graph import Indices, Ints
from spikepipe_solvers.lists.placement import place_some


@Kernel
def shake(
    tries: int,
    seed: int,
    first: int,
    until: int,
    width: int,
    reach: int,
    moves: int,
    freed: int,
    sequence: Indices,
    task: Any,
    ptr: Indices,
    other: Indices,
    lag: Ints,
    transfer: Ints,
    ptr_out: Indices,
    other_out: Indices,
    cycles: Any,
    kind: Any,
    shortest: int,
    home: Any,
    processor: Any,
    start: Any,
) -> None:
    """Try to place ``sequence[first:until]`` better, a stretch of ``width`` copies after the other; keeps what is no worse.

    A try is judged by placing ``reach`` more copies behind the stretch: by the sum of the times at which
    processors become free, or the makespan where the sequence ends, and then by the sum of starts.

    Parameters
    ----------
    tries
        For each stretch.
    seed
        Of a Park-Miller generator (doi:10.1145/63039.63042), 1 to 2^31 - 2: the same numbers in plain Python.
    moves
        Most copies that move in a try, each to any place in the stretch that its neighbours in the graph allow.
    freed
        Percent of the other copies of the stretch that may change processors.
    sequence, home
        (N,) A topological order and (T,) the processor of every task; in: to start from, out: the best found.
    processor, start
        (N,) Out: where and when; what lies behind ``until`` is not up to date.
    """
    n, count, x = len(task), len(kind), seed
    none = np.empty((0, cycles.shape[1]), np.int64)
    gaps, base, end = no_gaps(n, count), no_gaps(n, count), np.zeros(n, np.int64)
    pinned, position = np.zeros(len(home), np.int8), np.empty(n, np.int32)
    trial, where = sequence.copy(), home.copy()
    for i in range(n):
        position[sequence[i]] = i
    processor[:] = -1
    done = 0  # copies that are placed for good
    while first < until:
        place_some(sequence, done, first, base, end, task, ptr, other, lag, transfer, cycles, kind, shortest, none, True, home, processor, start)
        for i in range(done, first):
            pinned[task[sequence[i]]] = 1
        last = min(first + width, until)
        stop, done = min(last + reach, n), first
        least, least_sum = -1, 0
        for turn in range(tries + 1):
            for i in range(first, stop):
                processor[sequence[i]] = -1
                where[task[sequence[i]]] = home[task[sequence[i]]]
            if turn > 0:  # the first try is what there was
                x = x * 48271 % 2147483647
                for _ in range(1 + x % moves):
                    x = x * 48271 % 2147483647
                    i = first + x % (last - first)
                    v = trial[i]
                    low, high = first, last - 1
                    for e in range(ptr[v], ptr[v + 1]):
                        low = max(low, position[other[e]] + 1)
                    for e in range(ptr_out[v], ptr_out[v + 1]):
                        high = min(high, position[other_out[e]] - 1)
                    x = x * 48271 % 2147483647
                    j = low + x % (high - low + 1)
                    step = 1 if i < j else -1
                    while i != j:
                        trial[i] = trial[i + step]
                        position[trial[i]] = i
                        i += step
                    trial[j] = v
                    position[v] = j
                    if not pinned[task[v]]:
                        where[task[v]] = -1
                if freed > 0:
                    for i in range(first, last):
                        x = x * 48271 % 2147483647
                        if x % 100 < freed and not pinned[task[trial[i]]]:
                            where[task[trial[i]]] = -1
            copy_gaps(gaps, base)
            value = place_some(trial, first, stop, gaps, end, task, ptr, other, lag, transfer, cycles, kind, shortest, none, True, where, processor, start)
            total = 0
            for i in range(first, stop):
                total += start[trial[i]]
            if stop < n:
                value = gaps.free.sum()
            if least < 0 or value < least or (value == least and total <= least_sum):
                least, least_sum = value, total
                for i in range(first, stop):
                    v = trial[i]
                    sequence[i], home[task[v]] = v, where[task[v]]
            else:
                for i in range(first, last):
                    trial[i] = sequence[i]
                    position[sequence[i]] = i
        for i in range(first, stop):
            processor[sequence[i]] = -1
        first = last
