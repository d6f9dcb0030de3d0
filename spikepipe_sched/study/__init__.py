"""The study: many networks, platforms and solvers in one sweep, its store of results, and the experiment made of them.

`read_sweep` turns a file into `Cell` objects, each of which is one question. `run_cells` has an
executor (`Pool`: processes of this machine, or `Ray`: a cluster) answer those that a `Store` does not
know; an answer is an `Outcome`. Names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikepipe_sched.study.cell import Cell
    from spikepipe_sched.study.experiment import StudySetup
    from spikepipe_sched.study.outcome import Outcome
    from spikepipe_sched.study.plots import plot
    from spikepipe_sched.study.pool import Pool
    from spikepipe_sched.study.ray_cluster import Ray
    from spikepipe_sched.study.reproduce import Study, run_study
    from spikepipe_sched.study.run import SweepProgress, SweepSummary, run_cells
    from spikepipe_sched.study.store import Store
    from spikepipe_sched.study.sweep_file import Sweep, read_sweep
    from spikepipe_sched.study.views import compared, front

_WHERE = {
    "Cell": "cell",
    "Outcome": "outcome",
    "Pool": "pool",
    "Ray": "ray_cluster",
    "Store": "store",
    "Study": "reproduce",
    "StudySetup": "experiment",
    "Sweep": "sweep_file",
    "compared": "views",
    "front": "views",
    "plot": "plots",
    "SweepProgress": "run",
    "SweepSummary": "run",
    "read_sweep": "sweep_file",
    "run_cells": "run",
    "run_study": "reproduce",
}

__all__ = [
    "Cell",
    "Outcome",
    "Pool",
    "Ray",
    "Store",
    "Study",
    "StudySetup",
    "Sweep",
    "SweepProgress",
    "SweepSummary",
    "compared",
    "front",
    "plot",
    "read_sweep",
    "run_cells",
    "run_study",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module 'spikepipe_sched.study' has no attribute '{name}'")
    return getattr(import_module(f"spikepipe_sched.study.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
