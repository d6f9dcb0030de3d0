"""What a matrix product moves: between the array and its SRAM, and between SRAM and DRAM.

Both are counts in closed form. Operands come from DRAM and results go there: nothing is taken to
stay on the chip from one task to the next. The array is fed the im2col matrix of a convolution, so
SRAM reads count its values; DRAM holds the image, which is unrolled on the way into the array.
Element-wise work is taken to find its operands on the chip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.cost.gemm import Layout, axes
from spikepipe_sched.errors import InputError, require


@dataclass(frozen=True, slots=True, kw_only=True)
class Accesses:
    """Values that the array reads from its SRAM and writes to it."""

    left_reads: int = 0
    right_reads: int = 0
    sum_reads: int = 0
    writes: int = 0

    def __add__(self, other: Accesses) -> Accesses:
        return Accesses(
            left_reads=self.left_reads + other.left_reads,
            right_reads=self.right_reads + other.right_reads,
            sum_reads=self.sum_reads + other.sum_reads,
            writes=self.writes + other.writes,
        )

    def __mul__(self, count: int) -> Accesses:
        return Accesses(left_reads=self.left_reads * count, right_reads=self.right_reads * count, sum_reads=self.sum_reads * count, writes=self.writes * count)


def sram_accesses(m: int, k: int, n: int, *, rows: int, cols: int, layout: Layout) -> Accesses:
    """SRAM accesses of one product, in values.

    With the folds over rows f_R = ceil(down / R) and columns f_C = ceil(across / C), what lies down
    the array is read f_C times in OS and what lies across it f_R times; in WS and IS the resident
    operand is read once, the streamed one f_C times, and a partial sum is written in each of the f_R
    row folds and read back in all but the first. These are SCALE-Sim's counts (v3,
    arXiv:2504.15377) with two corrections: its OS adds R + C writes per fold that no result needs,
    and its WS and IS do not count the reads of the partial sums.
    """
    down, across, _ = axes(layout, m, k, n)
    row_folds, col_folds = -(-down // rows), -(-across // cols)
    left, right, out = m * k, k * n, m * n
    if layout == "os":
        return Accesses(left_reads=left * col_folds, right_reads=right * row_folds, writes=out)
    if layout == "os_transposed":
        return Accesses(left_reads=left * row_folds, right_reads=right * col_folds, writes=out)
    resident = layout == "ws"
    return Accesses(
        left_reads=left * (col_folds if resident else 1),
        right_reads=right * (1 if resident else col_folds),
        sum_reads=out * (row_folds - 1),
        writes=out * row_folds,
    )


def _tiles(size: int) -> NDArray[np.int64]:
    """The least tile for every number of tiles that ``size`` can be cut into, among others: some 2 sqrt(size)."""
    small = np.arange(1, math.isqrt(size) + 2, dtype=np.int64)  # more than sqrt(size) tiles are no larger than this
    return np.minimum(np.concatenate([small, -(-size // small)]), size)


#: Shares of distinct values are rounded up to parts of this size, to stay in whole numbers.
SHARE_PARTS: Final = 64


def dram_bytes(
    m: int, k: int, n: int, *, left_bits: int, right_bits: int, out_bits: int, sum_bits: int, sram_bytes: int | None, left_values: int | None = None
) -> int:
    """Least DRAM traffic of one product, over all tilings that fit into half of the SRAM.

    The other half is being filled meanwhile (double buffering). A tile of tm x tk left and tk x tn
    right values and tm x tn sums of ``sum_bits`` fits if its bits do. With a, b, c, s the bits of a
    left, right and result value and of a partial sum, and I, Q, J the number of tiles along M, K, N,
    three strategies move ::

        result stays: M K a * J + K N b * I + M N c
        left stays:   M K a     + K N b * I + M N (c + 2 s (Q - 1))
        right stays:  M K a * J + K N b     + M N (c + 2 s (Q - 1))

    bits (partial sums are written and read back Q - 1 times). Each is least with a tile of 1 along
    the dimension that it runs through innermost, and with the other two as large as fits; so one is
    enumerated over all its numbers of tiles, and the other is the largest that is left.

    Where the left operand is an unrolled image of ``left_values`` distinct values, each of its
    tiles is taken to hold and to move that share of its M K values (pixels that neighbouring tiles
    both need are counted once).

    More SRAM never costs more: what a tiling moves does not depend on the SRAM, and every tiling
    that fits into less fits into more, so the least is taken over a larger set. With
    ``sram_bytes=None`` (unlimited) each operand moves once.

    The order of tiles is taken to be free, whatever the dataflow inside the array. Own derivation,
    tested against a walk through all tilings and all six loop orders. (SCALE-Sim's stalls are no
    model for this: they can grow with the SRAM.)

    Raises
    ------
    InputError
        If half the SRAM does not hold one value of each, or the traffic may exceed 2^56 bits.
    """
    parts = SHARE_PARTS
    share = parts if left_values is None else min(parts, -(-left_values * parts // (m * k)))
    left, right, out, sums = left_bits * share, right_bits * parts, out_bits * parts, sum_bits * parts
    unit = 8 * parts  # of a byte
    if sram_bytes is None:
        return -(-(m * k * left + k * n * right + m * n * out) // unit)
    most = m * k * n * (left + right + 2 * sums + out)  # no reuse at all
    require(most < 2**62, f"matrix product {m} x {k} x {n}: its DRAM traffic may exceed 2^{62 - parts.bit_length() + 1} bits; use smaller sizes")
    room = sram_bytes // 2 * unit
    least = left_bits + right_bits + sum_bits
    if least > sram_bytes // 2 * 8:
        raise InputError(f"systolic array: sram_bytes = {sram_bytes} is too small: half of it must hold {least} bits, a value of both operands and a sum")
    result = m * n * out
    moved = [
        _result_stays(m, k, n, left, right, sums, room) + result,
        _left_stays(m, k, n, left, right, sums, room) + result,
        _left_stays(n, k, m, right, left, sums, room) + result,  # the transposed product: right stays
    ]
    return -(-min(moved) // unit)


def _result_stays(m: int, k: int, n: int, left_bits: int, right_bits: int, sum_bits: int, room: int) -> int:
    """Bits of both operands; a tile of sums stays until it is finished."""
    tm = _tiles(m)
    tn = np.minimum((room - tm * left_bits) // (right_bits + tm * sum_bits), n)
    tm, tn = tm[tn >= 1], tn[tn >= 1]
    return int((m * k * left_bits * -(-n // tn) + k * n * right_bits * -(-m // tm)).min())


def _left_stays(m: int, k: int, n: int, left_bits: int, right_bits: int, sum_bits: int, room: int) -> int:
    """Bits of both operands and of partial sums; a tile of the left operand stays while N passes by."""
    tm = _tiles(m)
    tk = np.minimum((room - tm * sum_bits) // (tm * left_bits + right_bits), k)
    tm, tk = tm[tk >= 1], tk[tk >= 1]
    return int((m * k * left_bits + k * n * right_bits * -(-m // tm) + 2 * sum_bits * m * n * (-(-k // tk) - 1)).min())
