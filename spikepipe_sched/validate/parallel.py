"""Parallel neurons: products over time, T x T, in place of a membrane that passes from step to step.

Let X be the currents as a matrix (T, neurons) and sig the logistic function. A[t, j] = b^(t-j) for
j <= t integrates with the decay b, and B[t, j] = threshold b^(t-j) for j < t takes off what resets at
the steps before would have taken. W is learned (``temporal``), tril(W) its lower triangle with the
diagonal, c learned (``offset``, one value a step); spikes are S = step(H - threshold).

====  ======================================  ============================================================
psu   H = A X - B sig(A X)                    Nothing is learned; sig estimates the spikes.
ipsu  H = (tril(W) - B) X + c                 How currents integrate is learned.
rpsu  H = A X - B sig(tril(W) X + c)          How spikes are estimated is learned.
psn   H = W X + c                             W is full: a step sees those after it.
====  ======================================  ============================================================

Truncated back-propagation cuts the way back of every product, those of the resets among them, into
blocks of K steps: no error passes from a segment to another. What W learns it learns from the
currents of all segments, as recurrent weights learn from the step before a border.

PSU, IPSU and RPSU: arXiv:2402.00449; A and B follow from the recurrence of `neurons` with soft reset.
PSN: arXiv:2304.12760, with c = threshold - (the paper's learned threshold).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikepipe_sched.layer import LEARNED, NeuronKind
from spikepipe_sched.validate.surrogates import spike

if TYPE_CHECKING:  # settings stand with the neurons, which call this module
    from spikepipe_sched.validate.neurons import NeuronSettings


def initial_temporal(kind: NeuronKind, steps: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """What a parallel neuron learns, before it has learned anything.

    Weights are uniform in +-1/sqrt(T), as those of a linear layer over T features, and so are the
    offsets of ``ipsu`` and ``rpsu``; those of ``psn`` are 0 (arXiv:2304.12760: thresholds start at 1).

    Parameters
    ----------
    kind
        Any neuron.
    steps
        Number T of time steps of its layer.
    generator
        Source of the values, on the CPU; ``temporal`` is drawn first.
    dtype
        Data type of the values.

    Returns
    -------
    dict of Tensor
        ``temporal`` (T, T) and ``offset`` (T,), together as many values as
        `spikepipe_sched.network.temporal_parameters` says; nothing for neurons that learn nothing.
    """
    if kind not in LEARNED:
        return {}
    bound = 1 / math.sqrt(steps)
    temporal = torch.empty(steps, steps, dtype=dtype).uniform_(-bound, bound, generator=generator)
    offset = torch.zeros(steps, dtype=dtype)
    return {"temporal": temporal, "offset": offset if kind == "psn" else offset.uniform_(-bound, bound, generator=generator)}


def fire_parallel(
    currents: Tensor,
    kind: NeuronKind,
    settings: NeuronSettings,
    parameters: Mapping[str, Tensor],
    backward_parameters: Mapping[str, Tensor],
    truncate: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Spikes and potentials of a parallel neuron; arguments as of `neurons.fire`.

    Errors on their way back to the currents are multiplied by ``temporal`` of ``backward_parameters``.
    """
    flat, steps = currents.flatten(1), torch.arange(len(currents), device=currents.device)
    within = None if truncate is None else steps[:, None] // truncate == steps // truncate

    def over_time(values: Tensor, weights: Tensor, backward: Tensor) -> Tensor:
        """The product (T, T) x (T, neurons), whose errors go back through ``backward``, within segments."""
        return _TemporalProduct.apply(values, weights, backward if within is None else backward * within)  # pyright: ignore[reportReturnType]

    if kind == "psn":
        potentials = over_time(flat, parameters["temporal"], backward_parameters["temporal"]) + parameters["offset"][:, None]
    else:
        integrate, reset = _integration(settings, currents)
        if kind == "psu":
            integrated = over_time(flat, integrate, integrate)
            potentials = integrated - over_time(integrated.sigmoid(), reset, reset)
        else:
            learned, backward, offset = parameters["temporal"].tril(), backward_parameters["temporal"].tril(), parameters["offset"][:, None]
            if kind == "ipsu":
                potentials = over_time(flat, learned - reset, backward - reset) + offset
            else:
                estimate = (over_time(flat, learned, backward) + offset).sigmoid()
                potentials = over_time(flat, integrate, integrate) - over_time(estimate, reset, reset)
    potentials = potentials.view_as(currents)
    return spike(potentials, settings.surrogate, settings.threshold, settings.surrogate_width), potentials


def _integration(settings: NeuronSettings, currents: Tensor) -> tuple[Tensor, Tensor]:
    """A and B."""
    steps = torch.arange(len(currents), dtype=currents.dtype, device=currents.device)
    integrate = (settings.decay ** (steps[:, None] - steps).clamp_min(0)).tril()
    return integrate, settings.threshold * integrate.tril(-1)


class _TemporalProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, currents: Tensor, weights: Tensor, backward_weights: Tensor) -> Tensor:
        ctx.save_for_backward(currents, backward_weights)
        return weights @ currents

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, errors: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        currents, backward_weights = ctx.saved_tensors
        by_currents = backward_weights.t() @ errors if ctx.needs_input_grad[0] else None
        return by_currents, (errors @ currents.t() if ctx.needs_input_grad[1] else None), None
