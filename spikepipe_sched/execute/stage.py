"""A stage as a PyTorch module: one layer that learns, window by window.

The membrane (and what recurrent weights bring) passes from a window to the next one inside the module,
outside PyTorch's graph, as the runtime differentiates every chunk by itself. Its gradient comes back
the other way: the backward pass of window w + 1 leaves it behind, that of window w picks it up. Both
happen in functions on the way from outputs to inputs, which the runtime runs whether it asks for the
gradient of the inputs alone (I) or for all (B).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from spikepipe_sched.validate.layers import Run
from spikepipe_sched.validate.neurons import carried
from spikepipe_sched.validate.synapses import recur
from spikepipe_sched.validate.timing import retime, truncation

if TYPE_CHECKING:
    from spikepipe_sched.execute.plan import Plan
    from spikepipe_sched.layer import Layer
    from spikepipe_sched.validate.parameters import Weights


class Stage(nn.Module):
    """The layers of a stage, with the operations of `spikepipe_sched.validate.model.Model`.

    Parameters
    ----------
    weights, statistics
        Of all layers that learn, resp. are normalised.

    Attributes
    ----------
    chunk
        Which window of which micro-batch comes next; the runtime does not tell a module.
    """

    def __init__(self, plan: Plan, stage: int, weights: Weights, statistics: Weights) -> None:
        super().__init__()
        self.layers, self.chunk = plan.stages[stage], 0
        own = {layer.name for layer in self.layers}
        learned: Weights = {name: {key: nn.Parameter(value) for key, value in values.items()} for name, values in weights.items() if name in own}
        self.learned = nn.ParameterDict({f"{name}/{key}": value for name, values in learned.items() for key, value in values.items()})
        self._network, self._windows = plan.network, plan.rows.windows
        self._run = Run(neurons=plan.neurons, weights=learned, backward=None, statistics=statistics, groups=(1, 1), training=True)
        self._truncate = {layer.name: truncation(plan.network, layer, plan.bptt_steps) for layer in self.layers}
        self._states: dict[int, tuple[Tensor, Tensor]] = {}  # membrane and outputs after the window before
        self._errors: dict[int, Tensor] = {}

    def forget(self) -> None:
        """Begin another step."""
        self._states.clear()
        self._errors.clear()
        self.zero_grad(set_to_none=True)

    def gradients(self) -> Weights:
        """Of every layer's parameters, by name."""
        found: Weights = {}
        for name, parameter in self.learned.items():
            layer, _, key = name.rpartition("/")
            assert parameter.grad is not None
            found.setdefault(layer, {})[key] = parameter.grad
        return found

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (t, n, *shape) of a window of t steps."""
        values = inputs
        for layer in self.layers:
            if layer.trainable:
                values = self._window(layer, retime(values, self._network.steps(layer) // self._windows))
            else:
                values = self._run.currents(layer, [values])
        return values.clone(memory_format=torch.contiguous_format)  # the runtime detaches in place, which no view allows, and sends

    def _window(self, layer: Layer, read: Tensor) -> Tensor:
        chunk, window = self.chunk, self.chunk % self._windows
        currents, recurrent = self._run.currents(layer, [read]), self._run.weights[layer.name].get("recurrent")
        if window and layer.stateful:
            received, last = self._states.pop(chunk)
            if recurrent is not None:  # whose own gradient arises here, as in the layer in one piece
                received = received + recur(last, layer.recurrence, recurrent)
            currents = _Receive.apply(currents, received, self._errors, chunk)
        truncate, steps = self._truncate[layer.name], len(currents)
        outputs, potentials = self._run.fire(layer, currents, truncate)
        if window + 1 < self._windows and layer.stateful:
            sent, last = carried(outputs[-1], potentials[-1], layer.neuron, self._run.neurons), outputs[-1]
            self._states[chunk + 1] = sent.detach(), last.detach()
            if recurrent is not None:
                sent = sent + recur(last, layer.recurrence, recurrent.detach())
            if truncate is None or (window + 1) * steps % truncate:
                outputs = _Send.apply(outputs, sent, self._errors, chunk + 1)
        return outputs


class _Receive(Function):
    """Add what the window before left behind to the currents of the first step."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, received: Tensor, errors: dict[int, Tensor], chunk: int) -> Tensor:
        ctx.errors, ctx.chunk = errors, chunk
        return torch.cat([currents[:1] + received, currents[1:]])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.errors[ctx.chunk] = gradient[0]
        return gradient, gradient[0], None, None


class _Send(Function):
    """Outputs, whose backward pass brings in the gradient of what the next window receives."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, sent: Tensor, errors: dict[int, Tensor], chunk: int) -> Tensor:  # noqa: ARG004 - `sent` has a gradient
        ctx.errors, ctx.chunk = errors, chunk
        return outputs.view_as(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient, ctx.errors[ctx.chunk], None, None
