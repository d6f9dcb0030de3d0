"""Surrogate gradients: what stands for the derivative of a spike in the backward pass.

A spike is S = step(H - threshold); its derivative is zero almost everywhere, so that the backward pass
takes the derivative of a smooth step in its place (Neftci, Mostafa, Zenke: arXiv:1901.09948).

One convention holds for all of them: a surrogate is the derivative of a step that climbs from 0 to 1,
so its area is 1, and its width w is that of the boxcar with the same peak: the peak is 1/w, at the
threshold. With x = H - threshold, in the unit of potentials:

============  ==============================  ==========================================================
boxcar        1/w where |x| < w/2             Wu et al., arXiv:1706.02609: w is their a
arctan        1/w / (1 + (pi x / w)^2)        Fang et al., arXiv:2007.05785: w = 1
fast-sigmoid  1/w / (1 + 2 |x| / w)^2         Zenke & Ganguli, arXiv:1705.11146: w = 2/beta
sigmoid       4/w s (1 - s), s = sig(4x/w)    Zenke & Vogels, doi:10.1162/neco_a_01367: w = 4/beta
============  ==============================  ==========================================================

The last two papers leave the factor before the fraction out (their peak is the same for every beta).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikepipe_sched.learning import Surrogate


def _boxcar(x: Tensor, width: float, errors: Tensor | None) -> Tensor:
    return _times(x.abs_().lt_(width / 2).mul_(1 / width), errors)


def _arctan(x: Tensor, width: float, errors: Tensor | None) -> Tensor:
    return _divided(torch.addcmul(x.new_full((), width), x, x, value=math.pi**2 / width, out=x), errors)


def _fast_sigmoid(x: Tensor, width: float, errors: Tensor | None) -> Tensor:
    root = torch.add(x.new_full((), math.sqrt(width)), x.abs_(), alpha=2 / math.sqrt(width), out=x)
    return _divided(root.square_(), errors)


def _sigmoid(x: Tensor, width: float, errors: Tensor | None) -> Tensor:
    step = x.mul_(4 / width).sigmoid_()
    return _times(torch.addcmul(step, step, step, value=-1, out=step).mul_(4 / width), errors)


def _times(slopes: Tensor, errors: Tensor | None) -> Tensor:
    return slopes if errors is None else slopes.mul_(errors)


def _divided(reciprocals: Tensor, errors: Tensor | None) -> Tensor:
    return reciprocals.reciprocal_() if errors is None else torch.div(errors, reciprocals, out=reciprocals)


#: By name, from x, the width and the errors; in place, with as few passes over all steps as there can be.
_FORMULAS: Final[MappingProxyType[Surrogate, Callable[[Tensor, float, Tensor | None], Tensor]]] = MappingProxyType(
    {"boxcar": _boxcar, "arctan": _arctan, "fast-sigmoid": _fast_sigmoid, "sigmoid": _sigmoid}
)


def surrogate_derivative(name: Surrogate, potentials: Tensor, threshold: float, width: float, errors: Tensor | None = None) -> Tensor:
    """What the backward pass takes for dS/dH, times the errors of S.

    Parameters
    ----------
    name
        Which surrogate.
    potentials
        H, of any shape; left as they are.
    threshold
        Where the neuron fires, in the unit of the potentials.
    width
        Width w > 0 of the surrogate, in the same unit.
    errors
        What the derivative is multiplied by, of the same shape; left as they are. None: 1.

    Returns
    -------
    Tensor
        The product at every potential, of the same shape.
    """
    return _FORMULAS[name](potentials - threshold, width, errors)


def spike(potentials: Tensor, surrogate: Surrogate, threshold: float, width: float) -> Tensor:
    """Spikes of neurons whose steps do not depend on each other: step(H - threshold), with a surrogate backward.

    Parameters
    ----------
    potentials
        H, of any shape.
    surrogate, threshold, width
        As of `surrogate_derivative`.

    Returns
    -------
    Tensor
        Zeros and ones in the data type of the potentials.
    """
    return _Spike.apply(potentials, surrogate, threshold, width)  # pyright: ignore[reportReturnType]


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, potentials: Tensor, surrogate: Surrogate, threshold: float, width: float) -> Tensor:
        ctx.save_for_backward(potentials)
        ctx.settings = surrogate, threshold, width
        return torch.ge(potentials, threshold, out=torch.empty_like(potentials))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_spikes: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (potentials,) = ctx.saved_tensors
        surrogate, threshold, width = ctx.settings
        return surrogate_derivative(surrogate, potentials, threshold, width, by_spikes), None, None, None
