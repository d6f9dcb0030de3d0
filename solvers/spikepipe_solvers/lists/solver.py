"""List scheduling: a rule for the sequence of the copies, a rule for their processors, and where idle time may be used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from spikepipe_sched.errors import require, require_one_of
from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Result
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Budget, Observer, SolverSpec
from spikepipe_solvers.finish import finish
from spikepipe_solvers.lists.ahead import schedule_ahead
from spikepipe_solvers.lists.critical import critical_home
from spikepipe_solvers.lists.dynamic import schedule_early, schedule_pairs
from spikepipe_solvers.lists.graph import Floats, Graph, Indices, Ints, graph_of
from spikepipe_solvers.lists.placement import place
from spikepipe_solvers.lists.ranks import compiles, downward, latest_starts, optimistic, sequence_of, upward

Priority = Literal["upward", "downward", "level", "alap", "through", "optimistic", "start", "early", "dynamic", "random"]
Choice = Literal["finish", "optimistic", "ahead", "critical"]
Placement = Literal["insertion", "append"]
#: Makespan, processors and starts (N,).
Found = tuple[int, Indices, Ints]
#: Priorities that choose the processor together with the copy.
PAIRS = frozenset({"start", "early", "dynamic"})
#: What a choice of the processor, or of a pair, is made for.
_AIMS = {
    "finish": "the earliest finish of one copy after the other",
    "optimistic": "the earliest finish of one copy after the other, with the least that must follow",
    "ahead": "the earliest finish of one copy after the other and of its successors",
    "critical": "the critical path on one processor, and the earliest finish of every other copy",
    "start": "the earliest start of any ready copy",
    "early": "early starts, the earlier the more work follows",
    "dynamic": "early starts, long paths behind them and fast processors (the dynamic level)",
}
#: Share of the upward rank that ``early`` takes off the earliest start.
EARLY_SHARE = 0.05


def supports(problem: Problem) -> str | None:
    """Finite problems only."""
    return None if problem.mode == "finite" else "it schedules finite problems; use --mode finite, or the solver 'modulo'"


def decode(graph: Graph, sequence: Indices, *, bias: Ints | None = None, insert: bool = True, home: Indices | None = None, fast: bool | None = None) -> Found:
    """The copies placed in sequence; the rest as in `place`."""
    processor, start, before = np.empty(graph.size, dtype=np.int32), np.empty(graph.size, dtype=np.int64), graph.before
    makespan = place.pick(fast=compiles(graph) if fast is None else fast)(
        sequence,
        graph.task,
        before.ptr,
        before.other,
        before.lag,
        before.transfer,
        graph.cycles,
        graph.kind,
        graph.shortest,
        np.empty((0, graph.cycles.shape[1]), dtype=np.int64) if bias is None else bias,
        insert,
        np.full(len(graph.cycles), -1, dtype=np.int32) if home is None else home,
        processor,
        start,
    )
    return int(makespan), processor, start


@dataclass(frozen=True, slots=True, kw_only=True)
class ListScheduling:
    """A list-scheduling rule: a solver.

    All micro-batches of a task go where the first of them that is placed went.

    Parameters
    ----------
    name, summary, source
        As in `SolverSpec`.
    priority
        The ready copy that is placed next has the largest ``upward`` rank, static ``level`` (no
        transfers), rank ``through`` it (upward + downward) or ``optimistic`` cost, the least
        ``downward`` rank or latest start (``alap``), or a ``random`` number; ``start`` and
        ``dynamic`` compare pairs of a copy and a processor by earliest start (ETF) and dynamic level
        (DLS), ``early`` by earliest start less a small share of the upward rank.
    choice
        The processor has the earliest ``finish``, also with the ``optimistic`` rest of the graph, or with
        the successors one step ``ahead``; ``critical``: the critical path goes to one processor.
    placement
        Whether idle time between copies may be used (``insertion``) or not (``append``).
    backward
        Time runs the other way: the rule schedules the mirrored graph, from the end, and the result is
        mirrored again. What joins is then placed as what forks is.
    large
        Whether it takes about a second per 100,000 tasks or less; others take quadratic time or more.

    Raises
    ------
    InputError
        If the rules do not go together.
    """

    name: str = "list"
    summary: str = "list scheduling by the rules given"
    source: str = ""
    priority: Priority = "upward"
    choice: Choice = "finish"
    placement: Placement = "insertion"
    backward: bool = False
    large: bool = True

    def __post_init__(self) -> None:
        for field, allowed in (("priority", Priority), ("choice", Choice), ("placement", Placement)):
            require_one_of("list scheduling", field, getattr(self, field), get_args(allowed))
        plain = self.choice == "finish" and self.placement == "append"
        require(plain or self.priority not in PAIRS, f"list scheduling: priority '{self.priority}' needs choice 'finish' and placement 'append'")
        require(
            self.choice != "ahead" or self.placement == "insertion",
            "list scheduling: choice 'ahead' needs placement 'insertion'",
        )

    @property
    def spec(self) -> SolverSpec:
        """Name, source and abilities."""
        return SolverSpec(
            name=self.name,
            summary=self.summary,
            source=self.source,
            exact=False,
            modes=("finite",),
            supports=supports,
            optimises=f"the makespan, through {_AIMS[self.priority if self.priority in PAIRS else self.choice]}" + (", from the end" if self.backward else ""),
            ignores="memory, traffic and link contention" + ("" if self.placement == "insertion" else ", and idle time that copies have left behind"),
        )

    @property
    def presets(self) -> tuple[str, ...]:
        """Names that `preset` knows."""
        from spikepipe_solvers.lists.presets import PRESETS

        return tuple(PRESETS)

    def preset(self, name: str) -> ListScheduling:
        """A rule of the literature by its name.

        Raises
        ------
        InputError
            If there is none of that name.
        """
        from spikepipe_solvers.lists.presets import PRESETS

        require(name in PRESETS, f"solver 'list' has no preset '{name}'; choose from {', '.join(PRESETS)}")
        return PRESETS[name]

    def priorities(self, graph: Graph, seed: int) -> tuple[Floats, ...]:
        """Priorities (N,) of the copies, those that break ties last; none where pairs are compared."""
        if self.priority == "downward":
            return (-downward(graph),)
        if self.priority == "alap":
            return latest_starts(graph)
        if self.priority == "through":
            return (upward(graph) + downward(graph),)
        if self.priority == "optimistic":
            return (optimistic(graph)[0],)
        if self.priority == "random":
            return (np.random.default_rng(seed).random(graph.size),)
        return (upward(graph, transfers=self.priority != "level"),)

    def run(self, graph: Graph, seed: int = 0) -> Found:
        """Makespan, processors and starts (N,)."""
        if not self.backward:
            return self._forward(graph, seed)
        makespan, processor, start = self._forward(graph.mirrored(), seed)
        return makespan, processor, makespan - start - graph.cycles[graph.task, graph.kind[processor]]

    def _forward(self, graph: Graph, seed: int) -> Found:
        """`run` with time running forwards."""
        if self.priority == "early":
            return schedule_early(graph, EARLY_SHARE)
        if self.priority in PAIRS:
            return schedule_pairs(graph, dynamic_level=self.priority == "dynamic")
        sequence = sequence_of(graph, *self.priorities(graph, seed))
        if self.choice == "ahead":
            return schedule_ahead(graph, sequence)
        bias = optimistic(graph)[1] if self.choice == "optimistic" else None
        home = critical_home(graph, upward(graph) + downward(graph)) if self.choice == "critical" else None
        return decode(graph, sequence, bias=bias, insert=self.placement == "insertion", home=home)

    def solve(self, problem: Problem, *, budget: Budget, seed: int, hint: Schedule | None = None, observer: Observer | None = None) -> Result:
        """One pass; the budget and the hint play no part, the seed only where the priority is random."""
        return finish(problem, [schedule_of(self.run(graph_of(problem), seed))], self.name)


def schedule_of(found: Found) -> Schedule:
    """As the checker wants it."""
    return Schedule(processor=found[1].astype(np.int64), start=found[2])


def list_schedules(problem: Problem, rules: Iterable[ListScheduling]) -> Iterator[tuple[str, Schedule]]:
    """(name, schedule) under each rule, one at a time."""
    graph = graph_of(problem)
    for rule in rules:
        yield rule.name, schedule_of(rule.run(graph))


def list_schedule(problem: Problem, priority: Iterable[float]) -> Schedule:
    """Earliest finish with insertion, highest ``priority`` (N,) first among the ready copies."""
    graph = graph_of(problem)
    return schedule_of(decode(graph, sequence_of(graph, np.fromiter(priority, dtype=np.float64, count=graph.size))))


def upward_rank(problem: Problem) -> list[float]:
    """(N,) `upward`, of a problem: longest path from each copy to the end of any, mean cycles, full transfers."""
    return upward(graph_of(problem)).tolist()
