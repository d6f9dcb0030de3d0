"""Neurons with a membrane: all time steps in one autograd function.

A step loop of plain autograd records about ten operations a step and keeps their results. Here a step
costs three kernels forward and one backward (more with recurrent weights), the surrogate is taken for
all steps at once, and of what was computed only the potentials are kept. The equations are those of
`neurons`. In the backward pass, let gS[t] and gH[t] be the gradients of outputs and potentials as they
arrive, R the recurrent weights (those of the backward pass), and s' the surrogate (1 for ``li``):

    g[t] = s'(H[t]) gS[t] + gH[t]  +  (b r[t] + s'(H[t]) R^T) g[t+1],    g[T] = 0,

where r[t] is 1, or 1 - S[t] after a hard reset. g[t] is the gradient of X[t], and that of R is the sum
of g[t] S[t-1]^T over the steps: one matrix product. Truncated back-propagation leaves out the second
half where step t+1 is a multiple of K.

Fusing the steps is the idea of temporal fusion (arXiv:2408.00280).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikepipe_sched.layer import Recurrence
from spikepipe_sched.validate.surrogates import Surrogate, surrogate_derivative


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The rule by which a membrane passes from step to step.

    Parameters
    ----------
    decay
        b.
    threshold
        Potential at which the neuron fires; None: it does not, its outputs are its potentials.
    reset
        What a spike does to the membrane.
    surrogate, surrogate_width
        What stands for the derivative of a spike.
    recurrence
        Which recurrent weights there are.
    truncate
        K: no gradient passes from step jK back to step jK - 1; None: it passes everywhere.
    """

    decay: float
    threshold: float | None
    reset: Literal["soft", "hard", "none"]
    surrogate: Surrogate
    surrogate_width: float
    recurrence: Recurrence
    truncate: int | None


def run_chain(currents: Tensor, chain: Chain, recurrent: Tensor | None, recurrent_backward: Tensor | None) -> tuple[Tensor, Tensor]:
    """Outputs and potentials, both of the shape (T, n, *shape) of the currents.

    ``recurrent`` are the recurrent weights, and ``recurrent_backward`` those that the backward pass
    multiplies by; None without recurrence.
    """
    outputs, potentials = _Chain.apply(currents, recurrent, recurrent_backward, chain)  # pyright: ignore[reportGeneralTypeIssues]
    return (potentials if outputs is None else outputs), potentials


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, currents: Tensor, recurrent: Tensor | None, recurrent_backward: Tensor | None, chain: Chain) -> tuple[Tensor | None, Tensor]:
        # A tensor, as a number would be made one at every step.
        threshold = None if chain.threshold is None else currents.new_full((), chain.threshold)
        potentials = torch.empty_like(currents)
        outputs = potentials if threshold is None else torch.empty_like(currents)
        membrane, before = torch.empty_like(potentials[0]), None
        decay, reset = chain.decay, chain.reset
        for current, potential, output in zip(currents.unbind(), potentials.unbind(), outputs.unbind(), strict=True):
            if before is None:
                potential.copy_(current)
            else:
                torch.add(current, membrane, alpha=decay, out=potential)
                if recurrent is not None:
                    potential.add_(before @ recurrent.t() if chain.recurrence == "full" else before * recurrent)
            if threshold is not None:
                torch.ge(potential, threshold, out=output)
            if reset == "soft":
                torch.sub(potential, output, alpha=chain.threshold, out=membrane)
            elif reset == "hard":
                torch.addcmul(potential, potential, output, value=-1, out=membrane)
            else:
                membrane = potential
            before = output
        ctx.chain = chain
        ctx.save_for_backward(potentials, None if recurrent is None else outputs, recurrent_backward)
        ctx.set_materialize_grads(False)
        return (None if threshold is None else outputs), potentials

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_outputs: Tensor | None, by_potentials: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        potentials, outputs, recurrent = ctx.saved_tensors
        chain: Chain = ctx.chain
        if chain.threshold is None or by_outputs is None:
            assert by_potentials is not None
            gradients = by_potentials.clone()
        else:
            gradients = surrogate_derivative(chain.surrogate, potentials, chain.threshold, chain.surrogate_width, by_outputs)
            if by_potentials is not None:
                gradients += by_potentials
        slopes = None
        if chain.threshold is not None and recurrent is not None:
            slopes = surrogate_derivative(chain.surrogate, potentials, chain.threshold, chain.surrogate_width)
        steps, later = gradients.unbind(), None
        factors = _factors(chain, potentials, slopes, recurrent)
        decay, truncate = chain.decay, chain.truncate or len(steps)
        for t in reversed(range(len(steps))):
            step = steps[t]
            if later is not None and (t + 1) % truncate:
                if recurrent is not None and chain.recurrence == "full":
                    back = later @ recurrent
                    step.add_(back if slopes is None else back.mul_(slopes[t]))
                if factors is None:
                    step.add_(later, alpha=decay)
                else:
                    step.addcmul_(later, factors[t])
            later = step
        by_recurrent = None
        if ctx.needs_input_grad[1]:
            after, before = gradients[1:], outputs[:-1]
            by_recurrent = after.flatten(0, -2).t() @ before.flatten(0, -2) if chain.recurrence == "full" else (after * before).sum((0, 1))
        return gradients, by_recurrent, None, None


def _factors(chain: Chain, potentials: Tensor, slopes: Tensor | None, recurrent: Tensor | None) -> tuple[Tensor, ...] | None:
    """What g[t+1] of a neuron is multiplied by on its way into its own g[t]; None: by the decay alone."""
    factors = None
    if chain.reset == "hard":  # the condition of the forward pass turned round, so that rounding cannot part them
        assert chain.threshold is not None
        factors = (potentials < chain.threshold).to(potentials.dtype).mul_(chain.decay)
    if recurrent is not None and chain.recurrence == "self":
        own = recurrent if slopes is None else slopes * recurrent
        factors = own + (chain.decay if factors is None else factors)
    return None if factors is None else factors.expand_as(potentials).unbind()
