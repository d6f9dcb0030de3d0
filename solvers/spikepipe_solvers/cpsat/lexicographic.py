"""Exact lexicographic search: one level of the objective after the other, each with its bound.

The period is found by load balancing where nothing but load decides it, otherwise by bisection over
models at a fixed period: a schedule feasible at one period is feasible at every longer one, so a proof
of infeasibility at one period bounds all schedules. With a span limit or negative lags that does
not hold, and periods are tried one by one from the bound upwards.

A model too large for the time left is not built; a large one that stalls makes way for large
neighbourhood search. What is proven infeasible is explained by a smallest set of limits that
contradict each other.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.bounds import delay_bound, objective_bound, period_bound
from spikepipe_sched.conflicts import conflict
from spikepipe_sched.problem import MAX_INT, Problem
from spikepipe_sched.result import Infeasibility, Provenance, Result, conclude, gap
from spikepipe_sched.solver import Observer
from spikepipe_sched.version import __version__
from spikepipe_solvers.balance import balance, loads
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.cpsat.balance import balance_exactly
from spikepipe_solvers.cpsat.limits import contradiction, limit_values
from spikepipe_solvers.cpsat.model import ScheduleModel
from spikepipe_solvers.cpsat.size import affordable, serial_length
from spikepipe_solvers.cpsat.starts import StartModel, placement_is_free
from spikepipe_solvers.cpsat.swaps import only_time_counts
from spikepipe_solvers.delays.search import improve_delays
from spikepipe_solvers.incumbent import Incumbent
from spikepipe_solvers.lists.improve import improve_makespan
from spikepipe_solvers.locality import lower_traffic
from spikepipe_solvers.neighbourhood import improve_by_neighbourhoods
from spikepipe_solvers.portfolio import heuristic_schedules
from spikepipe_solvers.sequences.improve import improve_sequences, sequenced

#: Copies up to which the whole model is all there is; its share of a level's time beyond, and the part of that time without news after which it is left.
WHOLE, WHOLE_SHARE, STALLED = 45, 0.35, 0.1
#: The same for the makespan of tasks that run once each where nothing but time counts, and where processors do not matter either.
WHOLE_ONCE, WHOLE_FREE = 100, 200
#: Share of a level's time for the whole model of fewer copies, in a portfolio that has a local search for the level: the rest is its own.
SMALL_SHARE = 0.6
#: Share of a level's time for local search before the exact one, in a portfolio.
LOCAL_SHARE = 0.4
#: Longest time per copy for a heuristic that comes before the exact search [s]: small problems are solved before it would end.
EACH_COPY_S = 0.02
#: Copies up to which exact search gains on local search within minutes, where there is a local search.
EXACT_UP_TO = 500
#: Levels that only choose among schedules equal in what matters more: given up after so long without news.
TIE_BREAKERS = frozenset({"traffic", "memory"})
PATIENCE_S, BALANCE_PATIENCE_S = 0.5, 3.0
#: Neighbourhoods in a row that may fail to improve such a level.
MINOR_FRUITLESS = 12
#: Share of local search in the makespan of several micro-batches that goes to sequences; all of it under memory limits, which list scheduling ignores.
SEQUENCE_SHARE = 0.7
#: Share for small delays of what time the levels leave in a portfolio.
REST_SHARE = 0.8
#: Share of the time for list scheduling at the balanced period, and least share of a level's time for local search.
DECODE_SHARE = 0.05


class Search(Incumbent):
    """An incumbent, and the levels still to do."""

    def __init__(self, problem: Problem, clock: Clock, seed: int, observer: Observer | None, name: str) -> None:
        super().__init__(problem, name, observer)
        self.clock, self.seed = clock, seed
        self.interrupted = False
        self.excluded = False  # proven: nothing respects the limits

    # -- the whole search ----------------------------------------------------------------------------

    def run(self, local_search: float) -> Result:
        """All levels in order; ``local_search``: share of a level's time for local search before the exact one.

        An interruption ends the search; what was found and proven until then counts.
        """
        try:
            if not self.interrupted:
                self._levels(local_search)
        except KeyboardInterrupt:
            self.interrupted = True
        return self._conclude()

    def _levels(self, local_search: float) -> None:
        problem = self.problem
        ceilings: dict[str, int] = {}
        shares = np.linspace(0.5, 1.0, len(problem.objective)).tolist() if len(problem.objective) > 1 else [1.0]
        for level, share in zip(problem.objective, shares, strict=True):
            self.level = level
            if self.schedule is not None:
                length = self.value("period") if "period" in ceilings else self._free_period()
                known = objective_bound(problem, level, length)
                self.raise_bound(level, known.value, known.source)
                self.tell()
            if not self.proven(level):
                if level == "period":
                    self._minimise_period(ceilings, share)
                else:
                    self._minimise(level, ceilings, share, local_search)
            if self.schedule is None or self.interrupted:
                break
            ceilings[level] = self.value(level)
        if local_search and [*ceilings][:2] == ["period", "delay"]:
            self._spend_rest(ceilings)

    def _spend_rest(self, ceilings: dict[str, int]) -> None:
        """What time the levels leave goes to the delay; and where that falls, to the levels below it once more."""
        period, minor = ceilings["period"], [*ceilings][2:]
        if self.proven("delay") or self.interrupted or self.clock.expired():
            return
        cycles = self.problem.instance.duration
        even = balance(cycles, self.clock)
        near = lower_traffic(self.problem, even, int(loads(cycles, even).max()), self.clock.part(DECODE_SHARE), self.seed)
        improve_delays(self, period, self.clock.part(REST_SHARE), self.seed + 2, assignments=[even, near], target=self.bounds["delay"].value)
        if self.value("delay") == ceilings["delay"]:
            return
        above = {"period": period, "delay": self.value("delay")}
        for level in minor:
            self.level = level
            self._minimise(level, above, 1.0, 0.0)
            above[level] = self.value(level)

    def _free_period(self) -> int:
        """The period at which levels above the period's own are minimised: the longest, which is never worse."""
        return self.problem.limits.period_cycles or serial_length(self.problem)

    def _conclude(self) -> Result:
        provenance = Provenance(solver=self.name, version=__version__, interrupted=self.interrupted, winner=self.winner)
        if self.schedule is None:
            return conclude(
                self.problem,
                None,
                provenance=provenance,
                infeasibility=self._explain() if self.excluded else self._report(),
                proven_infeasible=self.excluded,
            )
        return conclude(self.problem, self.schedule, bounds=self.bounds, provenance=provenance)

    def _report(self) -> Infeasibility:
        """Where nothing was found and nothing excluded: all limits, any of which may be the reason."""
        values, known = limit_values(self.problem), self.bounds.get(self.problem.objective[0])
        return Infeasibility(
            demanded=f"a {self.problem.mode} schedule within {', '.join(f'{name} {value}' for name, value in values.items()) or 'no limits'}",
            bound="none found in the time given" + (f"; {self.problem.objective[0]} >= {known.value} ({known.source})" if known and known.value else ""),
            gap=None,
            loosen=tuple(values),
        )

    def _explain(self) -> Infeasibility:
        """Why a problem proven infeasible is so: a smallest set of limits that contradict each other."""
        problem = self.problem

        def infeasible(part: Problem) -> bool | None:
            clock = self.clock.part(0.5)
            if clock.expired() or self.interrupted:
                return None
            trial = Search(part, clock, self.seed, None, self.name)
            return trial.infeasible_within()

        names, minimal = contradiction(problem, infeasible)
        values, length = limit_values(problem), problem.limits.period_cycles or problem.limits.makespan_cycles
        known = self.bounds.get("period" if problem.mode == "periodic" else "makespan")
        short = known is not None and length is not None and known.value > length
        return Infeasibility(
            demanded=" and ".join(f"{name} of at most {values[name]}" for name in names) or f"a {problem.mode} schedule",
            bound="CP-SAT proves that no schedule respects "
            + ("this limit" if len(names) == 1 else f"these {len(names)} limits together" if names else "the dependences")
            + (", without any one of them there is a schedule" if minimal and len(names) > 1 else "" if minimal else "; fewer may do: time ran out"),
            gap=gap(known.value, length) if short and known is not None and length is not None else None,
            loosen=names,
        )

    def infeasible_within(self) -> bool | None:
        """Whether the problem is proven infeasible within the clock; None: open."""
        if conflict(self.problem) is not None:
            return True
        for name, schedule in heuristic_schedules(self.problem):
            if self.offer(schedule, name):  # one is enough
                return False
        if self.problem.mode == "periodic":
            known = period_bound(self.problem)
            self.raise_bound("period", known.value, known.source)
            self._bisect({}, 1.0, settle=True)
        else:
            self._settle({})
        return True if self.excluded else False if self.schedule is not None else None

    def _settle(self, ceilings: dict[str, int]) -> None:
        """Find any schedule of a finite problem, or prove that there is none."""
        if not affordable(self.problem, self.clock, ceilings):
            return
        outcome, schedule = ScheduleModel(self.problem, period=None, ceilings=ceilings, hint=None).solve(None, self.clock, seed=self.seed)
        self.interrupted |= outcome.interrupted
        self.excluded |= outcome.infeasible
        if schedule is not None:
            self.offer(schedule, "cpsat")

    # -- levels other than the period ------------------------------------------------------------------

    def _minimise(self, level: str, ceilings: dict[str, int], share: float, local_search: float) -> None:
        """Local search first, then the whole model; where that stalls on a large problem, parts of it around the incumbent, and local search again."""
        period = None
        if self.problem.mode == "periodic":
            period = ceilings["period"] if "period" in ceilings else self._free_period()
        minor = level in TIE_BREAKERS and level != self.problem.objective[0]
        clock = self.clock.part(share)
        large = self.problem.instance.size > self._whole_up_to(level, ceilings)
        huge = bool(local_search) and self.problem.instance.size > EXACT_UP_TO and _searched(level, ceilings)
        if local_search or "period" not in ceilings:
            quick = not large and (self.problem.instance.size <= WHOLE or placement_is_free(self.problem))
            most_s = EACH_COPY_S * self.problem.instance.size if quick else None
            part = clock.part(1.0 if huge else max(DECODE_SHARE, local_search), most_s=most_s)
            self._improve(level, ceilings, period, part, self.seed)
        if self.proven(level) or huge:
            return
        memories = affordable(self.problem, clock, {level, *ceilings}, period=period)
        if memories or affordable(self.problem, clock, {level, *ceilings}, period=period, memories=False):
            patience = PATIENCE_S if minor else STALLED * clock.left() if large else None
            share = (WHOLE_SHARE if memories else 1.0) if large else SMALL_SHARE if local_search and _searched(level, ceilings) else 1.0
            self._whole(level, ceilings, period, clock.part(share), patience, memories=memories)
        if large and not (self.interrupted or self.proven(level) or self.schedule is None):
            allowed = dict(ceilings) if period is None else {**ceilings, "period": period}
            lower = self.bounds[level].value if level in self.bounds else 0
            self.interrupted |= improve_by_neighbourhoods(
                self, level, allowed, clock, self.seed, lower=lower, **({"fruitless": MINOR_FRUITLESS} if minor else {})
            )
        if local_search and not (self.interrupted or self.proven(level)):
            self._improve(level, ceilings, period, clock, self.seed + 1)

    def _whole_up_to(self, level: str, ceilings: Collection[str]) -> int:
        """Copies up to which the whole model is all there is after local search."""
        if level != "makespan" or ceilings or not only_time_counts(self.problem):
            return WHOLE
        return WHOLE_FREE if placement_is_free(self.problem) else WHOLE_ONCE

    def _improve(self, level: str, ceilings: dict[str, int], period: int | None, clock: Clock, seed: int) -> None:
        """Local search, for the levels that have one."""
        if clock.expired() or not _searched(level, ceilings):
            return
        lower = self.bounds[level].value if level in self.bounds else 0
        if level == "makespan":
            limited = any(p.memory_bytes is not None for p in self.problem.processors)
            if sequenced(self.problem):
                improve_sequences(self, clock.part(1.0 if limited else SEQUENCE_SHARE), seed, bound=lower)
            if not (limited or self.proven(level)):
                improve_makespan(self, clock, seed, bound=lower)
        elif period is not None:
            improve_delays(self, period, clock, seed, assignments=[balance(self.problem.instance.duration, clock)], target=lower)

    def _whole(self, level: str, ceilings: dict[str, int], period: int | None, clock: Clock, patience_s: float | None, *, memories: bool) -> None:
        """``memories``: with the processors' memories; without, its schedules may be refused, but its bounds hold."""
        allowed = dict(ceilings)
        if self.schedule is not None and (period is None or "period" in ceilings):
            allowed[level] = self.value(level)
        lower = self.bounds[level].value if level in self.bounds else 0
        shortest = level == "makespan" and not ceilings
        if shortest and placement_is_free(self.problem):
            model = StartModel(self.problem, hint=self.schedule)
        else:
            model = ScheduleModel(self.problem, period=period, ceilings=allowed, hint=self.schedule, memories=memories, shortest=shortest)
        clock.spend(model.work)
        valid = period is None or "period" in ceilings or self._monotone()

        def on_bound(bound: int) -> None:
            if valid:
                self.raise_bound(level, bound, "CP-SAT")
                self.tell()

        outcome, schedule = model.solve(
            level, clock, seed=self.seed, patience_s=patience_s, lower=lower, on_schedule=lambda s: self.offer(s, "cpsat"), on_bound=on_bound
        )
        self.interrupted |= outcome.interrupted
        if schedule is not None:
            self.offer(schedule, "cpsat")
        if outcome.found and valid:
            self.raise_bound(level, outcome.bound, "CP-SAT")
        if outcome.infeasible and self.schedule is None and valid:
            self.excluded = True

    # -- the period --------------------------------------------------------------------------------------

    def _monotone(self) -> bool:
        """Whether a schedule feasible at one period is feasible at every longer one; see `spikepipe_solvers.cpsat.model.stretched`."""
        instance = self.problem.instance
        return self.problem.limits.span_cycles is None and not (instance.lag < 0).any() and not (instance.delay_lag < 0).any()

    def _coupled(self, ceilings: dict[str, int]) -> bool:
        """Whether anything but load decides the period."""
        problem, instance = self.problem, self.problem.instance
        limits = problem.limits
        across = (instance.distance > 0) & ((instance.source != instance.target) | (instance.lag > 0))
        return bool(
            ceilings
            or limits.traffic_bytes is not None
            or limits.span_cycles is not None
            or (problem.delay_limits < MAX_INT).any()
            or any(p.memory_bytes is not None for p in problem.processors)
            or across.any()
        )

    def _minimise_period(self, ceilings: dict[str, int], share: float) -> None:
        problem = self.problem
        known = period_bound(problem)
        self.raise_bound("period", known.value, known.source)
        assignment = balance(problem.instance.duration)
        target = self._loads(assignment)
        if target > known.value and not self.clock.expired():
            # The least largest load bounds every period, coupled or not.
            assignment, bound, outcome = balance_exactly(
                problem, assignment, known.value, self.clock, seed=self.seed, share=share * 0.6, patience_s=BALANCE_PATIENCE_S
            )
            self.interrupted |= outcome.interrupted
            self.raise_bound("period", bound, "load balancing: patterns, CP-SAT")
            target = self._loads(assignment)
        target = max(target, known.value)
        ceiling = problem.limits.period_cycles
        if ceiling is None or target <= ceiling:
            self._decode(target, assignment)
        if self.interrupted or (self.schedule is not None and not self._coupled(ceilings) and self.value("period") <= target):
            return
        self._bisect(ceilings, share)

    def _loads(self, assignment: NDArray[np.int64]) -> int:
        return int(loads(self.problem.instance.duration, assignment).max())

    def _decode(self, period: int, assignment: NDArray[np.int64]) -> None:
        """A schedule at a period from modulo list scheduling."""
        improve_delays(self, period, self.clock.part(DECODE_SHARE), self.seed, assignments=[assignment], target=delay_bound(self.problem, period).value)

    def _bisect(self, ceilings: dict[str, int], share: float, *, settle: bool = False) -> None:
        """Shorter periods between the bound and the incumbent (or the limit), by models at fixed periods; to ``settle``, the first schedule is enough.

        A period that stays undecided in its share of the time is given up and longer ones are tried.
        """
        problem, low = self.problem, self.bounds["period"].value
        high = self.value("period") if self.schedule is not None else self._free_period()
        found = self.schedule is not None
        monotone = self._monotone()
        unknown = low  # periods below are infeasible, or were given up
        probe = high if monotone and not found else low
        while unknown < high or (unknown == high and not found):
            if self.clock.expired() or self.interrupted:
                return
            clock = self.clock.part(share * 0.5 if found else 1.0)  # without a schedule there is nothing else to do
            memories = affordable(problem, clock, ceilings, period=probe)
            if not memories and not affordable(problem, clock, ceilings, period=probe, memories=False):
                return
            model = ScheduleModel(problem, period=probe, ceilings=ceilings, hint=self.schedule, memories=memories)
            clock.spend(model.work)
            outcome, schedule = model.solve(None, clock, seed=self.seed)
            self.interrupted |= outcome.interrupted
            if outcome.infeasible:
                unknown = probe + 1
                if monotone or probe == low:
                    low = probe + 1
                    self.raise_bound("period", low, "CP-SAT: shorter periods are infeasible")
                    self.tell()
            elif schedule is not None and self.offer(schedule, "cpsat"):
                if settle:
                    return
                found, high = True, self.value("period")
            elif found:
                unknown = probe + 1
            else:
                return
            probe = (unknown + high) // 2 if monotone else unknown
        if not found and low > high:
            self.excluded = True


def _searched(level: str, ceilings: Collection[str]) -> bool:
    """Whether there is a local search for a level."""
    return level == "delay" or (level == "makespan" and not ceilings)
