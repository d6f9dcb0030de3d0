"""Distinct rows, packed and not."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spikepipe_sched.rows import distinct

tables = st.tuples(st.integers(1, 4), st.integers(0, 12), st.sampled_from([3, 2**20, 2**40])).flatmap(
    lambda shape: st.lists(st.lists(st.integers(0, shape[2]), min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0])
)


@given(tables)
def test_distinct_rows_are_those_of_numpy(table: list[list[int]]) -> None:
    """In the same order, whether or not a row fits in one number."""
    columns = np.array(table, dtype=np.int64).reshape(len(table), -1)
    groups, inverse = distinct(*columns)
    expected, which = np.unique(columns, axis=1, return_inverse=True)
    assert np.array_equal(groups, expected)
    assert np.array_equal(inverse, which.ravel())
