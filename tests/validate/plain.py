"""Plain PyTorch: the same networks with a step loop, autograd and `torch.optim`, and nothing of the validator's.

`Plain` is what one would write by hand; `train` is its training loop. Given the versions that a
schedule's iterations read, the same loop keeps all versions of the weights and takes every
gradient at the old ones: delayed gradients with stashed weights, in the plainest form there is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from spikepipe_sched.layer import INPUT, POOLS, RESHAPES, Layer
from spikepipe_sched.network import Network
from tests.validate.replay_numpy import Neurons, Optimizer
from tests.validate.replay_tasks import Batch


class Spike(torch.autograd.Function):
    """A step forward, a surrogate backward."""

    @staticmethod
    def forward(ctx: Any, potentials: Tensor, neurons: Neurons) -> Tensor:
        ctx.save_for_backward(potentials)
        ctx.neurons = neurons
        return (potentials >= neurons.threshold).to(potentials)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (potentials,), neurons = ctx.saved_tensors, ctx.neurons
        x, w = potentials - neurons.threshold, neurons.surrogate_width
        if neurons.surrogate == "boxcar":
            slope = (x.abs() < w / 2) / w
        elif neurons.surrogate == "arctan":
            slope = 1 / (w * (1 + (torch.pi * x / w) ** 2))
        elif neurons.surrogate == "fast-sigmoid":
            slope = 1 / (w * (1 + 2 * x.abs() / w) ** 2)
        else:
            slope = 4 / w * torch.sigmoid(4 * x / w) * torch.sigmoid(-4 * x / w)
        return gradients[0] * slope, None


class Plain(nn.Module):
    """A network of linear layers, convolutions, pools and sums, all time steps of a layer one after the other."""

    def __init__(
        self, network: Network, neurons: Neurons, weights: Mapping[str, Mapping[str, Any]], *, bptt_steps: int | None = None, groups: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()
        self.network, self.neurons, self.bptt_steps, self.groups = network, neurons, bptt_steps, groups
        self.learned = nn.ModuleDict(
            {
                layer: nn.ParameterDict({name: nn.Parameter(torch.tensor(np.asarray(v), dtype=torch.float64)) for name, v in values.items()})
                for layer, values in weights.items()
            }
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (T, n, classes) of the last layer."""
        values = {INPUT: inputs}
        for layer in self.network.layers:
            before = [self.late(self.seen(values[name], layer), layer) if name in layer.feedback else self.seen(values[name], layer) for name in layer.inputs]
            weights = {name: value for key, value in self.named_parameters() if (name := key.removeprefix(f"learned.{layer.name}.")) != key}
            currents = torch.stack([self.synapses(layer, [x[t] for x in before], weights) for t in range(len(before[0]))])
            if layer.norm == "batch":
                currents = self.normalise(currents, weights)
            values[layer.name] = self.fire(layer, currents, weights)
        return values[self.network.layers[-1].name]

    def seen(self, values: Tensor, layer: Layer) -> Tensor:
        """What a layer of other time steps reads: the mean over the time that its own step lasts."""
        steps = len(values) if layer.kind in POOLS | RESHAPES else self.network.steps(layer)
        fine = math.lcm(steps, len(values))
        return values.repeat_interleave(fine // len(values), 0).unflatten(0, (steps, -1)).mean(1)

    def late(self, values: Tensor, layer: Layer) -> Tensor:
        """The step before."""
        steps = [torch.zeros_like(values[0]), *values[:-1]]
        length = len(values) if self.bptt_steps is None else self.bptt_steps * len(values) // self.network.time_steps
        return torch.stack([step.detach() if t % length == 0 else step for t, step in enumerate(steps)])

    def normalise(self, currents: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """By each window of each micro-batch: step t of T lies in window ceil((t + 1) windows / T) - 1."""
        (windows, micro_batches), outputs = self.groups, torch.empty_like(currents)
        window = np.array([math.ceil((t + 1) * windows / len(currents)) - 1 for t in range(len(currents))])
        for steps in (np.flatnonzero(window == w) for w in range(windows)):
            for samples in np.array_split(np.arange(currents.shape[1]), micro_batches) if len(steps) else ():
                group = currents[steps][:, samples]
                rows = functional.batch_norm(group.flatten(0, 1), None, None, weights["scale"], weights["shift"], training=True)
                outputs[np.ix_(steps, samples)] = rows.view_as(group)
        return outputs

    def synapses(self, layer: Layer, inputs: list[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """One step of a layer's synapses, or of a layer that has none."""
        x = inputs[0]
        match layer.kind:
            case "linear":
                return functional.linear(x, weights["weight"], weights.get("bias"))
            case "conv2d":
                return functional.conv2d(x, weights["weight"], weights.get("bias"), layer.stride, layer.padding, layer.dilation, layer.groups)
            case "avgpool2d":
                return functional.avg_pool2d(x, layer.kernel, layer.stride, layer.padding)
            case "sumpool2d":
                return functional.avg_pool2d(x, layer.kernel, layer.stride, layer.padding, divisor_override=1)
            case "maxpool2d":
                return functional.max_pool2d(x, layer.kernel, layer.stride, layer.padding)
            case "flatten":
                return x.flatten(1)
            case "add" | "neuron":
                return sum(inputs[1:], x)
            case "concat":
                return torch.cat(inputs, 1)
        raise NotImplementedError(layer.kind)

    def fire(self, layer: Layer, currents: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """All steps of a layer's neurons."""
        kind, threshold = layer.neuron, self.neurons.threshold
        if kind in ("none", "relu"):
            return currents.relu() if kind == "relu" else currents
        if layer.parallel:
            return self.spike(self.over_time(layer, currents.flatten(1), weights).view_as(currents))
        outputs, membrane, last = list[Tensor](), torch.zeros_like(currents[0]), torch.zeros_like(currents[0])
        for t in range(len(currents)):
            if self.bptt_steps is not None and t % self.bptt_steps == 0:
                membrane, last = membrane.detach(), last.detach()
            potential = (1.0 if kind == "if" else self.neurons.decay) * membrane + currents[t]
            if layer.recurrence == "full":
                potential = potential + functional.linear(last, weights["recurrent"])
            elif layer.recurrence == "self":
                potential = potential + last * weights["recurrent"]
            last = potential if kind == "li" else self.spike(potential)
            membrane = potential
            if kind in ("lif", "if"):
                fired = last.detach()
                membrane = potential - threshold * fired if self.neurons.reset == "soft" else potential * (1 - fired)
            outputs.append(last)
        return torch.stack(outputs)

    def over_time(self, layer: Layer, currents: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Potentials of parallel neurons, from currents (T, neurons)."""
        steps = torch.arange(len(currents), dtype=currents.dtype)
        lags = steps[:, None] - steps
        integrate = (self.neurons.decay**lags).tril()
        reset = self.neurons.threshold * integrate.tril(-1)
        segment = steps // (len(currents) if self.bptt_steps is None else self.bptt_steps)
        same = segment[:, None] == segment

        def product(matrix: Tensor, values: Tensor) -> Tensor:
            return (matrix * same) @ values + (matrix * ~same) @ values.detach()

        match layer.neuron:
            case "psu":
                return product(integrate, currents) - product(reset, torch.sigmoid(product(integrate, currents)))
            case "rpsu":
                return product(integrate, currents) - product(reset, torch.sigmoid(product(weights["temporal"].tril(), currents) + weights["offset"][:, None]))
            case "ipsu":
                return product(weights["temporal"].tril() - reset, currents) + weights["offset"][:, None]
        return product(weights["temporal"], currents) + weights["offset"][:, None]

    def spike(self, potentials: Tensor) -> Tensor:
        """Zeros and ones."""
        spikes = Spike.apply(potentials, self.neurons)
        assert isinstance(spikes, Tensor)
        return spikes


def loss_of(name: str, outputs: Tensor, labels: Tensor, *, spiking: bool) -> Tensor:
    """Mean loss of a batch, from the outputs (T, n, classes)."""
    if name == "step":
        return torch.stack([functional.cross_entropy(step, labels) for step in outputs]).mean()
    if name == "count-mse":
        return functional.mse_loss(outputs.mean(0), functional.one_hot(labels, outputs.shape[2]).to(outputs))
    return functional.cross_entropy(outputs.sum(0) if spiking else outputs.mean(0), labels)


def train(model: Plain, batches: Sequence[Batch], optimizer: Optimizer, loss: str, versions: Mapping[str, Sequence[int]] | None = None) -> list[float]:
    """Train ``model`` in place; returns the losses.

    ``versions`` {layer: (J,)}: iteration j takes its gradient at these versions of the weights (0: the
    initial ones); None: at the newest, as everybody does.
    """
    parameters = list(model.parameters())
    steps = torch.optim.SGD(parameters, lr=1.0, momentum=optimizer.momentum) if optimizer.name == "sgd" else torch.optim.Adam(parameters, lr=1.0)
    spiking = model.network.layers[-1].neuron not in ("none", "li", "relu")
    history, losses = list[dict[str, Tensor]](), list[float]()
    for j, batch in enumerate(batches):
        steps.param_groups[0]["lr"] = optimizer.rates[j]
        inputs, labels = torch.from_numpy(batch.inputs), torch.from_numpy(batch.labels)
        newest = dict(model.named_parameters())
        history.append({name: value.detach().clone() for name, value in newest.items()})
        steps.zero_grad()
        if versions is None:
            lost = loss_of(loss, model(inputs), labels, spiking=spiking)
            lost.backward()
        else:
            old = {name: history[versions[name.split(".")[1]][j]][name].clone().requires_grad_() for name in newest}
            lost = loss_of(loss, torch.func.functional_call(model, old, (inputs,)), labels, spiking=spiking)
            lost.backward()
            for name, value in newest.items():
                value.grad = old[name].grad
        steps.step()
        losses.append(float(lost.detach()))
    return losses


def weights_of(model: Plain) -> dict[str, dict[str, Any]]:
    """{layer: {parameter: values}} as NumPy arrays."""
    return {layer: {name: value.detach().numpy() for name, value in learned.items()} for layer, learned in model.learned.items()}  # pyright: ignore[reportCallIssue]
