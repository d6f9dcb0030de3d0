"""Products with another version of the weights on the way back, against PyTorch's own modules at either version."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from hypothesis import assume, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from spikepipe_sched.layer import Layer
from spikepipe_sched.validate.synapses import conv2d, linear, recur


def _random(*shape: int, seed: int, leaf: bool = True) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_(leaf)


def _gradients(outputs: Tensor, *leaves: Tensor | None) -> list[Tensor]:
    return list(torch.autograd.grad(outputs, [leaf for leaf in leaves if leaf is not None], _random(*outputs.shape, seed=9, leaf=False), retain_graph=True))


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3), (5, 2, 4, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_pytorchs_with_the_inputs_gradient_of_the_other_version(shape: tuple[int, ...], bias: bool) -> None:
    inputs, other = _random(*shape, seed=0), _random(2, 3, seed=1, leaf=False)
    ours, theirs = nn.Linear(3, 2, bias, dtype=torch.float64), nn.Linear(3, 2, bias, dtype=torch.float64)
    theirs.weight.data = other
    outputs = linear(inputs, ours.weight, ours.bias, other)
    torch.testing.assert_close(outputs, ours(inputs), rtol=0, atol=1e-15)
    found = _gradients(outputs, inputs, ours.weight, ours.bias)
    torch.testing.assert_close(found[:1], _gradients(theirs(inputs), inputs), rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(found[1:], _gradients(ours(inputs), *ours.parameters()), rtol=1e-13, atol=1e-14)


@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.sampled_from([1, 2, 4]),
    bias=st.booleans(),
)
@given_settings(max_examples=40)
def test_conv2d_is_pytorchs_with_the_inputs_gradient_of_the_other_version(
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int], groups: int, bias: bool
) -> None:
    assume(all(d * (k - 1) < size + 2 * p for d, k, size, p in zip(dilation, kernel, (4, 5), padding, strict=True)))
    layer = Layer(
        name="c", kind="conv2d", inputs=("input",), out_channels=4, kernel=kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=bias
    )
    inputs = _random(2, 4, 4, 5, seed=0)
    ours, theirs = (nn.Conv2d(4, 4, kernel, stride, padding, dilation, groups, bias, dtype=torch.float64) for _ in range(2))
    other = _random(*ours.weight.shape, seed=1, leaf=False)
    theirs.weight.data = other
    outputs = conv2d(inputs, ours.weight, ours.bias, layer, other)
    torch.testing.assert_close(outputs, ours(inputs), rtol=1e-13, atol=1e-14)
    found = _gradients(outputs, inputs, ours.weight, ours.bias)
    torch.testing.assert_close(found[:1], _gradients(theirs(inputs), inputs), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(found[1:], _gradients(ours(inputs), *ours.parameters()), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("recurrence", ["full", "self"])
def test_recurrent_weights_send_errors_back_through_the_other_version(recurrence: Literal["full", "self"]) -> None:
    shape = (3, 3) if recurrence == "full" else (2, 3)
    spikes, weight, other = _random(1, 4, 2, 3, seed=0), _random(*shape, seed=1), _random(*shape, seed=2, leaf=False)
    outputs = recur(spikes, recurrence, weight, other)

    def product(weights: Tensor) -> Tensor:
        return torch.einsum("tnlj,ij->tnli" if recurrence == "full" else "tnlj,lj->tnlj", spikes, weights)

    torch.testing.assert_close(outputs, product(weight))
    (by_spikes, by_weight) = _gradients(outputs, spikes, weight)
    torch.testing.assert_close(by_spikes, _gradients(product(other), spikes)[0], rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(by_weight, _gradients(product(weight), weight)[0], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_convolutions_are_channels_last_in_memory_and_stay_so(dtype: torch.dtype) -> None:
    layer = Layer(name="c", kind="conv2d", inputs=("input",), out_channels=3, kernel=(3, 3))
    outputs = conv2d(torch.randn(2, 4, 5, 5, dtype=dtype), torch.randn(3, 4, 3, 3, dtype=dtype), None, layer)
    assert outputs.is_contiguous(memory_format=torch.channels_last)
