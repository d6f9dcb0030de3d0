"""What a task costs on a systolic array: cycles, traffic and energy, in closed form.

`task_cost` prices a `Work` on a `SystolicArray` under the assumptions of a `CostModel`: a timing
formula for the matrix products, and terms that can be switched on and off. `gemm_cycles` is the
timing formula alone, over arrays of any number of products.
"""

from __future__ import annotations

from spikepipe_sched.cost.gemm import DATAFLOWS, gemm_cycles
from spikepipe_sched.cost.memory import Accesses
from spikepipe_sched.cost.shares import CostTerm, cost_shares
from spikepipe_sched.cost.task import TaskCost, task_cost
from spikepipe_sched.cost.timings import TIMINGS, Timing
from spikepipe_sched.cost.work import CostModel, Gemm, Pass, Sparsity, Work

__all__ = [
    "DATAFLOWS",
    "TIMINGS",
    "Accesses",
    "CostModel",
    "CostTerm",
    "Gemm",
    "Pass",
    "Sparsity",
    "TaskCost",
    "Timing",
    "Work",
    "cost_shares",
    "gemm_cycles",
    "task_cost",
]
