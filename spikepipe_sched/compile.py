"""A networkx task graph -> the integer arrays of a `Problem`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from spikepipe_sched.errors import InputError, is_whole, require
from spikepipe_sched.instance import topological_order
from spikepipe_sched.platform import Interconnect, Platform, SystolicArray
from spikepipe_sched.problem import MAX_INT, Edges, Problem, Processor, Tasks, ints

if TYPE_CHECKING:
    import networkx as nx


def equal_processors(count: int, class_name: str = "processor") -> Platform:
    """``count`` equal processors with free communication, for graphs that bring their own cycles."""
    require(count >= 1, f"needs at least one processor, got {count}")
    array = SystolicArray(rows=1, cols=1)
    link = Interconnect(latency_cycles=0, bandwidth_bytes_per_cycle=MAX_INT)
    return Platform(name=f"{count} equal processors", classes={class_name: array}, processors=(class_name,) * count, interconnect=link, clock_hz=1)


def compile_graph(graph: nx.DiGraph[Any], platform: Platform | int, *, name: str | None = None, mode: str | None = None, **options: Any) -> Problem:
    """See `Problem.from_graph`."""
    simple = hasattr(graph, "is_multigraph") and graph.is_directed() and not graph.is_multigraph()
    require(simple, "the task graph must be a networkx.DiGraph")
    if isinstance(platform, Platform):
        machine, classes = platform, tuple(sorted(set(platform.processors)))
        options.setdefault("clock_hz", machine.clock_hz)
    else:
        machine = equal_processors(platform)
        classes = ("processor",)
    nodes = list(graph.nodes)
    names = [str(node) for node in nodes]
    index = {node: i for i, node in enumerate(nodes)}
    attributes = [graph.nodes[node] for node in nodes]
    layers = _layers(graph, index, attributes)
    layer_index = {layer: i for i, layer in enumerate(layers)}

    def column(key: str, default: int) -> Any:
        return ints([_whole(data.get(key, default), f"task '{name}': {key}", low=default) for name, data in zip(names, attributes, strict=True)])

    tasks = Tasks(
        names=tuple(names),
        kinds=tuple(str(data.get("kind", "")) for data in attributes),
        parts=tuple(str(data.get("part", "")) for data in attributes),
        layer=ints([layer_index[str(data["layer"])] if data.get("layer") is not None else -1 for data in attributes]),
        window=column("window", -1),
        cycles=ints([_cycles(data, name, classes) for name, data in zip(names, attributes, strict=True)]).reshape(len(nodes), len(classes)),
        macs=column("macs", 0),
        weight_bytes=column("weight_bytes", 0),
        output_bytes=column("output_bytes", 0),
        stash_bytes=column("stash_bytes", 0),
    )
    edges, tensors, sizes = _edges(graph, index, layer_index)
    periodic = bool((edges.delay_layer >= 0).any() or (edges.distance > 0).any())
    processors = tuple(
        Processor(name=p, kind=classes.index(c), processing_elements=machine.classes[c].processing_elements, memory_bytes=machine.classes[c].memory_bytes)
        for p, c in zip(machine.processor_names, machine.processors, strict=True)
    )
    if "samples_per_iteration" in graph.graph:
        options.setdefault("samples_per_iteration", _whole(graph.graph["samples_per_iteration"], "the graph's samples_per_iteration", low=1))
    options.setdefault("cost_terms", tuple(str(term) for term in graph.graph.get("cost_terms", ())))
    return Problem(
        name=name or str(graph.graph.get("name") or "task graph"),
        mode=mode or ("periodic" if periodic else "finite"),  # pyright: ignore[reportArgumentType]  (checked by Problem)
        tasks=tasks,
        edges=edges,
        layers=layers,
        tensors=tensors,
        tensor_bytes=ints(sizes),
        classes=classes,
        processors=processors,
        interconnect=machine.interconnect,
        **options,
    )


def _whole(value: Any, where: str, *, low: int = 0) -> int:
    """``value`` as an int, or an error that says where it stands."""
    if not (is_whole(value) or (isinstance(value, float) and value.is_integer())):
        raise InputError(f"{where} must be a whole number, got {value!r}")
    number = int(value)
    require(low <= number <= MAX_INT, f"{where} must be between {low} and {MAX_INT}, got {number}")
    return number


def _cycles(data: Mapping[str, Any], name: str, classes: tuple[str, ...]) -> list[int]:
    value = data.get("cycles", data.get("duration"))
    if value is None:
        raise InputError(f"task '{name}': it needs the attribute 'cycles' (or 'duration')")
    if isinstance(value, Mapping):
        return [_whole(value[c], f"task '{name}': cycles on '{c}'") if c in value else -1 for c in classes]
    return [_whole(value, f"task '{name}': cycles")] * len(classes)


def _layers(graph: nx.DiGraph[Any], index: dict[Any, int], attributes: list[dict[str, Any]]) -> tuple[str, ...]:
    """The graph's own list of layers, else the layers as they first appear in topological order of the tasks."""
    listed = [str(name) for name in graph.graph.get("layers", ())]
    now = [(index[u], index[v]) for u, v, data in graph.edges(data=True) if data.get("delay_layer") is None and data.get("distance", 0) == 0]
    pairs = np.array(now, dtype=np.int64).reshape(-1, 2)
    order = topological_order(len(attributes), pairs[:, 0], pairs[:, 1])  # None: a cycle, which the problem will refuse
    places: list[int] = list(range(len(attributes))) if order is None else order.tolist()
    tasks = [attributes[v] for v in places]
    found = [str(data["layer"]) for data in tasks if data.get("layer") is not None]
    found += [str(data["delay_layer"]) for _, _, data in graph.edges(data=True) if data.get("delay_layer") is not None]
    return tuple(dict.fromkeys([*listed, *found]))


def _edges(graph: nx.DiGraph[Any], index: dict[Any, int], layer_index: dict[str, int]) -> tuple[Edges, tuple[str, ...], list[int]]:
    columns: dict[str, list[int]] = {key: [] for key in ("source", "target", "distance", "delay_layer", "lag", "tensor")}
    pointer, tensor_index, sizes = [0], dict[str, int](), list[int]()
    for u, v, data in graph.edges(data=True):
        where = f"edge '{u}' -> '{v}'"
        delay = data.get("delay_layer")
        require(delay is None or data.get("distance") is None, f"{where}: give either distance or delay_layer, not both")
        distance = -1 if delay is not None else _whole(data.get("distance", 0), f"{where}: distance")
        require(u != v or distance != 0, f"{where}: a task that waits for itself needs distance >= 1")
        lag = _whole(data.get("lag", 0), f"{where}: lag", low=-MAX_INT)
        for key, value in (
            ("source", index[u]),
            ("target", index[v]),
            ("distance", distance),
            ("lag", lag),
            ("delay_layer", -1 if delay is None else layer_index[str(delay)]),
        ):
            columns[key].append(value)
        tensors = data.get("tensors")
        if tensors is None:
            tensors = {f"{u} -> {v}": data.get("bytes", 0)}
        require(isinstance(tensors, Mapping), f"{where}: tensors must be a mapping from name to bytes")
        for name, value in tensors.items():
            size = _whole(value, f"{where}: bytes of tensor '{name}'")
            if size == 0:
                continue
            known = tensor_index.setdefault(str(name), len(sizes))
            if known == len(sizes):
                sizes.append(size)
            require(sizes[known] == size, f"{where}: tensor '{name}' has {size} bytes here and {sizes[known]} elsewhere")
            columns["tensor"].append(known)
        pointer.append(len(columns["tensor"]))
    arrays = {key: ints(np.array(values, dtype=np.int64)) for key, values in columns.items()}
    return Edges(**arrays, tensor_ptr=ints(pointer)), tuple(tensor_index), sizes
