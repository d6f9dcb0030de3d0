"""Losses against their formulas, written out sample by sample."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from spikepipe_sched.validate.losses import LOSSES, Loss, loss, predict
from spikepipe_sched.validate.outputs import Outputs

STEPS, SAMPLES, CLASSES = 5, 4, 3


def answers(*, spiking: bool) -> Outputs:
    draw = torch.Generator().manual_seed(7)
    potentials = torch.randn(STEPS, SAMPLES, CLASSES, dtype=torch.float64, generator=draw)
    return Outputs(values=(potentials > 0).double() if spiking else potentials.square(), potentials=potentials, spiking=spiking)


def cross_entropy(scores: Tensor, label: int) -> float:
    values = scores.tolist()
    return math.log(sum(math.exp(value) for value in values)) - values[label]


def plain(name: Loss, values: Tensor, potentials: Tensor, label: int, *, spiking: bool) -> float:
    """The loss of one sample; values and potentials (T, classes)."""
    if name == "rate":
        return cross_entropy(values.sum(0) if spiking else values.sum(0) / STEPS, label)
    if name == "step":
        return sum(cross_entropy(values[t], label) for t in range(STEPS)) / STEPS
    if name == "membrane":
        return cross_entropy(potentials.sum(0) / STEPS, label)
    counts, targets = values.sum(0).tolist(), [STEPS * (k == label) for k in range(CLASSES)]
    return sum((count - target) ** 2 for count, target in zip(counts, targets, strict=True)) / (CLASSES * STEPS**2)


@pytest.mark.parametrize("spiking", [True, False])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_the_mean_of_its_formula_over_the_samples(name: Loss, spiking: bool) -> None:
    outputs, labels = answers(spiking=spiking), torch.tensor([2, 0, 1, 2])
    expected = [plain(name, outputs.values[:, i], outputs.potentials[:, i], int(labels[i]), spiking=spiking) for i in range(SAMPLES)]
    assert loss(name, outputs, labels).item() == pytest.approx(sum(expected) / SAMPLES, rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_the_answer_is_the_class_with_the_largest_sum_over_time(name: Loss) -> None:
    values = torch.tensor([[[1.0, 0.0, 1.0]], [[0.0, 0.0, 1.0]]])
    potentials = torch.tensor([[[1.0, 5.0, 1.0]], [[0.0, -1.0, 1.0]]])
    found = predict(name, Outputs(values=values, potentials=potentials, spiking=True))
    assert found.dtype == torch.int64
    assert found.tolist() == [1 if name == "membrane" else 2]


def test_the_count_loss_is_zero_where_only_the_right_class_spikes_at_every_step() -> None:
    values = torch.zeros(6, 1, 3)
    values[:, 0, 1] = 1
    outputs = Outputs(values=values, potentials=values, spiking=True)
    assert loss("count-mse", outputs, torch.tensor([1])) == 0
    assert loss("count-mse", outputs, torch.tensor([0])) == pytest.approx(2 / 3)
