"""Schedule the training of spiking neural networks on systolic arrays.

In the order the data flows: `load_network`, `from_torch` and `load_platform` read, `lower` makes
the task graph, `Problem` compiles it (`load_problem` reads the field's own task graphs), `solve`
schedules it, `check` verifies, `simulate` replays, `Result` holds what came out, `gantt` draws it,
`validate` trains with its delays, and `execute` runs it on PyTorch's pipeline runtime. Sweeps and
the study are in `spikepipe_sched.study`. Names load on first use, so importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spikepipe_sched.version import __version__

if TYPE_CHECKING:
    from spikepipe_sched.check import Metrics, Violation, metrics, violations
    from spikepipe_sched.comparison import Comparison, compare
    from spikepipe_sched.cost import CostModel, gemm_cycles
    from spikepipe_sched.errors import InputError, SpikepipeError
    from spikepipe_sched.execute import execute
    from spikepipe_sched.export.costs import cost_table
    from spikepipe_sched.export.figures import delay_per_layer, memory_over_time, traffic_heatmap, utilisation
    from spikepipe_sched.export.gantt import gantt
    from spikepipe_sched.export.roofline import roofline
    from spikepipe_sched.export.svg import svg_picture
    from spikepipe_sched.export.toml import save_network
    from spikepipe_sched.importers import RepairWarning, list_networks, list_platforms, load_network, load_platform
    from spikepipe_sched.importers.torch import from_torch
    from spikepipe_sched.learning import ValidationSetup
    from spikepipe_sched.lower import Split, lower
    from spikepipe_sched.network import Layer, Network
    from spikepipe_sched.pareto import Front, FrontPoint, pareto
    from spikepipe_sched.plan import Plan, plan
    from spikepipe_sched.platform import Energy, Interconnect, Platform, SystolicArray
    from spikepipe_sched.problem import Limits, Problem
    from spikepipe_sched.readers import load_problem
    from spikepipe_sched.readers.pipeline import Pipeline
    from spikepipe_sched.result import Provenance, Result, Status, conclude
    from spikepipe_sched.schedule import Schedule
    from spikepipe_sched.simulate import Simulation, simulate
    from spikepipe_sched.slack import within_slack
    from spikepipe_sched.solver import Budget, Progress, Solver, SolverSpec, solve, solver_names
    from spikepipe_sched.staleness import Staleness
    from spikepipe_sched.staleness_limits import delay_limits
    from spikepipe_sched.training import TrainingSetup
    from spikepipe_sched.validate import validate
    from spikepipe_sched.validate.data import DataSet
    from spikepipe_sched.validate.sweep import sweep_delays
    from spikepipe_sched.validation import Validation
    from spikepipe_sched.versions import WeightDelays

    check = violations

_WHERE = {
    "load_network": "importers",
    "from_torch": "importers.torch",
    "list_networks": "importers",
    "RepairWarning": "importers",
    "Network": "network",
    "Layer": "network",
    "save_network": "export.toml",
    "load_platform": "importers",
    "list_platforms": "importers",
    "Platform": "platform",
    "SystolicArray": "platform",
    "Energy": "platform",
    "Interconnect": "platform",
    "TrainingSetup": "training",
    "CostModel": "cost",
    "gemm_cycles": "cost",
    "Split": "lower",
    "Problem": "problem",
    "Limits": "problem",
    "load_problem": "readers",
    "Pipeline": "readers.pipeline",
    "solve": "solver",
    "solver_names": "solver",
    "Solver": "solver",
    "SolverSpec": "solver",
    "Budget": "solver",
    "Progress": "solver",
    "Schedule": "schedule",
    "violations": "check",
    "metrics": "check",
    "Metrics": "check",
    "Violation": "check",
    "Simulation": "simulate",
    "Result": "result",
    "Provenance": "result",
    "conclude": "result",
    "Status": "result",
    "cost_table": "export.costs",
    "gantt": "export.gantt",
    "utilisation": "export.figures",
    "memory_over_time": "export.figures",
    "traffic_heatmap": "export.figures",
    "delay_per_layer": "export.figures",
    "svg_picture": "export.svg",
    "roofline": "export.roofline",
    "Plan": "plan",
    "Front": "pareto",
    "FrontPoint": "pareto",
    "within_slack": "slack",
    "compare": "comparison",
    "Comparison": "comparison",
    "WeightDelays": "versions",
    "DataSet": "validate.data",
    "sweep_delays": "validate",
    "Validation": "validation",
    "ValidationSetup": "learning",
    "Staleness": "staleness",
    "delay_limits": "staleness_limits",
    "SpikepipeError": "errors",
    "InputError": "errors",
}

__all__ = [
    "Budget",
    "Comparison",
    "CostModel",
    "DataSet",
    "Energy",
    "Front",
    "FrontPoint",
    "InputError",
    "Interconnect",
    "Layer",
    "Limits",
    "Metrics",
    "Network",
    "Pipeline",
    "Plan",
    "Platform",
    "Problem",
    "Progress",
    "Provenance",
    "RepairWarning",
    "Result",
    "Schedule",
    "Simulation",
    "Solver",
    "SolverSpec",
    "SpikepipeError",
    "Split",
    "Staleness",
    "Status",
    "SystolicArray",
    "TrainingSetup",
    "Validation",
    "ValidationSetup",
    "Violation",
    "WeightDelays",
    "__version__",
    "check",
    "compare",
    "conclude",
    "cost_table",
    "delay_limits",
    "delay_per_layer",
    "execute",
    "from_torch",
    "gantt",
    "gemm_cycles",
    "list_networks",
    "list_platforms",
    "load_network",
    "load_platform",
    "load_problem",
    "lower",
    "memory_over_time",
    "metrics",
    "pareto",
    "plan",
    "roofline",
    "save_network",
    "simulate",
    "solve",
    "solver_names",
    "svg_picture",
    "sweep_delays",
    "traffic_heatmap",
    "utilisation",
    "validate",
    "violations",
    "within_slack",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name in (
        "lower",
        "check",
        "simulate",
        "cost",
        "pareto",
        "plan",
        "validate",
        "execute",
    ):  # steps that share their name with their module (see step.py), and a package of functions
        return import_module(f"spikepipe_sched.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module 'spikepipe_sched' has no attribute '{name}'")
    return getattr(import_module(f"spikepipe_sched.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
