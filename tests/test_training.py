"""TrainingSetup: what its fields may hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.training import TrainingSetup

WHOLE = ("batch", "windows", "weight_bits", "gradient_bits", "membrane_bits", "activation_bits", "spike_bits", "bptt_steps")
NATURAL = ("optimizer_ops", "optimizer_state", "loss_ops")


def fields(field: str, value: object) -> dict[str, Any]:
    return {field: value}


@pytest.mark.parametrize("field", [*WHOLE, *NATURAL])
def test_whole_numbers_of_any_type_are_taken_and_nothing_else(field: str) -> None:
    low = 1 if field in WHOLE else 0
    for number in (low, 7, np.int64(7), np.uint8(low)):
        kept = getattr(TrainingSetup(**fields(field, number)), field)
        assert (kept, type(kept)) == (number, int)  # integers of NumPy would overflow
    for wrong in (2.5, 2.0, True, "2", np.float64(2.0), [2]):
        with pytest.raises(InputError) as error:
            TrainingSetup(**fields(field, wrong))
        assert str(error.value) == f"training: {field} must be a whole number, got {wrong!r}"
    with pytest.raises(InputError, match=f"training: {field} must {'be at least 1' if low else 'not be negative'}, got {low - 1}"):
        TrainingSetup(**fields(field, low - 1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss": "mse"}, "loss must be one of sequence, step, got 'mse'"),
        ({"dgrad": None}, "dgrad must be one of col2im, transposed, got None"),
        ({"membrane": ["store"]}, "membrane must be one of store, recompute, got ['store']"),
        ({"spike_rate": -0.1}, "spike_rate must be between 0 and 1, got -0.1"),
        ({"spike_rate": float("nan")}, "spike_rate must be between 0 and 1, got nan"),
        ({"spike_rate": None}, "spike_rate must be a number between 0 and 1, got None"),
        ({"error_density": True}, "error_density must be a number between 0 and 1, got True"),
        ({"batch": None}, "batch must be a whole number, got None"),
    ],
)
def test_words_and_shares_are_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        TrainingSetup(**wrong)
    assert str(error.value) == f"training: {message}"
