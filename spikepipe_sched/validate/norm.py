"""Batch normalisation of currents, over time and batch together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

#: PyTorch's defaults: added to the variance, and the share of a batch in the running statistics.
EPSILON: Final = 1e-5
MOMENTUM: Final = 0.1


def batch_norm(
    currents: Tensor,
    parameters: Mapping[str, Tensor],
    statistics: Mapping[str, Tensor],
    backward: Mapping[str, Tensor] | None = None,
    *,
    training: bool,
) -> Tensor:
    """Normalise every channel: scale (x - mean) / sqrt(variance + 1e-5) + shift.

    Parameters
    ----------
    currents
        Shape (m, channels) or (m, channels, height, width), where m counts samples and time steps
        alike: mean and variance are taken over both (Zheng et al., arXiv:2011.05280, section 3.2,
        whose factor alpha V_th stands in the initial ``scale``).
    parameters
        ``scale`` and ``shift``, shape (channels,).
    statistics
        Running ``mean`` and ``variance``, shape (channels,): what evaluation normalises by. Training
        normalises by the batch's own, and moves a tenth of the way from the running ones to them.
    backward
        Another version of the parameters: the gradient of the currents is multiplied by its scale.
        The mean and the variance of that gradient are those of the forward pass.
    training
        Whether to train or to evaluate.

    Returns
    -------
    Tensor
        The shape of ``currents``.
    """
    scale, shift, mean, variance = parameters["scale"], parameters["shift"], statistics["mean"], statistics["variance"]
    other = scale if backward is None else backward["scale"]
    if other is scale:
        return functional.batch_norm(currents, mean, variance, scale, shift, training, MOMENTUM, EPSILON)
    return _BatchNorm.apply(currents, scale, shift, other, mean, variance, training)


class _BatchNorm(Function):
    @staticmethod
    def forward(ctx: Any, currents: Tensor, scale: Tensor, shift: Tensor, backward: Tensor, mean: Tensor, variance: Tensor, training: bool) -> Tensor:
        outputs, *saved = torch.native_batch_norm(currents, scale, shift, mean, variance, training, MOMENTUM, EPSILON)
        ctx.save_for_backward(currents, backward, *((None, None) if training else (mean, variance)), *saved)
        ctx.training = training
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        wanted = ctx.needs_input_grad[:3]
        currents, scale, *statistics = ctx.saved_tensors
        # The gradients of scale and shift do not read the scale: one call serves all three.
        gradients = torch.ops.aten.native_batch_norm_backward(gradient, currents, scale, *statistics, ctx.training, EPSILON, wanted)
        return (*(found if want else None for found, want in zip(gradients, wanted, strict=True)), None, None, None, None)
