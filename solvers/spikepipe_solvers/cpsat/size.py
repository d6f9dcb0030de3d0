"""How large a model will be, before it is built: building and presolving do not watch the clock.

Sizes are counts of variables and constraints, to within a factor of two; `affordable` compares them
with the time left. The rates are measured: per second and core, OR-Tools builds, loads and presolves some tens of
thousands of constraints. Numbers are compared with what CP-SAT can add up.
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
#: CP-SAT's numbers, and the sums of a constraint, have 64 bits.
LARGEST_SUM = 2.0**62


def serial_length(problem: Problem) -> int:
    """Length within which every feasible problem has a schedule (and a period): all work, transfers and lags in series.

    Time at which no copy runs and no edge waits for its transfer or lag can be cut out of any schedule
    without violating anything, in the periodic case modulo the period; what is left is at most
    the sum of all of them.
    """
    instance = problem.instance
    waits = int(instance.transfer.sum() + np.maximum(instance.lag, 0).sum())
    waits += problem.unroll * int(instance.delay_transfer.sum() + np.maximum(instance.delay_lag, 0).sum())
    return max(1, int(instance.duration.max(axis=1).sum()) + waits)


def latest_end(problem: Problem, period: int | None) -> int:
    """Time by which every copy ends in some best schedule, at a fixed period or (None) of a finite problem.

    Sort the copies of a periodic schedule by start. A gap between neighbours can be closed by a period without
    lengthening a delay or breaking an edge if it exceeds a period plus the longest transfer and lag. It must not
    lengthen a lifetime either: that of a tensor read d iterations later by a task of the earlier group would grow;
    but such an edge cannot span a gap of more than d periods.
    """
    length, instance = serial_length(problem), problem.instance
    if period is None:
        return length
    waits = [instance.transfer, instance.lag, instance.delay_transfer, instance.delay_lag]
    others = instance.distance[instance.source != instance.target]
    return length + (instance.size + 1) * (period * (1 + int(others.max(initial=0))) + sum(int(wait.max(initial=0)) for wait in waits))


def model_size(problem: Problem, levels: frozenset[str] = frozenset(), *, memories: bool = True) -> int:
    """Variables and constraints of a `ScheduleModel` with expressions for ``levels``."""
    instance, count, k = problem.instance, len(problem.processors), problem.unroll
    able = instance.duration >= 0
    placed = able if problem.mode == "periodic" else able[instance.copy == 0]
    size = int(placed.sum()) + instance.size * 4 + int(able.sum()) * (2 if problem.mode == "periodic" else 1)
    u, v = (instance.source, instance.target) if problem.mode == "periodic" else (instance.task[instance.source], instance.task[instance.target])
    charged = instance.transfer > 0
    size += len(instance.source) + len(_pairs(u[charged], v[charged])) * count * (1 if problem.mode == "periodic" else 3)  # window loads, both ways
    size += len(instance.delay_source) * k * k * (1 + count)
    limits = problem.limits
    if "traffic" in levels or limits.traffic_bytes is not None:
        size += _moves(problem, per_copy=problem.mode == "periodic") * count * (count if _sums(problem) else 1)
    if _remembers(problem, levels, memories=memories):
        rows = _moves(problem, per_copy=True)
        tensors = len(_produced(problem)) * k * problem.micro_batches
        size += 3 * rows * count * count + 10 * tensors * count * count
    return size


def affordable(problem: Problem, clock: Clock, levels: Collection[str] = (), *, period: int | None = None, memories: bool = True) -> bool:
    """Whether a model at a period can be built, presolved and worked on for a while in the time left, with numbers that CP-SAT can hold."""
    names = frozenset(levels)
    fits = model_size(problem, names, memories=memories) <= PER_SECOND * clock.left()
    return fits and largest_sum(problem, names, period=period, memories=memories) <= LARGEST_SUM


def largest_sum(problem: Problem, levels: frozenset[str] = frozenset(), *, period: int | None = None, memories: bool = True) -> float:
    """The largest number that a constraint of a `ScheduleModel` may add up to: an upper estimate."""
    instance, count = problem.instance, len(problem.processors)
    farthest = int(instance.distance.max(initial=0))
    latest = 2.0 * latest_end(problem, period) + (farthest + 5.0) * (period or 0)  # of what a task of a later period reads
    held = 1.0
    if _remembers(problem, levels, memories=memories):
        held = latest / period + 3 if period else 1.0  # of one tensor on one processor
    copied = float(np.take(problem.tensor_bytes, problem.edges.tensor).sum(dtype=float)) * problem.unroll**2 * problem.micro_batches * count**2
    return max(4 * latest, copied * held)


def _remembers(problem: Problem, levels: frozenset[str], *, memories: bool) -> bool:
    """Whether the model holds lifetimes."""
    return "memory" in levels or (memories and any(p.memory_bytes is not None for p in problem.processors))


def _moves(problem: Problem, *, per_copy: bool) -> int:
    """Rows of data movements."""
    per_edge, instance = np.diff(problem.edges.tensor_ptr), problem.instance
    rows = int(per_edge[instance.edge].sum()) + int(per_edge[instance.delay_edge].sum()) * problem.unroll**2
    return rows if per_copy else max(1, rows // problem.micro_batches)


def _pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The different pairs, each as one number: many times faster to sort than two rows."""
    return np.unique(first * (int(second.max(initial=0)) + 1) + second)


def _produced(problem: Problem) -> np.ndarray:
    """The pairs of a tensor and one of its producers."""
    edges = problem.edges
    return _pairs(edges.tensor, np.repeat(edges.source, np.diff(edges.tensor_ptr)))


def _sums(problem: Problem) -> bool:
    return len(_produced(problem)) > len(np.unique(problem.edges.tensor))
