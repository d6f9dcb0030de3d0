"""Nanoseconds of the closed forms per product, over a million products; see `main`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from spikepipe_sched.cost import DATAFLOWS, TIMINGS, gemm_cycles

PRODUCTS: Final = 10**6
ROWS, COLS = 32, 16  # unlike sides: ``auto`` then has four layouts to choose from


def nanoseconds(call: Callable[[], object]) -> float:
    """CPU time of a call per product, the best of five."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        call()
        best = min(best, time.process_time() - began)
    return best * 1e9 / PRODUCTS


def main() -> None:
    """Print ns per product, and how many passes over memory that is worth.

    A pass is one int64 division by a constant and one multiplication of whole arrays of the same
    length, timed in the same run: the ratio hardly depends on the machine.
    """
    rng = np.random.default_rng(1)
    m, k, n = (rng.integers(1, 4096, PRODUCTS) for _ in range(3))
    unit = nanoseconds(lambda: m // ROWS * n)
    print(f"cycles of {PRODUCTS:,} products on {ROWS} x {COLS}: ns per product (ratio to a pass of {unit:.2f} ns)")
    print(f"{'timing':10s}" + "".join(f"{flow:>16s}" for flow in (*DATAFLOWS, "auto")))
    for timing in TIMINGS:
        cells: list[str] = []
        for flow in (*DATAFLOWS, "auto"):
            spent = nanoseconds(lambda flow=flow, timing=timing: gemm_cycles(m, k, n, rows=ROWS, cols=COLS, dataflow=flow, timing=timing))
            cells.append(f"{f'{spent:.1f} ({spent / unit:.1f})':>16s}")
        print(f"{timing:10s}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
