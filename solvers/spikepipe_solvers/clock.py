"""What is left of a budget."""

from __future__ import annotations

import time

from spikepipe_sched.solver import Budget


class Clock:
    """Starts when made. Under a deterministic limit time never runs out, only work does.

    Parameters
    ----------
    budget
        The budget of the whole solve.
    share
        Fraction of it that this clock may use.
    """

    def __init__(self, budget: Budget, share: float = 1.0) -> None:
        self.budget = budget
        self._began = time.perf_counter()
        self._limit = budget.time_limit_s * share
        self.work_left = (budget.deterministic_limit or 0.0) * share

    @property
    def deterministic(self) -> bool:
        """Whether only deterministic work counts."""
        return self.budget.deterministic_limit is not None

    def elapsed(self) -> float:
        """Wall-clock seconds since the start."""
        return time.perf_counter() - self._began

    def left(self) -> float:
        """Seconds, or units of deterministic work, that remain."""
        return max(0.0, self.work_left if self.deterministic else self._limit - self.elapsed())

    def spend(self, work: float) -> None:
        """Account for deterministic work."""
        self.work_left -= work

    def expired(self) -> bool:
        """Whether nothing is left."""
        return self.left() <= 0.0
