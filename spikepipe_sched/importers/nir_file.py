"""Reads the structure of a NIR file (HDF5) and none of its weights.

NIR (Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9) stores a graph as HDF5 groups. Only
shapes, short integer vectors and short strings are read, each checked for its size beforehand.
Links out of the file, virtual data sets and external storage are refused: a file must not make its
reader open another. On a file damaged in its own book-keeping the HDF5 library may crash, or work
for hours: `spikepipe_sched.importers.nir_child` runs this module in a process with limits.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.network import MAX_ELEMENTS

MAX_NODES: Final = 10_000
MAX_EDGES: Final = 100_000
MAX_DEPTH: Final = 16
MAX_TEXT_BYTES: Final = 4096
#: Of anything that is read, and of the chunk it lies in: compression can hide far more than the file holds.
MAX_READ_BYTES: Final = 16 * 2**20

#: Fields whose values matter; all other fields are known by their shape alone.
VALUES: Final = frozenset({"shape", "input_type", "input_shape", "stride", "padding", "dilation", "groups", "kernel_size", "start_dim", "end_dim"})

Size = Annotated[int, Meta(ge=0, le=MAX_ELEMENTS)]


class NirNode(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node: its type ("" if the file has none), the shapes of its parameters, and the values of the few that matter."""

    name: str
    kind: str
    shapes: dict[str, tuple[Size, ...]] = {}
    values: dict[str, tuple[int, ...] | str] = {}
    absent: frozenset[str] = frozenset()  # fields stored as the boolean False

    def numbers(self, key: str) -> tuple[int, ...] | None:
        """The whole numbers of a field; None where it is not there, empty, or a text."""
        value = self.values.get(key)
        return None if isinstance(value, str) or not value else value


class NirGraph(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nodes by name, and edges; inner graphs are written out, their nodes named ``outer.inner``."""

    nodes: dict[str, NirNode]
    edges: list[tuple[str, str]]
    version: str = ""

    def __post_init__(self) -> None:
        lost = next((end for edge in self.edges for end in edge if end not in self.nodes), None)
        require(lost is None, f"an edge names {lost!r}, which is not a node")


def read_structure(path: str) -> NirGraph:
    """Read the structure of a NIR file, in this process.

    Raises
    ------
    InputError
        If it is no HDF5 file, no NIR graph, or holds what is refused; the message names the place.
    """
    try:
        import h5py
    except ImportError:
        raise InputError("reading NIR files needs h5py; run `pip install h5py`") from None
    try:
        with h5py.File(path, "r") as file:
            version = _text(_member(file, "version"), "version") if "version" in file else ""
            nodes, edges = dict[str, NirNode](), list[tuple[str, str]]()
            _read_into(nodes, edges, _member(file, "node"), prefix="", depth=0)
            return NirGraph(nodes=nodes, edges=edges, version=version)
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"not a readable NIR (HDF5) file: {' '.join(str(error).split())}") from None


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
    text = _decoded(value)[:MAX_TEXT_BYTES]
    require(text.isprintable(), f"{where} must be printable text, got {text[:40]!r}")
    return text


def _decoded(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _integers(data: Any, where: str) -> tuple[int, ...]:
    few = data.ndim <= 1 and data.size <= 16 and data.dtype.kind in "iuf"
    require(few, f"{where} must be a few whole numbers, got shape {list(data.shape)} of {data.dtype}")
    values = [float(value) for value in _read(data, where).reshape(-1).tolist()]
    require(all(value.is_integer() and abs(value) < 2**40 for value in values), f"{where} must be whole numbers, got {values}")
    return tuple(int(value) for value in values)


def _read_into(nodes: dict[str, NirNode], edges: list[tuple[str, str]], group: Any, *, prefix: str, depth: int) -> None:
    """Add the nodes and edges of a NIRGraph group, inner graphs included."""
    import h5py

    where = group.name
    require(depth <= MAX_DEPTH, f"{where}: graphs nested more than {MAX_DEPTH} deep")
    members, pairs = _member(group, "nodes"), _member(group, "edges")
    require(isinstance(members, h5py.Group), f"{where}/nodes is not a group")
    inner: set[str] = set()
    for name in members:
        require(len(nodes) < MAX_NODES, f"{where}: more than {MAX_NODES} nodes")
        full = f"{prefix}{name}"
        require(full.isprintable(), f"{where}: the name {name!r} is not printable text")
        member = _member(members, name)
        require(isinstance(member, h5py.Group), f"node '{full}' is not a group")
        kind = _text(_member(member, "type"), f"node '{full}': type") if "type" in member else ""
        if kind == "NIRGraph" or (not kind and "nodes" in member):
            inner.add(name)
            _read_into(nodes, edges, member, prefix=f"{full}.", depth=depth + 1)
            continue
        require(full not in nodes, f"two nodes are called '{full}'")
        nodes[full] = _node(full, kind, member)
    what = f"{where}/edges must be a list of pairs of names"
    require(isinstance(pairs, h5py.Dataset) and pairs.ndim >= 1, what)
    count = int(pairs.shape[0])
    require(count <= MAX_EDGES and (count == 0 or (pairs.shape[1:] == (2,) and pairs.dtype.kind in "OS" and pairs.dtype.itemsize <= MAX_TEXT_BYTES)), what)
    for row in _read(pairs, f"{where}/edges").tolist() if count else ():
        source, target = (_decoded(end) for end in row)
        edges.append((_end(nodes, prefix, source, source in inner, "Output"), _end(nodes, prefix, target, target in inner, "Input")))


def _end(nodes: dict[str, NirNode], prefix: str, name: str, is_graph: bool, port: str) -> str:
    """The node an edge ends at: of an inner graph, its output or input node."""
    full = f"{prefix}{name}"
    if not is_graph:
        require(full in nodes, f"an edge names {full!r}, which is not a node")
        return full
    ports = [node for node, data in nodes.items() if data.kind == port and node.startswith(f"{full}.") and "." not in node[len(full) + 1 :]]
    require(len(ports) == 1, f"inner graph '{full}' has {len(ports)} {port} nodes; only graphs with one are read")
    return ports[0]


def _node(name: str, kind: str, group: Any) -> NirNode:
    import h5py

    node = NirNode(name=name, kind=kind, shapes={}, values={})
    absent: set[str] = set()
    for key in group:
        if key == "type":
            continue
        data = _member(group, key)
        if not isinstance(data, h5py.Dataset):  # e.g. metadata
            continue
        where = f"node '{name}': {key}"
        require(key.isprintable(), f"node '{name}': the name {key!r} is not printable text")
        require(data.shape is not None, f"{where} is empty")
        require(max(data.shape, default=0) <= MAX_ELEMENTS, f"{where} of shape {list(data.shape)} has more than 2^40 elements")
        node.shapes[key] = tuple(int(size) for size in data.shape)
        if data.dtype.kind == "b" and data.shape == () and not data[()]:
            absent.add(key)
        elif key in VALUES:
            node.values[key] = _text(data, where) if data.dtype.kind in "OS" else _integers(data, where)
    return replace(node, absent=frozenset(absent))
