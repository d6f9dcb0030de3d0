"""Cycles of one matrix product, under five sets of assumptions about the array.

A dataflow lays two of the dimensions M, K, N over the array, ``down`` its R rows and ``across`` its
C columns, and streams the third::

    OS (output stationary):  M down, N across, K streamed
    WS (weight stationary):  K down, N across, M streamed
    IS (input stationary):   K down, M across, N streamed

What is larger than the array is folded: F = ceil(down / R) * ceil(across / C) passes. ``load`` is R
where an operand is loaded into the array before each pass (WS, IS: one row a cycle) and 0 where
nothing is (OS). All formulas are exact integers, never decrease in any dimension, and take Python's
integers and int64 arrays alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

Timing = Literal["scalesim", "paper", "tight", "pipelined", "roofline"]
#: An integer, or an int64 array: whatever goes in comes out.
Whole: TypeAlias = Any


def scalesim(down: Whole, across: Whole, streamed: Whole, rows: int, cols: int, load: int) -> Whole:
    """``F * (load + R + C + T - 2)``: what SCALE-Sim's simulator counts.

    Every fold loads, fills and drains the array before the next one starts, and a partial fold pays
    for the whole array. Equal to the cycles SCALE-Sim v2 and v3 report plus one: the report prints
    the index of the last cycle. Source: the demand matrices of SCALE-Sim (Samajdar et al., ISPASS
    2020, doi:10.1109/ISPASS48437.2020.00016; v3: arXiv:2504.15377).
    """
    return -(-down // rows) * -(-across // cols) * (load + rows + cols - 2 + streamed)


def paper(down: Whole, across: Whole, streamed: Whole, rows: int, cols: int, load: int) -> Whole:  # noqa: ARG001  (one signature for all)
    """``F * (2R + C + T - 2)`` for all dataflows: the closed form that SCALE-Sim's paper prints.

    As `scalesim`, but OS also pays R cycles per fold to shift its results out. Source: Samajdar et
    al., ISPASS 2020, doi:10.1109/ISPASS48437.2020.00016; its simulator overlaps that shift with the
    drain of the array.
    """
    return -(-down // rows) * -(-across // cols) * (2 * rows + cols - 2 + streamed)


def tight(down: Whole, across: Whole, streamed: Whole, rows: int, cols: int, load: int) -> Whole:
    """The sum of ``l + r + c + T - 2`` over all folds, r and c its rows and columns in use.

    As `scalesim`, but the controller knows the size of a partial fold: it loads (l = r in WS and IS,
    else 0), fills and drains only what is in use. Own derivation: summed over the folds, r comes to
    ``down`` for each of the ceil(across / C) column folds and c to ``across`` for each row fold.
    """
    row_folds, col_folds = -(-down // rows), -(-across // cols)
    return row_folds * col_folds * (streamed - 2) + (2 if load else 1) * col_folds * down + row_folds * across


def pipelined(down: Whole, across: Whole, streamed: Whole, rows: int, cols: int, load: int) -> Whole:
    """``load + (F - 1) * max(T, R) + T + R + C - 2``: folds follow each other without a gap.

    Each PE holds two operands: in WS and IS the next fold's are loaded while this one streams, so a
    fold takes T cycles, or R if loading takes longer. In OS a PE's finished sum shifts out while the
    next one accumulates; a fold shorter than the R cycles of that shift waits for it. Loading, fill
    and drain are paid once; one fold is as long as in `scalesim`. Own derivation for an array with
    weights double-buffered in its PEs, as Gemmini's are (Genc et al., DAC 2021, arXiv:1911.09925).
    """
    folds = -(-down // rows) * -(-across // cols)
    longest = streamed + (rows - streamed) * (streamed < rows)
    return (folds - 1) * longest + (load + rows + cols - 2 + streamed)


def roofline(down: Whole, across: Whole, streamed: Whole, rows: int, cols: int, load: int) -> Whole:  # noqa: ARG001  (one signature for all)
    """``ceil(M * K * N / (R * C))``: every PE multiplies in every cycle; no array is faster.

    No folds, loading, fill or drain, so all dataflows are equal. The memory side of the roof is the
    stall term. Source: Williams et al., CACM 2009, doi:10.1145/1498765.1498785.
    """
    return -(-(down * across * streamed) // (rows * cols))


TIMINGS: Final[Mapping[Timing, Callable[..., Whole]]] = MappingProxyType(
    {"scalesim": scalesim, "paper": paper, "tight": tight, "pipelined": pipelined, "roofline": roofline}
)
