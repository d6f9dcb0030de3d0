"""SpikingJelly modules: all ways to write one network give the same layers.

SpikingJelly is no dependency of the tests: pip would bring another torch along. To run these,
install it by itself: ``pip install --no-deps spikingjelly==2.0.0 loguru tqdm``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import RepairWarning
from spikepipe_sched.importers.torch import from_torch
from spikepipe_sched.network import Layer, Network

torch = pytest.importorskip("torch", reason="the extra 'validate' is not installed")
functional, layer, neuron = (
    pytest.importorskip(f"spikingjelly.activation_based.{part}", reason="SpikingJelly is not installed") for part in ("functional", "layer", "neuron")
)
from torch import nn  # noqa: E402


def parameters(module: Any, kinds: tuple[type, ...] = (nn.Linear, nn.Conv2d, nn.BatchNorm2d)) -> int:
    return sum(parameter.numel() for part in module.modules() if isinstance(part, kinds) for parameter in part.parameters())


def sequence(mode: str) -> Any:
    net = nn.Sequential(
        layer.Conv2d(2, 8, 3, padding=1, bias=False),
        layer.BatchNorm2d(8),
        neuron.IFNode(),
        layer.MaxPool2d(2, 2),
        layer.Conv2d(8, 8, 3, padding=1),
        neuron.ParametricLIFNode(),
        layer.AdaptiveAvgPool2d((1, 1)),
        layer.Flatten(),
        layer.Dropout(0.5),
        layer.Linear(8, 10),
        neuron.LIFNode(),
    )
    functional.set_step_mode(net, mode)
    return net


class Loop(nn.Module):
    """Single steps, the loop inside."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Any) -> Any:
        return torch.stack([self.body(frame) for frame in x])


def plain(network: Network) -> list[Layer]:
    return list(network.layers)


@pytest.mark.parametrize("batch", [1, 2, 6])
def test_steps_one_by_one_and_all_at_once_are_the_same_network(batch: int) -> None:
    example = torch.rand(6, batch, 2, 8, 8)
    many = from_torch(sequence("m"), example)
    assert [(part.name, part.kind, part.neuron, part.norm, many.shapes()[part.name]) for part in many.layers] == [
        ("0", "conv2d", "if", "batch", (8, 8, 8)),
        ("3", "maxpool2d", "none", "none", (8, 4, 4)),
        ("4", "conv2d", "lif", "none", (8, 4, 4)),
        ("6", "avgpool2d", "none", "none", (8, 1, 1)),
        ("6.flatten", "flatten", "none", "none", (8,)),
        ("9", "linear", "lif", "none", (10,)),
    ]
    single = from_torch(sequence("s"), example[0], time_steps=6)
    assert plain(single) == plain(many)
    loop = from_torch(Loop(sequence("s")), example)
    assert [(part.kind, part.neuron) for part in loop.layers] == [(part.kind, part.neuron) for part in many.layers]
    assert {net.time_steps for net in (many, single, loop)} == {6}
    assert sum(many.parameters().values()) == parameters(sequence("m"))


class DirectEncoding(nn.Module):
    """A convolution over the picture, once; what it gives is repeated for every step."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.first = neuron.LIFNode(step_mode="m")
        self.block = layer.SeqToANNContainer(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.second = neuron.LIFNode(step_mode="m")
        self.parallel = neuron.PSN(T=4)
        self.head = layer.Linear(256, 5, step_mode="m")

    def forward(self, x: Any) -> Any:
        x = self.first(self.norm(self.encoder(x)).unsqueeze(0).repeat(4, 1, 1, 1, 1))
        x = self.parallel(self.second(self.block(x)) + x)
        return self.head(x.flatten(2)).mean(0)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_layer_outside_of_time_has_one_step(batch: int) -> None:
    """The neuron behind it has all four: it cannot join the layer."""
    network = from_torch(DirectEncoding(), torch.rand(batch, 1, 8, 8))
    assert [(part.name, part.kind, part.inputs, part.neuron, part.time_steps) for part in network.layers] == [
        ("encoder", "conv2d", ("input",), "none", 1),
        ("first", "neuron", ("encoder",), "lif", None),
        ("block.0", "conv2d", ("first",), "lif", None),
        ("add", "add", ("block.0", "first"), "psn", None),
        ("add.flatten", "flatten", ("add",), "none", None),
        ("head", "linear", ("add.flatten",), "none", None),
    ]
    assert network.time_steps == 4
    assert network.parameters()["add"] == sum(parameter.numel() for parameter in neuron.PSN(T=4).parameters()) == 20
    assert sum(network.parameters().values()) == parameters(DirectEncoding()) + 20


def test_parallel_neurons() -> None:
    parts = (layer.Linear(6, 8), neuron.PSN(T=5), layer.Linear(8, 4), neuron.MaskedPSN(k=2, T=5), layer.Linear(4, 3), neuron.SlidingPSN(k=2))
    net = nn.Sequential(*parts)
    functional.set_step_mode(net, "m")
    with pytest.warns(RepairWarning, match=r"module '5' \(SlidingPSN\): it has 2 weights over time"):
        network = from_torch(net, torch.rand(5, 2, 6))
    assert [part.neuron for part in network.layers] == ["psn", "psn", "psn"]


def test_containers_of_recurrence_and_of_single_steps() -> None:
    loop = layer.ElementWiseRecurrentContainer(neuron.IFNode(), lambda old, new: old + new)
    network = from_torch(Loop(nn.Sequential(nn.Linear(6, 8), loop, nn.Linear(8, 3))), torch.rand(5, 2, 6))
    (merged,) = (part for part in network.layers if part.kind == "add")
    assert (merged.neuron, merged.feedback, set(merged.inputs)) == ("if", (merged.name,), {merged.name, "body.0"})
    steps = nn.Sequential(layer.MultiStepContainer(nn.Linear(6, 8), neuron.IFNode()), layer.Linear(8, 3, step_mode="m"), neuron.LIFNode(step_mode="m"))
    network = from_torch(steps, torch.rand(5, 2, 6))
    assert [(part.name, part.neuron) for part in network.layers] == [("0.0", "if"), ("1", "lif")]
    assert network.time_steps == 5


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda: neuron.IFNode(step_mode="m"), "if"),
        (lambda: neuron.LIFNode(step_mode="m"), "lif"),
        (lambda: neuron.QIFNode(step_mode="m"), "lif"),
        (lambda: neuron.EIFNode(step_mode="m"), "lif"),
        (lambda: neuron.KLIFNode(step_mode="m"), "lif"),
        (lambda: neuron.GatedLIFNode(T=3, step_mode="m"), "lif"),
        (neuron.NonSpikingIFNode, "li"),
        (neuron.NonSpikingLIFNode, "li"),
    ],
)
def test_neurons_are_known_by_their_class(made: Callable[[], Any], expected: str) -> None:
    network = from_torch(nn.Sequential(layer.Linear(6, 4, step_mode="m"), made()), torch.rand(3, 2, 6))
    assert [(part.kind, part.neuron) for part in network.layers] == [("linear", expected)]
    assert network.time_steps == 3


def test_what_follows_the_last_layer_belongs_to_the_loss() -> None:
    net = nn.Sequential(sequence("m"), layer.VotingLayer(5, step_mode="m"))
    with pytest.warns(RepairWarning, match=r"\(VotingLayer\) counts as part of the loss"):
        network = from_torch(net, torch.rand(4, 2, 2, 8, 8))
    assert network.layers[-1].kind == "linear"


def test_attention_blocks_are_named() -> None:
    with pytest.raises(InputError, match=r"module '0' \(SpikingSelfAttention\): this class is not supported"):
        from_torch(nn.Sequential(layer.SpikingSelfAttention(8, 2)), torch.rand(4, 1, 16, 8))
