"""Surrogate derivatives are those of the smooth steps they are named after."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from spikepipe_sched.validate.surrogates import Surrogate, spike, surrogate_derivative
from tests.validate.step_loop import smooth_step

NAMES: tuple[Surrogate, ...] = get_args(Surrogate)


@pytest.mark.parametrize("width", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("name", NAMES)
def test_a_surrogate_is_the_derivative_of_its_smooth_step(name: Surrogate, width: float) -> None:
    potentials = torch.randn(200, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    smooth_step(name, potentials - 0.7, width).sum().backward()
    kept = potentials.detach().clone()
    found = surrogate_derivative(name, kept, 0.7, width)
    assert potentials.grad is not None
    torch.testing.assert_close(found, potentials.grad, rtol=1e-12, atol=1e-14)
    errors = torch.linspace(-1, 1, 200, dtype=torch.float64)
    torch.testing.assert_close(surrogate_derivative(name, kept, 0.7, width, errors), errors * potentials.grad, rtol=1e-12, atol=1e-14)
    assert torch.equal(kept, potentials)
    assert torch.equal(errors, torch.linspace(-1, 1, 200, dtype=torch.float64))


@pytest.mark.parametrize("name", NAMES)
def test_its_area_is_one_and_its_peak_is_one_over_its_width(name: Surrogate) -> None:
    width = 0.8
    threshold = torch.tensor([1.5], dtype=torch.float64)
    assert surrogate_derivative(name, threshold, 1.5, width).item() == pytest.approx(1 / width, rel=1e-14)
    far = torch.tensor([-1e9, 1e9], dtype=torch.float64)
    low, high = smooth_step(name, far, width)
    assert high - low == pytest.approx(1, abs=1e-8)


def test_a_spike_stands_where_the_potential_reaches_the_threshold() -> None:
    potentials = torch.tensor([0.5, 1.0, 1.5], requires_grad=True)
    spikes = spike(potentials, "boxcar", 1.0, 0.8)
    assert spikes.tolist() == [0.0, 1.0, 1.0]
    (spikes * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert potentials.grad is not None
    assert potentials.grad.tolist() == [0.0, 2.5, 0.0]
