"""Small networks for the tests of the lowering."""

from __future__ import annotations

from typing import Any

import networkx as nx

from spikepipe_sched.cost import CostModel
from spikepipe_sched.importers import load_platform
from spikepipe_sched.layer import Layer
from spikepipe_sched.lower import Split, lower
from spikepipe_sched.network import Network
from spikepipe_sched.training import TrainingSetup

EDGE8 = load_platform("edge8")


def linear(name: str, before: str, out: int = 4, **fields: Any) -> Layer:
    return Layer(name=name, kind="linear", inputs=(before,), out_features=out, **{"neuron": "lif", **fields})


def conv(name: str, before: str, channels: int, **fields: Any) -> Layer:
    return Layer(name=name, kind="conv2d", inputs=(before,), out_channels=channels, **{"neuron": "lif", "kernel": (3, 3), "padding": (1, 1), **fields})


def graph_of(
    *layers: Layer, shape: tuple[int, ...] = (6,), time_steps: int = 4, splits: tuple[Split, ...] = (), cost: CostModel | None = None, **setup: Any
) -> nx.DiGraph:
    net = Network(name="net", input_shape=shape, time_steps=time_steps, layers=layers)
    return lower(net, TrainingSetup(**{"batch": 2, **setup}), EDGE8, splits=splits, cost=cost)


def kinds(graph: nx.DiGraph, kind: str) -> set[str]:
    return {task for task, data in graph.nodes(data=True) if data["kind"] == kind}


def macs(graph: nx.DiGraph, task: str) -> int:
    return graph.nodes[task]["macs"]
