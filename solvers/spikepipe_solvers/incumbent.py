"""The best schedule so far and what is proven about it: what the parts of a search share."""

from __future__ import annotations

from spikepipe_sched.assess import assess
from spikepipe_sched.bounds import Bound, best
from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Observer, Progress
from spikepipe_solvers.links import with_links


class Incumbent:
    """Every part offers its schedules here, so that the search is never worse than any of its parts.

    Attributes
    ----------
    schedule, key, winner
        The best schedule that passed the check, its objective values in lexicographic order, and the
        part that found it; None, () and "" as long as there is none.
    bounds
        Proven bounds by objective; below the first level conditional on the values above.
    level
        The objective that is being worked on.
    """

    def __init__(self, problem: Problem, name: str, observer: Observer | None = None) -> None:
        self.problem, self.name, self.observer = problem, name, observer
        self.schedule: Schedule | None = None
        self.key: tuple[int, ...] = ()
        self.winner = ""
        self.bounds: dict[str, Bound] = {}
        self.level = problem.objective[0]

    def offer(self, schedule: Schedule, by: str) -> bool:
        """Keep a schedule, with its transfers where links are shared, if it passes the check and beats the incumbent."""
        linked = with_links(self.problem, schedule.normalised())
        if linked is None or (found := assess(self.problem, linked)).violations:
            return False
        schedule = linked
        key = found.key(self.problem)
        if self.schedule is not None and key >= self.key:
            return False
        self.schedule, self.key, self.winner = schedule, key, by
        self.tell(schedule)
        return True

    def value(self, level: str) -> int:
        """The incumbent's value of a level."""
        return self.key[self.problem.objective.index(level)]

    def raise_bound(self, level: str, value: int, source: str) -> None:
        """Keep the better of two proven bounds."""
        bound = Bound(value=value, source=source)
        self.bounds[level] = best(self.bounds[level], bound) if level in self.bounds else bound

    def proven(self, level: str) -> bool:
        """Whether the incumbent meets the bound of a level."""
        return self.schedule is not None and level in self.bounds and self.value(level) == self.bounds[level].value

    def tell(self, schedule: Schedule | None = None) -> None:
        """Report to the observer."""
        if self.observer is None:
            return
        self.observer(
            Progress(
                solver=self.name,
                objective=self.level,
                incumbent=self.value(self.level) if self.schedule is not None else None,
                bound=self.bounds[self.level].value if self.level in self.bounds else None,
                schedule=schedule,
            )
        )
