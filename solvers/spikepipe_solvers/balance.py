"""Load balancing: which processor runs which task, so that the largest load is least.

With unlimited delays this alone decides the period (P||C_max on like processors, R||C_max on
unlike ones). Two constructions compete: longest processing time first (Graham 1969,
doi:10.1137/0117039) and MULTIFIT (Coffman, Garey and Johnson 1978, doi:10.1137/0207001). On unlike
processors a linear programme first settles which class runs what (after Lenstra, Shmoys and Tardos
1990, doi:10.1007/BF01585745). Moves and swaps that lower the fullest processor improve each of them.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array

from spikepipe_solvers.clock import Clock
from spikepipe_solvers.kernel import Kernel

Ints = NDArray[np.int64]

#: Stands for the cycles of a task on a processor that cannot run it.
FAR = int(np.iinfo(np.int64).max // 4)
#: Products of tasks and processors from which compiled kernels pay for being loaded.
LARGE = 50_000
#: Kinds of equal tasks whose swaps are all compared; of more, so many of evenly spread lengths.
KINDS = 400
#: Most pairs of a kind and a class in the linear programme (a second or so).
SHARES = 20_000
#: Deterministic work of comparing two kinds, and of one decision of a construction (about seconds).
PAIR_WORK, FIT_WORK = 1e-8, 2e-8


def loads(duration: Ints, processor: Ints) -> Ints:
    """(P,) Cycles on every processor."""
    load = np.zeros(duration.shape[1], dtype=np.int64)
    np.add.at(load, processor, duration[np.arange(len(processor)), processor])
    return load


def largest_load(duration: Ints, processor: Ints) -> int:
    """Cycles on the fullest processor."""
    return int(loads(duration, processor).max())


def own(array: NDArray[Any], *, fast: bool) -> Any:
    """A copy of an array in the form that kernels read and write quickest: itself compiled, a list in plain Python."""
    whole = np.array(array, dtype=np.int64)
    return whole if fast else whole.tolist()


@Kernel
def _greedy(order: Any, cycles: Any, count: int, load: Any, processor: Any) -> None:
    """Each task where it would end first."""
    for v in order:
        best, least = 0, load[0] + cycles[v * count]
        for p in range(1, count):
            end = load[p] + cycles[v * count + p]
            if end < least:
                best, least = p, end
        processor[v] = best
        load[best] = least


@Kernel
def _first_fit(order: Any, cycles: Any, preferred: Any, count: int, capacity: int, load: Any, processor: Any) -> bool:
    """Each task on the first processor of its own ranking that has room; False if one fits nowhere."""
    for p in range(count):
        load[p] = 0
    for v in order:
        found = False
        for i in range(v * count, v * count + count):
            p = preferred[i]
            if load[p] + cycles[v * count + p] <= capacity:
                load[p] += cycles[v * count + p]
                processor[v] = p
                found = True
                break
        if not found:
            return False
    return True


def longest_first(duration: Ints) -> Ints:
    """(N,) Longest tasks first, each where it would end first; -1 durations are impossible.

    On like processors at most (4 - 1 / P) / 3 times the least largest load.
    """
    (n, count), fast = duration.shape, duration.size >= LARGE
    cycles = np.where(duration < 0, FAR, duration)
    order = np.argsort(-cycles.min(axis=1), kind="stable")
    processor = own(np.zeros(n), fast=fast)
    _greedy.pick(fast=fast)(own(order, fast=fast), own(cycles.ravel(), fast=fast), count, own(np.zeros(count), fast=fast), processor)
    return np.array(processor, dtype=np.int64)


def multifit(duration: Ints, enough: int | None = None) -> Ints:
    """(N,) The least capacity at which first fit decreasing succeeds, by bisection.

    On like processors at most 13/11 times the least largest load (Yue 1990,
    doi:10.1007/BF02248591), rounded up. On unlike ones every task tries its fastest processors first.

    Parameters
    ----------
    enough
        A largest load that is known to be possible; `longest_first` gives one.
    """
    (n, count), fast = duration.shape, duration.size >= LARGE
    cycles = np.where(duration < 0, FAR, duration)
    shortest = cycles.min(axis=1)
    best = longest_first(duration)
    high = min(largest_load(duration, best), enough if enough is not None else FAR)
    low = max(int(shortest.max()), -(-int(shortest.sum()) // count)) - 1  # too little, or as good as can be
    order = own(np.argsort(-shortest, kind="stable"), fast=fast)
    preferred = own(np.argsort(cycles, axis=1, kind="stable").ravel(), fast=fast)
    flat, load, processor = own(cycles.ravel(), fast=fast), own(np.zeros(count), fast=fast), own(np.zeros(n), fast=fast)
    first_fit = _first_fit.pick(fast=fast)
    while high - low > 1:
        middle = (low + high) // 2
        if first_fit(order, flat, preferred, count, middle, load, processor):
            best = np.array(processor, dtype=np.int64)
            high = largest_load(duration, best)
        else:
            low = middle
    return best


def settle_classes(duration: Ints, most: int) -> Ints | None:
    """(N, P) The durations, impossible wherever the linear programme does not run a task.

    It minimises the largest load of tasks that may be split, kinds of equal tasks against classes of
    like processors, without the durations above ``most``; a vertex splits few kinds, and of those
    only whole tasks are settled. None: nothing fits, or the programme is too large.
    """
    classes, member, size = np.unique(duration, axis=1, return_inverse=True, return_counts=True)
    kinds, kind, number = np.unique(classes, axis=0, return_inverse=True, return_counts=True)
    member, kind = member.ravel(), kind.ravel()
    t, c = np.nonzero((kinds >= 0) & (kinds <= most))
    shares, count = np.arange(len(t)), len(size)
    if len(t) > SHARES:
        return None
    scale = float(kinds.max()) or 1.0
    # Variables: how many of kind t run on class c, and the load of a processor.
    all_run = coo_array((np.ones(len(t)), (t, shares)), shape=(len(kinds), len(t) + 1))
    row, column = np.concatenate([c, np.arange(count)]), np.concatenate([shares, np.full(count, len(t))])
    fits = coo_array((np.concatenate([kinds[t, c] / scale, -size.astype(float)]), (row, column)), shape=(count, len(t) + 1))
    solution = linprog(
        np.concatenate([np.zeros(len(t)), [1.0]]),
        A_ub=cast("Any", fits.tocsr()),  # the stubs know no sparse matrices
        b_ub=np.zeros(count),
        A_eq=cast("Any", all_run.tocsr()),
        b_eq=number.astype(float),
        method="highs-ds",  # the simplex method ends at a vertex
    )
    if solution.x is None:
        return None
    whole = np.zeros(kinds.shape, dtype=np.int64)
    whole[t, c] = np.floor(np.asarray(solution.x)[:-1] + 1e-6).astype(np.int64)
    by_kind = np.argsort(kind, kind="stable")
    place = np.empty(len(kind), dtype=np.int64)  # of a task among its equals
    place[by_kind] = np.arange(len(kind)) - np.repeat(np.cumsum(number) - number, number)
    home = (place[:, None] >= np.cumsum(whole, axis=1)[kind]).sum(axis=1)  # as many as there are classes: split
    return np.where((member == home[:, None]) | (home == count)[:, None], duration, -1)


def improve(duration: Ints, processor: Ints, rounds: int = 2000, clock: Clock | None = None, enough: int = 0) -> Ints:
    """Move a task off the fullest processor, or swap it for a shorter one, while that lowers the pair's larger load.

    Equal tasks are told apart by nothing, so a round compares kinds of them; it ends at a largest load of ``enough``.
    """
    processor = processor.copy()
    kinds, kind = np.unique(duration, axis=0, return_inverse=True)
    kind = kind.ravel()
    number = np.zeros(kinds.shape, dtype=np.int64)  # of a kind on a processor
    np.add.at(number, (kind, processor), 1)
    load = loads(duration, processor)
    cycles = np.where(kinds < 0, FAR, kinds)
    by_length = np.argsort(cycles.min(axis=1), kind="stable")

    def present(p: int) -> Ints:
        some = by_length[(number[by_length, p] > 0) & (kinds[by_length, p] > 0)]
        return some if len(some) <= KINDS else some[np.linspace(0, len(some) - 1, KINDS).astype(np.int64)]

    for _ in range(rounds):
        full = int(load.argmax())
        if int(load[full]) <= enough or (clock is not None and clock.expired()):
            break
        best: tuple[int, int, int, int] | None = None  # new larger load of the pair, kind out, processor, kind back in
        mine = present(full)
        for p in range(len(load)):
            if p == full or not len(mine):
                continue
            theirs = present(p)
            back = np.concatenate([[0], cycles[theirs, full]])  # 0: a move without a swap
            gone = np.concatenate([[0], cycles[theirs, p]])
            new_full = load[full] - cycles[mine, full][:, None] + back[None, :]
            new_other = load[p] + cycles[mine, p][:, None] - gone[None, :]
            larger = np.maximum(new_full, new_other)
            i, j = np.unravel_index(int(larger.argmin()), larger.shape)
            candidate = (int(larger[i, j]), int(mine[i]), p, -1 if j == 0 else int(theirs[j - 1]))
            best = candidate if best is None or candidate < best else best
            if clock is not None:
                clock.spend(larger.size * PAIR_WORK)
        if best is None or best[0] >= load[full]:
            break
        _, out, p, back_in = best
        moved = [(out, full, p)] + ([(back_in, p, full)] if back_in >= 0 else [])
        chosen = [int(np.flatnonzero((kind == k) & (processor == source))[0]) for k, source, _ in moved]
        for v, (k, source, target) in zip(chosen, moved, strict=True):
            processor[v] = target
            number[k, source] -= 1
            number[k, target] += 1
            load[source] -= kinds[k, source]
            load[target] += kinds[k, target]
    return processor


def balance(duration: Ints, clock: Clock | None = None) -> Ints:
    """(N,) A well balanced assignment: the best of the constructions, each improved while the clock allows."""
    count = duration.shape[1]
    shortest = np.where(duration < 0, FAR, duration).min(axis=1)
    least = max(int(shortest.max()), -(-int(shortest.sum()) // count))  # no largest load is below
    best = improve(duration, longest_first(duration), clock=clock, enough=least)

    def compete(tables: list[Ints | None], best: Ints) -> Ints:
        for table in tables:
            for construct in (multifit, longest_first):
                if table is None or largest_load(duration, best) == least or (clock is not None and clock.expired()):
                    return best
                if clock is not None:
                    clock.spend(duration.size * FIT_WORK)
                other = improve(duration, construct(table), clock=clock, enough=least)
                best = min((best, other), key=lambda processor: largest_load(duration, processor))
        return best

    best = compete([duration], best)
    if (duration == duration[:, :1]).all():
        return best
    return compete([settle_classes(duration, largest_load(duration, best))], best)
