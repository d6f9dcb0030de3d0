"""Cycles of systolic arrays: published goldens, SCALE-Sim's own rows, and properties."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikepipe_sched.cost import DATAFLOWS, Gemm, gemm_cycles, task_cycles
from spikepipe_sched.errors import InputError
from spikepipe_sched.platform import Dataflow, SystolicArray

SIZE = st.integers(1, 5000)
SIDE = st.integers(1, 128)
FLOW = st.sampled_from(DATAFLOWS)


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
def test_every_reference_row_of_scale_sim_is_one_less() -> None:
    """SCALE-Sim reports the index of the last cycle."""
    folder = os.environ.get("SPIKEPIPE_DATA")
    if not folder:
        pytest.skip("set SPIKEPIPE_DATA to the folder that holds scalesim_sample.csv")
    with (Path(folder) / "scalesim_sample.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 100
    for row in rows:
        size = [int(row[key]) for key in ("M", "K", "N")]
        flow: Dataflow = row["dataflow"]  # type: ignore[assignment]
        assert gemm_cycles(*size, rows=int(row["array_rows"]), cols=int(row["array_cols"]), dataflow=flow) - 1 == int(row["ss_compute_cycles"]), row


@given(m=SIZE, k=SIZE, n=SIZE, rows=SIDE, cols=SIDE)
def test_auto_is_the_least_of_the_three(m: int, k: int, n: int, rows: int, cols: int) -> None:
    assert gemm_cycles(m, k, n, rows=rows, cols=cols, dataflow="auto") == min(gemm_cycles(m, k, n, rows=rows, cols=cols, dataflow=f) for f in DATAFLOWS)


@given(sizes=st.lists(st.tuples(SIZE, SIZE, SIZE), min_size=1, max_size=6), rows=SIDE, cols=SIDE, flow=st.sampled_from([*DATAFLOWS, "auto"]))
def test_arrays_give_what_scalars_give(sizes: list[tuple[int, int, int]], rows: int, cols: int, flow: Dataflow) -> None:
    m, k, n = (np.array(column) for column in zip(*sizes, strict=True))
    vector = gemm_cycles(m, k, n, rows=rows, cols=cols, dataflow=flow)
    assert np.asarray(vector).tolist() == [gemm_cycles(*size, rows=rows, cols=cols, dataflow=flow) for size in sizes]


@given(m=SIZE, k=SIZE, n=SIZE, rows=SIDE, cols=SIDE, flow=FLOW)
def test_never_faster_than_one_multiply_accumulate_per_element_and_cycle(m: int, k: int, n: int, rows: int, cols: int, flow: Dataflow) -> None:
    assert gemm_cycles(m, k, n, rows=rows, cols=cols, dataflow=flow) * rows * cols >= m * k * n


@given(m=SIZE, k=SIZE, n=SIZE, rows=SIDE, cols=SIDE, flow=FLOW)
def test_more_work_never_takes_fewer_cycles(m: int, k: int, n: int, rows: int, cols: int, flow: Dataflow) -> None:
    base = gemm_cycles(m, k, n, rows=rows, cols=cols, dataflow=flow)
    assert all(gemm_cycles(*size, rows=rows, cols=cols, dataflow=flow) >= base for size in ((m + 1, k, n), (m, k + 1, n), (m, k, n + 1)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"m": 0, "k": 1, "n": 1, "rows": 8, "cols": 8}, "at least 1"),
        ({"m": 1, "k": 1, "n": 1, "rows": 0, "cols": 8}, "rows and cols"),
        ({"m": 1, "k": 1, "n": 1, "rows": 8, "cols": 8, "dataflow": "rs"}, "rs"),
        ({"m": 2**31, "k": 2**31, "n": 2**31, "rows": 8, "cols": 8}, "2\\^62"),
    ],
)
def test_misuse_is_an_input_error(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        gemm_cycles(**arguments)  # type: ignore[call-overload]


def test_large_products_do_not_wrap() -> None:
    assert gemm_cycles(2**28, 2**20, 2**10, rows=128, cols=128, dataflow="os") == 2**21 * 8 * (128 + 128 + 2**20 - 2)


def test_a_task_is_its_products_and_then_its_vector_work() -> None:
    """Each pass uses its own dataflow; element-wise work is rounded up to whole cycles."""
    array = SystolicArray(rows=8, cols=8, forward_dataflow="os", backward_dataflow="ws", gradient_dataflow="is", lanes=10)
    product = Gemm(m=20, k=30, n=17, count=2)
    assert product.macs == 2 * 20 * 30 * 17
    assert [task_cycles((product,), 21, array=array, part=part) for part in ("F", "B", "W")] == [2 * c + 3 for c in (396, 504, 468)]
    assert task_cycles((), 0, array=array, part="F") == 0
