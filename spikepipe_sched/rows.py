"""Distinct rows of integer columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def distinct(*columns: Ints) -> tuple[Ints, Ints]:
    """Distinct rows in lexicographic order, and which of them every row is.

    Parameters
    ----------
    *columns
        c columns (x,) of numbers >= 0.

    Returns
    -------
    (c, y) and (x,).

    Notes
    -----
    Packed into one number each, where that fits in 63 bits, rows are sorted several times as fast as
    by ``numpy.unique(..., axis=1)``.
    """
    table = np.stack(columns)
    ranges: list[int] = [int(column.max(initial=0)) + 1 for column in table]
    product = 1
    for size in ranges:
        product *= size
    if product >= 2**63:
        groups, inverse = np.unique(table, axis=1, return_inverse=True)
        return groups, inverse.ravel()
    packed = table[0].copy()
    for column, size in zip(table[1:], ranges[1:], strict=True):
        packed *= size
        packed += column
    _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
    return table[:, first], inverse
