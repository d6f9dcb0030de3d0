"""The least sum of delays with processors and phases fixed, as a linear programme: what retiming is compared with.

Write s_v = k_v * period + r_v with r_v in [0, period). With processors and phases r fixed, an edge
of distance d demands k_v - k_u + d >= ceil((r_u + c_u + lag + transfer - r_v) / period) = w, and an
edge from an update D_l + k_v - k_u >= w. Minimising sum D_l over integers k, D is the dual of a
minimum-cost flow, so the programme's vertices are integral (Leiserson and Saxe, doi:10.1007/BF01759032).
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array

from spikepipe_sched.problem import MAX_INT, Problem
from spikepipe_sched.schedule import Schedule

Ints = NDArray[np.int64]


def least_delay(problem: Problem, schedule: Schedule) -> int:
    """The least sum of delays of a problem with unroll 1."""
    instance, period = problem.instance, schedule.period
    assert period is not None
    assert problem.unroll == 1
    n = instance.size
    duration = instance.duration[np.arange(n), schedule.processor]
    phase = schedule.start % period

    def need(u: Ints, v: Ints, lag: Ints, transfer: Ints) -> Ints:
        late = phase[u] + duration[u] + lag + np.where(schedule.processor[u] != schedule.processor[v], transfer, 0) - phase[v]
        return -(-late // period)

    loops = instance.source == instance.target
    u, v = instance.source[~loops], instance.target[~loops]
    w = need(u, v, instance.lag[~loops], instance.transfer[~loops]) - instance.distance[~loops]
    du, dv, layer = instance.delay_source, instance.delay_target, instance.delay_layer
    paid = np.ones(len(du), dtype=bool)
    if problem.weights == "latest":  # only F's delay is bounded and paid for
        paid = np.array([problem.tasks.kinds[t] == "F" for t in dv.tolist()], dtype=bool)
    du, dv, layer = du[paid], dv[paid], layer[paid]
    dw = need(du, dv, instance.delay_lag[paid], instance.delay_transfer[paid])
    layers, column = np.unique(layer, return_inverse=True)
    m, d = len(u), len(du)
    row = np.arange(m + d)
    # -(k_v - k_u) - [D_l] <= -w
    rows = np.concatenate([row, row, m + np.arange(d)])
    columns = np.concatenate([u, du, v, dv, n + column])
    values = np.concatenate([np.ones(m + d), -np.ones(m + d), -np.ones(d)])
    matrix = coo_array((values, (rows, columns)), shape=(m + d, n + len(layers)))
    cost = np.concatenate([np.zeros(n), np.ones(len(layers))])
    limits = problem.delay_limits[layers]
    upper: list[float | None] = [None if x >= MAX_INT else float(x) for x in limits.tolist()]
    solution = linprog(
        cost,
        A_ub=cast("Any", matrix.tocsr()),  # the stubs know no sparse matrices
        b_ub=-np.concatenate([w, dw]).astype(float),
        bounds=[(0.0, 4.0 * n + 4.0)] * n + [(1.0, x) for x in upper],
        method="highs",
    )
    assert solution.fun is not None
    return round(float(solution.fun))
