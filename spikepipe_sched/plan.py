"""How many arrays of which size: the shortest period within a budget of processing elements, or the fewest elements for a period.

A choice is a size of arrays and a number of them; its elements are rows x columns x number. Within a
budget the best choice has the least period, then the fewest elements; for a target it has the fewest
elements, then the least period; then, in both cases, the least of the further objectives. All arrays of a
choice are alike: mixtures of sizes are not looked at. Elements are all that is counted: every array brings its own
vector unit, memory and share of the bandwidth (`Platform.with_array`), and all run at the platform's clock.

What is proven about a choice holds for all choices of fewer arrays of the same size, what is found on it for all of
more (`spikepipe_sched.plan_size` says why). So only the largest number of each size matters to the least period,
and the fewest elements are found by trying numbers between those excluded and those reached.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from spikepipe_sched.errors import InputError, require, require_whole
from spikepipe_sched.lower import lower
from spikepipe_sched.plan_candidates import Candidate, Findings
from spikepipe_sched.plan_search import Purse, Search
from spikepipe_sched.plan_size import Size
from spikepipe_sched.platform import MAX_PROCESSORS
from spikepipe_sched.result import gap, with_provenance
from spikepipe_sched.solver import Budget
from spikepipe_sched.step import callable_module

if TYPE_CHECKING:
    import os

    from spikepipe_sched.cost import CostModel
    from spikepipe_sched.lower import Split
    from spikepipe_sched.network import Network
    from spikepipe_sched.platform import Platform
    from spikepipe_sched.result import Result
    from spikepipe_sched.solver import Observer, Solver
    from spikepipe_sched.training import TrainingSetup

#: Sizes that are tried unless others are named: the platform's own array times these, in both dimensions.
SCALES: Final = (0.25, 0.5, 1, 2, 4)
#: Share of the limit for the least period, or the fewest elements, and of the rest for the other of the two; what is left goes to the further objectives.
FIRST_SHARE, SECOND_SHARE = 0.5, 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """A choice of arrays with its schedule, and what is proven about all choices.

    Parameters
    ----------
    pe_budget, target_cycles
        What was asked, one of them: most processing elements, or the longest period (makespan).
    arrays, max_processors
        Sizes asked for, and the most arrays of one size.
    copies
        Copies of tasks in a period, or tasks of a finite run, whose micro-batches share an array: more arrays cannot all have work, and are not looked at.
    candidates
        The choices that were looked at, and of every size the largest number that matters and the least that may be better. Bounds hold for
        fewer arrays of the size, too; verdicts are of the number alone.
    chosen, result
        The best choice with a schedule, and that schedule, with what the whole plan spent; None: none was found.
    length_bound
        No choice of at most ``pe_budget`` elements (for a target: of no more elements than the chosen one) has a shorter
        period or makespan; None: none of them has a schedule.
    pes_bound
        No choice of fewer elements has a schedule as short as the chosen one (for a target: as the target); None: no choice has.
    outlook
        Without a choice: what is known of more arrays.
    """

    network: str
    platform: str
    mode: Literal["periodic", "finite"]
    pe_budget: int | None
    target_cycles: int | None
    arrays: tuple[tuple[int, int], ...]
    max_processors: int
    copies: int
    candidates: tuple[Candidate, ...]
    chosen: Candidate | None
    result: Result | None = field(repr=False)
    length_bound: int | None
    pes_bound: int | None
    outlook: str
    runtime_s: float
    interrupted: bool

    @property
    def length_gap(self) -> float | None:
        """Of the period, or makespan, to ``length_bound``; None without a choice."""
        length = None if self.chosen is None else self.chosen.length_cycles
        return None if length is None or self.length_bound is None else gap(length, self.length_bound)

    @property
    def pes_gap(self) -> float | None:
        """Of the elements to ``pes_bound``; None without a choice."""
        return None if self.chosen is None or self.pes_bound is None else gap(self.chosen.processing_elements, self.pes_bound)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The plan as JSON (schema ``spikepipe-sched/plan/1``), its schedule included; also written to ``path`` if given."""
        from spikepipe_sched.plan_document import plan_to_json

        return plan_to_json(self, path)

    def __str__(self) -> str:
        from spikepipe_sched.export.plan import plan_text

        return plan_text(self)

    def _repr_html_(self) -> str:
        from spikepipe_sched.export.plan import plan_cell

        return plan_cell(self)


def plan(
    network: Network,
    setup: TrainingSetup,
    platform: Platform,
    *,
    pe_budget: int | None = None,
    target_cycles: int | None = None,
    arrays: Sequence[tuple[int, int]] | None = None,
    max_processors: int = 64,
    cost: CostModel | None = None,
    splits: Sequence[Split] = (),
    solver: str | Solver = "auto",
    time_limit_s: float = 120.0,
    deterministic_limit: float | None = None,
    workers: int | None = None,
    seed: int = 0,
    observer: Observer | None = None,
    **options: Any,
) -> Plan:
    """Choose arrays and schedule the network on them.

    An interruption ends the search early and keeps the best choice found.

    Parameters
    ----------
    platform
        Everything but size and number of its arrays: clock, interconnect, and the class of its first processor.
    pe_budget
        Most processing elements (rows x columns x number of arrays): find the shortest period, or makespan.
    target_cycles
        Longest period (of all ``unroll`` iterations), or makespan: find the fewest elements.
    arrays
        Sizes (rows, columns) to choose from; if not given, the platform's own times 1/4, 1/2, 1, 2 and 4.
    max_processors
        Most arrays of one size.
    time_limit_s, deterministic_limit
        For all solves together.
    observer
        Hears the progress of every solve; the solver's name has the choice before it.
    **options
        Of the problem, as in `Problem.from_graph`: ``mode`` (``periodic`` if not given), ``micro_batches``, ``unroll``,
        ``weights``, ``limits``, and ``objective``, whose first is the period (makespan).

    Raises
    ------
    InputError
        If the question is not one of the two, a size or a number is no whole number of at least 1, no size fits the budget,
        or the solver does not support such problems, whatever the number of arrays.
    SpikepipeError
        If the solver fails, or a bound it claims is above the length of a schedule.
    """
    began = time.perf_counter()
    asked = _checked(platform, pe_budget, target_cycles, arrays, max_processors)
    sizes = _lowered(network, setup, platform, [size for size in asked if pe_budget is None or size[0] * size[1] <= pe_budget], cost, splits, options)
    problem = sizes[0].problem(1)
    length = "period" if problem.mode == "periodic" else "makespan"
    require(problem.objective[0] == length, f"plan: the first objective must be the {length}, not the {problem.objective[0]}")
    for size in sizes:
        size.most = min(max_processors, size.useful, max_processors if pe_budget is None else pe_budget // size.elements)
    search = Search(sizes, solver, workers, seed, observer)
    budget = Budget(time_limit_s=time_limit_s, deterministic_limit=deterministic_limit, **({} if workers is None else {"workers": workers}))
    purse, interrupted = Purse(deterministic_limit or budget.time_limit_s, timed=deterministic_limit is None), False
    try:
        _look(search, purse, target_cycles)
    except KeyboardInterrupt:
        interrupted = True
    refused = [reason for size in sizes for reason in size.refused.values()]
    if refused and not interrupted and not any(size.solved for size in sizes):
        raise refused[0]
    best, interrupted = _finished(search, purse, target_cycles, interrupted=interrupted)
    findings = Findings(sizes, None if best is None else best[:2], target_cycles)
    candidates = findings.candidates()
    runtime_s = round(time.perf_counter() - began, 3)
    spent = {
        "time_limit_s": time_limit_s if deterministic_limit is None else None,
        "deterministic_limit": deterministic_limit,
        "workers": budget.workers,
        "runtime_s": runtime_s,
        "interrupted": interrupted,
    }
    return Plan(
        network=network.name,
        platform=platform.name,
        mode=problem.mode,
        pe_budget=pe_budget,
        target_cycles=target_cycles,
        arrays=asked,
        max_processors=max_processors,
        copies=sizes[0].useful,
        candidates=candidates,
        chosen=next((candidate for candidate in candidates if candidate.verdict == "chosen"), None),
        result=None if best is None else with_provenance(best[2], **spent),
        length_bound=findings.length_bound(),
        pes_bound=findings.pes_bound(),
        outlook=findings.outlook(),
        runtime_s=runtime_s,
        interrupted=interrupted,
    )


def _checked(
    platform: Platform, pe_budget: int | None, target_cycles: int | None, arrays: Sequence[tuple[int, int]] | None, max_processors: int
) -> tuple[tuple[int, int], ...]:
    """The sizes asked for, each once; InputError if the question makes no sense."""
    require((pe_budget is None) != (target_cycles is None), "plan: give either a budget of processing elements or a target for the length")
    for name, value in (("pe_budget", pe_budget), ("target_cycles", target_cycles), ("max_processors", max_processors)):
        if value is not None:
            require_whole("plan", name, value, 1)
    require(max_processors <= MAX_PROCESSORS, f"plan: max_processors must be at most {MAX_PROCESSORS}, got {max_processors}")
    own = platform.classes[platform.processors[0]]
    given = [(max(1, int(own.rows * scale)), max(1, int(own.cols * scale))) for scale in SCALES] if arrays is None else arrays
    asked = tuple(dict.fromkeys(_size(size) for size in given))
    require(asked, "plan: name at least one size of arrays")
    rows, cols = min(asked, key=math.prod)
    fits = pe_budget is None or rows * cols <= pe_budget
    require(fits, f"plan: a budget of {pe_budget} processing elements is less than one array of {rows}x{cols}; allow more, or smaller arrays")
    return asked


def _size(size: tuple[int, int]) -> tuple[int, int]:
    try:
        rows, cols = size
    except (TypeError, ValueError):
        raise InputError(f"plan: arrays must be pairs of rows and columns, got {size!r}") from None
    return require_whole("plan: arrays", "rows", rows, 1), require_whole("plan: arrays", "cols", cols, 1)


def _lowered(
    network: Network,
    setup: TrainingSetup,
    platform: Platform,
    arrays: Sequence[tuple[int, int]],
    cost: CostModel | None,
    splits: Sequence[Split],
    options: dict[str, Any],
) -> list[Size]:
    """The network for every size: cycles are those of a class, whatever the number of arrays."""
    sizes: list[Size] = []
    for rows, cols in arrays:
        machine = platform.with_array(rows, cols).with_processors(1)
        graph = lower(network, setup, machine, **({} if cost is None else {"cost": cost}), splits=tuple(splits))
        sizes.append(Size(rows, cols, graph, machine, {"mode": "periodic"} | options))
    return sizes


def _look(search: Search, purse: Purse, target: int | None) -> None:
    """Both orders of the question; for a target that is not reached, the least length there is."""
    every = [(size, size.most) for size in search.sizes]
    if target is None:
        search.shortest(every, purse.part(FIRST_SHARE))
        lengths = [length for size, count in every if (length := size.length(count)) is not None]
        if lengths:
            search.fewest(min(lengths), purse.part(SECOND_SHARE))
        return
    search.fewest(target, purse.part(FIRST_SHARE))
    fewest = search.elements(target)
    if fewest is None:
        search.shortest(every, purse)
        return
    search.shortest(
        [(size, fewest // size.elements) for size in search.sizes if fewest % size.elements == 0 and fewest // size.elements <= size.most],
        purse.part(SECOND_SHARE),
    )


def _finished(search: Search, purse: Purse, target: int | None, *, interrupted: bool) -> tuple[tuple[Size, int, Result] | None, bool]:
    """The best of all choices equal in length and elements, and whether the search was interrupted.

    What improves the further objectives may happen to need less time, or fewer arrays: then only that is best.
    """
    finalists = search.best(target)
    found: dict[tuple[Size, int], Result] = {}
    for place, (size, count) in enumerate(finalists):
        try:
            spend = None if interrupted or purse.left() <= 0 else purse.grant(1 / (len(finalists) - place))
            result = search.finished(size, count, spend)
        except KeyboardInterrupt:
            interrupted, result = True, search.finished(size, count, None)
        interrupted |= result.provenance.interrupted
        found[size, count] = result
    ends = [(size, count, found.get((size, count)) or search.finished(size, count, None)) for size, count in search.best(target)]
    return min(ends, key=lambda each: each[2].key(), default=None), interrupted


callable_module(__name__, plan)
