"""Local search for small delays at a fixed period: assignments and priorities, decoded and retimed.

Simulated annealing over two things: which processor runs a copy (moves and swaps that keep every
load within the period) and the priorities of modulo list scheduling. Every candidate is decoded to a
schedule without overlaps, so only the objective guides the search. The energy is the sum of
delays plus a part of the same sum before rounding up, which leads across the plateaus of the integer
objective; candidates that come near the best are retimed and put to the checker.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable

from spikepipe_sched.check import layer_delays, violations
from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.decode import Decoder, schedule_of
from spikepipe_solvers.finish import objective_key
from spikepipe_solvers.links import with_links
from spikepipe_solvers.lists import upward_rank
from spikepipe_solvers.retime import retime

#: Called with every new best schedule.
OnBest = Callable[[Schedule], object]

#: Weight of the unrounded delays in the energy, and the annealing temperatures [iterations of delay].
SMOOTH, HOT, COLD = 0.4, 0.5, 0.02
#: Tries after which a search that could place nothing is given up.
TRIES = 40
#: Deterministic work of a step, per copy (about seconds).
STEP_WORK = 2e-5


class DelaySearch:
    """Candidates at one period, and the best of them that passes the check."""

    def __init__(self, problem: Problem, period: int, seed: int, on_best: OnBest | None = None) -> None:
        self.problem, self.period = problem, period
        self.decoder = Decoder(problem)
        self.random = random.Random(seed)
        self.rank = upward_rank(problem)
        self.on_best = on_best
        self.best: tuple[tuple[int, ...], Schedule] | None = None
        self.delay = 0  # of the best, summed over layers
        instance, kinds = problem.instance, problem.tasks.kinds
        self._delayed = [
            (u, v, layer, lag, transfer)
            for u, v, layer, lag, transfer in zip(
                *(a.tolist() for a in (instance.delay_source, instance.delay_target, instance.delay_layer, instance.delay_lag, instance.delay_transfer)),
                strict=True,
            )
            if problem.weights == "stash" or kinds[v] == "F"
        ]

    def energy(self, processor: list[int], start: list[int]) -> float:
        """Sum of delays as decoded, before retiming, partly smoothed."""
        late: dict[int, int] = {}
        duration = self.decoder.duration
        for u, v, layer, lag, transfer in self._delayed:
            p = processor[u]
            wait = start[u] + duration[u][p] + lag + (transfer if processor[v] != p else 0) - start[v]
            if wait > late.get(layer, 1):
                late[layer] = wait
        whole = sum(-(-wait // self.period) for wait in late.values())
        return whole + SMOOTH * sum(late.values()) / self.period

    def judge(self, processor: list[int], start: list[int]) -> None:
        """Retime and check a candidate; keep it if it is the best."""
        schedule = with_links(self.problem, retime(self.problem, schedule_of(processor, start, self.period)).normalised())
        if schedule is None or violations(self.problem, schedule):
            return
        key = objective_key(self.problem, schedule)
        if self.best is None or key < self.best[0]:
            self.best = (key, schedule)
            self.delay = int(layer_delays(self.problem, schedule)[0].sum())
            if self.on_best is not None:
                self.on_best(schedule)

    def follow_data(self, clock: Clock, steps: int, target: int | None = None) -> None:
        """Anneal over priorities; every task goes where it ends first.

        This finds far smaller delays than a given assignment does, but where the period leaves little idle
        time the packing mostly gets stuck: if none of the first tries fits, it is given up.
        """
        decoder, rng = self.decoder, self.random
        scale, n = max(self.rank) or 1.0, len(self.rank)
        priority, current, lowest = list(self.rank), math.inf, math.inf
        for step in range(steps):
            if clock.expired() or self._reached(target) or (step == TRIES and lowest == math.inf):
                return
            clock.spend(n * STEP_WORK)
            ranks = list(priority)
            for _ in range(rng.randint(1, max(1, n // 10)) if step else 0):
                v = rng.randrange(n)
                ranks[v] = self.rank[v] + rng.gauss(0.0, 0.1) * scale
            found = decoder.greedy(self.period, decoder.sequence(ranks), rng.choice((0.0, 0.25, 0.5, 1.0)))
            if found is None:
                continue
            energy = self.energy(*found)
            if energy < lowest or self.best is None:
                self.judge(*found)
            lowest = min(lowest, energy)
            temperature = HOT * (COLD / HOT) ** (step / steps)
            if energy <= current or rng.random() < math.exp((current - energy) / temperature):
                current, priority = energy, ranks

    def fitting(self, assignments: Iterable[list[int]]) -> list[list[int]]:
        """Those assignments whose loads fit the period."""
        return [assignment for assignment in assignments if max(self.loads(assignment)) <= self.period]

    def _reached(self, target: int | None) -> bool:
        return target is not None and self.best is not None and self.delay <= target

    def loads(self, processor: list[int]) -> list[int]:
        """Cycles on every processor."""
        load = [0] * len(self.problem.processors)
        for v, p in enumerate(processor):
            load[p] += self.decoder.duration[v][p]
        return load

    def run(self, processor: list[int], clock: Clock, steps: int, target: int | None = None) -> None:
        """Anneal from an assignment until the clock or the steps run out, or the sum of delays reaches ``target``."""
        decoder, rng = self.decoder, self.random
        n = len(processor)
        load, priority = self.loads(processor), list(self.rank)
        scale = max(self.rank) or 1.0
        sequence = decoder.sequence(priority)
        start = decoder.fixed(self.period, processor, sequence)
        self.judge(processor, start)
        current = lowest = self.energy(processor, start)
        for step in range(steps):
            if clock.expired() or self._reached(target):
                return
            clock.spend(n * STEP_WORK)
            temperature = HOT * (COLD / HOT) ** (step / steps)
            trial, totals, ranks, order = processor, load, priority, sequence
            if rng.random() < 0.3:
                ranks = list(priority)
                for _ in range(rng.randint(1, 3)):
                    v = rng.randrange(n)
                    ranks[v] = self.rank[v] + rng.gauss(0.0, 0.15) * scale
                order = decoder.sequence(ranks)
            else:
                trial, totals = list(processor), list(load)
                if not self._reassign(trial, totals):
                    continue
            start = decoder.fixed(self.period, trial, order)
            energy = self.energy(trial, start)
            if energy < lowest or self.best is None:
                self.judge(trial, start)
            lowest = min(lowest, energy)
            if energy <= current or rng.random() < math.exp((current - energy) / temperature):
                current, processor, load, priority, sequence = energy, trial, totals, ranks, order

    def _reassign(self, processor: list[int], load: list[int]) -> bool:
        """Move one copy, or swap two, in place, within the period; False if the draw does not fit."""
        rng, duration = self.random, self.decoder.duration
        v, p = rng.randrange(len(processor)), rng.randrange(len(load))
        q = processor[v]
        if p == q or duration[v][p] < 0:
            return False
        if load[p] + duration[v][p] <= self.period and rng.random() < 0.5:
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
