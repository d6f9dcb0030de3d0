"""Loops through time: layers that wait for each other's step before run step by step, all of them in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from spikepipe_sched.layer import Layer, Shape
from spikepipe_sched.validate.layers import Run
from spikepipe_sched.validate.neurons import Parameters, carried, fire
from spikepipe_sched.validate.synapses import recur


def run_loop(
    run: Run, loop: Sequence[Layer], read: Mapping[str, Sequence[Tensor | None]], shapes: Mapping[str, Shape], truncate: int | None
) -> dict[str, tuple[Tensor, Tensor]]:
    """Outputs and potentials of every layer of a loop.

    Batch normalisation inside a loop takes its statistics over the samples of one step (and one
    micro-batch), since the later steps are not there yet.

    Parameters
    ----------
    run
        Weights and settings.
    loop
        Its layers, in the network's order.
    read
        For every layer what it reads from outside the loop, shape (T, n, *shape), one for each of its
        inputs; None for those inside.
    shapes
        Shapes of the layers' outputs.
    truncate
        K of truncated back-propagation: no gradient passes from step jK back to step jK - 1.

    Returns
    -------
    dict
        Two tensors of shape (T, n, *shape) for every layer, by name.
    """
    outside = next(values for seen in read.values() for values in seen if values is not None)
    members = {layer.name: _Member(run, layer, truncate) for layer in loop}
    before = {layer.name: outside.new_zeros(1, outside.shape[1], *shapes[layer.name]) for layer in loop}
    for t in range(outside.shape[0]):
        if truncate is not None and t % truncate == 0:
            before = {name: outputs.detach() for name, outputs in before.items()}
            for member in members.values():
                member.forget()
        now = dict[str, Tensor]()
        for layer in loop:
            sources = zip(layer.inputs, read[layer.name], strict=True)
            seen = [values[t : t + 1] if values is not None else (before if name in layer.feedback else now)[name] for name, values in sources]
            now[layer.name] = members[layer.name].step(seen, before[layer.name])
        before = now
    return {name: (torch.cat(member.outputs), torch.cat(member.potentials)) for name, member in members.items()}


class _Member:
    """A layer of a loop, and what it keeps from step to step."""

    def __init__(self, run: Run, layer: Layer, truncate: int | None) -> None:
        self._run, self._layer, self._truncate = run, layer, truncate
        self._membrane: Tensor | None = None
        self._currents: list[Tensor] = []  # a parallel neuron needs all of them again at every step
        self.outputs: list[Tensor] = []
        self.potentials: list[Tensor] = []

    def forget(self) -> None:
        """Cut the gradient to the membrane of the step before."""
        self._membrane = None if self._membrane is None else self._membrane.detach()

    def step(self, seen: Sequence[Tensor], before: Tensor) -> Tensor:
        """Outputs (1, n, *shape) of the next step."""
        layer, settings = self._layer, self._run.neurons
        forward, backward = self._run.parameters(layer)
        currents = self._run.currents(layer, seen)
        if layer.parallel:
            self._currents.append(currents)
            steps = len(self._currents)
            currents, forward, backward = torch.cat(self._currents), _until(steps, forward), _until(steps, backward)
        if layer.recurrence != "none":
            currents = currents + recur(before, layer.recurrence, forward["recurrent"], backward["recurrent"])
        if self._membrane is not None:
            currents = currents + self._membrane
        fired = fire(currents, layer.neuron, settings, parameters=forward, backward_parameters=backward, truncate=self._truncate)
        outputs, potentials = (values[-1:] for values in fired)
        if layer.stateful:
            self._membrane = carried(outputs, potentials, layer.neuron, settings)
        self.outputs.append(outputs)
        self.potentials.append(potentials)
        return outputs


def _until(steps: int, parameters: Parameters) -> Parameters:
    """The weights over time of a causal parallel neuron, for the first steps alone."""
    if "temporal" not in parameters:
        return parameters
    return {**parameters, "temporal": parameters["temporal"][:steps, :steps], "offset": parameters["offset"][:steps]}
