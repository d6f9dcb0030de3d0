"""Cycles of a matrix product M x K x N on an R x C systolic array: closed form, no simulation.

The formulas stand in `spikepipe_sched.cost.timings`. ``auto`` takes the cheapest dataflow and order
of the operands. The transposed product C^T = B^T A^T needs no case of its own in WS and IS, where it
is the other of the two; in OS it lays N down and M across the array, which differs only if R != C.
"""

from __future__ import annotations

from typing import Any, Final, Literal, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikepipe_sched.cost.timings import TIMINGS, Timing
from spikepipe_sched.errors import InputError, require
from spikepipe_sched.platform import Dataflow

#: How a product is laid out: a dataflow, or OS of the transposed product.
Layout = Literal["os", "ws", "is", "os_transposed"]

DATAFLOWS: Final[tuple[Literal["os", "ws", "is"], ...]] = ("os", "ws", "is")
#: Largest result: sums and differences of two stay within int64.
MAX_CYCLES: Final = 2**62
#: Elements worked on at a time: a dozen temporaries of this many int64 stay in the cache.
_CHUNK: Final = 2**13


def layouts(rows: int, cols: int, dataflow: Dataflow) -> tuple[Layout, ...]:
    """What a dataflow leaves to choose from; the first of equally fast ones is taken."""
    if dataflow == "auto":
        return DATAFLOWS if rows == cols else (*DATAFLOWS, "os_transposed")
    require(dataflow in DATAFLOWS, f"gemm_cycles: dataflow must be one of {', '.join(DATAFLOWS)}, auto; got '{dataflow}'")
    return (dataflow,)


def axes(layout: Layout, m: Any, k: Any, n: Any) -> tuple[Any, Any, Any]:
    """What of M, K, N lies down the rows, across the columns, and is streamed."""
    return {"os": (m, n, k), "ws": (k, n, m), "is": (k, m, n), "os_transposed": (n, m, k)}[layout]


def best_layout(m: int, k: int, n: int, *, rows: int, cols: int, dataflow: Dataflow, timing: Timing) -> tuple[int, Layout]:
    """Cycles of one product, and the layout that reaches them; sizes are taken to be positive.

    Raises
    ------
    InputError
        For an unknown dataflow, or more than 2^62 cycles.
    """
    formula, best = TIMINGS[timing], None
    for layout in layouts(rows, cols, dataflow):
        cycles = cast("int", formula(*axes(layout, m, k, n), rows, cols, 0 if layout.startswith("os") else rows))
        if best is None or cycles < best[0]:
            best = cycles, layout
    assert best is not None
    require(best[0] <= MAX_CYCLES, f"gemm_cycles: {m} x {k} x {n} on {rows} x {cols} takes more than 2^62 cycles; use smaller sizes")
    return best


@overload
def gemm_cycles(m: int, k: int, n: int, *, rows: int, cols: int, dataflow: Dataflow = "os", timing: Timing = "scalesim") -> int: ...
@overload
def gemm_cycles(
    m: ArrayLike, k: ArrayLike, n: ArrayLike, *, rows: int, cols: int, dataflow: Dataflow = "os", timing: Timing = "scalesim"
) -> NDArray[np.int64] | int: ...
def gemm_cycles(
    m: ArrayLike, k: ArrayLike, n: ArrayLike, *, rows: int, cols: int, dataflow: Dataflow = "os", timing: Timing = "scalesim"
) -> NDArray[np.int64] | int:
    """Cycles of M x K x N on a ``rows`` x ``cols`` array.

    Parameters
    ----------
    m, k, n
        Sizes >= 1; integers or arrays that broadcast against each other.
    rows, cols
        Dimensions R and C of the array.
    dataflow
        ``os``, ``ws``, ``is``, or ``auto``: the least of the three and of OS transposed.
    timing
        Which formula; see `spikepipe_sched.cost.timings`.

    Returns
    -------
    int or int64 array
        Cycles, in the broadcast shape of the sizes.

    Raises
    ------
    InputError
        For sizes that are no whole numbers >= 1 or do not broadcast, an unknown dataflow or timing,
        or more than 2^62 cycles (``roofline``: multiply-accumulates).

    Examples
    --------
    >>> [gemm_cycles(20, 30, 17, rows=8, cols=8, dataflow=d) for d in ("os", "ws", "is")]
    [396, 504, 468]
    >>> [gemm_cycles(20, 30, 17, rows=8, cols=8, timing=t) for t in ("paper", "tight", "pipelined", "roofline")]
    [468, 363, 284, 160]
    """
    require(rows >= 1 and cols >= 1, f"gemm_cycles: rows and cols must be at least 1, got {rows} x {cols}")
    require(timing in TIMINGS, f"gemm_cycles: timing must be one of {', '.join(TIMINGS)}; got '{timing}'")
    chosen = layouts(rows, cols, dataflow)
    sizes = [_sizes(values, name) for name, values in (("m", m), ("k", k), ("n", n))]
    try:
        shape = np.broadcast_shapes(*(size.shape for size in sizes))
    except ValueError:
        shapes = ", ".join(str(size.shape) for size in sizes)
        raise InputError(f"gemm_cycles: m, k and n have shapes {shapes}, which do not broadcast") from None
    if 0 in shape:
        return np.zeros(shape, dtype=np.int64)
    _refuse_overflow(sizes, rows, cols, chosen, timing)
    formula = TIMINGS[timing]
    flat = [size if size.ndim == 0 else np.broadcast_to(size, shape).reshape(-1) for size in sizes]
    cycles = np.empty(int(np.prod(shape, dtype=np.int64)), dtype=np.int64)
    for start in range(0, cycles.size, _CHUNK):
        part = [size if size.ndim == 0 else size[start : start + _CHUNK] for size in flat]
        target = cycles[start : start + _CHUNK]
        for i, layout in enumerate(chosen):
            found = formula(*axes(layout, *part), rows, cols, 0 if layout.startswith("os") else rows)
            if i:
                np.minimum(target, found, out=target)
            else:
                target[:] = found
    return int(cycles[0]) if not shape else cycles.reshape(shape)


def _sizes(values: ArrayLike, name: str) -> NDArray[np.int64]:
    """One dimension as int64; refused unless whole, positive and below 2^62."""
    array = np.asarray(values)
    require(array.dtype.kind in "iu" or not array.size, f"gemm_cycles: {name} must be whole numbers below 2^62, got {array.dtype}")
    if array.size:
        least, most = int(array.min()), int(array.max())  # before a cast could wrap
        require(least >= 1, f"gemm_cycles: m, k and n must be at least 1, got {name} = {least}")
        require(most < MAX_CYCLES, f"gemm_cycles: {name} = {most} makes more than 2^62 cycles")
    return array.astype(np.int64, copy=False)


def _refuse_overflow(sizes: list[NDArray[np.int64]], rows: int, cols: int, chosen: tuple[Layout, ...], timing: Timing) -> None:
    """int64 would wrap silently. The formulas increase in every size, so the largest sizes bound them all.

    Only where these, which need not be of one product, come out too large is each product looked at,
    in floating point: its rounding is far smaller than the distance from 2^62 to the edge of int64.
    """

    def results(m: Any, k: Any, n: Any) -> list[Any]:
        found = [TIMINGS[timing](*axes(layout, m, k, n), rows, cols, 0 if layout.startswith("os") else rows) for layout in chosen]
        return [*found, m * k * n] if timing == "roofline" else found  # the only formula with a larger number on its way

    if max(results(*(int(size.max()) for size in sizes))) >= MAX_CYCLES:
        largest = max(float(np.max(found)) for found in results(*(size.astype(np.float64) for size in sizes)))
        require(largest < MAX_CYCLES, "gemm_cycles: more than 2^62 cycles; use smaller sizes")
