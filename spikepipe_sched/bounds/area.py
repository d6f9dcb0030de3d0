"""What processors must hold together: work over processors, and the longest tasks among few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem

Ints = NDArray[np.int64]


def area_bound(problem: Problem) -> int:
    """Total work over all processors, as if tasks could be split at will.

    If a schedule of length L exists then for any weights y_p >= 0 of the processors,
    L * sum(y) >= sum_p y_p load_p >= sum_v min_p y_p c_vp over the processors that can run v. Equal
    weights on like processors give ceil(sum c / P); on unlike ones the best weights are the dual
    of the fractional assignment LP. They are rounded to integers before the bound is evaluated, so
    that it holds exactly.
    """
    duration = problem.instance.duration
    kind = np.array([p.kind for p in problem.processors])
    used, counts = np.unique(kind, return_counts=True)
    by_class = duration[:, [int(np.flatnonzero(kind == c)[0]) for c in used]]  # (N, used classes)
    weights = np.ones(len(used), dtype=object)
    if len(used) > 1 and not (by_class == by_class[:, :1]).all():
        weights = _dual_weights(by_class, counts)
    distinct, repeats = np.unique(by_class, axis=0, return_counts=True)
    total = 0  # Python integers: products of weights and cycles may exceed int64
    for cycles, times in zip(distinct.tolist(), repeats.tolist(), strict=True):
        total += times * min(int(w) * c for w, c in zip(weights.tolist(), cycles, strict=True) if c >= 0)
    whole = sum(int(w) * int(n) for w, n in zip(weights.tolist(), counts.tolist(), strict=True))
    return -(-total // whole) if whole else 0


def _dual_weights(by_class: Ints, counts: Ints) -> NDArray[np.object_]:
    """Integer processor weights near the optimal dual of: min L, loads <= L, each task assigned once.

    The dual is max sum_v u_v with u_v <= c_vp y_p and sum_p y_p = 1 over processors.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    distinct, repeats = np.unique(by_class, axis=0, return_counts=True)
    rows, classes = distinct.shape
    task, cls = np.nonzero(distinct >= 0)
    scale = float(distinct.max()) or 1.0
    count = np.arange(len(task))
    matrix = coo_array(
        (np.concatenate([np.ones(len(task)), -distinct[task, cls] / scale]), (np.concatenate([count, count]), np.concatenate([task, rows + cls]))),
        shape=(len(task), rows + classes),
    )
    solve: Any = linprog  # its type stubs know no sparse arrays
    solution = solve(
        np.concatenate([-repeats.astype(float), np.zeros(classes)]),
        A_ub=matrix.tocsr(),
        b_ub=np.zeros(len(task)),
        A_eq=np.concatenate([np.zeros(rows), counts.astype(float)])[None, :],
        b_eq=[1.0],
        bounds=[(0, None)] * (rows + classes),
        method="highs",
    )
    equal: NDArray[np.object_] = np.array([1] * classes, dtype=object)
    if solution.x is None:  # any weights are valid; equal ones are merely weaker
        return equal
    multipliers: NDArray[np.float64] = np.asarray(solution.x, dtype=np.float64)[rows:]
    weights = np.maximum(np.rint(multipliers * counts.sum() * 2**30), 0)
    whole: NDArray[np.object_] = weights.astype(np.int64).astype(object)
    return whole if weights.any() else equal


def sharing_bound(problem: Problem) -> int:
    """Of the k * P + 1 longest copies, P processors hold some k + 1 together: the shortest k + 1 of them at least.

    The largest such sum over k, with the fastest durations; k = 0 is the longest copy alone.
    Dell'Amico and Martello, Optimal scheduling of tasks on identical parallel processors, ORSA
    Journal on Computing 7(2), 1995, doi:10.1287/ijoc.7.2.191.
    """
    cycles = -np.sort(-problem.instance.min_duration())
    total = np.concatenate([[0], np.cumsum(cycles)])
    count = len(problem.processors)
    k = np.arange((len(cycles) - 1) // count + 1)
    return int((total[k * count + 1] - total[k * count - k]).max())
