"""Builds NIR graphs for tests: as files, and as the structure that is read from them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spikepipe_sched.importers.nir import network_of
from spikepipe_sched.importers.nir_file import read_structure
from spikepipe_sched.network import Network

Nodes = dict[str, dict[str, Any]]
Edges = list[tuple[str, str]]


def lif(*shape: int, kind: str = "LIF") -> dict[str, Any]:
    return {"type": kind, "tau": np.ones(shape), "r": np.ones(shape), "v_leak": np.zeros(shape), "v_threshold": np.ones(shape)}


def weights(out: int, fan_in: int, *, bias: bool = False) -> dict[str, Any]:
    return {"type": "Affine", "weight": np.zeros((out, fan_in)), "bias": np.zeros(out)} if bias else {"type": "Linear", "weight": np.zeros((out, fan_in))}


def conv2d(out: int, fan_in: int, size: int, **fields: Any) -> dict[str, Any]:
    node = {"type": "Conv2d", "weight": np.zeros((out, fan_in, size, size)), "bias": np.zeros(out)}
    return {**node, "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1, **fields}


def conv1d(out: int, fan_in: int, size: int, **fields: Any) -> dict[str, Any]:
    node = {"type": "Conv1d", "weight": np.zeros((out, fan_in, size)), "bias": np.zeros(out)}
    return {**node, "stride": 1, "padding": 0, "dilation": 1, "groups": 1, **fields}


def pool(size: int) -> dict[str, Any]:
    return {"type": "SumPool2d", "kernel_size": [size, size], "stride": [size, size], "padding": [0, 0]}


def node(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def put(group: h5py.Group, nodes: Nodes, edges: Edges) -> None:
    """Write a graph into a group; a node that has nodes is an inner graph; a type of None is left out."""
    group["type"] = "NIRGraph"
    group["edges"] = np.array(edges, dtype=h5py.string_dtype()) if edges else np.zeros((0, 2))
    members = group.create_group("nodes")
    for name, fields in nodes.items():
        member = members.create_group(name)
        if isinstance(fields.get("nodes"), dict):
            put(member, fields["nodes"], fields["edges"])
            continue
        for key, value in fields.items():
            if value is not None:
                member[key] = value


def write_nir(path: Path, nodes: Nodes, edges: Edges | None = None, *, shape: list[int] | None = None) -> Path:
    """Write a NIR file; the nodes are a chain unless edges are given; Input ([4] unless given) and Output are added."""
    names = ["input", *nodes, "output"]
    entry = {"type": "Input", "shape": [4] if shape is None else shape} if shape != [] else {"type": "Input"}
    with h5py.File(path, "w") as file:
        file["version"] = "1.0"
        put(file.create_group("node"), {"input": entry, "output": {"type": "Output"}, **nodes}, list(pairwise(names)) if edges is None else edges)
    return path


def read_here(path: Path, *, input_shape: tuple[int, ...] | None = None) -> tuple[Network, list[str]]:
    """The network of a file, read in this process, and the repairs."""
    repairs: list[str] = []
    network = network_of(read_structure(str(path)), name="net", source="test", time_steps=4, input_shape=input_shape, repair=repairs.append)
    return network, repairs


def read(
    folder: Path, nodes: Nodes, edges: Edges | None = None, *, shape: list[int] | None = None, override: tuple[int, ...] | None = None
) -> tuple[Network, list[str]]:
    """The same of a graph, by way of a file."""
    return read_here(write_nir(folder / "net.nir", nodes, edges, shape=shape), input_shape=override)


def forms(network: Network) -> list[tuple[str, str, str, tuple[str, ...], tuple[str, ...], str]]:
    """What matters of the layers: name, kind, neuron, inputs, feedback, recurrence."""
    return [(layer.name, layer.kind, layer.neuron, layer.inputs, layer.feedback, layer.recurrence) for layer in network.layers]
