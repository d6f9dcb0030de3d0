"""Updates: against the textbook in NumPy; rates; what the last update did."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from spikepipe_sched import InputError
from spikepipe_sched.validate.optimise import Optimizer, OptimizerSettings
from spikepipe_sched.validate.parameters import Weights
from tests.validate.two_layers import LAYERS, Course, TwoLayers

SGD = OptimizerSettings(name="sgd", rate=0.1, momentum=0.7, weight_decay=0.05)
ADAM = OptimizerSettings(name="adam", rate=0.1, momentum=0.7, weight_decay=0.05)
ONES: dict[str, float] = dict.fromkeys(LAYERS, 1.0)


def drawn(count: int) -> list[Weights]:
    """Gradients of two layers."""
    generator = torch.Generator().manual_seed(5)
    like = TwoLayers().initial(0)
    return [
        {layer: {name: torch.randn(v.shape, generator=generator, dtype=v.dtype) for name, v in values.items()} for layer, values in like.items()}
        for _ in range(count)
    ]


@pytest.mark.parametrize("settings", [SGD, ADAM, replace(SGD, momentum=0.0)], ids=["sgd", "adam", "no-momentum"])
def test_updates_are_the_textbook_s(settings: OptimizerSettings) -> None:
    optimizer, course = Optimizer(TwoLayers().initial(3), settings, 9), Course(settings, updates=9)
    for gradients in drawn(9):
        course.learn({layer: gradients[layer]["weight"].numpy().copy() for layer in LAYERS})
        optimizer.step(gradients, ONES)
        for layer in LAYERS:
            np.testing.assert_allclose(optimizer.weights[layer]["weight"].numpy(), course.w[-1][layer], rtol=1e-12)
    assert optimizer.version == 9


@pytest.mark.parametrize("settings", [SGD, ADAM], ids=["sgd", "adam"])
def test_it_does_not_matter_how_gradients_lie_in_memory(settings: OptimizerSettings) -> None:
    """PyTorch's fused kernels add them up in the order of memory, whatever their shape."""
    rows, columns = (Optimizer(TwoLayers().initial(3), settings, 9) for _ in range(2))
    for gradients in drawn(4):
        rows.step(gradients, ONES)
        columns.step({layer: {name: value.T.contiguous().T for name, value in values.items()} for layer, values in gradients.items()}, ONES)
    for layer in LAYERS:
        assert torch.equal(rows.weights[layer]["weight"], columns.weights[layer]["weight"])


@pytest.mark.parametrize("settings", [SGD, ADAM], ids=["sgd", "adam"])
def test_the_direction_is_what_the_last_update_took_off(settings: OptimizerSettings) -> None:
    optimizer = Optimizer(TwoLayers().initial(3), settings, 9)
    assert not optimizer.direction("a")["weight"].any()
    for update, gradients in enumerate(drawn(6)):
        before = optimizer.weights["a"]["weight"].clone()
        optimizer.step(gradients, {"a": 0.5, "b": 1.0})
        taken = (before - optimizer.weights["a"]["weight"]) / (0.5 * optimizer.rate(update))
        torch.testing.assert_close(optimizer.direction("a")["weight"], taken, rtol=1e-9, atol=1e-12)


def test_a_direction_does_not_change_with_later_updates() -> None:
    optimizer = Optimizer(TwoLayers().initial(3), SGD, 9)
    first, second = drawn(2)
    optimizer.step(first, ONES)
    direction = optimizer.direction("a")["weight"]
    kept = direction.clone()
    optimizer.step(second, ONES)
    assert torch.equal(direction, kept)


@pytest.mark.parametrize("settings", [SGD, ADAM], ids=["sgd", "adam"])
def test_every_layer_has_its_own_factor_of_the_rate(settings: OptimizerSettings) -> None:
    half, whole = (Optimizer(TwoLayers().initial(3), replace(settings, rate=rate), 9) for rate in (0.05, 0.1))
    for gradients in drawn(4):
        half.step(gradients, ONES)
        whole.step(gradients, {"a": 0.5, "b": 1.0})
    assert torch.equal(half.weights["a"]["weight"], whole.weights["a"]["weight"])
    assert not torch.equal(half.weights["b"]["weight"], whole.weights["b"]["weight"])


def test_constant_cosine_and_step_rates() -> None:
    settings = OptimizerSettings(rate=0.5, schedule="constant")
    assert {settings.rate_of(i, 8) for i in range(12)} == {0.5}
    cosine = [replace(settings, schedule="cosine").rate_of(i, 8) for i in (0, 2, 4, 6, 8, 100)]
    assert cosine == pytest.approx([0.5, 0.25 * (1 + math.sqrt(0.5)), 0.25, 0.25 * (1 - math.sqrt(0.5)), 0, 0])
    step = [replace(settings, schedule="step").rate_of(i, 8) for i in range(10)]
    assert step == pytest.approx([0.5] * 4 + [0.05] * 2 + [0.005] * 4)


def test_cosine_rates_are_those_of_pytorch() -> None:
    parameter = torch.zeros(1, requires_grad=True)
    plain = torch.optim.SGD([parameter], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(plain, T_max=20)
    for update in range(20):
        assert OptimizerSettings(rate=0.3).rate_of(update, 20) == pytest.approx(plain.param_groups[0]["lr"], rel=1e-9)
        plain.step()
        schedule.step()


def test_the_warm_up_rises_to_the_full_rate_before_the_schedule_begins() -> None:
    settings = OptimizerSettings(rate=1.0, warmup=4)
    rates = [settings.rate_of(i, 12) for i in range(13)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[4:] == pytest.approx([replace(settings, warmup=0).rate_of(i, 8) for i in range(9)])
    assert settings.rate_of(3, 2) == 1.0  # longer than the training


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "lion"}, "optimizer: name must be one of adam, sgd, got 'lion'"),
        ({"schedule": "linear"}, "optimizer: schedule must be one of constant, cosine, step, got 'linear'"),
        ({"rate": 0}, "optimizer: rate must be above 0, got 0"),
        ({"rate": math.inf}, "optimizer: rate must be a finite number, got inf"),
        ({"rate": "fast"}, "optimizer: rate must be a finite number, got 'fast'"),
        ({"momentum": 1.0}, "optimizer: momentum must be at least 0 and below 1, got 1.0"),
        ({"weight_decay": -0.1}, "optimizer: weight_decay must not be negative, got -0.1"),
        ({"warmup": -1}, "optimizer: warmup must not be negative, got -1"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        OptimizerSettings(**values)
    assert str(caught.value) == message
