"""Two linear layers whose weights have versions, as a model to train; and the same by formula, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikepipe_sched.validate.optimise import OptimizerSettings
from spikepipe_sched.validate.outputs import Outputs
from spikepipe_sched.validate.parameters import Weights
from spikepipe_sched.validate.policies import POLICIES
from spikepipe_sched.validate.trainer import Trainer
from spikepipe_sched.versions import WeightDelays

Floats = NDArray[np.float64]
#: Values of both layers.
Pair = dict[str, Floats]

LAYERS = ("a", "b")
ITERATIONS = 14
CLASSES = 3


class Product(torch.autograd.Function):
    """Inputs times weights forward, errors times other weights backward."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, backward: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, backward)
        return inputs @ weight.T

    @staticmethod
    def backward(ctx: Any, *errors: Tensor) -> Any:
        inputs, backward = ctx.saved_tensors
        return errors[0] @ backward, errors[0].flatten(0, 1).T @ inputs.flatten(0, 1), None


class TwoLayers:
    """4 inputs, 5 values between, 3 classes, one time step."""

    layers, classes = LAYERS, CLASSES

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        self.dtype = dtype
        self.statistics: Weights = {"a": {"mean": torch.zeros(4, dtype=dtype)}}
        self.given: list[Weights | None] = []

    def initial(self, seed: int) -> Weights:
        generator = torch.Generator().manual_seed(seed)
        shapes = {"a": (5, 4), "b": (CLASSES, 5)}
        return {layer: {"weight": torch.randn(shape, generator=generator, dtype=torch.float64).to(self.dtype)} for layer, shape in shapes.items()}

    def forward(self, inputs: Tensor, weights: Weights, backward: Weights | None = None, *, training: bool) -> Outputs:
        self.given.append(backward)
        if training:
            self.statistics["a"]["mean"].lerp_(inputs.mean((0, 1)), 0.1)
        values = inputs
        for layer in LAYERS:
            weight = weights[layer]["weight"]
            values = values @ weight.T if backward is None else Product.apply(values, weight, backward[layer]["weight"])
        return Outputs(values=values, potentials=values, spiking=False)


def batches(iterations: int = ITERATIONS, dtype: torch.dtype = torch.float64) -> list[tuple[Tensor, Tensor]]:
    """Inputs (1, 6, 4) and labels (6,) of every iteration."""
    generator = torch.Generator().manual_seed(7)
    return [
        (torch.randn((1, 6, 4), generator=generator, dtype=torch.float64).to(dtype), torch.randint(CLASSES, (6,), generator=generator))
        for _ in range(iterations)
    ]


def delays_for(policy: str, forward: tuple[int, int] = (5, 3), backward: tuple[int, int] = (2, 1)) -> WeightDelays:
    """Of a and b; where B reads what F has read, ``forward`` alone counts."""
    return WeightDelays(layers=LAYERS, forward=forward, backward=backward if POLICIES[policy].weights == "latest" else forward)


def trainer(policy: str, delays: WeightDelays, settings: OptimizerSettings, *, dtype: torch.dtype = torch.float64, **options: Any) -> Trainer:
    """Of two layers, for `ITERATIONS` iterations unless told otherwise."""
    model: Any = TwoLayers(dtype)
    return Trainer(model, delays, policy=policy, optimizer=settings, **{"loss": "count-mse", "updates": ITERATIONS, "seed": 3} | options)


def trained(policy: str, delays: WeightDelays, settings: OptimizerSettings, **options: Any) -> list[Pair]:
    """The weights after every iteration, the initial ones first, of the trainer."""
    training = trainer(policy, delays, settings, **options)
    log = [{layer: values["weight"].numpy().copy() for layer, values in training.weights.items()}]
    for inputs, labels in batches():
        training.step(inputs, labels)
        log.append({layer: values["weight"].numpy().copy() for layer, values in training.weights.items()})
    return log


def gradients(iteration: int, forward: Pair, backward: Pair) -> Pair:
    """Of mean((y - target)^2), y = b a x, where B multiplies errors by ``backward``."""
    inputs, labels = (value.numpy() for value in batches()[iteration])
    x = inputs[0]
    between = x @ forward["a"].T
    answers = between @ forward["b"].T
    error = 2 * (answers - np.eye(CLASSES)[labels]) / answers.size
    return {"a": (error @ backward["b"]).T @ x, "b": error.T @ between}


@dataclass
class Course:
    """A training by formula: all versions of everything, in lists; nothing is thrown away.

    ``w[n]`` are the weights of version n, ``d[n]`` the directions of the update that made it, ``g[i]`` the gradients of
    update i; ``rate(i)`` is its rate.
    """

    settings: OptimizerSettings
    updates: int = ITERATIONS
    w: list[Pair] = field(default_factory=lambda: [{layer: values["weight"].numpy().copy() for layer, values in TwoLayers().initial(3).items()}])
    d: list[Pair] = field(default_factory=list)
    g: list[Pair] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.d.append({layer: np.zeros_like(value) for layer, value in self.w[0].items()})

    def rate(self, update: int) -> float:
        assert self.settings.schedule == "cosine"
        return self.settings.rate * (1 + np.cos(np.pi * min(1, update / self.updates))) / 2

    def learn(self, gradient: Pair, factors: dict[str, float] | None = None) -> None:
        """SGD with momentum or Adam, textbook form."""
        now = self.w[-1]
        self.g.append({layer: gradient[layer] + self.settings.weight_decay * now[layer] for layer in LAYERS})
        self.d.append({layer: self._direction([g[layer] for g in self.g]) for layer in LAYERS})
        rate = self.rate(len(self.g) - 1)
        self.w.append({layer: now[layer] - rate * (factors or {}).get(layer, 1) * self.d[-1][layer] for layer in LAYERS})

    def _direction(self, all_g: list[Floats]) -> Floats:
        m, n = self.settings.momentum, len(all_g)
        if self.settings.name == "sgd":
            return np.sum([m ** (n - 1 - i) * g for i, g in enumerate(all_g)], axis=0)
        mean = np.sum([(1 - m) * m ** (n - 1 - i) * g for i, g in enumerate(all_g)], axis=0) / (1 - m**n)
        square = np.sum([0.001 * 0.999 ** (n - 1 - i) * g**2 for i, g in enumerate(all_g)], axis=0) / (1 - 0.999**n)
        return mean / (np.sqrt(square) + 1e-8)
