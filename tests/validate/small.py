"""A network and data that train in milliseconds, and schedules of two layers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from spikepipe_sched.layer import Layer
from spikepipe_sched.network import Network
from spikepipe_sched.result import Result
from spikepipe_sched.validate.data import DataSet
from spikepipe_sched.validation import ValidationSetup

#: Two epochs of four updates, two seeds.
QUICK = ValidationSetup(epochs=2, seeds=2, batch=8, rate=0.05)


@dataclass(frozen=True, eq=False)
class Points:
    """Points around corners, with noise at every step, and a record of what was asked for."""

    labels: Tensor
    values: Tensor
    asked: list[tuple[tuple[int, ...], float]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        noise = 0.1 * torch.randn((3, len(chosen), 4), generator=generator)
        self.asked.append((tuple(chosen.tolist()), float(noise.sum())))
        return self.values[chosen] + noise


def points(count: int, seed: int) -> Points:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    corners = torch.tensor([[2.0, 0, 0, 1], [0, 2, 0, 1], [0, 0, 2, 1]])
    return Points(labels, corners[labels] + 0.2 * torch.randn((count, 4), generator=generator))


def asked(samples: object) -> list[tuple[tuple[int, ...], float]]:
    """What `Points` were asked for: rows, and the sum of the noise they came with."""
    assert isinstance(samples, Points)
    return samples.asked


def small_data(train: int = 35, test: int = 30) -> DataSet:
    """By default four updates of eight samples, and three left over."""
    return DataSet(
        name="points",
        source="made up",
        coding="direct",
        classes=3,
        shape=(4,),
        time_steps=3,
        train=points(train, 1),
        test=points(test, 2),
    )


def small_network(*names: str, **changed: Any) -> Network:
    first, second = names or ("l0", "l1")
    layers = (
        Layer(name=first, kind="linear", inputs=("input",), out_features=8, neuron="lif", bias=True),
        Layer(name=second, kind="linear", inputs=(first,), out_features=3, neuron="li", bias=True),
    )
    return Network(**{"name": "small", "input_shape": (4,), "time_steps": 3, "layers": layers, "coding": "direct"} | changed)


def delayed_result() -> Result:
    """Layer l0 is one update late."""
    from tests.helpers import pipelined_result  # not needed where only the data are

    return pipelined_result()


def holding(result: Result, network: Network) -> Result:
    """The same result as if its problem had been made from a network."""
    return replace(result, problem=replace(result.problem, network=network))
