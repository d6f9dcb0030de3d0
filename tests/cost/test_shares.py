"""Shares of the terms, by hand."""

import pytest

from spikepipe_sched.cost import CostTerm, cost_shares
from spikepipe_sched.errors import InputError


def test_shares_are_of_all_cycles_and_saved_time_is_negative() -> None:
    """Twice 10 + 10 - 5, and once 70."""
    found = cost_shares([({"gemm": 10, "vector": 10, "sparsity": -5}, 2), ({"gemm": 70}, 1)])
    assert found == {"gemm": 0.9, "vector": 0.2, "sparsity": -0.1}


def test_no_cycles_have_no_shares() -> None:
    assert cost_shares([]) == {}
    assert cost_shares([({"gemm": 0, "vector": 0}, 3)]) == {"gemm": 0.0, "vector": 0.0}


def test_a_share_is_finite() -> None:
    with pytest.raises(InputError, match="cost term 'gemm': its share must be a finite number, got inf"):
        CostTerm(name="gemm", share=float("inf"))
