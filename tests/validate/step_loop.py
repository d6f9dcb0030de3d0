"""Neurons as a plain loop over time steps, differentiated by autograd: the oracle of the fused ones.

No autograd function of our own: a spike is step(x) in value and the smooth step in derivative, by
``smooth + (step - smooth).detach()``; a product with one version of weights forward and another one
backward is ``x W`` in value, with derivative W' towards x and x towards W, in the same manner.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import torch
from torch import Tensor

from spikepipe_sched.layer import NeuronKind, Recurrence
from spikepipe_sched.validate.neurons import NeuronSettings
from spikepipe_sched.validate.surrogates import Surrogate


def smooth_step(name: Surrogate, x: Tensor, width: float) -> Tensor:
    """The step from 0 to 1 whose derivative the surrogate is."""
    if name == "boxcar":
        return (x / width + 0.5).clamp(0, 1)
    if name == "arctan":
        return torch.atan(math.pi * x / width) / math.pi + 0.5
    if name == "fast-sigmoid":
        return x / width / (1 + 2 * x.abs() / width) + 0.5
    return torch.sigmoid(4 * x / width)


def spiking(potentials: Tensor, settings: NeuronSettings) -> Tensor:
    """Spikes with a surrogate derivative."""
    x = potentials - settings.threshold
    smooth = smooth_step(settings.surrogate, x, settings.surrogate_width)
    return (x >= 0).to(x.dtype) + (smooth - smooth.detach())


def two_versions(values: Tensor, weights: Tensor, backward: Tensor, product: str) -> Tensor:
    """``einsum(product, values, weights)`` whose errors go back to the values through ``backward``."""
    other = torch.einsum(product, values, backward.detach())
    return torch.einsum(product, values.detach(), weights) + (other - other.detach())


def step_loop(
    currents: Tensor,
    kind: NeuronKind,
    settings: NeuronSettings,
    recurrence: Recurrence = "none",
    recurrent: Tensor | None = None,
    backward: Tensor | None = None,
    truncate: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Outputs and potentials of a neuron with a membrane."""
    membrane, before = torch.zeros_like(currents[0]), torch.zeros_like(currents[0])
    outputs, potentials = list[Tensor](), list[Tensor]()
    for t, current in enumerate(currents):
        if truncate and t % truncate == 0:
            membrane, before = membrane.detach(), before.detach()
        potential = (1.0 if kind == "if" else settings.decay) * membrane + current
        if recurrent is not None:
            product = "n...j,ij->n...i" if recurrence == "full" else "n...,...->n..."
            potential = potential + two_versions(before, recurrent, recurrent if backward is None else backward, product)
        before = potential if kind == "li" else spiking(potential, settings)
        membrane = potential
        if kind in ("lif", "if"):
            spikes = before.detach()
            membrane = potential - settings.threshold * spikes if settings.reset == "soft" else potential * (1 - spikes)
        outputs.append(before)
        potentials.append(potential)
    return torch.stack(outputs), torch.stack(potentials)


def parallel_sums(
    currents: Tensor,
    kind: NeuronKind,
    settings: NeuronSettings,
    parameters: Mapping[str, Tensor],
    backward: Tensor,
    truncate: int | Fraction | None = None,
) -> tuple[Tensor, Tensor]:
    """Spikes and potentials of a parallel neuron, one sum over the steps after the other."""
    steps = range(len(currents))
    decay, threshold = settings.decay, settings.threshold

    def seen(t: int, values: Sequence[Tensor], j: int) -> Tensor:
        """What step t reads of step j."""
        return values[j] if truncate is None or t // truncate == j // truncate else values[j].detach()

    integrated = [sum((decay ** (t - j) * seen(t, currents.unbind(), j) for j in range(t + 1)), torch.zeros_like(currents[0])) for t in steps]

    def learned(t: int, last: int) -> Tensor:
        terms = (two_versions(seen(t, currents.unbind(), j), parameters["temporal"][t, j], backward[t, j], "n...,->n...") for j in range(last + 1))
        return sum(terms, parameters["offset"][t].expand_as(currents[0]))

    def reset(t: int, estimate: Sequence[Tensor]) -> Tensor:
        return sum((threshold * decay ** (t - j) * seen(t, estimate, j) for j in range(t)), torch.zeros_like(currents[0]))

    if kind == "psu":
        potentials = [integrated[t] - reset(t, [value.sigmoid() for value in integrated]) for t in steps]
    elif kind == "ipsu":
        potentials = [learned(t, t) - reset(t, currents.unbind()) for t in steps]
    elif kind == "rpsu":
        potentials = [integrated[t] - reset(t, [learned(j, j).sigmoid() for j in steps]) for t in steps]
    else:
        potentials = [learned(t, len(currents) - 1) for t in steps]
    stacked = torch.stack(potentials)
    return spiking(stacked, settings), stacked
