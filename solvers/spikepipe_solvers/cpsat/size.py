"""How large a model will be, before it is built: building and presolving do not watch the clock.

Sizes are counts of variables and constraints, to within a factor of two; `affordable` compares them
with the time left. The rates are measured: per second and core, OR-Tools builds, loads and presolves some tens of
thousands of constraints.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from spikepipe_sched.problem import Problem
from spikepipe_solvers.clock import Clock

#: Constraints whose building, loading and presolving take a second.
PER_SECOND = 30_000
#: Deterministic work of building one constraint (about seconds).
BUILD_WORK = 1.5e-5


def model_size(problem: Problem, levels: frozenset[str] = frozenset(), *, memories: bool = True) -> int:
    """Variables and constraints of a `ScheduleModel` with expressions for ``levels``."""
    instance, count, k = problem.instance, len(problem.processors), problem.unroll
    able = instance.duration >= 0
    placed = able if problem.mode == "periodic" else able[instance.copy == 0]
    size = int(placed.sum()) + instance.size * 4 + int(able.sum()) * (2 if problem.mode == "periodic" else 1)
    u, v = (instance.source, instance.target) if problem.mode == "periodic" else (instance.task[instance.source], instance.task[instance.target])
    charged = instance.transfer > 0
    size += len(instance.source) + len(np.unique(np.stack([u, v])[:, charged], axis=1)[0]) * count
    size += len(instance.delay_source) * k * k * (1 + count)
    limits = problem.limits
    if "traffic" in levels or limits.traffic_bytes is not None:
        size += _moves(problem, per_copy=problem.mode == "periodic") * count * (count if _sums(problem) else 1)
    if "memory" in levels or (memories and any(p.memory_bytes is not None for p in problem.processors)):
        rows = _moves(problem, per_copy=True)
        tensors = len(np.unique(_produced(problem), axis=1)[0]) * k * problem.micro_batches
        size += 3 * rows * count * count + 10 * tensors * count * count
    return size


def affordable(problem: Problem, clock: Clock, levels: Collection[str] = (), *, memories: bool = True) -> bool:
    """Whether a model can be built, presolved and worked on for a while in the time left."""
    return model_size(problem, frozenset(levels), memories=memories) <= PER_SECOND * clock.left()


def _moves(problem: Problem, *, per_copy: bool) -> int:
    """Rows of data movements."""
    per_edge, instance = np.diff(problem.edges.tensor_ptr), problem.instance
    rows = int(per_edge[instance.edge].sum()) + int(per_edge[instance.delay_edge].sum()) * problem.unroll**2
    return rows if per_copy else max(1, rows // problem.micro_batches)


def _produced(problem: Problem) -> np.ndarray:
    edges = problem.edges
    return np.stack([edges.tensor, np.repeat(edges.source, np.diff(edges.tensor_ptr))])


def _sums(problem: Problem) -> bool:
    tensors = np.unique(_produced(problem), axis=1)[0]
    return bool(tensors.size and np.bincount(tensors).max() > 1)
