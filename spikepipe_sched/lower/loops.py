"""Loops through time: layers that go step by step because each waits for the others' step before."""

from __future__ import annotations

import networkx as nx

from spikepipe_sched.errors import InputError
from spikepipe_sched.layer import INPUT, POOLS, RESHAPES, Layer
from spikepipe_sched.network import Network


def parts(network: Network) -> list[tuple[Layer, ...]]:
    """The layers in an order in which they can run; those on a common cycle through time stand together, in the network's order."""
    place = {layer.name: i for i, layer in enumerate(network.layers)}
    graph: nx.DiGraph[int] = nx.DiGraph([(place[name], i) for i, layer in enumerate(network.layers) for name in layer.inputs if name != INPUT])
    graph.add_nodes_from(place.values())
    condensed: nx.DiGraph[int] = nx.condensation(graph)
    members: list[set[int]] = [condensed.nodes[node]["members"] for node in nx.topological_sort(condensed)]
    return [tuple(network.layers[i] for i in sorted(part)) for part in members]


def is_loop(part: tuple[Layer, ...]) -> bool:
    """Whether a part goes step by step."""
    return len(part) > 1 or any(layer.name in layer.inputs for layer in part)


def check_loop(network: Network, loop: tuple[Layer, ...]) -> str:
    """The layers of a loop in words, for messages.

    Raises
    ------
    InputError
        If the loop cannot turn: a layer has other time steps than the network, or a neuron looks ahead.
    """
    layers = [layer for layer in loop if layer.kind not in POOLS and layer.kind not in RESHAPES]
    names = " and ".join(f"'{layer.name}'" for layer in layers[:3]) + (f" and {len(layers) - 3} more" if len(layers) > 3 else "")
    where = f"layer{'s' if len(layers) > 1 else ''} {names} lie{'s' if len(layers) == 1 else ''} on a cycle through time"
    for layer in layers:
        if network.steps(layer) != network.time_steps:
            raise InputError(
                f"{where}: layer '{layer.name}' has {network.steps(layer)} time steps of its own there; all need the network's {network.time_steps}"
            )
        if layer.neuron == "psn":
            raise InputError(f"{where}: the parallel neuron of layer '{layer.name}' needs all steps at once; take 'ipsu', which looks back only")
    return where
