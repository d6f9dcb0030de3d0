"""A finite problem as the functions on sequences see it, and a schedule as they make it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.kernel import Kernel
from spikepipe_solvers.lists.graph import Graph, graph_of
from spikepipe_solvers.lists.ranks import sequence_of
from spikepipe_solvers.sequences.decode import Jobs, greedy, jobs_of, replay
from spikepipe_solvers.sequences.memory import Held, Live, Tensors, no_live, tensors_of
from spikepipe_solvers.sequences.search import late_acceptance
from spikepipe_solvers.sequential import micro_batch_order

Ints = NDArray[np.int64]
Indices = NDArray[np.int32]

#: Seconds in plain Python: of `replay`, per unit of `Chart.work`; of `greedy`, per copy and task, without memory limits and with them.
REPLAY_S, GREEDY_S = 6e-6, (1.5e-6, 3e-5)
#: How often either is called for a placement, about; `replay` under memory limits only.
REPLAYS, GREEDIES = 200, 18
#: Seconds that kernels take to compile where no cache holds them, and to load; how much more of the former must be left.
COMPILE_S: dict[Kernel[..., Any], float] = {replay: 5.0, greedy: 11.0, late_acceptance: 4.0}
LOAD_S, PATIENCE = 0.2, 1.25


def _loading(*kernels: Kernel[..., Any]) -> float:
    """Seconds until kernels run compiled."""
    return LOAD_S + sum(COMPILE_S[kernel] for kernel in kernels if not kernel.ready)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """A schedule: its makespan, the starts (N,), the sequence (N,) and the processor of every task (T,)."""

    makespan: int
    start: Ints
    sequence: Indices
    home: Indices


@dataclass(frozen=True, kw_only=True, eq=False)
class Chart:
    """``first`` (T + 1,): where the copies of each task begin; the rest as in the modules of this folder.

    ``left_s``: the seconds that are left. In plain Python the starts of a placement take ``plain_s`` seconds, and ``fast`` says
    that they are compiled.
    """

    problem: Problem
    graph: Graph
    jobs: Jobs
    tensors: Tensors
    held: Held
    first: Indices
    left_s: float

    @classmethod
    def of(cls, problem: Problem, left_s: float = math.inf) -> Self:
        """Of a finite problem."""
        graph = graph_of(problem)
        tensors, held = tensors_of(problem)
        first = np.searchsorted(problem.instance.task, np.arange(len(problem.tasks.names) + 1)).astype(np.int32)
        return cls(problem=problem, graph=graph, jobs=jobs_of(graph), tensors=tensors, held=held, first=first, left_s=left_s)

    @property
    def limited(self) -> bool:
        """Whether memories are."""
        return len(self.tensors.size) > 0

    @property
    def work(self) -> int:
        """How much placing all copies has to do."""
        return self.graph.size + len(self.graph.before.other) + 3 * len(self.tensors.out)

    @property
    def plain_s(self) -> float:
        """Seconds that the starts of a placement take in plain Python."""
        return self.graph.size * len(self.graph.cycles) * GREEDIES * GREEDY_S[self.limited] + self.limited * REPLAYS * self.work * REPLAY_S

    @cached_property
    def fast(self) -> bool:
        """Whether the starts are compiled."""
        return self.plain_s > LOAD_S and min(self.plain_s, self.left_s / PATIENCE) > _loading(replay, greedy)

    @property
    def placeable(self) -> bool:
        """Whether there is time for the starts."""
        return self.fast or self.plain_s <= self.left_s

    @property
    def searchable(self) -> bool:
        """Whether there is time for the search, which is always compiled."""
        return self.left_s / PATIENCE > _loading(replay, greedy, late_acceptance)

    @cached_property
    def live(self) -> Live:
        """Room for the kernels' state."""
        return no_live.pick(fast=self.fast)(self.tensors, self.held)

    @cached_property
    def one_by_one(self) -> Indices:
        """(N,) One micro-batch after the other: this needs the least memory."""
        return np.array(micro_batch_order(self.problem), dtype=np.int32)

    @cached_property
    def able(self) -> Ints:
        """(T,) How many processors can run each task."""
        return (self.graph.cycles[:, self.graph.kind] >= 0).sum(axis=1)

    def loads(self, home: Indices) -> Ints:
        """(P,) Cycles of a micro-batch's tasks on every processor."""
        load = np.zeros(len(self.graph.kind), dtype=np.int64)
        np.add.at(load, home, self.graph.cycles[np.arange(len(home)), self.graph.kind[home]])
        return load

    def ordered(self, key: Ints) -> Indices:
        """(N,) The copies by their ``key`` (N,), least first, as far as the graph allows."""
        sequence = np.lexsort((self.graph.position, key)).astype(np.int32)
        place = np.empty(len(sequence), dtype=np.int64)
        place[sequence] = np.arange(len(sequence))
        instance = self.problem.instance
        in_order = bool((place[instance.source] < place[instance.target]).all())
        return sequence if in_order else sequence_of(self.graph, -key.astype(np.float64))

    def replayed(self, sequence: Indices, home: Indices) -> Line | None:
        """The schedule of a sequence; None if memories do not allow it."""
        start, end, free = np.empty(self.graph.size, np.int64), np.empty(self.graph.size, np.int64), np.empty(len(self.graph.kind), np.int64)
        makespan = replay.pick(fast=self.fast)(self.jobs, self.tensors, self.held, self.live, sequence, home, start, end, free)
        return None if makespan < 0 else Line(makespan=int(makespan), start=start, sequence=sequence, home=home)

    def greedy(self, key: Ints, home: Indices) -> Line | None:
        """The schedule of `greedy`; None if it gets stuck."""
        start, sequence = np.empty(self.graph.size, np.int64), np.empty(self.graph.size, np.int32)
        safe = self.one_by_one if self.limited and self.replayed(self.one_by_one, home) is not None else self.one_by_one[:0]
        makespan = greedy.pick(fast=self.fast)(self.jobs, self.tensors, self.held, self.first, key, safe, home, start, sequence)
        return None if makespan < 0 else Line(makespan=int(makespan), start=start, sequence=sequence, home=home)

    def line(self, schedule: Schedule) -> Line | None:
        """A schedule's sequence on its own processors, placed anew."""
        return self.replayed(self.ordered(schedule.start), schedule.processor[self.first[:-1]].astype(np.int32))

    def schedule(self, line: Line) -> Schedule:
        """As the checker wants it."""
        return Schedule(processor=line.home[self.graph.task].astype(np.int64), start=line.start)
