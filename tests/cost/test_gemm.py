"""Cycles of systolic arrays: published goldens, SCALE-Sim's own rows, fold-by-fold sums, and properties."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikepipe_sched.cost import DATAFLOWS, TIMINGS, Timing, gemm_cycles
from spikepipe_sched.cost.gemm import MAX_CYCLES, axes, layouts
from spikepipe_sched.errors import InputError
from spikepipe_sched.platform import Dataflow
from tests.cost.reference import reference_rows

SIZE = st.integers(1, 5000)
SIDE = st.integers(1, 128)
FLOW = st.sampled_from(DATAFLOWS)
ANY_FLOW = st.sampled_from((*DATAFLOWS, "auto"))
TIMING = st.sampled_from(tuple(TIMINGS))


def sides(flow: Dataflow, m: int, k: int, n: int) -> tuple[int, int, int]:
    """What lies down the rows, across the columns, and is streamed."""
    return {"os": (m, n, k), "ws": (k, n, m), "is": (k, m, n)}[flow]


def fold_sizes(total: int, size: int) -> list[int]:
    """Rows (or columns) in use, fold by fold."""
    return [min(size, total - start) for start in range(0, total, size)]


@pytest.mark.parametrize(
    ("mkn", "array", "cycles"),
    [
        ((8, 5, 8), (8, 8), (19, 30, 30)),
        ((20, 30, 17), (8, 8), (396, 504, 468)),
        ((16, 16, 16), (4, 8), (208, 240, 240)),
        ((100, 72, 64), (16, 16), (2856, 2920, 3850)),
    ],
)
def test_goldens_of_scale_sim(mkn: tuple[int, int, int], array: tuple[int, int], cycles: tuple[int, int, int]) -> None:
    assert tuple(gemm_cycles(*mkn, rows=array[0], cols=array[1], dataflow=flow) for flow in DATAFLOWS) == cycles
    assert gemm_cycles(*mkn, rows=array[0], cols=array[1], dataflow="auto") == min(cycles)


@pytest.mark.reference
def test_every_reference_row_of_scale_sim_is_one_less(reference_data: Path) -> None:
    """SCALE-Sim reports the index of the last cycle."""
    for row in reference_rows(reference_data):
        assert gemm_cycles(row.m, row.k, row.n, rows=row.rows, cols=row.cols, dataflow=row.dataflow) - 1 == row.cycles, row


# -- the other timings -------------------------------------------------------------------------------


@given(m=SIZE, k=SIZE, n=SIZE, rows=SIDE, cols=SIDE)
def test_the_paper_charges_output_stationary_r_more_cycles_a_fold(m: int, k: int, n: int, rows: int, cols: int) -> None:
    counted = {flow: gemm_cycles(m, k, n, rows=rows, cols=cols, dataflow=flow) for flow in DATAFLOWS}
    printed = {flow: gemm_cycles(m, k, n, rows=rows, cols=cols, dataflow=flow, timing="paper") for flow in DATAFLOWS}
    assert (printed["ws"], printed["is"]) == (counted["ws"], counted["is"])
    assert printed["os"] - counted["os"] == ceil(m / rows) * ceil(n / cols) * rows


@given(m=st.integers(1, 60), k=st.integers(1, 60), n=st.integers(1, 60), rows=st.integers(1, 16), cols=st.integers(1, 16), flow=FLOW)
def test_tight_is_the_sum_over_the_folds_of_what_each_uses(m: int, k: int, n: int, rows: int, cols: int, flow: Dataflow) -> None:
    down, across, streamed = sides(flow, m, k, n)
    total = 0
    for used_rows, used_cols in product(fold_sizes(down, rows), fold_sizes(across, cols)):
        load = 0 if flow == "os" else used_rows
        total += load + used_rows + used_cols + streamed - 2
    assert gemm_cycles(m, k, n, rows=rows, cols=cols, dataflow=flow, timing="tight") == total


@given(m=st.integers(1, 60), k=st.integers(1, 60), n=st.integers(1, 60), rows=st.integers(1, 16), cols=st.integers(1, 16), flow=FLOW)
def test_pipelined_is_when_the_last_fold_of_a_double_buffered_array_ends(m: int, k: int, n: int, rows: int, cols: int, flow: Dataflow) -> None:
    """WS, IS: loading starts when the fold before starts to stream. OS: results shift out one fold at a time."""
    down, across, streamed = sides(flow, m, k, n)
    folds = len(fold_sizes(down, rows)) * len(fold_sizes(across, cols))
    if flow == "os":
        summed = shifted = 0
        for _ in range(folds):
            summed = max(summed + streamed, shifted)  # nowhere to put the sums before the last ones are gone
            shifted = summed + rows
        end = shifted + cols - 2
    else:
        loaded, free = rows, 0
        for _ in range(folds):
            start = max(loaded, free)
            loaded, free = start + rows, start + streamed
        end = free + rows + cols - 2
    assert gemm_cycles(m, k, n, rows=rows, cols=cols, dataflow=flow, timing="pipelined") == end


@given(m=SIZE, k=SIZE, n=SIZE, rows=SIDE, cols=SIDE, flow=FLOW)
def test_a_single_fold_has_nothing_to_overlap_with(m: int, k: int, n: int, rows: int, cols: int, flow: Dataflow) -> None:
    m, k, n = (m, k, n) if flow == "os" else (m, min(k, rows), n) if flow == "ws" else (min(m, cols), min(k, rows), n)
    m, n = (min(m, rows), min(n, cols)) if flow == "os" else (m, min(n, cols)) if flow == "ws" else (m, n)
    one = {timing: gemm_cycles(m, k, n, rows=rows, cols=cols, dataflow=flow, timing=timing) for timing in TIMINGS}
    assert one["pipelined"] == one["scalesim"]


@given(m=SIZE, k=SIZE, n=SIZE, rows=SIDE, cols=SIDE, flow=ANY_FLOW)
def test_timings_are_ordered(m: int, k: int, n: int, rows: int, cols: int, flow: Dataflow) -> None:
    found = {timing: gemm_cycles(m, k, n, rows=rows, cols=cols, dataflow=flow, timing=timing) for timing in TIMINGS}
    assert found["roofline"] == ceil(Fraction(m * k * n, rows * cols))
    assert found["roofline"] <= found["tight"] <= found["scalesim"] <= found["paper"]
    assert found["roofline"] <= found["pipelined"] <= found["scalesim"]


@given(m=st.integers(1, 9), k=st.integers(1, 9), n=st.integers(1, 9), rows=SIDE, cols=SIDE, flow=FLOW)
def test_partial_folds_are_all_that_sets_tight_apart(m: int, k: int, n: int, rows: int, cols: int, flow: Dataflow) -> None:
    whole = {"os": (m * rows, k, n * cols), "ws": (m, k * rows, n * cols), "is": (m * cols, k * rows, n)}[flow]
    assert len({gemm_cycles(*whole, rows=rows, cols=cols, dataflow=flow, timing=timing) for timing in ("scalesim", "tight")}) == 1


# -- choosing ----------------------------------------------------------------------------------------


@given(m=SIZE, k=SIZE, n=SIZE, rows=SIDE, cols=SIDE, timing=TIMING)
def test_auto_is_the_least_over_dataflows_and_orders_of_the_operands(m: int, k: int, n: int, rows: int, cols: int, timing: Timing) -> None:
    """C^T = B^T A^T is the product n x k x m."""
    every = [gemm_cycles(*size, rows=rows, cols=cols, dataflow=flow, timing=timing) for size in ((m, k, n), (n, k, m)) for flow in DATAFLOWS]
    assert gemm_cycles(m, k, n, rows=rows, cols=cols, dataflow="auto", timing=timing) == min(every)


@given(m=SIZE, k=SIZE, n=SIZE)
def test_transposing_swaps_weight_and_input_stationary(m: int, k: int, n: int) -> None:
    assert axes("ws", n, k, m) == axes("is", m, k, n)
    assert axes("os", n, k, m) == axes("os_transposed", m, k, n)
    assert ("os_transposed" in layouts(8, 16, "auto"), "os_transposed" in layouts(8, 8, "auto")) == (True, False)


def test_transposed_output_stationary_wins_on_a_wide_array() -> None:
    """100 x 1000 x 10 on 10 x 100: one fold if the 100 lie across."""
    assert gemm_cycles(100, 1000, 10, rows=10, cols=100, dataflow="os") == 10 * (110 + 998)
    assert gemm_cycles(100, 1000, 10, rows=10, cols=100, dataflow="auto") == 110 + 998


# -- arrays ------------------------------------------------------------------------------------------


@given(sizes=st.lists(st.tuples(SIZE, SIZE, SIZE), min_size=1, max_size=6), rows=SIDE, cols=SIDE, flow=ANY_FLOW, timing=TIMING)
def test_arrays_give_what_scalars_give(sizes: list[tuple[int, int, int]], rows: int, cols: int, flow: Dataflow, timing: Timing) -> None:
    m, k, n = (np.array(column) for column in zip(*sizes, strict=True))
    vector = gemm_cycles(m, k, n, rows=rows, cols=cols, dataflow=flow, timing=timing)
    assert np.asarray(vector).tolist() == [gemm_cycles(*size, rows=rows, cols=cols, dataflow=flow, timing=timing) for size in sizes]


@pytest.mark.parametrize("flow", [*DATAFLOWS, "auto"])
def test_many_products_at_once_and_every_shape(flow: Dataflow) -> None:
    """More than are worked on at a time, broadcast over two dimensions, from any integer type."""
    m, k, n = np.arange(1, 20_001, dtype=np.int32), np.array([[3], [70]], dtype=np.uint16), 40
    found = np.asarray(gemm_cycles(m, k, n, rows=8, cols=16, dataflow=flow))
    assert (found.shape, found.dtype) == ((2, 20_000), np.int64)
    for i, j in ((0, 0), (1, 8191), (0, 8192), (1, 19_999)):
        assert found[i, j] == gemm_cycles(int(m[j]), int(k[i, 0]), n, rows=8, cols=16, dataflow=flow)
    assert np.asarray(gemm_cycles([], 3, 4, rows=8, cols=8, dataflow=flow)).shape == (0,)
    assert gemm_cycles(np.array([[5]]), 3, 4, rows=8, cols=8, dataflow=flow) == [[gemm_cycles(5, 3, 4, rows=8, cols=8, dataflow=flow)]]


@given(m=SIZE, k=SIZE, n=SIZE, rows=SIDE, cols=SIDE, flow=ANY_FLOW, timing=TIMING)
def test_more_work_never_takes_fewer_cycles(m: int, k: int, n: int, rows: int, cols: int, flow: Dataflow, timing: Timing) -> None:
    base = gemm_cycles(m, k, n, rows=rows, cols=cols, dataflow=flow, timing=timing)
    for size in ((m + 1, k, n), (m, k + 1, n), (m, k, n + 1)):
        assert gemm_cycles(*size, rows=rows, cols=cols, dataflow=flow, timing=timing) >= base


# -- misuse ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"m": 0, "k": 1, "n": 1, "rows": 8, "cols": 8}, "at least 1, got m = 0"),
        ({"m": 1, "k": [3, -2], "n": 1, "rows": 8, "cols": 8}, "at least 1, got k = -2"),
        ({"m": 1, "k": 1, "n": 1.5, "rows": 8, "cols": 8}, "n must be whole numbers below 2\\^62, got float64"),
        ({"m": 1, "k": 1, "n": True, "rows": 8, "cols": 8}, "n must be whole numbers below 2\\^62, got bool"),
        ({"m": 2**64, "k": 1, "n": 1, "rows": 8, "cols": 8}, "m must be whole numbers below 2\\^62, got object"),
        ({"m": 2**63, "k": 1, "n": 1, "rows": 8, "cols": 8}, f"m = {2**63} makes more than 2\\^62 cycles"),
        ({"m": [1, 2], "k": [1, 2, 3], "n": 1, "rows": 8, "cols": 8}, "shapes \\(2,\\), \\(3,\\), \\(\\), which do not broadcast"),
        ({"m": 1, "k": 1, "n": 1, "rows": 0, "cols": 8}, "rows and cols"),
        ({"m": 1, "k": 1, "n": 1, "rows": 8, "cols": 8, "dataflow": "rs"}, "one of os, ws, is, auto; got 'rs'"),
        ({"m": 1, "k": 1, "n": 1, "rows": 8, "cols": 8, "timing": "fast"}, "one of scalesim, paper, tight, pipelined, roofline; got 'fast'"),
        ({"m": 2**31, "k": 2**31, "n": 2**31, "rows": 8, "cols": 8}, "2\\^62"),
    ],
)
def test_misuse_is_an_input_error(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        gemm_cycles(**arguments)  # type: ignore[call-overload]


def test_large_products_do_not_wrap() -> None:
    assert gemm_cycles(2**28, 2**20, 2**10, rows=128, cols=128, dataflow="os") == 2**21 * 8 * (128 + 128 + 2**20 - 2)


@given(
    sizes=st.lists(st.tuples(*[st.integers(0, 40).map(lambda e: 2**e + 1)] * 3), min_size=1, max_size=3),
    side=st.integers(0, 20).map(lambda e: 2**e),
    flow=FLOW,
    timing=TIMING,
)
def test_what_does_not_fit_is_refused_and_what_fits_is_exact(sizes: list[tuple[int, int, int]], side: int, flow: Dataflow, timing: Timing) -> None:
    """Sizes that are largest in different products must not be refused together; Python's integers know no limit."""
    exact = [TIMINGS[timing](*sides(flow, *size), side, side, 0 if flow == "os" else side) for size in sizes]
    bound = max(m * k * n for m, k, n in sizes) if timing == "roofline" else max(exact)
    m, k, n = (np.array(column) for column in zip(*sizes, strict=True))
    if bound < MAX_CYCLES * 0.999:
        assert np.asarray(gemm_cycles(m, k, n, rows=side, cols=side, dataflow=flow, timing=timing)).tolist() == exact
    elif bound > MAX_CYCLES * 1.001:
        with pytest.raises(InputError, match=r"2\^62"):
            gemm_cycles(m, k, n, rows=side, cols=side, dataflow=flow, timing=timing)
