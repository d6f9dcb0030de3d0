"""Exact lexicographic search: one level of the objective after the other, each with its bound.

The period is found by load balancing where nothing but load decides it, otherwise by bisection over
models at a fixed period: a schedule feasible at one period is feasible at every longer one (keep stage
and phase), so a proof of infeasibility at one period bounds all schedules. With a span limit or
negative lags that does not hold, and periods are tried one by one from the bound upwards.
"""

from __future__ import annotations

import numpy as np

from spikepipe_sched.bounds import delay_bound, objective_bound, period_bound
from spikepipe_sched.problem import MAX_INT, Problem
from spikepipe_sched.result import Infeasibility, Provenance, Result, conclude
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Observer
from spikepipe_sched.version import __version__
from spikepipe_solvers.balance import balance
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.cpsat.balance import balance_exactly
from spikepipe_solvers.cpsat.model import ScheduleModel, serial_length
from spikepipe_solvers.incumbent import Incumbent
from spikepipe_solvers.modulo import modulo_schedules
from spikepipe_solvers.portfolio import heuristic_schedules
from spikepipe_solvers.search import DelaySearch

#: Largest number of tensor places for which the memory model is built as an objective.
MEMORY_PLACES = 4000
#: Share of the time that the heuristic ``modulo`` may take before the exact search.
MODULO_SHARE = 0.2
#: Levels that only choose among schedules equal in what matters more: given up after so long without news.
TIE_BREAKERS = frozenset({"traffic", "memory"})
PATIENCE_S, BALANCE_PATIENCE_S = 0.5, 3.0
#: Steps of local search (up to a millisecond each) that a share of 1 stands for.
LOCAL_STEPS = 20_000


class Search(Incumbent):
    """An incumbent, and the levels still to do."""

    def __init__(self, problem: Problem, clock: Clock, seed: int, observer: Observer | None, name: str) -> None:
        super().__init__(problem, name, observer)
        self.clock, self.seed = clock, seed
        self.interrupted = False
        self.infeasible: Infeasibility | None = None

    # -- the whole search ----------------------------------------------------------------------------

    def run(self, local_search: float) -> Result:
        """All levels in order; ``local_search``: share of the time for local search at the least period.

        An interruption ends the search; what was found and proven until then counts.
        """
        try:
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
                    self._minimise_period(ceilings, share, local_search)
                else:
                    if level == "delay" and "period" not in ceilings:
                        self._decode(self._free_period(), [balance(problem.instance.duration).tolist()], local_search)
                    self._minimise(level, ceilings, share)
            if self.schedule is None or self.interrupted:
                break
            ceilings[level] = self.value(level)

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
                infeasibility=self.infeasible or self._report(proven=False),
                proven_infeasible=self.infeasible is not None,
            )
        return conclude(self.problem, self.schedule, bounds=self.bounds, provenance=provenance)

    def _report(self, *, proven: bool) -> Infeasibility:
        limits, problem = self.problem.limits, self.problem
        names = [n for n in ("period_cycles", "makespan_cycles", "delay", "traffic_bytes", "span_cycles") if getattr(limits, n) is not None]
        names += [f"delay of layer '{layer}'" for layer, _ in limits.layer_delay]
        names += ["memory_bytes"] if any(p.memory_bytes is not None for p in problem.processors) else []
        known = self.bounds.get(problem.objective[0])
        demanded = limits.period_cycles or limits.makespan_cycles
        bound = known.value if known else 0
        excess = (bound - demanded) / demanded if proven and demanded and bound > demanded else None
        return Infeasibility(
            demanded=f"a {problem.mode} schedule within {', '.join(names) or 'no limits'}" + (f" (length at most {demanded})" if demanded else ""),
            bound=("CP-SAT proves that none exists" if proven else "none found in the time given") + (f"; {problem.objective[0]} >= {bound}" if bound else ""),
            gap=excess,
            loosen=tuple(names),
        )

    # -- levels other than the period ------------------------------------------------------------------

    def _model(self, ceilings: dict[str, int], period: int | None) -> ScheduleModel:
        return ScheduleModel(self.problem, period=period, ceilings=ceilings, hint=self.schedule)

    def _minimise(self, level: str, ceilings: dict[str, int], share: float) -> None:
        problem = self.problem
        if self.clock.expired() or (level == "memory" != problem.objective[0] and self._memory_places() > MEMORY_PLACES):
            return
        period = None
        if problem.mode == "periodic":
            period = ceilings["period"] if "period" in ceilings else self._free_period()
        allowed = dict(ceilings)
        if self.schedule is not None and (period is None or "period" in ceilings):
            allowed[level] = self.value(level)
        lower = self.bounds[level].value if level in self.bounds else 0
        model = self._model(allowed, period)
        valid = period is None or "period" in ceilings or self._monotone()

        def on_bound(bound: int) -> None:
            if valid:
                self.raise_bound(level, bound, "CP-SAT")
                self.tell()

        outcome, schedule = model.solve(
            level,
            self.clock,
            seed=self.seed,
            share=share,
            patience_s=PATIENCE_S if level in TIE_BREAKERS and level != problem.objective[0] else None,
            lower=lower,
            on_schedule=lambda s: self.offer(s, "cpsat"),
            on_bound=on_bound,
        )
        self.interrupted |= outcome.interrupted
        if schedule is not None:
            self.offer(schedule, "cpsat")
        if outcome.found and valid:
            self.raise_bound(level, outcome.bound, "CP-SAT")
        if outcome.infeasible and self.schedule is None and valid:
            self.infeasible = self._report(proven=True)

    def _memory_places(self) -> int:
        producing = len(
            np.unique(np.stack([self.problem.edges.tensor, np.repeat(self.problem.edges.source, np.diff(self.problem.edges.tensor_ptr))]), axis=1)[0]
        )
        return producing * len(self.problem.processors) ** 2 * self.problem.micro_batches

    # -- the period --------------------------------------------------------------------------------------

    def _monotone(self) -> bool:
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

    def _minimise_period(self, ceilings: dict[str, int], share: float, local_search: float) -> None:
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
            self.raise_bound("period", bound, "CP-SAT: load balancing")
            local_search = 0.0 if self.interrupted else local_search
            target = self._loads(assignment)
        target = max(target, known.value)
        ceiling = problem.limits.period_cycles
        if ceiling is None or target <= ceiling:
            self._decode(target, [assignment.tolist()], local_search)
        if self.interrupted or (self.schedule is not None and not self._coupled(ceilings) and self.value("period") <= target):
            return
        self._bisect(ceilings, share)

    def _loads(self, assignment: np.ndarray) -> int:
        from spikepipe_solvers.balance import loads

        return int(loads(self.problem.instance.duration, assignment).max())

    def _decode(self, period: int, assignments: list[list[int]], local_search: float) -> None:
        """Schedules at a period from modulo list scheduling and local search."""
        search = DelaySearch(self.problem, period, self.seed, lambda s: self.offer(s, "modulo"))
        clock = self.clock if self.clock.deterministic else Clock(self.clock.budget, 0.3 * self.clock.left() / self.clock.budget.time_limit_s)
        # Up to some forty copies CP-SAT alone does better; beyond, local search gains with size.
        worth = min(1.0, max(0, self.problem.instance.size - 40) / 100)
        steps = int(LOCAL_STEPS * local_search * worth) or 8
        target = delay_bound(self.problem, period).value
        search.follow_data(clock, 2 * steps, target)
        for start in search.fitting(assignments):
            search.run(start, clock, steps, target)

    def _bisect(self, ceilings: dict[str, int], share: float) -> None:
        """Shorter periods between the bound and the incumbent (or the limit), by models at fixed periods.

        A period that stays undecided in its share of the time is given up and longer ones are tried.
        """
        low = self.bounds["period"].value
        high = self.value("period") if self.schedule is not None else self._free_period()
        found = self.schedule is not None
        monotone = self._monotone()
        unknown = low  # periods below are infeasible, or were given up
        probe = high if monotone and not found else low
        while unknown < high or (unknown == high and not found):
            if self.clock.expired() or self.interrupted:
                return
            model = self._model({**ceilings}, probe)
            outcome, schedule = model.solve(None, self.clock, seed=self.seed, share=share * 0.5)
            self.interrupted |= outcome.interrupted
            if outcome.infeasible:
                unknown = probe + 1
                if monotone or probe == low:
                    low = probe + 1
                    self.raise_bound("period", low, "CP-SAT: shorter periods are infeasible")
                    self.tell()
            elif schedule is not None and self.offer(schedule, "cpsat"):
                found, high = True, self.value("period")
            elif found:
                unknown = probe + 1
            else:
                return
            probe = (unknown + high) // 2 if monotone else unknown
        if not found and low > high:
            self.infeasible = self._report(proven=True)


def warm_start(search: Search, hint: Schedule | None, *, modulo: bool) -> None:
    """Offer a hint and the heuristics' schedules; those of ``modulo`` if asked for, or if no other is feasible."""
    problem = search.problem
    if hint is not None:
        search.offer(hint, "hint")
    for name, schedule in heuristic_schedules(problem):
        search.offer(schedule, name)
    if problem.mode == "periodic" and (modulo or search.schedule is None):
        clock = search.clock if search.clock.deterministic else Clock(search.clock.budget, MODULO_SHARE)
        for schedule in modulo_schedules(problem, clock, search.seed, search.observer):
            search.offer(schedule, "modulo")
