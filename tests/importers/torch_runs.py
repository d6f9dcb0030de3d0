"""Reads modules in the tests, and counts what torch itself says of them; skips where torch is not installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from spikepipe_sched.importers import RepairWarning
from spikepipe_sched.importers.torch import from_torch
from spikepipe_sched.network import Network

torch = pytest.importorskip("torch", reason="the extra 'validate' is not installed")
from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402


def read(module: Any, example: Any, **options: Any) -> tuple[Network, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network = from_torch(module, example, **options)
    assert all(issubclass(entry.category, RepairWarning) for entry in caught)
    return network, [str(entry.message) for entry in caught]


def parameters(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def products(module: Any, example: Any) -> int:
    """Multiply-accumulates of a run as torch counts them, two operations each."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(example)
    return counter.get_total_flops() // 2


def macs(network: Network, batch: int) -> int:
    return batch * sum(count * network.steps(network.layer(name)) for name, count in network.macs().items())


def described(network: Network) -> list[tuple[str, str, tuple[str, ...], str]]:
    return [(layer.name, layer.kind, layer.inputs, layer.neuron) for layer in network.layers]


class Run(nn.Module):
    """Modules by name and a forward function given by the test."""

    def __init__(self, forward: Callable[[Any, Any], Any], **modules: Any) -> None:
        super().__init__()
        self.function = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Any) -> Any:
        return self.function(self, x)
