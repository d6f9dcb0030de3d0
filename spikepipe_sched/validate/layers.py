"""One layer over all its time steps: from what it reads to its currents, and on to its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional

from spikepipe_sched.errors import require
from spikepipe_sched.layer import Layer
from spikepipe_sched.lower.windows import cut_time
from spikepipe_sched.validate.neurons import NeuronSettings, Parameters, fire
from spikepipe_sched.validate.norm import batch_norm
from spikepipe_sched.validate.parameters import Weights
from spikepipe_sched.validate.synapses import conv2d, linear
from spikepipe_sched.validate.timing import is_constant


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What one pass through the network works with.

    Parameters
    ----------
    neurons
        What the neurons share.
    weights
        The weights of the forward pass.
    backward
        Another version of them, which the backward pass multiplies errors by; None: the same.
    statistics
        Running mean and variance of every normalised layer.
    groups
        Windows of time and micro-batches, in each of which normalisation takes statistics of its own.
    training
        Whether normalisation takes the batch's own statistics, and the running ones learn from them.
    """

    neurons: NeuronSettings
    weights: Weights
    backward: Weights | None
    statistics: Weights
    groups: tuple[int, int]
    training: bool

    def parameters(self, layer: Layer) -> tuple[Parameters, Parameters]:
        """Parameters of a layer for the forward and for the backward pass; empty where it learns nothing."""
        forward = self.weights.get(layer.name, {})
        return forward, forward if self.backward is None else self.backward.get(layer.name, {})

    def currents(self, layer: Layer, read: Sequence[Tensor]) -> Tensor:
        """What reaches the neurons of a layer, without recurrent weights.

        Parameters
        ----------
        read
            What it reads: tensors of shape (T, n, *shape), one for each of its inputs.

        Returns
        -------
        Tensor
            Shape (T, n, *shape of the layer).

        Raises
        ------
        InputError
            If there is one value in all to normalise by, or the samples make no equal micro-batches.
        """
        if not layer.trainable:
            return _joined(layer, read)
        forward, backward = self.parameters(layer)
        weight, bias, other = forward["weight"], forward.get("bias"), backward["weight"]
        if layer.kind == "linear":
            currents = _at_once(lambda inputs: linear(inputs, weight, bias, other), read[0])
        else:
            currents = _at_once(lambda inputs: conv2d(inputs, weight, bias, layer, other), read[0])
        if layer.norm == "none":
            return currents
        windows, micro_batches = self.groups
        if windows == micro_batches == 1:
            return self._normalised(layer, currents)
        samples, over = divmod(currents.shape[1], micro_batches)
        require(
            samples and not over,
            f"layer '{layer.name}': {currents.shape[1]} samples make no {micro_batches} equal micro-batches to normalise; choose a multiple",
        )
        steps = [window.steps for window in cut_time(len(currents), windows)]
        parts = [torch.cat([self._normalised(layer, window) for window in part.split(steps)]) for part in currents.split(samples, 1)]
        return torch.cat(parts, 1)

    def _normalised(self, layer: Layer, currents: Tensor) -> Tensor:
        forward, backward = self.parameters(layer)
        rows = currents.flatten(0, 1 if layer.kind == "conv2d" else -2)
        several = not self.training or rows.numel() > rows.shape[1]
        require(several, f"layer '{layer.name}': one value per channel has no variance to normalise by; train with a larger batch")
        return batch_norm(rows, forward, self.statistics[layer.name], backward, training=self.training).view_as(currents)

    def fire(self, layer: Layer, currents: Tensor, truncate: int | None) -> tuple[Tensor, Tensor]:
        """Outputs and potentials of a layer's neurons, recurrent weights included; ``truncate`` as of `neurons.fire`."""
        forward, backward = self.parameters(layer)
        return fire(currents, layer.neuron, self.neurons, recurrence=layer.recurrence, parameters=forward, backward_parameters=backward, truncate=truncate)


def _at_once(operation: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """An operation on samples, for all time steps in one call, or for one step that is shown again and again."""
    if is_constant(inputs):
        outputs = operation(inputs[0])
        return outputs.expand(inputs.shape[0], *outputs.shape)
    return operation(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])


def _joined(layer: Layer, read: Sequence[Tensor]) -> Tensor:
    """Layers without weights."""
    first = read[0]
    match layer.kind:
        case "add":
            return reduce(torch.add, read)
        case "concat":
            return torch.cat(list(read), 2)
        case "matmul":
            return _product(layer, first, read[1])
        case "flatten":
            return first.flatten(2)
        case "tokens":
            return first.flatten(-2).transpose(-1, -2)
        case "mean":
            return first.mean(-2)
        case "neuron":
            return first
        case _:
            return _at_once(lambda images: _pooled(layer, images), first)


def _pooled(layer: Layer, images: Tensor) -> Tensor:
    if layer.kind == "maxpool2d":
        return functional.max_pool2d(images, layer.kernel, layer.stride, layer.padding, layer.dilation)
    return functional.avg_pool2d(images, layer.kernel, layer.stride, layer.padding, divisor_override=1 if layer.kind == "sumpool2d" else None)


def _product(layer: Layer, left: Tensor, right: Tensor) -> Tensor:
    """Attention: the features of both operands are divided among the heads."""
    heads = right.unflatten(-1, (layer.heads, -1)).transpose(-2, -3)
    if layer.transpose:
        return left.unflatten(-1, (layer.heads, -1)).transpose(-2, -3) @ heads.mT
    return (left @ heads).transpose(-2, -3).flatten(-2)
