"""Batch normalisation against PyTorch's modules, with another version of the scale on the way back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spikepipe_sched.validate.norm import batch_norm

SHAPES = [(6, 3), (4, 3, 2, 5)]


def _module(shape: tuple[int, ...], seed: int) -> nn.BatchNorm1d | nn.BatchNorm2d:
    module = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(shape[1], dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    nn.init.uniform_(module.weight, 0.5, 2, generator=generator)
    nn.init.uniform_(module.bias, -1, 1, generator=generator)
    return module


def _parts(module: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    assert module.running_mean is not None
    assert module.running_var is not None
    return {"scale": module.weight, "shift": module.bias}, {"mean": module.running_mean.clone(), "variance": module.running_var.clone()}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("other", [True, False])
def test_it_is_pytorchs_with_the_inputs_gradient_of_the_other_scale(shape: tuple[int, ...], training: bool, other: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    currents = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
    side = torch.randn(shape, generator=generator, dtype=torch.float64)
    ours, theirs = _module(shape, 1).train(training), _module(shape, 2 if other else 1).train(training)
    parameters, statistics = _parts(ours)
    backward = _parts(theirs)[0] if other else None
    outputs = batch_norm(currents, parameters, statistics, backward, training=training)
    found = torch.autograd.grad(outputs, [currents, *parameters.values()], side)

    wanted = ours(currents)
    torch.testing.assert_close(outputs, wanted, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(statistics, _parts(ours)[1], rtol=0, atol=0)
    torch.testing.assert_close(found[1:], torch.autograd.grad(wanted, list(ours.parameters()), side), rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(found[0], torch.autograd.grad(theirs(currents), currents, side)[0], rtol=1e-13, atol=1e-14)
