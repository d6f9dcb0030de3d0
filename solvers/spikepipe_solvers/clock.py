"""What is left of a budget."""

from __future__ import annotations

import math
import time

from spikepipe_sched.solver import Budget


class Clock:
    """Starts when made. Under a deterministic limit time never runs out, only work does.

    A unit of deterministic work is about a second of one core of a common machine: every part
    accounts for its own (a step, a model's size, CP-SAT's own measure) at a measured rate.

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
        self._whole: Clock | None = None

    def part(self, share: float = 1.0, most_s: float | None = None) -> Clock:
        """A clock for a fraction of what is left, at most ``most_s``; what it spends is spent here as well."""
        granted = self.left() * share if most_s is None else min(most_s, self.left() * share)
        clock = Clock(self.budget)
        clock._limit, clock.work_left, clock._whole = granted, granted, self
        return clock

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

    @property
    def left_s(self) -> float:
        """Wall-clock seconds that remain; no end where only deterministic work counts."""
        return math.inf if self.deterministic else self.left()

    def spend(self, work: float) -> None:
        """Account for deterministic work."""
        self.work_left -= work
        if self._whole is not None:
            self._whole.spend(work)

    def expired(self) -> bool:
        """Whether nothing is left."""
        return self.left() <= 0.0
