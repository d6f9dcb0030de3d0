"""The reference itself: its surrogates, its delays by hand, and that it is PyTorch where nothing is delayed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spikepipe_sched.network import Network
from tests.lower.graphs import linear
from tests.validate import plain
from tests.validate.replay_numpy import Neurons, Optimizer
from tests.validate.replay_tasks import Batch

SURROGATES = ("boxcar", "arctan", "fast-sigmoid", "sigmoid")


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_a_surrogate_is_the_slope_of_a_step_from_0_to_1_with_the_peak_of_its_width(surrogate: str) -> None:
    neurons = Neurons(threshold=0.7, surrogate=surrogate, surrogate_width=0.5)  # pyright: ignore[reportArgumentType]
    potentials = torch.linspace(-499.3, 500.7, 2_000_001, dtype=torch.float64, requires_grad=True)
    spikes = plain.Spike.apply(potentials, neurons)
    assert isinstance(spikes, torch.Tensor)
    spikes.sum().backward()
    assert potentials.grad is not None
    slopes = potentials.grad.numpy()
    assert slopes.sum() * 1000 / 2_000_000 == pytest.approx(1, abs=2e-3)
    assert slopes.max() == pytest.approx(1 / 0.5, rel=1e-6)
    np.testing.assert_allclose(neurons.slope(potentials.detach().numpy()), slopes, rtol=1e-9, atol=1e-12)


def test_one_weight_learns_late_as_by_hand() -> None:
    """Loss (w x - 1)^2 for the right class, taken at the weight of three updates ago; momentum 0.9."""
    net = Network(name="one", input_shape=(1,), time_steps=1, layers=(linear("out", "input", 1, neuron="none"),), coding="direct")
    shown = [0.5, 1.5, -0.7, 0.9, 1.1, -1.3, 0.4]
    batches = [Batch(inputs=np.full((1, 1, 1), x), labels=np.zeros(1, dtype=np.int64)) for x in shown]
    model = plain.Plain(net, Neurons(), {"out": {"weight": [[0.3]]}})
    plain.train(model, batches, Optimizer(name="sgd", rates=(0.1,) * len(shown)), "count-mse", {"out": [max(0, j - 3) for j in range(len(shown))]})
    versions, momentum = [0.3], 0.0
    for j, x in enumerate(shown):
        momentum = 0.9 * momentum + 2 * x * (versions[max(0, j - 3)] * x - 1)
        versions.append(versions[-1] - 0.1 * momentum)
    assert plain.weights_of(model)["out"]["weight"].item() == pytest.approx(versions[-1], rel=1e-14)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_at_the_newest_versions_nothing_is_delayed(optimizer: str) -> None:
    net = Network(name="net", input_shape=(5,), time_steps=3, layers=(linear("a", "input", 6), linear("out", "a", 3)), coding="direct")
    random = np.random.default_rng(1)
    weights = {"a": {"weight": random.normal(size=(6, 5))}, "out": {"weight": random.normal(size=(3, 6))}}
    batches = [Batch(inputs=random.normal(0.5, 1, (3, 4, 5)), labels=random.integers(0, 3, 4)) for _ in range(6)]
    rule, models = Optimizer(name=optimizer, rates=(0.1,) * 6), [plain.Plain(net, Neurons(), weights) for _ in range(2)]  # pyright: ignore[reportArgumentType]
    losses = [plain.train(model, batches, rule, "rate", versions) for model, versions in zip(models, (None, dict.fromkeys(weights, range(6))), strict=True)]
    assert losses[0] == losses[1]
    for name, values in plain.weights_of(models[0]).items():
        np.testing.assert_array_equal(values["weight"], plain.weights_of(models[1])[name]["weight"])
        assert not np.array_equal(values["weight"], weights[name]["weight"])
