"""Least delays with processors and phases fixed.

Write s_v = k_v * period + r_v with r_v in [0, period). With processors and phases given, every edge demands a
least difference of two stages k, and least sums of delays are a linear programme (Leiserson and Saxe,
doi:10.1007/BF01759032). On task graphs of training its optimum needs no solver: two longest paths
find it (`spikepipe_solvers.delays.energy`).
"""

from __future__ import annotations

from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.delays.energy import stages
from spikepipe_solvers.delays.tables import LATE_STAGE, PHASE, PROCESSOR, make_state, make_tables


class Retimer:
    """A problem's edges, ready for schedules of any period."""

    def __init__(self, problem: Problem) -> None:
        self.tables, self.order = make_tables(problem, 1)
        self.state = make_state(self.tables, 0)

    def retime(self, schedule: Schedule) -> Schedule:
        """The same processors and phases with stages of small delays; edges to later iterations may be missed."""
        period, copy = schedule.period, self.state.copy
        assert period is not None  # it works on periodic problems
        copy[:, PROCESSOR], copy[:, PHASE] = schedule.processor[self.order], schedule.start[self.order] % period
        stages(self.tables._replace(period=period), self.state)
        start = schedule.start.copy()
        start[self.order] = copy[:, LATE_STAGE] * period + copy[:, PHASE]
        return Schedule(processor=schedule.processor, start=start, period=period).normalised()


def retime(problem: Problem, schedule: Schedule) -> Schedule:
    """One schedule, by a `Retimer` of its own."""
    return Retimer(problem).retime(schedule)
