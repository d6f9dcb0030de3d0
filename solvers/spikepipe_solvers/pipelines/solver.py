"""A schedule of the literature as a solver: a cut into chunks, an order, start times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from spikepipe_sched.assess import assess
from spikepipe_sched.check import Violation
from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Provenance, Result, conclude
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Budget, Observer, SolverSpec
from spikepipe_sched.version import __version__
from spikepipe_solvers.finish import finish, report
from spikepipe_solvers.links import with_links
from spikepipe_solvers.pipelines.chunks import Chunks, Shape, chunked
from spikepipe_solvers.pipelines.greedy import Rule, filled, waits_of
from spikepipe_solvers.pipelines.orders import Block, Formula
from spikepipe_solvers.pipelines.timing import timed

#: Schedules to choose from, or a block that would wait for ever.
Found = Iterator[Schedule | Block]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """The order is a formula, whatever the cycles."""

    formula: Formula

    def schedules(self, problem: Problem, chunks: Chunks) -> Found:
        """One schedule."""
        yield timed(problem, chunks, self.formula(chunks.own, problem.micro_batches))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """The order comes from the cycles (`spikepipe_solvers.pipelines.greedy`), unless the published one is as good.

    Parameters
    ----------
    formula
        The published order.
    activations
        How many activations of chunks each of R processors may hold.
    rules
        The shortest schedule of these counts.
    """

    formula: Formula
    activations: Callable[[int], int]
    rules: tuple[Rule, ...]

    def schedules(self, problem: Problem, chunks: Chunks) -> Found:
        """The formula's, then the best of the rules; as long as a memory overflows, again with fewer activations there."""
        yield from Fixed(formula=self.formula).schedules(problem, chunks)
        waits = waits_of(problem, chunks)
        limits = [self.activations(chunks.ranks)] * chunks.ranks
        while True:
            options = [filled(waits, limits, rule) for rule in self.rules]
            orders = [option for option in options if not isinstance(option, Block)]
            if len(orders) < len(options):
                yield from (option for option in options if isinstance(option, Block))
                return
            schedule = timed(problem, chunks, min(orders, key=lambda option: option[0])[1])
            yield schedule
            if isinstance(schedule, Block) or not _fewer(problem, chunks, schedule, limits):
                return


def _fewer(problem: Problem, chunks: Chunks, schedule: Schedule, limits: list[int]) -> bool:
    """Lower the limits of the processors whose memory overflows; False if there are none, or one cannot go lower."""
    linked = with_links(problem, schedule.normalised())
    figures = None if linked is None else assess(problem, linked).metrics
    if figures is None:
        return False
    each, overflow = len(chunks.home) // chunks.ranks, False
    for rank, p in enumerate(chunks.home[: chunks.ranks]):
        peak, size = figures.peak_memory_bytes[p], problem.processors[p].memory_bytes
        if size is None or peak <= size:
            continue
        if limits[rank] == each:
            return False
        held = min(limits[rank], each * problem.micro_batches)
        limits[rank] = max(each, min(held - 1, held * size // peak))  # what else lies there (weights) only makes the share of each activation smaller
        overflow = True
    return overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipelining:
    """A solver: schedules of its order, and of those that fit in its memory ``also`` where their first objective is better."""

    name: str
    summary: str
    source: str
    optimises: str
    ignores: str
    shape: Shape
    order: Fixed | Filling
    also: tuple[Filling, ...] = ()

    @property
    def spec(self) -> SolverSpec:
        """Name, source and abilities."""
        return SolverSpec(
            name=self.name,
            summary=self.summary,
            source=self.source,
            exact=False,
            modes=("finite",),
            supports=self.supports,
            optimises=self.optimises,
            ignores=self.ignores,
        )

    def supports(self, problem: Problem) -> str | None:
        """Finite problems of layers that can be cut into the chunks that the schedule needs."""
        found = chunked(problem, self.shape)
        return found if isinstance(found, str) else None

    def solve(self, problem: Problem, *, budget: Budget, seed: int, hint: Schedule | None = None, observer: Observer | None = None) -> Result:
        """Cut, order, lay out; the budget, seed and hint play no part."""
        chunks = chunked(problem, self.shape)
        assert not isinstance(chunks, str)  # `supports` was asked
        results = [self._ordered(problem, chunks, order) for order in (self.order, *self.also)]
        return min(results, key=lambda result: math.inf if result.objective is None else result.objective)

    def _ordered(self, problem: Problem, chunks: Chunks, order: Fixed | Filling) -> Result:
        """The best schedule of an order, or why it has none."""
        found = list(order.schedules(problem, chunks))
        schedules = [schedule for schedule in found if isinstance(schedule, Schedule)]
        if schedules:
            return finish(problem, schedules, self.name)
        stuck = found[0]
        assert isinstance(stuck, Block)
        layers = [problem.layers[i] for i in sorted({int(i) for i in problem.tasks.layer[chunks.chunk == stuck.chunk]})]
        message = f"{self.name} runs {stuck.kind} of {layers[0]} (micro-batch {stuck.micro_batch}) before something that it waits for"
        wrong = Violation(kind="order", message=message)
        return conclude(problem, None, provenance=Provenance(solver=self.name, version=__version__), infeasibility=report((wrong,)))
