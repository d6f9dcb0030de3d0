"""Local search for small delays at a fixed period: assignments and priorities, decoded and retimed.

Simulated annealing over two things: which processor runs a copy (moves and swaps that keep every
load within the period) and the priorities of modulo list scheduling. Each candidate is decoded to
a feasible schedule, so only the objective guides the search.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from spikepipe_sched.check import violations
from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.decode import Decoder, schedule_of
from spikepipe_solvers.finish import objective_key
from spikepipe_solvers.lists import upward_rank
from spikepipe_solvers.retime import retime

#: Called with every new best schedule.
OnBest = Callable[[Schedule], None]


class DelaySearch:
    """Candidates at one period, and the best of them that passes the check."""

    def __init__(self, problem: Problem, period: int, seed: int, on_best: OnBest | None = None) -> None:
        self.problem, self.period = problem, period
        self.decoder = Decoder(problem)
        self.random = random.Random(seed)
        self.rank = upward_rank(problem)
        self.on_best = on_best
        self.best: tuple[tuple[int, ...], Schedule] | None = None

    def consider(self, processor: list[int], priority: list[float]) -> tuple[int, ...] | None:
        """Decode, retime and judge one candidate; its objective, or None if a limit is violated."""
        start = self.decoder.fixed(self.period, processor, self.decoder.sequence(priority))
        schedule = retime(self.problem, schedule_of(processor, start, self.period)).normalised()
        if violations(self.problem, schedule):
            return None
        key = objective_key(self.problem, schedule)
        if self.best is None or key < self.best[0]:
            self.best = (key, schedule)
            if self.on_best is not None:
                self.on_best(schedule)
        return key

    def starts(self, balanced: list[int]) -> list[list[int]]:
        """Assignments to begin with: the balanced one, and one that follows the data."""
        found = self.decoder.greedy(self.period, self.decoder.sequence(self.rank))
        return [balanced] if found is None else [found[0], balanced]

    def run(self, processor: list[int], clock: Clock, iterations: int) -> None:
        """Anneal from an assignment until the clock or the iterations run out."""
        decoder, period, rng = self.decoder, self.period, self.random
        n, count = len(processor), len(self.problem.processors)
        load = [0] * count
        for v, p in enumerate(processor):
            load[p] += decoder.duration[v][p]
        if max(load) > period:
            return
        priority = list(self.rank)
        scale = max(self.rank) or 1.0
        current = self.consider(processor, priority)
        for step in range(iterations):
            if clock.expired():
                return
            temperature = 0.5 * (1.0 - step / iterations)
            trial, ranks = list(processor), priority
            totals = list(load)
            if rng.random() < 0.35:
                ranks = list(priority)
                for _ in range(rng.randint(1, 3)):
                    v = rng.randrange(n)
                    ranks[v] = self.rank[v] + rng.gauss(0.0, 0.15) * scale
            elif not self._reassign(trial, totals):
                continue
            key = self.consider(trial, ranks)
            if key is None:
                continue
            if current is None or key <= current or rng.random() < _chance(current, key, temperature):
                current, processor, load, priority = key, trial, totals, ranks

    def _reassign(self, processor: list[int], load: list[int]) -> bool:
        """Move one copy, or swap two, in place, within the loads; False if the draw does not fit."""
        rng, duration = self.random, self.decoder.duration
        v, p = rng.randrange(len(processor)), rng.randrange(len(load))
        q = processor[v]
        if p == q or duration[v][p] < 0:
            return False
        if load[p] + duration[v][p] <= self.period:
            load[p] += duration[v][p]
            load[q] -= duration[v][q]
            processor[v] = p
            return True
        others = [w for w, r in enumerate(processor) if r == p and duration[w][q] >= 0]
        rng.shuffle(others)
        for w in others:
            new_p = load[p] + duration[v][p] - duration[w][p]
            new_q = load[q] - duration[v][q] + duration[w][q]
            if new_p <= self.period and new_q <= self.period:
                load[p], load[q] = new_p, new_q
                processor[v], processor[w] = p, q
                return True
        return False


def _chance(current: tuple[int, ...], key: tuple[int, ...], temperature: float) -> float:
    """Probability of accepting a worse candidate, by the first level in which it is worse."""
    for a, b in zip(current, key, strict=True):
        if a != b:
            relative = (b - a) / max(1, a)
            return math.exp(-relative / (0.05 * temperature + 1e-9))
    return 1.0
