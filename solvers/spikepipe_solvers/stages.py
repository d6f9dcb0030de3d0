"""Contiguous stages with backward as one task: the literature's standard pipelining.

Layers are cut by PipeDream's dynamic programme without replication (`spikepipe_sched.cut`); a
stage runs all its forward tasks as one block and all the rest (E, B, W, U) as another. Periodic:
asynchronous (``pipedream``: this mode alone), one forward and one backward block per stage and period,
the period being the largest stage (with the pauses that lags within its blocks demand), each block as
early as its inputs and the other block allow. Finite:
``1f1b``; where tasks are no passes of layers, the stages run one micro-batch after the other.

Narayanan et al., PipeDream, SOSP 2019, doi:10.1145/3341301.3359646.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.cut import MAX_UNITS, Cut, contiguous_cut
from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Result
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Budget, Observer, SolverSpec
from spikepipe_solvers.finish import finish
from spikepipe_solvers.pipelines import ONE_F_ONE_B

Ints = NDArray[np.int64]


def supports(problem: Problem) -> str | None:
    """One copy per iteration, a cut, and stages that run in blocks."""
    if problem.unroll > 1:
        return "stages repeat every iteration; use unroll=1"
    if problem.mode == "finite" and ONE_F_ONE_B.supports(problem) is None:
        return None
    cut = contiguous_cut(problem)
    if cut is None:
        return f"there is no contiguous cut (more than {MAX_UNITS} units, or a processor that cannot run its stage)"
    if (stage_schedule(problem, cut).start < 0).any():
        return "tasks of different stages wait for each other in turn, so that no stage can run its own back to back"
    return None


def supports_periodic(problem: Problem) -> str | None:
    """The same, with delayed gradients."""
    return supports(problem) if problem.mode == "periodic" else "it is a pipeline with delayed gradients; use --mode periodic, or the solver 'stages'"


@dataclass(frozen=True, slots=True)
class _Block:
    """Copies that run one after the other on one stage, with their offsets; lengths in cycles."""

    stage: int
    offset: dict[int, int]
    length: int


def incoming_edges(problem: Problem) -> list[list[tuple[int, int, int]]]:
    """(source, lag, transfer) of the edges within an iteration, by target."""
    instance = problem.instance
    incoming: list[list[tuple[int, int, int]]] = [[] for _ in range(instance.size)]
    for u, v, distance, lag, transfer in zip(
        *(a.tolist() for a in (instance.source, instance.target, instance.distance, instance.lag, instance.transfer)), strict=True
    ):
        if distance == 0:
            incoming[v].append((u, lag, transfer))
    return incoming


def back_to_back(problem: Problem, stage: int, copies: list[int], incoming: list[list[tuple[int, int, int]]]) -> tuple[dict[int, int], int]:
    """Offsets of copies that a stage runs in this topological order, apart only where a lag between them demands it, and their length."""
    offset, clock = dict[int, int](), 0
    for v in copies:
        offset[v] = max([clock, *(offset[u] + int(problem.instance.duration[u, stage]) + lag for u, lag, _ in incoming[v] if u in offset)])
        clock = offset[v] + int(problem.instance.duration[v, stage])
    return offset, clock


def _sequences(problem: Problem, cut: Cut, incoming: list[list[tuple[int, int, int]]]) -> list[list[_Block]]:
    """The blocks of every stage in the order in which it runs them: periodic F, then the rest; finite each micro-batch, then U."""
    instance, finite = problem.instance, problem.mode == "finite"
    stage, after = cut.stage[instance.task], "U" if finite else "F"
    blocks: list[dict[tuple[bool, int], list[int]]] = [{} for _ in range(cut.stages)]
    for v in instance.order.tolist():
        kind = problem.tasks.kinds[int(instance.task[v])]
        blocks[int(stage[v])].setdefault(((kind == after) == finite, int(instance.copy[v])), []).append(v)
    return [[_Block(s, *back_to_back(problem, s, copies, incoming)) for _, copies in sorted(mine.items())] for s, mine in enumerate(blocks)]


def stage_schedule(problem: Problem, cut: Cut) -> Schedule:
    """The standard pipeline of a cut."""
    instance = problem.instance
    incoming = incoming_edges(problem)
    processor = cut.stage[instance.task]
    start = np.full(instance.size, -1, dtype=np.int64)
    sequences = _sequences(problem, cut, incoming)
    period = max(1, *(sum(block.length for block in mine) for mine in sequences)) if problem.mode == "periodic" else None
    taken: list[list[tuple[int, int]]] = [[] for _ in sequences]  # (start, length) placed on each stage
    following = [0] * len(sequences)
    while any(done < len(sequence) for done, sequence in zip(following, sequences, strict=True)):
        moved = False
        for stage, sequence in enumerate(sequences):
            while following[stage] < len(sequence):
                block = sequence[following[stage]]
                begin = 0
                waiting = False
                for v, offset in block.offset.items():
                    for u, lag, transfer in incoming[v]:
                        if u in block.offset:
                            continue
                        if start[u] < 0:
                            waiting = True
                            break
                        ready = int(start[u] + instance.duration[u, processor[u]]) + lag + (transfer if processor[u] != stage else 0)
                        begin = max(begin, ready - offset)
                if waiting:
                    break
                begin = _fit(taken[stage], begin, block.length, period)
                for v, offset in block.offset.items():
                    start[v] = begin + offset
                taken[stage].append((begin, block.length))
                following[stage] += 1
                moved = True
        if not moved:  # blocks wait for each other: the graph does not fit stages of this kind
            break
    return Schedule(processor=processor, start=start, period=period)


def _fit(taken: list[tuple[int, int]], begin: int, length: int, period: int | None) -> int:
    """Earliest start >= begin that overlaps nothing on the stage."""
    if not taken:
        return begin
    if period is None:  # in sequence
        return max(begin, taken[-1][0] + taken[-1][1])
    for start, size in taken:  # at most one other block per period
        offset = (begin - start) % period
        if size and length and (offset < size or offset + length > period):
            begin += (size - offset) % period
    return begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Solvers ``stages`` and ``pipedream``."""

    spec: SolverSpec

    def solve(self, problem: Problem, *, budget: Budget, seed: int, hint: Schedule | None = None, observer: Observer | None = None) -> Result:
        """Cut, then lay out the blocks; the budget, seed and hint play no part."""
        if problem.mode == "finite" and ONE_F_ONE_B.supports(problem) is None:
            return replace(ONE_F_ONE_B, name=self.spec.name).solve(problem, budget=budget, seed=seed, hint=hint, observer=observer)
        cut = contiguous_cut(problem)
        return finish(problem, [] if cut is None else [stage_schedule(problem, cut)], self.spec.name)


SOLVER = Stages(
    spec=SolverSpec(
        name="stages",
        summary="contiguous stages, backward as one task: standard pipelining (periodic: the same as pipedream; finite: as 1f1b, where tasks are passes of layers)",
        source="doi:10.1145/3341301.3359646",
        exact=False,
        modes=("periodic", "finite"),
        supports=supports,
        optimises="the largest load of a contiguous stage (periodic: without lags that is the period); of equal ones the traffic",
        ignores="delays, memory, link contention and edges between iterations; lags, and in finite mode the makespan, while it cuts",
    )
)
PIPEDREAM = Stages(
    spec=SolverSpec(
        name="pipedream",
        summary="PipeDream without replication: contiguous stages, backward as one task, asynchronous 1F1B",
        source="doi:10.1145/3341301.3359646",
        exact=False,
        modes=("periodic",),
        supports=supports_periodic,
        optimises="the largest load of a contiguous stage, which without lags is the period; of equal ones the traffic",
        ignores="delays, memory, link contention and edges between iterations; lags while it cuts",
    )
)
