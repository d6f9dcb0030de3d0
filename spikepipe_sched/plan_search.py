"""The search of `spikepipe_sched.plan`: which numbers of which arrays to solve, and for how long."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from spikepipe_sched.assess import assess
from spikepipe_sched.bounds import Bound
from spikepipe_sched.errors import Unsupported
from spikepipe_sched.plan_size import NEVER, Size
from spikepipe_sched.result import Provenance, Result, conclude
from spikepipe_sched.solver import solve
from spikepipe_sched.version import __version__

if TYPE_CHECKING:
    from spikepipe_sched.problem import Limits, Problem
    from spikepipe_sched.schedule import Schedule
    from spikepipe_sched.solver import Observer, Progress, Solver

#: Share of a phase for a quick look at every choice, before the rest goes to those that are still open.
QUICK: Final = 0.4
#: Share of what a quick look has left that one number of arrays may take.
EACH: Final = 0.15


class Purse:
    """What is left of a limit, in seconds or, not ``timed``, in units of deterministic work: these are gone once they are granted."""

    def __init__(self, amount: float, *, timed: bool, whole: Purse | None = None) -> None:
        self.amount, self.timed, self.whole = amount, timed, whole
        self.began = time.perf_counter()

    def left(self) -> float:
        """Seconds, or units of work."""
        return max(0.0, self.amount - (time.perf_counter() - self.began if self.timed else 0.0))

    def part(self, share: float) -> Purse:
        """A purse with a share of what is left; what it does not spend stays here."""
        return Purse(self.left() * share, timed=self.timed, whole=self)

    def grant(self, share: float) -> dict[str, Any]:
        """A share of what is left as an option of `solve`."""
        granted = max(1e-3, self.left() * share)
        if self.timed:
            return {"time_limit_s": granted}
        self._take(granted)
        return {"deterministic_limit": granted}

    def give_back(self, spend: dict[str, Any]) -> None:
        """What was granted and not used."""
        self._take(-spend.get("deterministic_limit", 0.0))

    def _take(self, work: float) -> None:
        purse: Purse | None = self
        while purse is not None:
            purse.amount, purse = purse.amount - work, purse.whole


class _Enough(Exception):
    """Ends a solve whose schedule is as short as was asked for; not an error."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule


class Search:
    """What is found and proven about all sizes, and the solver to find and prove more with."""

    def __init__(self, sizes: Sequence[Size], solver: str | Solver, workers: int | None, seed: int, observer: Observer | None) -> None:
        self.sizes, self.solver, self.observer = sizes, solver, observer
        self.options: dict[str, Any] = {"workers": workers, "seed": seed}

    # -- where to look ---------------------------------------------------------------------------------

    def shortest(self, choices: Sequence[tuple[Size, int]], purse: Purse) -> None:
        """The least length of some choices of (size, number): a quick look at each, the lowest bound first, then more time for those still open."""

        def open_choices() -> list[tuple[Size, int]]:
            known = min((length for size, count in choices if (length := size.length(count)) is not None), default=NEVER)
            return sorted([(size, count) for size, count in choices if size.bound(count).value < known], key=lambda choice: choice[0].bound(choice[1]).value)

        for phase in (purse.part(QUICK), purse):
            waiting = open_choices()
            while waiting and (phase.left() > 0 or not any(size.solved for size in self.sizes)):
                size, count = waiting[0]
                self.attempt(size, count, phase, 1 / len(waiting))
                while count in size.refused and count > 1:  # what is found on fewer holds as well
                    count -= 1
                    self.attempt(size, count, phase, 1 / len(waiting))
                still = open_choices()
                waiting = [choice for choice in waiting[1:] if choice in still]

    def fewest(self, limit: int, purse: Purse) -> None:
        """The fewest elements with a schedule of at most this length: a quick look at few numbers of each size, then more time between what is excluded and what is found."""
        order = sorted(self.sizes, key=lambda size: (size.least(limit) or NEVER) * size.elements)
        quick = purse.part(QUICK)
        for i, size in enumerate(order):
            self._climb(size, limit, quick.part(1 / (len(order) - i)))
        for i, size in enumerate(order):
            self._descend(size, limit, purse.part(1 / (len(order) - i)))

    def elements(self, limit: int) -> int | None:
        """Fewest elements with a schedule found of at most this length."""
        return min((count * size.elements for size in self.sizes if (count := size.reached(limit)) is not None), default=None)

    def best(self, target: int | None) -> list[tuple[Size, int]]:
        """All choices found that are best in length and elements; for a ``target``, of those that reach it, in elements and length."""
        found: dict[tuple[int, int], list[tuple[Size, int]]] = {}
        for size in self.sizes:
            for count, length in size.lengths.items():
                if target is None or length <= target:
                    elements = count * size.elements
                    found.setdefault((length, elements) if target is None else (elements, length), []).append((size, count))
        return found[min(found)] if found else []

    def _top(self, size: Size, limit: int) -> int:
        """Largest number worth a try: below the one reached, of no more elements than the fewest, and not refused; 0: none."""
        fewest, own = self.elements(limit), size.reached(limit)
        top = size.most if fewest is None else min(size.most, fewest // size.elements)
        top = top if own is None else min(top, own - 1)
        while top in size.refused:
            top -= 1
        return top

    def _climb(self, size: Size, limit: int, purse: Purse) -> None:
        """From the least number not excluded upwards in growing steps until one is reached, then bisection."""
        failed, step = 0, 1
        while purse.left() > 0 and (least := size.least(limit)) is not None:
            low, top = max(least, failed + 1), self._top(size, limit)
            if low > top:
                return
            if size.reached(limit) is None:
                count, step = min(max(low, failed + step), top), 2 * step
            else:
                count = (low + top) // 2
            self.attempt(size, count, purse, EACH, limit)
            if (size.reached(limit) or NEVER) > count:
                failed = count

    def _descend(self, size: Size, limit: int, purse: Purse) -> None:
        """From the largest number that would be better downwards, until one is neither reached nor excluded."""
        while purse.left() > 0 and (least := size.least(limit)) is not None and (count := self._top(size, limit)) >= least:
            self.attempt(size, count, purse, 0.5, limit)
            if (size.reached(limit) or NEVER) > count and size.bound(count).value <= limit and count not in size.refused:
                return

    # -- solves ------------------------------------------------------------------------------------------

    def attempt(self, size: Size, count: int, purse: Purse, share: float, limit: int | None = None) -> None:
        """One solve for the length alone, with a share of what is left: as short as can be, or at most ``limit``, which then is enough.

        What the solver cannot take costs nothing, and tells nothing.
        """
        problem = size.problem(count)
        part = replace(problem, objective=problem.objective[:1], limits=problem.limits if limit is None else _within(problem, limit))
        spend = purse.grant(share)
        try:
            result = self._solve(size, part, spend, size.hint(count), size.bound(count).value if limit is None else limit)
        except Unsupported as reason:
            purse.give_back(spend)
            size.refused[count] = reason
            return
        size.refused.pop(count, None)  # it may take so many with a limit, or without one
        size.keep(count, result, limit)
        if result.provenance.interrupted:
            raise KeyboardInterrupt

    def finished(self, size: Size, count: int, spend: dict[str, Any] | None) -> Result:
        """The best schedule found on so many arrays as the answer to all objectives; with something to ``spend``, those after the length are improved."""
        problem, schedule, length = size.problem(count), size.hint(count), size.length(count)
        assert schedule is not None  # asked for what is found
        assert length is not None
        bounds, source = {problem.objective[0]: size.bound(count)}, self._provenance(problem)
        plain = conclude(problem, schedule, bounds=bounds, provenance=source)
        if spend is None or not problem.objective[1:]:
            return plain
        part = replace(problem, objective=problem.objective[1:], limits=_within(problem, length))
        try:
            result = self._solve(size, part, spend, schedule, None)
        except Unsupported:
            return plain
        source = result.provenance
        if result.schedule is not None and result.metrics is not None:
            size.note(result.schedule, result.metrics.length_cycles)
            bounds |= {level.name: Bound(value=level.bound, source=level.bound_source) for level in result.objectives}
            better = conclude(problem, result.schedule, bounds=bounds, provenance=source)
            if better.key() <= plain.key():
                return better
        return replace(plain, provenance=source)

    def _solve(self, size: Size, part: Problem, spend: dict[str, Any], hint: Schedule | None, enough: int | None) -> Result:
        name = f"{len(part.processors)} of {size.rows}x{size.cols}"

        def watch(progress: Progress) -> None:
            if self.observer is not None:
                self.observer(replace(progress, solver=f"{name}  {progress.solver}"))
            if enough is not None and progress.schedule is not None:
                found = assess(part, progress.schedule)
                if not found.violations and found.metrics is not None and found.metrics.length_cycles <= enough:
                    raise _Enough(progress.schedule)

        try:
            return solve(part, self.solver, hint=hint, observer=watch, **self.options, **spend)
        except _Enough as news:
            return conclude(part, news.schedule, provenance=self._provenance(part))

    def _provenance(self, problem: Problem) -> Provenance:
        name = self.solver if isinstance(self.solver, str) else self.solver.spec.name
        return Provenance(solver=name, version=__version__, seed=self.options["seed"], cost_terms=problem.cost_terms)


def _within(problem: Problem, length: int) -> Limits:
    """The problem's limits and this length."""
    name = "period_cycles" if problem.mode == "periodic" else "makespan_cycles"
    own = getattr(problem.limits, name)
    return replace(problem.limits, **{name: length if own is None else min(own, length)})
