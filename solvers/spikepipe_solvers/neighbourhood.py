"""Large neighbourhood search: CP-SAT on a part of the incumbent at a time.

Some copies are set free; the others keep their processor and, on it, their order, while all starts
stay free. CP-SAT then looks for a better value of one level under the ceilings of the levels above (after Shaw
1998, doi:10.1007/3-540-49481-2_30). Which copies belong together is guessed in several ways; ways that
improve are drawn more often (adaptive, after Ropke and Pisinger, doi:10.1287/trsc.1050.0135), and the
number set free grows where parts are solved to the end, and shrinks where they are not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
from ortools.sat.python import cp_model

from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.cpsat.model import ScheduleModel
from spikepipe_solvers.cpsat.run import run
from spikepipe_solvers.cpsat.size import affordable
from spikepipe_solvers.incumbent import Incumbent

#: Longest time for one neighbourhood [s], and copies set free at first.
EACH_S, FIRST_SIZE = 1.5, 14
#: How fast the weight of a way of choosing follows its success, and the least it falls to.
REACTION, LEAST_WEIGHT = 0.2, 0.1
#: Growth and decay of the number of copies set free.
GROW, SHRINK = 1.15, 0.85
#: Neighbourhoods in a row without improvement after which the search is given up.
FRUITLESS = 60

Choice = Callable[[random.Random, Incumbent, int], np.ndarray]


def _known(incumbent: Incumbent) -> Schedule:
    assert incumbent.schedule is not None
    return incumbent.schedule


def _at_random(rng: random.Random, incumbent: Incumbent, size: int) -> np.ndarray:
    count = incumbent.problem.instance.size
    return np.array(rng.sample(range(count), min(size, count)))


def _of_two_processors(rng: random.Random, incumbent: Incumbent, size: int) -> np.ndarray:
    """Copies of two processors, neighbours in time."""
    schedule = _known(incumbent)
    pair = rng.sample(range(len(incumbent.problem.processors)), min(2, len(incumbent.problem.processors)))
    mine = np.flatnonzero(np.isin(schedule.processor, pair))
    return _near_in_time(rng, schedule, mine, size)


def _of_a_time(rng: random.Random, incumbent: Incumbent, size: int) -> np.ndarray:
    """Copies that run at about the same time, modulo the period, wherever."""
    schedule = _known(incumbent)
    return _near_in_time(rng, schedule, np.arange(len(schedule.start)), size)


def _near_in_time(rng: random.Random, schedule: Schedule, among: np.ndarray, size: int) -> np.ndarray:
    if not among.size:
        return among
    time = schedule.start[among] % schedule.period if schedule.period is not None else schedule.start[among]
    first, order = rng.randrange(len(among)), np.argsort(time, kind="stable")
    return among[np.roll(order, -first)[:size]]


def _of_layers(rng: random.Random, incumbent: Incumbent, size: int) -> np.ndarray:
    """Copies of neighbouring layers, forward, backward and update."""
    instance, layer = incumbent.problem.instance, incumbent.problem.tasks.layer
    mine = layer[instance.task]
    order = np.lexsort((np.array([rng.random() for _ in mine]), np.abs(mine - rng.choice(mine.tolist()))))
    return order[:size]


def _connected(rng: random.Random, incumbent: Incumbent, size: int) -> np.ndarray:
    """Copies reached from one along edges."""
    instance = incumbent.problem.instance
    pairs = np.concatenate([np.stack([instance.source, instance.target]), np.stack([instance.target, instance.source])], axis=1)
    found = [rng.randrange(instance.size)]
    seen = set(found)
    for v in found:
        near = pairs[1][pairs[0] == v].tolist()
        rng.shuffle(near)
        for w in near[:4]:
            if w not in seen:
                seen.add(w)
                found.append(w)
        if len(found) >= size:
            break
    return np.array(found[:size])


CHOICES: tuple[Choice, ...] = (_of_two_processors, _of_a_time, _of_layers, _connected, _at_random)


def improve_by_neighbourhoods(
    incumbent: Incumbent, level: str, ceilings: Mapping[str, int], clock: Clock, seed: int, *, lower: int = 0, fruitless: int = FRUITLESS
) -> bool:
    """Improve the incumbent's value of a level until the clock runs out, ``lower`` is met, or nothing helps any more.

    Parameters
    ----------
    ceilings
        Largest allowed values of the other levels; a period among them is the one the search works at.

    Returns
    -------
    bool
        Whether it was interrupted.
    """
    problem = incumbent.problem
    schedule = incumbent.schedule
    if schedule is None:
        return False
    period = ceilings.get("period", schedule.period) if problem.mode == "periodic" else None
    if clock.expired() or not affordable(problem, clock, {level, *ceilings}, period=period):
        return False
    rng = random.Random(seed)
    search = _Neighbourhoods(incumbent, ScheduleModel(problem, period=period, ceilings=ceilings, hint=schedule, symmetric=False), level)
    clock.spend(search.model.work)
    weights, size, idle = [1.0] * len(CHOICES), float(FIRST_SIZE), 0
    while not clock.expired() and incumbent.value(level) > lower and idle < fruitless:
        which = rng.choices(range(len(CHOICES)), weights)[0]
        better, solved, interrupted = search.step(CHOICES[which](rng, incumbent, max(2, int(size))), clock.part(most_s=EACH_S), rng.randrange(2**31))
        if interrupted:
            return True
        idle = 0 if better else idle + 1
        weights[which] = max(LEAST_WEIGHT, (1 - REACTION) * weights[which] + REACTION * (4.0 if better else 0.0))
        size = min(float(problem.instance.size), size * GROW) if solved else max(3.0, size * SHRINK)
        if solved and size >= problem.instance.size and not better:
            return False
    return False


class _Neighbourhoods:
    """One model, of which every neighbourhood is a restriction."""

    def __init__(self, incumbent: Incumbent, model: ScheduleModel, level: str) -> None:
        self.incumbent, self.model, self.level = incumbent, model, level
        self.expression = model.objective.level(level)

    def step(self, free: np.ndarray, clock: Clock, seed: int) -> tuple[bool, bool, bool]:
        """Look for something strictly better around the incumbent: found it? solved to the end? interrupted?"""
        incumbent = self.incumbent
        assert incumbent.schedule is not None
        part = self.model.model.clone()
        part.clear_hints()
        self._keep(part, incumbent.schedule, free)
        self.model.hint_on(part, incumbent.schedule)
        part.add(self.expression <= incumbent.value(self.level) - 1)
        part.minimize(self.expression)
        outcome = run(part, clock, seed=seed, linearization=0 if self.level == "delay" else 1)
        clock.spend(self.model.work / 4)
        better = outcome.found and incumbent.offer(self.model.schedule(outcome.solver.value), "neighbourhoods")
        solved = outcome.infeasible or (outcome.found and outcome.optimal)
        return better, solved, outcome.interrupted

    def _keep(self, part: cp_model.CpModel, schedule: Schedule, free: np.ndarray) -> None:
        """All others stay on their processor, and in their order on it."""
        v, instance = self.model.variables, self.incumbent.problem.instance
        # The micro-batches of a task move together.
        moved = np.isin(instance.task, instance.task[free]) if v.period is None else np.isin(np.arange(instance.size), free)
        time = schedule.start % schedule.period if schedule.period is not None else schedule.start
        for copy, p in enumerate(schedule.processor.tolist()):
            literal = v.place[copy][p]
            if not moved[copy] and literal is not None:
                part.add(literal == 1)
        cycles = instance.duration[np.arange(instance.size), schedule.processor]
        for p in range(len(self.incumbent.problem.processors)):
            kept = np.flatnonzero((schedule.processor == p) & ~moved & (cycles > 0))
            order = kept[np.argsort(time[kept], kind="stable")].tolist()
            when = v.start if v.period is None else v.phase
            for a, b in pairwise(order):
                part.add(when[b] >= when[a] + int(cycles[a]))
        staying = np.flatnonzero(~moved)
        if v.period is not None and len(staying):  # every schedule may begin at any phase: keep one
            fixed = int(staying[cycles[staying].argmax()])
            part.add(v.phase[fixed] == int(time[fixed]))
