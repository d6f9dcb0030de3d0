"""Cycles of a matrix product on an R x C systolic array (closed form, no simulation).

A product M x K x N multiplies an M x K by a K x N matrix. With output (OS), weight (WS) or input
stationary (IS) dataflow it takes, as SCALE-Sim's code counts (Samajdar et al., ISPASS 2020,
doi:10.1109/ISPASS48437.2020.00016; v3, arXiv:2504.15377)::

    OS: ceil(M/R) * ceil(N/C) * (R + C + K - 2)
    WS: ceil(K/R) * ceil(N/C) * (2R + C + M - 2)
    IS: ceil(K/R) * ceil(M/C) * (2R + C + N - 2)

Every fold fills and drains the array, and a partial fold pays for the whole array. SCALE-Sim's
report prints one cycle less (the index of the last cycle). The ISPASS paper has 2R + C + T - 2 for
all three dataflows; its code has not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.platform import Dataflow, SystolicArray

Pass = Literal["F", "B", "W"]
DATAFLOWS: Final = ("os", "ws", "is")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemm:
    """``count`` matrix products of the same size: M x K times K x N."""

    m: int
    k: int
    n: int
    count: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.m * self.k * self.n * self.count


def _folds(total: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return -(-total // size)


@overload
def gemm_cycles(m: int, k: int, n: int, *, rows: int, cols: int, dataflow: Dataflow = "os") -> int: ...
@overload
def gemm_cycles(m: ArrayLike, k: ArrayLike, n: ArrayLike, *, rows: int, cols: int, dataflow: Dataflow = "os") -> NDArray[np.int64] | int: ...
def gemm_cycles(m: ArrayLike, k: ArrayLike, n: ArrayLike, *, rows: int, cols: int, dataflow: Dataflow = "os") -> NDArray[np.int64] | int:
    """Cycles of M x K x N on a ``rows`` x ``cols`` array.

    Parameters
    ----------
    m, k, n
        Sizes >= 1; integers or arrays that broadcast against each other.
    rows, cols
        Dimensions R and C of the array.
    dataflow
        ``os``, ``ws``, ``is``, or ``auto``: the least of the three.

    Returns
    -------
    int or int64 array
        Cycles, in the broadcast shape of the sizes.

    Raises
    ------
    InputError
        For sizes below 1, an unknown dataflow, or more than 2^62 cycles.

    Examples
    --------
    >>> [gemm_cycles(20, 30, 17, rows=8, cols=8, dataflow=d) for d in ("os", "ws", "is")]
    [396, 504, 468]
    """
    require(rows >= 1 and cols >= 1, f"gemm_cycles: rows and cols must be at least 1, got {rows} x {cols}")
    sizes = [np.asarray(size, dtype=np.int64) for size in (m, k, n)]
    require(all((size >= 1).all() for size in sizes), "gemm_cycles: m, k and n must be at least 1")
    m_, k_, n_ = sizes
    # int64 would wrap silently; the bound below is evaluated in floating point, far from its edge.
    worst = max(float(s.max(initial=1)) for s in sizes) + 2.0 * rows + cols
    require(worst**3 < 2.0**62 or _float_cycles(m_, k_, n_, rows, cols) < 2.0**62, "gemm_cycles: more than 2^62 cycles")

    def one(flow: str) -> NDArray[np.int64]:
        if flow == "os":
            return _folds(m_, rows) * _folds(n_, cols) * (rows + cols + k_ - 2)
        if flow == "ws":
            return _folds(k_, rows) * _folds(n_, cols) * (2 * rows + cols + m_ - 2)
        if flow == "is":
            return _folds(k_, rows) * _folds(m_, cols) * (2 * rows + cols + n_ - 2)
        raise InputError(f"gemm_cycles: dataflow must be one of {', '.join(DATAFLOWS)}, auto; got '{flow}'")

    cycles = np.minimum(np.minimum(one("os"), one("ws")), one("is")) if dataflow == "auto" else one(dataflow)
    return int(cycles) if cycles.ndim == 0 else cycles


def _float_cycles(m: NDArray[np.int64], k: NDArray[np.int64], n: NDArray[np.int64], rows: int, cols: int) -> float:
    """An upper estimate of all three formulas, in floating point."""
    m_, k_, n_ = (size.astype(np.float64) for size in (m, k, n))
    fill = 2.0 * rows + cols
    worst = 0.0
    for down, across, streamed in ((m_, n_, k_), (k_, n_, m_), (k_, m_, n_)):  # OS, WS, IS
        cycles = (down / rows + 1) * (across / cols + 1) * (fill + streamed)
        worst = max(worst, float(cycles.max(initial=0.0)))
    return worst


def task_cycles(gemms: tuple[Gemm, ...], vector_ops: int, *, array: SystolicArray, part: Pass) -> int:
    """Cycles of a task: its matrix products one after the other, then its element-wise work.

    ``part`` selects the array's dataflow for forward (F), activation-gradient (B) or
    weight-gradient (W) products. Element-wise work takes ``ceil(vector_ops / lanes)`` cycles.
    """
    flows: dict[Pass, Dataflow] = {"F": array.forward_dataflow, "B": array.backward_dataflow, "W": array.gradient_dataflow}
    products = sum(g.count * gemm_cycles(g.m, g.k, g.n, rows=array.rows, cols=array.cols, dataflow=flows[part]) for g in gemms)
    return products + -(-vector_ops // array.lanes)
