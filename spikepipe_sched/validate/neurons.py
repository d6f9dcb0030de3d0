"""Neurons: from the input currents of a layer, over all time steps at once, to its spikes.

Let X[t] be the currents, S[t] the outputs, H[t] the potentials before the threshold and V[t] those
after the reset, for t = 0..T-1; V[-1] = S[-1] = 0, b the decay, step(x) = 1 where x >= 0, else 0.

====  ======================  =============================  ========================================
lif   H[t] = b V[t-1] + I[t]  S[t] = step(H[t] - threshold)  soft reset V[t] = H[t] - threshold S[t],
                                                             hard reset V[t] = H[t] (1 - S[t])
if    H[t] = V[t-1] + I[t]    S[t] = step(H[t] - threshold)  as lif
iir   H[t] = b V[t-1] + I[t]  S[t] = step(H[t] - threshold)  V[t] = H[t]
li    H[t] = b V[t-1] + I[t]  S[t] = H[t]                    V[t] = H[t]
====  ======================  =============================  ========================================

where I[t] = X[t] + R S[t-1] with the recurrent weights R of a recurrent layer, else I[t] = X[t]: N x N
(``full``), or one weight per neuron (``self``). ``relu`` and ``none`` know no time: S = H =
max(X, 0) or X. The parallel neurons are in `parallel`.

The backward pass takes a surrogate (`surrogates`) for the derivative of step, and takes the spikes in
the reset for constants, the usual choice (detached reset: Zenke & Vogels, doi:10.1162/neco_a_01367).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from spikepipe_sched.errors import require
from spikepipe_sched.layer import PARALLEL, STATEFUL, NeuronKind, Recurrence
from spikepipe_sched.learning import NeuronSettings, Reset
from spikepipe_sched.validate.chain import Chain, run_chain
from spikepipe_sched.validate.parallel import fire_parallel, initial_temporal

__all__ = ["NeuronSettings", "Parameters", "Reset", "carried", "fire", "initial_temporal"]

Parameters = Mapping[str, Tensor]

_NOTHING: Final[Parameters] = MappingProxyType({})


def fire(
    currents: Tensor,
    kind: NeuronKind,
    settings: NeuronSettings,
    *,
    recurrence: Recurrence = "none",
    parameters: Parameters = _NOTHING,
    backward_parameters: Parameters | None = None,
    truncate: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The outputs of a layer's neurons over all time steps.

    Parameters
    ----------
    currents
        X, shape (T, n, *shape): T time steps, n samples, the layer's shape.
    kind
        Which neuron.
    settings
        Decay, threshold, reset, surrogate.
    recurrence
        Of ``lif``, ``if``, ``iir`` and ``li``: whether the outputs of the step before come back.
    parameters
        What the neuron learns, by name; names it does not need are ignored, so that all parameters
        of a layer may be given. ``recurrent``: (N, N), out of j into i at [i, j], with N the last
        dimension of the layer's shape (recurrence ``full``), or of the layer's shape (``self``).
        ``temporal`` (T, T) and ``offset`` (T,): of ``ipsu``, ``rpsu`` and ``psn``; `initial_temporal`
        makes them.
    backward_parameters
        Another version of the same parameters, which the backward pass multiplies errors by on their
        way back to currents and earlier steps; gradients of parameters go to ``parameters`` all the
        same. None: the same version.
    truncate
        K of truncated back-propagation: no gradient passes from step jK back to step jK - 1, nor of
        ``psn``, whose steps see those to come, the other way.

    Returns
    -------
    tuple of Tensor
        The outputs S (spikes are 0 and 1 in the data type of the currents) and the potentials H, both
        of the currents' shape. Gradients flow through both. H is S where the neuron does not spike.
        Neither may be changed in place.

    Notes
    -----
    A layer inside a loop runs step by step: call it with the currents (1, n, *shape) of one step, to
    which `carried` of the step before and the recurrent input have been added, without ``recurrence``.
    """
    if kind in STATEFUL:
        spiking = kind != "li"
        chain = Chain(
            decay=1.0 if kind == "if" else settings.decay,
            threshold=settings.threshold if spiking else None,
            reset=settings.reset if kind in ("lif", "if") else "none",
            surrogate=settings.surrogate,
            surrogate_width=settings.surrogate_width,
            recurrence=recurrence,
            truncate=truncate,
        )
        if recurrence == "none":
            return run_chain(currents, chain, None, None)
        return run_chain(currents, chain, parameters["recurrent"], (backward_parameters or parameters)["recurrent"])
    if kind in PARALLEL:
        return fire_parallel(currents, kind, settings, parameters, backward_parameters or parameters, truncate)
    outputs = torch.relu(currents) if kind == "relu" else currents
    return outputs, outputs


def carried(outputs: Tensor, potentials: Tensor, kind: NeuronKind, settings: NeuronSettings) -> Tensor:
    """What the membrane carries into the next step, for layers that run step by step.

    Parameters
    ----------
    outputs, potentials
        S[t] and H[t] as `fire` returns them.
    kind, settings
        As of `fire`; the neuron has a membrane.

    Returns
    -------
    Tensor
        b V[t], to be added to X[t+1].

    Raises
    ------
    InputError
        If the neuron has no membrane.
    """
    require(kind in STATEFUL, f"a neuron of kind '{kind}' carries nothing from step to step")
    if kind in ("iir", "li"):
        return settings.decay * potentials
    spikes = outputs.detach()
    membrane = potentials - settings.threshold * spikes if settings.reset == "soft" else potentials * (1 - spikes)
    return membrane if kind == "if" else settings.decay * membrane
