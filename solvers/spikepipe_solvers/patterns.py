"""Load balancing on like processors by patterns: what one processor runs, as numbers of each kind of task.

Whether P processors suffice for a largest load C is a bin-packing question. Its linear programme over
patterns (Gilmore and Gomory 1961, doi:10.1287/opre.9.6.849) grows by the pattern of greatest value at
the current prices, a knapsack problem; if even fractions of patterns need more than P processors, no
schedule has a load of C. The least C that is not excluded so is a bound that is rarely missed by much:
whole numbers of the patterns met on the way mostly reach it within a thousandth. CP-SAT alone leaves
gaps of percents on the same problems.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from spikepipe_solvers.balance import largest_load, own
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.kernel import Kernel

Ints = NDArray[np.int64]

#: Prices are whole numbers of this part of a processor, so that a proof is exact.
UNIT = 2**30
#: Largest load times this is the precision of the bound.
PRECISION = 1e-5
#: Steps of a knapsack search, most patterns of one question, and most kinds of tasks.
STEPS, QUESTIONS, KINDS = 100_000, 300, 250
#: Kinds from which the compiled knapsack pays for being loaded.
LARGE = 14
#: Loads above the bound, as parts of it, at which whole patterns are looked for, and branches searched for them.
LOOSE, BRANCHES = (0.0, 2e-4, 1e-3, 2e-3, 4e-3, 8e-3), 500
#: Deterministic work (about seconds) of a linear programme per kind, and of a search for whole patterns.
PRICE_WORK, WHOLE_WORK = 1e-4, 0.1


@Kernel
def best_pattern(value: Any, length: Any, most: Any, capacity: int, steps: int, number: Any, best_number: Any) -> int:
    """Greatest value of a pattern within a capacity, by depth-first branch and bound; -1 if the steps run out.

    ``value``, ``length`` and ``most`` describe the kinds, those of most value per length first;
    ``best_number`` receives the pattern. After Horowitz and Sahni 1974, doi:10.1145/321812.321823.
    """
    n, best, room, total, depth = len(value), 0, capacity, 0, 0
    while True:
        while depth < n:
            steps -= 1
            if steps < 0:
                return -1
            bound, left, i = total, room, depth  # the rest may be filled with a fraction
            while i < n:
                take = min(most[i], left // length[i])
                bound += take * value[i]
                left -= take * length[i]
                if take < most[i]:
                    bound += left * value[i] // length[i]
                    break
                i += 1
            if bound <= best:
                break
            take = min(most[depth], room // length[depth])
            number[depth] = take
            total += take * value[depth]
            room -= take * length[depth]
            depth += 1
        if depth == n and total > best:
            best = total
            for i in range(n):
                best_number[i] = number[i]
        depth -= 1
        while depth >= 0 and number[depth] == 0:
            depth -= 1
        if depth < 0:
            return best
        number[depth] -= 1
        total -= value[depth]
        room += length[depth]
        depth += 1


@dataclass(slots=True)
class Patterns:
    """Kinds of tasks, longest first, and the patterns met so far.

    Attributes
    ----------
    length, number
        (K,) Cycles of a kind, and how many tasks are of it.
    columns
        (K,) each: how many of every kind.
    """

    length: Ints
    number: Ints
    processors: int
    clock: Clock
    columns: list[Ints]

    def within(self, capacity: int) -> Ints:
        """(K, x) The patterns whose load is at most ``capacity``."""
        table = np.unique(np.array(self.columns), axis=0).T
        return table[:, self.length @ table <= capacity]

    def excluded(self, capacity: int) -> bool:
        """Whether it is proven that no assignment has all loads within ``capacity``; False: open."""
        for _ in range(QUESTIONS):
            if self.clock.expired():
                return False
            self.clock.spend(len(self.length) * PRICE_WORK)
            table = self.within(capacity).astype(float)
            master = linprog(np.ones(table.shape[1]), A_ub=-table, b_ub=-self.number.astype(float), method="highs")
            if master.x is None or float(master.fun or 0.0) <= self.processors + 1e-9:
                return False
            price = np.maximum(0, np.rint(-np.asarray(master.ineqlin.marginals) * UNIT)).astype(np.int64)
            worth, pattern = self._dearest(price, capacity)
            # Every processor holds a pattern, worth at most ``worth``; all tasks together are worth more than P of them.
            if worth >= 0 and int((price * self.number).sum()) > self.processors * worth:
                return True
            if worth <= UNIT + len(price):  # no pattern would lower the programme's optimum
                return False
            self.columns.append(pattern)
        return False

    def _dearest(self, price: Ints, capacity: int) -> tuple[int, Ints]:
        """The greatest worth of a pattern (-1: unknown), and a pattern of it, filled up with what still fits."""
        fast = len(price) >= LARGE
        paid = np.flatnonzero(price)
        order = paid[np.argsort(-price[paid] / self.length[paid], kind="stable")]
        empty = np.zeros(len(order))
        number, best = own(empty, fast=fast), own(empty, fast=fast)
        kinds = [own(column[order], fast=fast) for column in (price, self.length, self.number)]
        search: Callable[..., int] = best_pattern.pick(fast=fast)
        worth = search(*kinds, capacity, STEPS, number, best)
        pattern = np.zeros(len(price), dtype=np.int64)
        pattern[order] = best
        room = capacity - int(self.length @ pattern)
        for kind, length in enumerate(self.length.tolist()):
            more = min(int(self.number[kind] - pattern[kind]), room // length)
            pattern[kind] += more
            room -= more * length
        return int(worth), pattern

    def whole(self, capacity: int) -> Ints | None:
        """(P, K) Patterns that cover all tasks with loads within ``capacity``, made of those met so far; None if none are found."""
        self.clock.spend(WHOLE_WORK)
        table = self.within(capacity)
        limit = {} if self.clock.deterministic else {"time_limit": max(0.05, self.clock.left())}
        found = milp(
            np.ones(table.shape[1]),
            constraints=LinearConstraint(table, lb=cast("Any", self.number)),
            integrality=np.ones(table.shape[1]),
            bounds=Bounds(0, self.processors),
            options=cast("Any", {"node_limit": BRANCHES, **limit}),
        )
        if found.x is None:
            return None
        times = np.rint(np.asarray(found.x)).astype(np.int64)
        return np.repeat(table.T, times, axis=0) if times.sum() <= self.processors and (table @ times >= self.number).all() else None


def pack(duration: Ints, processor: Ints, lower: int, clock: Clock) -> tuple[Ints, int]:
    """An assignment (N,) no worse than the given one, and a proven bound on the largest load, at least ``lower``.

    Unlike processors, and problems of very many kinds of tasks, come back as they are.
    """
    length, kind, number = np.unique(duration[:, 0], return_inverse=True, return_counts=True)
    like, busy = bool((duration == duration[:, :1]).all()), length > 0
    high, count = largest_load(duration, processor), duration.shape[1]
    if not like or not busy.any() or int(busy.sum()) > KINDS or high <= lower:
        return processor, lower
    held = np.zeros((count, len(length)), dtype=np.int64)
    np.add.at(held, (processor, kind.ravel()), 1)
    shown = np.flatnonzero(busy)[::-1]
    columns = [*np.eye(len(shown), dtype=np.int64), *held[:, shown]]
    patterns = Patterns(length=length[shown], number=number[shown], processors=count, clock=clock, columns=columns)
    low, top = max(lower, int(length[-1])), high
    while top - low > low * PRECISION and not clock.expired():  # loads below ``low`` are excluded, ``top`` is not
        middle = (low + top - 1) // 2
        low, top = (middle + 1, top) if patterns.excluded(middle) else (low, middle)
    if patterns.excluded(low):
        low += 1
    best = processor
    for slack in LOOSE:
        capacity = int(max(low, top) * (1 + slack))
        if capacity >= high or clock.expired():
            break
        patterns.excluded(capacity)  # meets the patterns that such a load allows
        chosen = patterns.whole(capacity)
        if chosen is not None:
            best = _assigned(processor, kind.ravel(), shown, chosen)
            break
    return best, low


def _assigned(processor: Ints, kind: Ints, shown: Ints, chosen: Ints) -> Ints:
    """(N,) An assignment that gives every processor its pattern, less what is covered twice."""
    assigned = processor.copy()
    for column, k in enumerate(shown.tolist()):
        tasks = np.flatnonzero(kind == k)
        assigned[tasks] = np.repeat(np.arange(len(chosen)), chosen[:, column])[: len(tasks)]
    return assigned
