"""Synapses: products with weights that may have another version on the way back.

A product y = W x has two gradients. That of the weights, dL/dW = (dL/dy) x^T, does not read W; that of
the input, dL/dx = W^T dL/dy, does, and a pipeline may have updated W in between: where ``backward`` is
given, W of this formula is another version. Where it is None or the same tensor, the plain operations
of PyTorch run, with the same results bit for bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from spikepipe_sched.layer import Layer, Recurrence


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, backward: Tensor | None = None) -> Tensor:
    """Weights on the last dimension.

    Parameters
    ----------
    inputs
        Shape (..., in).
    weight, bias
        Shapes (out, in) and (out,).
    backward
        Another version of the weights, for the gradient of the inputs.

    Returns
    -------
    Tensor
        Shape (..., out).
    """
    rows = inputs.reshape(-1, inputs.shape[-1])  # one product, whatever stands in front
    outputs = functional.linear(rows, weight, bias) if backward is None or backward is weight else _Linear.apply(rows, weight, bias, backward)
    return outputs.unflatten(0, inputs.shape[:-1])


def conv2d(inputs: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer, backward: Tensor | None = None) -> Tensor:
    """A layer's convolution.

    Parameters
    ----------
    inputs
        Shape (n, channels, height, width).
    weight, bias
        Shapes (out, channels / groups, *kernel) and (out,).
    layer
        Brings stride, padding, dilation and groups.
    backward
        Another version of the weights, for the gradient of the inputs.

    Returns
    -------
    Tensor
        Shape (n, out, height, width).
    """
    # Channels last in memory is up to 1.8 times as fast on a CPU, forward and backward, and what follows keeps it.
    images = inputs.contiguous(memory_format=torch.channels_last)
    if backward is None or backward is weight:
        return functional.conv2d(images, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
    return _Convolution.apply(images, weight, bias, backward, layer)


def recur(spikes: Tensor, recurrence: Recurrence, weight: Tensor, backward: Tensor | None = None) -> Tensor:
    """Current that the outputs of one step bring to the next through recurrent weights.

    Parameters
    ----------
    spikes
        Shape (..., *shape) for a layer of this shape.
    recurrence
        ``full`` or ``self``.
    weight
        Shape (N, N), resp. that of the layer.
    backward
        Another version of the weights, for the gradient of the spikes.

    Returns
    -------
    Tensor
        The shape of ``spikes``.
    """
    if recurrence == "full":
        return linear(spikes, weight, None, backward)
    return spikes * weight if backward is None or backward is weight else _Product.apply(spikes, weight, backward)


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, backward: Tensor) -> Tensor:
        ctx.save_for_backward(rows, backward)
        return functional.linear(rows, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        rows, weight = ctx.saved_tensors
        to_rows, to_weight, to_bias, _ = ctx.needs_input_grad
        return (
            gradient.mm(weight) if to_rows else None,
            gradient.t().mm(rows) if to_weight else None,
            gradient.sum(0) if to_bias else None,
            None,
        )


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, backward: Tensor, layer: Layer) -> Tensor:
        ctx.save_for_backward(images, backward)
        ctx.layer, ctx.bias_sizes = layer, None if bias is None else bias.shape
        return functional.conv2d(images, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        images, weight = ctx.saved_tensors
        layer, wanted = ctx.layer, ctx.needs_input_grad[:3]
        # The weights' gradient takes of the weights only the shape: one call serves both.
        gradients = torch.ops.aten.convolution_backward(
            gradient, images, weight, ctx.bias_sizes, layer.stride, layer.padding, layer.dilation, False, (0, 0), layer.groups, wanted
        )
        return (*(found if want else None for found, want in zip(gradients, wanted, strict=True)), None, None)


class _Product(Function):
    @staticmethod
    def forward(ctx: Any, spikes: Tensor, weight: Tensor, backward: Tensor) -> Tensor:
        ctx.save_for_backward(spikes, backward)
        return spikes * weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        spikes, weight = ctx.saved_tensors
        to_spikes, to_weight, _ = ctx.needs_input_grad
        return gradient * weight if to_spikes else None, (gradient * spikes).sum_to_size(weight.shape) if to_weight else None, None
