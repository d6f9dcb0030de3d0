"""List scheduling of finite problems: a priority rule, a processor rule and a placement rule, and presets of the literature."""

from __future__ import annotations

from spikepipe_solvers.lists.solver import ListScheduling, list_schedule, list_schedules, upward_rank

SOLVER = ListScheduling(summary="list scheduling (HEFT: upward rank, earliest finish with insertion)", source="doi:10.1109/71.993206")

__all__ = ["SOLVER", "ListScheduling", "list_schedule", "list_schedules", "upward_rank"]
