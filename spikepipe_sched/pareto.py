"""The Pareto front: what a shorter period costs in gradient delay or traffic, with proven bounds.

Epsilon-constraint method (Haimes, Lasdon and Wismer 1971, doi:10.1109/TSMC.1971.4308298): the second
objective is minimised under a limit on the first, and then the first at that value of the second. Where the
limit is set next is decided by the largest unexplored corner of the front.

A schedule feasible at one period is feasible at every longer one with no larger delays, traffic or
memory: insert idle time at one phase of all processors, and let tasks that are running there end as
long after it as before. (Unrolled, only with no larger delays: where these fall, other copies read
the weights, perhaps elsewhere.) So every schedule found is a start for all longer periods, and a bound proven
under a limit holds under all tighter ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from spikepipe_sched.errors import is_number, require, require_whole
from spikepipe_sched.step import callable_module

if TYPE_CHECKING:
    import os

    from spikepipe_sched.bounds import Bound
    from spikepipe_sched.problem import Limits, Problem
    from spikepipe_sched.result import Result
    from spikepipe_sched.schedule import Schedule
    from spikepipe_sched.solver import Observer, Solver

#: Objectives after the length that a front can have, and the limits that they and the length stand under.
LIMITS: Final = {"period": "period_cycles", "makespan": "makespan_cycles", "traffic": "traffic_bytes"}
SECOND: Final = {"periodic": ("delay", "traffic"), "finite": ("traffic",)}
#: Share of the time for the least length, whose neighbourhood is the steepest part of the front.
FIRST_SHARE: Final = 0.25
#: The bound where nothing exists at all.
NOTHING: Final = 2**62
#: Lengths closer than this part of them are not told apart.
RESOLUTION: Final = 0.002


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrontPoint:
    """A schedule that no other one found beats in all objectives.

    Parameters
    ----------
    values
        Of the front's objectives, in their order.
    result
        The schedule as the answer to: least second objective under this length (and these values of the
        further objectives) as limits; its bound and gap say how much less could be possible.
    length_bound
        No schedule with this value of the second objective (and the further ones) or less is shorter.
    """

    values: tuple[int, ...]
    result: Result
    length_bound: int

    @property
    def bound(self) -> int:
        """No schedule of this length or a shorter one, and no more of a third objective, has less of the second."""
        return self.result.objectives[0].bound

    @property
    def gap(self) -> float | None:
        """Of the second objective to its bound; None: infinite."""
        return self.result.gap

    @property
    def proven(self) -> bool:
        """Whether the second objective is proven least at this length."""
        return self.result.objectives[0].proven

    @property
    def exact(self) -> bool:
        """Whether the length is proven least for this value of the second objective as well: a point of the true front."""
        return self.proven and self.values[0] == self.length_bound


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Front:
    """Mutually non-dominated schedules of one problem, shortest first; none found: no points."""

    problem: Problem
    objectives: tuple[str, ...]
    points: tuple[FrontPoint, ...]
    runtime_s: float
    interrupted: bool = False

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The front as JSON (schema ``spikepipe-sched/front/1``), every schedule included; also written to ``path`` if given."""
        from spikepipe_sched.front_document import front_to_json

        return front_to_json(self, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """Proven: a schedule whose limited objectives are at most ``limits`` has a second objective of at least ``bound``."""

    limits: tuple[float, ...]
    bound: Bound


def pareto(
    problem: Problem,
    objectives: Sequence[str] | None = None,
    *,
    time_limit_s: float = 120.0,
    deterministic_limit: float | None = None,
    points: int = 16,
    solver: str | Solver = "auto",
    workers: int | None = None,
    seed: int = 0,
    observer: Observer | None = None,
) -> Front:
    """The front of a problem in two or three objectives.

    Parameters
    ----------
    objectives
        ``period, delay`` (finite: ``makespan, traffic``) if not given. The length (``period``, or ``makespan`` in finite mode), then ``delay`` or ``traffic``, and, of
        a periodic problem, ``traffic`` as a third. The problem's own objective is not used, its limits are.
    time_limit_s
        Wall-clock seconds for all solves together.
    deterministic_limit
        Work for all of them in its place, for the same front on any machine; see `Budget`. What a solve leaves of its share is not passed on.
    points
        Most solves, each of which yields a point or closes a part of the front.
    observer
        Hears the progress of every solve.

    Raises
    ------
    InputError
        If the objectives do not make a front, or longer periods need not be feasible (a limit on the
        span, negative lags).
    """
    from spikepipe_sched.solver import Budget

    began = time.perf_counter()
    objectives = (("period", "delay") if problem.mode == "periodic" else ("makespan", "traffic")) if objectives is None else tuple(objectives)
    _validate(problem, objectives)
    require_whole("pareto", "points", points, 2)
    require(is_number(time_limit_s) and 0 < time_limit_s < math.inf, f"pareto: the time limit must be positive and finite, got {time_limit_s}")
    Budget(deterministic_limit=deterministic_limit)  # refuses what is out of range
    search = _FrontSearch(problem, objectives, time_limit_s, deterministic_limit, solver, workers, seed, observer)
    try:
        search.run(points)
    except KeyboardInterrupt:
        search.interrupted = True
    return Front(
        problem=problem,
        objectives=objectives,
        points=search.front(),
        runtime_s=round(time.perf_counter() - began, 3),
        interrupted=search.interrupted,
    )


def _validate(problem: Problem, objectives: tuple[str, ...]) -> None:
    first = "period" if problem.mode == "periodic" else "makespan"
    known = SECOND[problem.mode]
    fits = objectives[:1] == (first,) and (objectives[1:] in {(name,) for name in known} or (len(known) == 2 and objectives[1:] == known))
    choices = [f"{first},{name}" for name in known] + ([f"{first},{','.join(known)}"] if len(known) == 2 else [])
    require(fits, f"pareto: a front of a {problem.mode} problem is one of {' or '.join(choices)}, not {','.join(objectives)}")
    if problem.mode == "periodic":
        require(problem.limits.span_cycles is None, "pareto: under a limit on the span longer periods need not be feasible, and fronts need that; drop it")
        instance = problem.instance
        lags = not (instance.lag < 0).any() and not (instance.delay_lag < 0).any()
        require(lags, "pareto: with negative lags longer periods need not be feasible, and fronts need that")
        updated = "delay" not in objectives or bool((problem.edges.delay_layer >= 0).any())
        require(updated, "pareto: nothing in the problem is updated, so there is no gradient delay to trade; another front is period,traffic")


class _FrontSearch:
    """What is found and proven so far; ``limited`` are all objectives but the second, the target."""

    def __init__(
        self,
        problem: Problem,
        objectives: tuple[str, ...],
        time_limit_s: float,
        work: float | None,
        solver: str | Solver,
        workers: int | None,
        seed: int,
        observer: Observer | None,
    ) -> None:
        self.problem, self.objectives = problem, objectives
        self.target, self.limited = objectives[1], (objectives[0], *objectives[2:])
        self.solver, self.workers, self.seed, self.observer = solver, workers, seed, observer
        self.deadline, self.work = time.perf_counter() + time_limit_s, work
        self.found: dict[tuple[int, ...], Schedule] = {}
        self.claims: list[_Claim] = []
        self.solved: list[tuple[int, int]] = []  # (limit on the length, the target's value there)
        self.interrupted = False

    # -- solves ------------------------------------------------------------------------------------

    def run(self, points: int) -> None:
        """Both ends, then the largest corner between two neighbours, again and again."""
        length, *third = self.limited
        least = self.solve((length, self.target, *third), {}, FIRST_SHARE)
        if least is None or self.interrupted:
            return
        self.solved.append((least[length], least[self.target]))
        self.sides(least[length])
        far = self.solve((self.target, length, *third), {}, 1 / points)
        if far is not None:
            self.solved.append((max(far[length], least[length]), far[self.target]))
        for step in range(points - 2, 0, -1):
            limit = self.next_limit()
            if limit is None or self.interrupted or self.left() <= 0.0:
                return
            values = self.solve((self.target, length, *third), {length: limit}, 1 / step if not third else 0.5 / step)
            if values is not None:
                self.solved.append((limit, values[self.target]))
                self.solved.append((values[length], values[self.target]))
                self.sides(values[length])

    def sides(self, length: int) -> None:
        """With a third objective: its least value at this length too, and the target's half-way between."""
        if len(self.limited) == 1 or self.interrupted or self.left() <= 0.0:
            return
        first, third = self.limited
        low = self.solve((third, self.target, first), {first: length}, 0.05)
        if low is not None and not self.interrupted:
            best = min(key[2] for key in self.found if key[0] <= length and key[1] == min(k[1] for k in self.found if k[0] <= length))
            if best > low[third] + 1:
                self.solve((self.target, third, first), {first: length, third: (best + low[third]) // 2}, 0.05)

    def left(self) -> float:
        """Seconds, or units of work."""
        return self.deadline - time.perf_counter() if self.work is None else self.work

    def solve(self, levels: tuple[str, ...], limits: dict[str, int], share: float) -> dict[str, int] | None:
        """One solve; keeps the schedule and what is proven, and returns the values of the schedule."""
        from spikepipe_sched.solver import solve

        spend = self.left() * share
        if spend <= 0.0:
            return None
        limit = {"time_limit_s": spend} if self.work is None else {"deterministic_limit": spend}
        if self.work is not None:
            self.work -= spend
        part = replace(self.problem, objective=levels, limits=self.within(limits))
        result = solve(part, self.solver, **limit, workers=self.workers, seed=self.seed, hint=self.hint(limits, levels[0]), observer=self.observer)
        self.interrupted |= result.provenance.interrupted
        if result.metrics is None or result.schedule is None:
            return None
        values = {name: result.metrics.value(name) for name in self.objectives}
        self.found[tuple(values[name] for name in self.objectives)] = result.schedule
        self.learn(result)
        return values

    def within(self, limits: dict[str, int]) -> Limits:
        """The problem's limits and these."""
        own = self.problem.limits
        tighter = {LIMITS[name]: value for name, value in limits.items() if (known := getattr(own, LIMITS[name])) is None or value < known}
        return replace(own, **tighter)

    def hint(self, limits: dict[str, int], level: str) -> Schedule | None:
        """Of the schedules within some limits the one with the least value of a level."""
        place = self.objectives.index
        able = [key for key in self.found if all(key[place(name)] <= value for name, value in limits.items())]
        return self.found[min(able, key=lambda key: (key[place(level)], key))] if able else None

    # -- proofs ------------------------------------------------------------------------------------

    def learn(self, result: Result) -> None:
        """Claims from the bounds of a solve: the first level's hold for all schedules within the limits, the second's for those equal in the first."""
        first, second = result.objectives[:2]
        caps = [math.inf if (value := getattr(result.problem.limits, LIMITS[name])) is None else float(value) for name in self.limited]
        if first.name == self.target:
            self.claim(caps, first.bound, first.bound_source)
            if first.proven and second.name == self.limited[0]:  # nothing as good is shorter
                self.claim([second.bound - 1.0, *caps[1:]], first.value + 1, second.bound_source)
            return
        changed = self.limited.index(first.name)
        self.claim([first.bound - 1.0 if i == changed else cap for i, cap in enumerate(caps)], NOTHING, first.bound_source)
        # What is shorter can be stretched to a period; a finite schedule of another length says nothing.
        if changed == 0 and second.name == self.target and (first.proven or self.stretchable()):
            self.claim([float(first.value), *caps[1:]], second.bound, second.bound_source)

    def stretchable(self) -> bool:
        """Whether a shorter schedule becomes one of any greater length that is no worse, and within the limits."""
        problem = self.problem
        limited = problem.limits.traffic_bytes is not None or any(p.memory_bytes is not None for p in problem.processors)
        return problem.mode == "periodic" and (problem.unroll == 1 or not (limited or "traffic" in self.objectives))

    def claim(self, limits: list[float], bound: int, source: str) -> None:
        """Remember a proof."""
        from spikepipe_sched.bounds import Bound

        self.claims.append(_Claim(limits=tuple(limits), bound=Bound(value=bound, source=source)))

    def length_bound(self, values: tuple[int, ...]) -> int:
        """No schedule with these values of all other objectives, or less, is shorter."""
        beyond = [
            claim.limits[0]
            for claim in self.claims
            if claim.bound.value > values[1] and all(v <= cap for v, cap in zip(values[2:], claim.limits[1:], strict=True))
        ]
        return int(max(beyond, default=0.0)) + 1

    # -- the front ---------------------------------------------------------------------------------

    def best(self) -> list[tuple[int, ...]]:
        """Values of the schedules that no other beats, shortest first."""
        return sorted(key for key in self.found if not any(other != key and all(a <= b for a, b in zip(other, key, strict=True)) for other in self.found))

    def next_limit(self) -> int | None:
        """The middle of the largest corner between two neighbours of the front; None: all are closed."""
        best: dict[int, int] = {}  # target -> least length
        for key in self.best():
            best.setdefault(key[1], key[0])
        steps = sorted((length, target) for target, length in best.items())
        corners: list[tuple[float, int]] = []
        for i in range(len(steps) - 1):
            (_, high), (end, low) = steps[i], steps[i + 1]
            if low >= high:
                continue
            begin = max(
                [
                    steps[i][0],
                    *(limit for limit, value in self.solved if value >= high and limit < end),
                    self.length_bound((end, high - 1)) - 1 if len(self.limited) == 1 else 0,
                ]
            )
            if end > max(begin + 1, begin * (1 + RESOLUTION)):
                corners.append(((high - low) * math.log(end / begin), min(end - 1, round(math.sqrt(begin * end)))))
        return max(corners)[1] if corners else None

    def front(self) -> tuple[FrontPoint, ...]:
        """Every best schedule with what is proven about it."""
        from spikepipe_sched.bounds import best as better
        from spikepipe_sched.result import Provenance, conclude
        from spikepipe_sched.version import __version__

        name = self.solver if isinstance(self.solver, str) else self.solver.spec.name
        made: list[FrontPoint] = []
        for values in self.best():
            limits = dict(zip(self.limited, (values[0], *values[2:]), strict=True))
            part = replace(self.problem, objective=(self.target,), limits=self.within(limits))
            valid = [claim.bound for claim in self.claims if all(v <= cap for v, cap in zip(limits.values(), claim.limits, strict=True))]
            result = conclude(
                part,
                self.found[values],
                bounds={self.target: better(*valid)} if valid else None,
                provenance=Provenance(solver=name, version=__version__, seed=self.seed, cost_terms=self.problem.cost_terms),
            )
            made.append(FrontPoint(values=values, result=result, length_bound=min(values[0], self.length_bound(values))))
        return tuple(made)


callable_module(__name__, pareto)
