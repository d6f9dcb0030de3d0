"""Reads the structure of a NIR file (HDF5) and none of its weights.

NIR (Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9) stores a graph as HDF5 groups. Only
shapes, short integer vectors and short strings are read, each checked for its size beforehand.
Links out of the file, virtual data sets and external storage are refused: a file must not make its
reader open another. What the HDF5 library does with a file damaged in its own book-keeping is out
of reach here: there it may take long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from spikepipe_sched.errors import InputError, require

MAX_NODES: Final = 10_000
MAX_EDGES: Final = 100_000
MAX_DEPTH: Final = 16
MAX_TEXT_BYTES: Final = 4096
#: Of anything that is read, and of the chunk it lies in: compression can hide far more than the file holds.
MAX_READ_BYTES: Final = 16 * 2**20

#: Fields whose values matter; all other fields are known by their shape alone.
VALUES: Final = frozenset({"shape", "input_type", "input_shape", "stride", "padding", "dilation", "groups", "kernel_size", "start_dim", "end_dim"})


@dataclass(slots=True, kw_only=True)
class NirNode:
    """A node: its type, the shapes of its parameters, and the values of the few that matter."""

    name: str
    kind: str
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    values: dict[str, tuple[int, ...] | str] = field(default_factory=dict[str, tuple[int, ...] | str])
    absent: set[str] = field(default_factory=set[str])  # fields stored as the boolean False


@dataclass(slots=True, kw_only=True)
class NirGraph:
    """Nodes by name, and edges; inner graphs are written out, their nodes named ``outer.inner``."""

    nodes: dict[str, NirNode] = field(default_factory=dict[str, NirNode])
    edges: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    version: str = ""


def read_graph(path: Path) -> NirGraph:
    """Read a NIR file.

    Raises
    ------
    InputError
        If it is no HDF5 file, no NIR graph, or holds what is refused; the message names the place.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(f"{path}: reading NIR files needs h5py; run `pip install h5py`") from None
    try:
        with h5py.File(path, "r") as file:
            graph = NirGraph()
            if "version" in file:
                graph.version = _text(_member(file, "version"), "version")
            _read_into(graph, _member(file, "node"), prefix="", depth=0)
            return graph
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not a readable NIR (HDF5) file: {' '.join(str(error).split())}") from None


def _member(group: Any, name: str) -> Any:
    """A group or data set that really lies in this file."""
    import h5py

    where = f"{group.name.rstrip('/')}/{name}"
    require(isinstance(group, h5py.Group), f"{group.name} is not a group")
    link = group.get(name, getlink=True)
    require(link is not None, f"not a NIR graph: it has no {where}")
    require(isinstance(link, h5py.HardLink), f"{where} is a link to elsewhere; such files are not read")
    member = group[name]
    if isinstance(member, h5py.Dataset):
        require(not member.is_virtual and not member.external, f"{where} keeps its data in another file; such files are not read")
    return member


def _read(data: Any, where: str) -> Any:
    """The values of a data set that is small, and whose chunks are."""
    size = max(data.size, math.prod(data.chunks or (1,))) * data.dtype.itemsize
    require(size <= MAX_READ_BYTES, f"{where} takes {size} bytes; at most {MAX_READ_BYTES} are read")
    return data[()]


def _text(data: Any, where: str) -> str:
    import h5py

    scalar = isinstance(data, h5py.Dataset) and data.shape == ()
    require(scalar and data.dtype.kind in "OS" and data.dtype.itemsize <= MAX_TEXT_BYTES, f"{where} must be a string")
    value = _read(data, where)
    text = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
    return text[:MAX_TEXT_BYTES]


def _integers(data: Any, where: str) -> tuple[int, ...]:
    few = data.ndim <= 1 and data.size <= 16 and data.dtype.kind in "iuf"
    require(few, f"{where} must be a few whole numbers, got shape {list(data.shape)} of {data.dtype}")
    values = [float(value) for value in _read(data, where).reshape(-1).tolist()]
    require(all(value.is_integer() and abs(value) < 2**40 for value in values), f"{where} must be whole numbers, got {values}")
    return tuple(int(value) for value in values)


def _read_into(graph: NirGraph, group: Any, *, prefix: str, depth: int) -> None:
    """Add the nodes and edges of a NIRGraph group, inner graphs included."""
    import h5py

    where = group.name
    require(depth <= MAX_DEPTH, f"{where}: graphs nested more than {MAX_DEPTH} deep")
    nodes, edges = _member(group, "nodes"), _member(group, "edges")
    require(isinstance(nodes, h5py.Group), f"{where}/nodes is not a group")
    inner: set[str] = set()
    for name in nodes:
        require(len(graph.nodes) < MAX_NODES, f"{where}: more than {MAX_NODES} nodes")
        member, full = _member(nodes, name), f"{prefix}{name}"
        kind = _text(_member(member, "type"), f"node '{full}': type")
        if kind == "NIRGraph":
            inner.add(name)
            _read_into(graph, member, prefix=f"{full}.", depth=depth + 1)
            continue
        require(full not in graph.nodes, f"two nodes are called '{full}'")
        graph.nodes[full] = _node(full, kind, member)
    what = f"{where}/edges must be a list of pairs of names"
    require(isinstance(edges, h5py.Dataset) and edges.ndim >= 1, what)
    count = int(edges.shape[0])
    require(count <= MAX_EDGES and (count == 0 or (edges.shape[1:] == (2,) and edges.dtype.kind in "OS" and edges.dtype.itemsize <= MAX_TEXT_BYTES)), what)
    for row in _read(edges, f"{where}/edges").tolist() if count else ():
        source, target = (end.decode("utf-8", errors="replace") if isinstance(end, bytes) else str(end) for end in row)
        graph.edges.append((_end(graph, prefix, source, source in inner, "Output"), _end(graph, prefix, target, target in inner, "Input")))


def _end(graph: NirGraph, prefix: str, name: str, is_graph: bool, port: str) -> str:
    """The node an edge ends at: of an inner graph, its output or input node."""
    full = f"{prefix}{name}"
    if not is_graph:
        require(full in graph.nodes, f"an edge names '{full}', which is not a node")
        return full
    ports = [node for node, data in graph.nodes.items() if data.kind == port and node.startswith(f"{full}.") and "." not in node[len(full) + 1 :]]
    require(len(ports) == 1, f"inner graph '{full}' has {len(ports)} {port} nodes; only graphs with one are read")
    return ports[0]


def _node(name: str, kind: str, group: Any) -> NirNode:
    import h5py

    node = NirNode(name=name, kind=kind)
    for key in group:
        if key == "type":
            continue
        data = _member(group, key)
        if not isinstance(data, h5py.Dataset):  # e.g. metadata
            continue
        require(data.shape is not None, f"node '{name}': {key} is empty")
        node.shapes[key] = tuple(int(size) for size in data.shape)
        if data.dtype.kind == "b" and data.shape == () and not data[()]:
            node.absent.add(key)
        elif key in VALUES:
            node.values[key] = _text(data, f"node '{name}': {key}") if data.dtype.kind in "OS" else _integers(data, f"node '{name}': {key}")
    return node
