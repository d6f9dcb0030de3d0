"""Data sets of one's own: what arrays become, that they train, and what is said of those that cannot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from spikepipe_sched.errors import InputError
from spikepipe_sched.validate import ValidationSetup, validate
from spikepipe_sched.validate.data import DataSet
from tests.validate.small import delayed_result, small_network


def part(count: int = 12, *, steps: int = 3, shape: tuple[int, ...] = (4,)) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(count)
    return draw.normal(size=(count, steps, *shape)), np.arange(count) % 3


def made(**options: Any) -> DataSet:
    return DataSet.from_arrays(**{"name": "mine", "train": part(), "test": part(6)} | options)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 3)])
def test_arrays_become_batches_over_time(shape: tuple[int, ...]) -> None:
    train = part(shape=shape)
    data = made(train=train, test=part(6, shape=shape), source="measured")
    assert (data.name, data.source, data.coding, data.classes, data.shape, data.time_steps) == ("mine", "measured", "direct", 3, shape, 3)
    assert (len(data.train), len(data.test), data.train.labels.tolist()) == (12, 6, train[1].tolist())
    batch = data.train.batch(torch.tensor([5, 0]), torch.Generator())
    assert batch.dtype == torch.float32
    np.testing.assert_array_equal(batch.numpy(), np.stack([train[0][5], train[0][0]], axis=1).astype(np.float32))


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float64, torch.bool, torch.int64, torch.bfloat16])
def test_spikes_may_be_of_any_type_and_come_as_ones_and_zeros(kind: Any) -> None:
    spikes, labels = np.random.default_rng(0).random((12, 3, 4)) < 0.3, np.arange(12, dtype=np.int16) % 5
    train: Any = (torch.from_numpy(spikes).to(kind), torch.from_numpy(labels)) if isinstance(kind, torch.dtype) else (spikes.astype(kind), labels)
    data = made(train=train, test=train, coding="spikes", classes=7)
    batch = data.test.batch(torch.arange(12), torch.Generator())
    assert (data.coding, data.classes, batch.dtype, data.test.labels.dtype) == ("spikes", 7, torch.float32, torch.int64)
    np.testing.assert_array_equal(batch.transpose(0, 1).numpy(), spikes)


def test_arrays_are_copied() -> None:
    values, labels = torch.ones(6, 3, 4, requires_grad=True), torch.arange(6)
    data = made(train=(values, labels), test=(values, labels))
    with torch.no_grad():
        values.zero_()
        labels.zero_()
    assert data.train.batch(torch.arange(6), torch.Generator()).eq(1).all()
    assert data.train.labels.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_network_is_validated_on_arrays() -> None:
    labels = np.arange(60) % 3
    samples = np.repeat(2.0 * np.eye(4)[labels][:, None], 3, axis=1) + np.random.default_rng(1).normal(0, 0.2, (60, 3, 4))
    data = made(train=(samples[:40], labels[:40]), test=(samples[40:], labels[40:]))
    found = validate(delayed_result(), data=data, network=small_network(), setup=ValidationSetup(epochs=6, seeds=2, batch=8, rate=0.05))
    assert (found.data.name, found.data.source, found.data.train_samples, found.data.test_samples) == ("mine", "given as arrays", 40, 20)
    assert all(run.accuracy == 1 for run in found.runs)


@pytest.mark.parametrize("data", [part(), None, 5, ["digits"]])
def test_what_is_no_data_set_is_refused_with_the_way_to_make_one(data: Any) -> None:
    message = f"validate: data must be the name of a data set or a DataSet (DataSet.from_arrays), got {type(data).__name__}"
    with pytest.raises(InputError) as error:
        validate(delayed_result(), data=data, network=small_network())
    assert str(error.value) == message


def changed(index: tuple[int, ...], value: Any) -> np.ndarray:
    samples = part()[0]
    samples[index] = value
    return samples


SAMPLES, LABELS = part()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "data: name must be a text that is not empty, got ''"),
        ({"source": None}, "data: source must be a text that is not empty, got None"),
        ({"coding": "poisson"}, "data 'mine': coding must be one of spikes, direct, got 'poisson'"),
        ({"train": SAMPLES}, "data 'mine': train must be a pair (samples, labels), got ndarray"),
        ({"test": (SAMPLES,)}, "data 'mine': test must be a pair (samples, labels), got tuple"),
        ({"train": ([[1], [1, 2]], LABELS)}, "data 'mine': train: samples must be an array, got list, which cannot be made one"),
        ({"train": (torch.eye(3).to_sparse(), LABELS)}, "data 'mine': train: samples must be an array, got Tensor, which cannot be made one"),
        ({"train": (SAMPLES * 1j, LABELS)}, "data 'mine': train: samples must be an array of numbers, got ndarray of type complex128"),
        ({"train": (SAMPLES, None)}, "data 'mine': train: labels must be an array of numbers, got NoneType of type object"),
        (
            {"train": (LABELS, SAMPLES)},
            "data 'mine': train: samples must have the shape (samples, time steps, and at least one more for what a step brings), got [12]",
        ),
        ({"train": (SAMPLES[:0], LABELS[:0])}, "data 'mine': train: samples of shape [0, 3, 4] hold nothing"),
        ({"test": (SAMPLES[:, :0], LABELS)}, "data 'mine': test: samples of shape [12, 0, 4] hold nothing"),
        ({"train": (SAMPLES, np.eye(3)[LABELS])}, "data 'mine': train: labels must have the shape (samples,), got [12, 3]"),
        ({"train": (SAMPLES, LABELS[1:])}, "data 'mine': train: 12 samples, but 11 labels"),
        ({"train": (SAMPLES, LABELS * 1.0)}, "data 'mine': train: labels must be whole numbers, got values of type float64"),
        ({"train": (SAMPLES, LABELS > 0)}, "data 'mine': train: labels must be whole numbers, got values of type bool"),
        ({"train": (SAMPLES, LABELS - 1)}, "data 'mine': train: sample 0 has label -1; classes are counted from 0 and at most 1000000"),
        (
            {"train": (SAMPLES, LABELS.astype(np.uint64) << np.uint64(63))},
            "data 'mine': train: sample 1 has label 9223372036854775808; classes are counted from 0 and at most 1000000",
        ),
        (
            {"train": (changed((7, 2, 1), math.nan), LABELS)},
            "data 'mine': train: sample 7 has the value nan, which is no finite number in single precision",
        ),
        (
            {"test": (changed((2, 0, 0), 1e39), LABELS)},
            "data 'mine': test: sample 2 has the value 1e+39, which is no finite number in single precision",
        ),
        (
            {"train": (SAMPLES > 0, LABELS), "test": (0.5 + 0 * SAMPLES, LABELS), "coding": "spikes"},
            "data 'mine': test: sample 0 has the value 0.5; spikes are 0 or 1, real values need coding = direct",
        ),
        ({"test": part(6, steps=5)}, "data 'mine': samples of train have the shape (time steps, ...) [3, 4], those of test [5, 4]"),
        ({"classes": 2}, "data 'mine': the largest label is 2, so there are at least 3 classes, not 2"),
        ({"classes": 1}, "data 'mine': classes must be at least 2, got 1"),
        ({"classes": 3.0}, "data 'mine': classes must be a whole number, got 3.0"),
        ({"train": (SAMPLES, 0 * LABELS), "test": (SAMPLES, 0 * LABELS)}, "data 'mine': all labels are 0; there must be two classes or more"),
    ],
)
def test_arrays_that_cannot_be_trained_on_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        made(**options)
    assert str(error.value) == message
