"""Modulo scheduling: balance the load, then list-schedule modulo the period with small delays.

Where nothing couples iterations the least period is the largest load of a balanced assignment, and
modulo list scheduling (`spikepipe_solvers.decode`) loses nothing to packing. Where recurrences, delay
limits, a limit on the span or transfers forbid that, iterative modulo scheduling
(`spikepipe_solvers.ims`) looks for the shortest period from there upwards. At the period reached,
stages are retimed for the least total delay, and local search improves assignment and order.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.bounds import delay_bound, period_bound
from spikepipe_sched.problem import MAX_TIME, Problem
from spikepipe_sched.result import Result
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Budget, Observer, SolverSpec
from spikepipe_solvers.balance import balance, largest_load
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.decode import Decoder, schedule_of
from spikepipe_solvers.delays.search import improve_delays
from spikepipe_solvers.finish import finish
from spikepipe_solvers.ims import ATTEMPTS, ModuloScheduler
from spikepipe_solvers.incumbent import Incumbent
from spikepipe_solvers.lists import upward_rank
from spikepipe_solvers.locality import lower_traffic
from spikepipe_solvers.patterns import pack
from spikepipe_solvers.retime import Retimer
from spikepipe_solvers.sequential import sequential_schedules

Ints = NDArray[np.int64]

#: List schedules tried at the balanced period where copies wait for each other.
PROBES = 12
#: Share of what is left for shorter periods that one of them may take.
PROBE_SHARE = 0.25
#: Copies beyond which so many more list schedules compete, for this share of the time, before they are improved.
MANY, DECODED, DECODE_SHARE = 1500, 30, 0.4
#: Periods are told apart to this part of themselves.
RESOLUTION = 2000
#: First step upwards from a period where nothing is found, as a part of it, and its growth.
FIRST_STEP, GROWTH = 400, 1.3
#: A largest load this far above its bound is worth a search for better patterns; its share of the time, and the most of it.
UNEVEN, PATTERN_SHARE, PATTERN_S = 1e-3, 0.1, 2.0
#: Share of the time in which an assignment with little traffic is looked for.
LOCALITY_SHARE = 0.1
#: Share of the time that the search for the period leaves to the search for small delays.
RESERVE = 0.5
#: Shares of a period over which the processors' phases are spread where copies that wait for each other collide.
SHIFTS = (1.0, -1.0, 0.5, -0.5, 2.0)
#: Deterministic work of decoding and checking a candidate, per copy (about seconds).
DECODE_WORK = 2e-5


def supports(problem: Problem) -> str | None:
    """Periodic problems."""
    return None if problem.mode == "periodic" else "it schedules periodic problems; use --mode periodic, or the solver 'list'"


class ModuloSearch:
    """Candidates of one problem, the best of which the incumbent keeps."""

    def __init__(self, problem: Problem, clock: Clock, seed: int, observer: Observer | None) -> None:
        self.problem, self.clock, self.seed = problem, clock, seed
        self.incumbent = Incumbent(problem, "modulo", observer)
        self.ceiling = problem.limits.period_cycles or MAX_TIME
        self.last: Schedule | None = None  # candidate, feasible or not: what an empty answer reports on

    def offer(self, schedule: Schedule) -> bool:
        """Give a candidate to the incumbent."""
        self.last = schedule
        return self.incumbent.offer(schedule, "modulo")

    @property
    def period(self) -> int:
        """Of the incumbent; without limit as long as there is none."""
        return MAX_TIME if self.incumbent.schedule is None else self.incumbent.schedule.period or MAX_TIME

    def run(self) -> None:
        """The one-processor schedule, the shortest period that can be reached, and small delays at it."""
        problem, duration = self.problem, self.problem.instance.duration
        for schedule in sequential_schedules(problem):
            self.offer(schedule)
        least = period_bound(problem).value
        assignment = balance(duration, self.clock)
        if largest_load(duration, assignment) > least * (1 + UNEVEN):
            assignment, least = pack(duration, assignment, least, self.clock.part(PATTERN_SHARE, most_s=PATTERN_S))
        target = max(largest_load(duration, assignment), least)
        if problem.objective[0] != "period" and self.ceiling < MAX_TIME:
            target = max(target, self.ceiling)  # a longer period never lengthens a delay
        if target > self.ceiling:
            return
        self.scheduler, self.decoder, self.retimer = ModuloScheduler(problem), Decoder(problem), Retimer(problem)
        self.decode(target, [assignment], PROBES if problem.unroll > 1 else 1, self.clock, quick=True)
        if self.period > target:
            self.shorten(target, assignment)
        self.delays(target, assignment)

    def settled(self, schedule: Schedule) -> None:
        """Offer a candidate with all its edges satisfied, and retimed for small delays."""
        candidate = self.scheduler.settle(schedule)
        self.clock.spend(self.problem.instance.size * DECODE_WORK)
        for share in SHIFTS if candidate is None and self.problem.unroll > 1 else ():
            # Updates that wait for each other must not run at once on several processors: shift those against each other.
            period = schedule.period or 1
            shift = schedule.processor * int(period * share / len(self.problem.processors))
            candidate = self.scheduler.settle(Schedule(processor=schedule.processor, start=schedule.start + shift - min(0, int(shift.min())), period=period))
            if candidate is not None:
                break
        if candidate is None:
            self.last = schedule
            return
        self.offer(candidate)
        if len(self.problem.instance.delay_edge):
            self.offer(self.retimer.retime(candidate))

    def decode(self, period: int, assignments: list[Ints], steps: int, clock: Clock, *, quick: bool = False) -> None:
        """List schedules modulo the period: by rank, and where updates wait for each other copy by copy; then by disturbed ranks."""
        rng, rank = random.Random(self.seed), upward_rank(self.problem)
        spread, late = 0.1 * max(rank), (2.0 * max(rank) * self.problem.instance.copy).tolist()
        fitting = [a.tolist() for a in assignments if largest_load(self.problem.instance.duration, a) <= period]
        for step in range(steps):
            ranks = [r + rng.gauss(0.0, spread) for r in rank] if step > 1 else rank
            order = self.decoder.sequence([r - x for r, x in zip(ranks, late, strict=True)] if step % 2 else ranks)
            for assignment in fitting:
                if clock.expired() and not quick:  # the first of all is worth waiting for
                    return
                self.settled(schedule_of(assignment, self.decoder.fixed(period, assignment, order), period))
            if clock.expired() or (quick and self.period <= period):
                return
            free = self.decoder.greedy(period, order, rng.choice((0.0, 0.25, 0.5, 1.0)))
            if free is not None:
                self.settled(schedule_of(*free, period))
            if clock.expired() or (quick and self.period <= period):
                return

    def shorten(self, least: int, assignment: Ints) -> None:
        """Iterative modulo scheduling from ``least`` upwards until it succeeds, then between failure and success."""
        clock = self.clock.part(1 - RESERVE)
        home = largest_load(self.problem.instance.duration, assignment)

        def reached(period: int) -> bool:
            for attempt in range(ATTEMPTS):
                if clock.expired():
                    break
                keep = assignment if home <= period and attempt == ATTEMPTS - 1 else None
                found = self.scheduler.at(period, seed=self.seed, attempt=attempt, clock=clock, home=keep)
                if found is not None:
                    self.offer(found)
                    self.settled(found)
                    if self.period <= period:
                        return True
            return False

        climb(reached, least, lambda: min(self.period - 1, self.ceiling, self.longest()), clock.expired)

    def longest(self) -> int:
        """A period at which all work, transfers and lags fit one after the other."""
        instance = self.problem.instance
        waits = sum(int(np.maximum(wait, 0).sum()) for wait in (instance.transfer, instance.lag, instance.delay_transfer, instance.delay_lag))
        return int(instance.duration.max(axis=1).sum()) + waits

    def delays(self, target: int, assignment: Ints) -> None:
        """Local search for small delays: at periods below the one reached, as long as that finds nothing, then at that."""
        problem, known, highest = self.problem, self.incumbent.schedule, min(self.period, self.ceiling, self.longest())
        if known is not None and known.period == target and not any(self.incumbent.key[1:]):
            return  # nothing is left to lower
        most = max(highest, largest_load(problem.instance.duration, assignment))
        starts = [assignment, lower_traffic(problem, assignment, most, self.clock.part(LOCALITY_SHARE), self.seed)]
        starts += [] if known is None else [known.processor]
        if known is not None and problem.instance.size > MANY:
            self.decode(self.period, starts, DECODED, self.clock.part(DECODE_SHARE))

        def search(period: int, clock: Clock) -> None:
            improve_delays(self.incumbent, period, clock, self.seed, assignments=starts, target=delay_bound(problem, period).value)

        period, probes = target, self.clock.part(1 - RESERVE)
        while period < min(highest, self.period) and not probes.expired():
            search(period, probes.part(PROBE_SHARE))
            period += max(1, period // 25)
        if not self.clock.expired():
            search(min(highest, self.period), self.clock)


def climb(reached: Callable[[int], bool], least: int, highest: Callable[[], int], stop: Callable[[], bool]) -> None:
    """Periods from ``least`` in growing steps until one is reached, then bisection down to it.

    A period that is not reached is no proof. With negative lags or a limit on the span periods beyond a
    feasible one may be infeasible: short ones are tried one by one at first, and some may be passed over.
    """
    period, failed, step = least, least - 1, max(1.0, least / FIRST_STEP)
    while not reached(period):
        failed = period
        period, step = min(period + int(step), max(highest(), period + 1)), step * GROWTH
        if stop() or period > highest():
            return
    low, high = failed, period
    while high - low > max(1, high // RESOLUTION) and not stop():
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)


def modulo_schedules(problem: Problem, clock: Clock, seed: int, observer: Observer | None = None) -> list[Schedule]:
    """The best candidate, or an infeasible one if none passes the check; none if the limits leave no period to try."""
    search = ModuloSearch(problem, clock, seed, observer)
    search.run()
    best = search.incumbent.schedule or search.last
    return [] if best is None else [best]


class Modulo:
    """Solver ``modulo``."""

    spec = SolverSpec(
        name="modulo",
        summary="load balancing, modulo list scheduling and iterative modulo scheduling, then retiming and local search for small delays",
        source="doi:10.1145/192724.192731",
        exact=False,
        modes=("periodic",),
        supports=supports,
        optimises="the period, then the sum of delays, then the traffic, under limits on delays and the span",
        ignores="memory (of what it finds the best within the limits is kept), and while it searches link contention",
    )

    def solve(self, problem: Problem, *, budget: Budget, seed: int, hint: Schedule | None = None, observer: Observer | None = None) -> Result:
        """The best candidate; a hint competes with them."""
        candidates = modulo_schedules(problem, Clock(budget), seed, observer)
        return finish(problem, candidates if hint is None else [*candidates, hint], "modulo")


SOLVER = Modulo()
