"""A networkx task graph -> the integer arrays of a `Problem`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from spikepipe_sched.collector import paused_collector
from spikepipe_sched.cost.shares import CostTerm
from spikepipe_sched.errors import InputError, is_whole, require
from spikepipe_sched.network import Network
from spikepipe_sched.order import topological_order
from spikepipe_sched.platform import Interconnect, Platform, SystolicArray
from spikepipe_sched.problem import MAX_INT, Edges, Problem, Processor, Tasks, ints
from spikepipe_sched.training import TrainingSetup

if TYPE_CHECKING:
    import networkx as nx


def equal_processors(count: int, class_name: str = "processor") -> Platform:
    """``count`` equal processors with free communication, for graphs that bring their own cycles."""
    require(count >= 1, f"needs at least one processor, got {count}")
    array = SystolicArray(rows=1, cols=1)
    link = Interconnect(bandwidth_bytes_per_cycle=None)
    return Platform(name=f"{count} equal processors", classes={class_name: array}, processors=(class_name,) * count, interconnect=link, clock_hz=1)


def compile_graph(graph: nx.DiGraph[Any], platform: Platform | int, *, name: str | None = None, mode: str | None = None, **options: Any) -> Problem:
    """See `Problem.from_graph`."""
    with paused_collector():
        return _compile(graph, platform, name=name, mode=mode, **options)


def _compile(graph: nx.DiGraph[Any], platform: Platform | int, *, name: str | None, mode: str | None, **options: Any) -> Problem:
    require(isinstance(platform, Platform) or is_whole(platform), f"the platform must be a Platform or a number of equal processors, not {platform!r}")
    simple = hasattr(graph, "is_multigraph") and graph.is_directed() and not graph.is_multigraph()
    require(simple, "the task graph must be a networkx.DiGraph")
    fits = graph.graph.get("membrane") != "recompute" or options.get("weights", "stash") == "stash"
    require(fits, "recomputed membranes need the weights of their forward pass: weights='latest' does not go with membrane='recompute'")
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
        return ints(_all_whole([data.get(key, default) for data in attributes], lambda i: f"task '{names[i]}': {key}", low=default))

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
    options.setdefault("cost_terms", _cost_terms(graph.graph.get("cost_terms", {})))
    for origin, kind in (("network", Network), ("training", TrainingSetup)):  # `lower` hands them on; a user's attribute of that name may be anything
        if isinstance(graph.graph.get(origin), kind):
            options.setdefault(origin, graph.graph[origin])
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


def _all_whole(values: list[Any], where: Callable[[int], str], *, low: int = 0) -> list[int]:
    """Every value as `_whole` takes it; ``where`` names the i-th. Plain ints, the rule in large graphs, cost little."""
    return [value if type(value) is int and low <= value <= MAX_INT else _whole(value, where(i), low=low) for i, value in enumerate(values)]


def _cost_terms(shares: Any) -> tuple[CostTerm, ...]:
    named: dict[Any, Any] | None = dict(shares) if isinstance(shares, Mapping) else None  # pyright: ignore[reportUnknownArgumentType]
    if named is None or not all(isinstance(share, Real) for share in named.values()):
        raise InputError("the graph's cost_terms must be a mapping from name to share of the cycles")
    return tuple(CostTerm(name=str(name), share=float(share)) for name, share in named.items())


def _cycles(data: Mapping[str, Any], name: str, classes: tuple[str, ...]) -> list[int]:
    value = data.get("cycles", data.get("duration"))
    if value is None:
        raise InputError(f"task '{name}': it needs the attribute 'cycles' (or 'duration')")
    if isinstance(value, (dict, Mapping)):  # dict first: it is quicker than the abstract class
        known = [c for c in classes if c in value]
        cycles = _all_whole([value[c] for c in known], lambda i: f"task '{name}': cycles on '{known[i]}'")
        by_class = dict(zip(known, cycles, strict=True))
        return [by_class.get(c, -1) for c in classes]
    return _all_whole([value], lambda _: f"task '{name}': cycles") * len(classes)


def _layers(graph: nx.DiGraph[Any], index: dict[Any, int], attributes: list[dict[str, Any]]) -> tuple[str, ...]:
    """The graph's own list of layers, else the layers as they first appear in topological order of the tasks."""
    listed = [str(name) for name in graph.graph.get("layers", ())]
    named: set[Any] = {data.get("layer") for data in attributes} | {data.get("delay_layer") for _, _, data in graph.edges(data=True)}
    if named <= {None, *listed}:
        return tuple(dict.fromkeys(listed))
    now = [(index[u], index[v]) for u, v, data in graph.edges(data=True) if data.get("delay_layer") is None and data.get("distance", 0) == 0]
    pairs = np.array(now, dtype=np.int64).reshape(-1, 2)
    order = topological_order(len(attributes), pairs[:, 0], pairs[:, 1])  # None: a cycle, which the problem will refuse
    places: list[int] = list(range(len(attributes))) if order is None else order.tolist()
    tasks = [attributes[v] for v in places]
    found = [str(data["layer"]) for data in tasks if data.get("layer") is not None]
    found += [str(data["delay_layer"]) for _, _, data in graph.edges(data=True) if data.get("delay_layer") is not None]
    return tuple(dict.fromkeys([*listed, *found]))


def _edges(graph: nx.DiGraph[Any], index: dict[Any, int], layer_index: dict[str, int]) -> tuple[Edges, tuple[str, ...], list[int]]:
    ends, attributes = list[tuple[Any, Any]](), list[Mapping[str, Any]]()
    for u, v, data in graph.edges(data=True):
        ends.append((u, v))
        attributes.append(data)

    def where(i: int) -> str:
        return f"edge '{ends[i][0]}' -> '{ends[i][1]}'"

    delays = [data.get("delay_layer") for data in attributes]
    for i, (delay, data) in enumerate(zip(delays, attributes, strict=True)):
        if delay is not None and data.get("distance") is not None:
            raise InputError(f"{where(i)}: give either distance or delay_layer, not both")
    given = [0 if delay is not None else data.get("distance", 0) for delay, data in zip(delays, attributes, strict=True)]
    distances = _all_whole(given, lambda i: f"{where(i)}: distance")
    distance = [-1 if delay is not None else d for delay, d in zip(delays, distances, strict=True)]
    loop = next((i for i, (u, v) in enumerate(ends) if u == v and distance[i] == 0), None)
    if loop is not None:
        raise InputError(f"{where(loop)}: a task that waits for itself needs distance >= 1")
    tensor, pointer, names, sizes = _tensors(attributes, ends, where)
    edges = Edges(
        source=ints(np.fromiter((index[u] for u, _ in ends), dtype=np.int64, count=len(ends))),
        target=ints(np.fromiter((index[v] for _, v in ends), dtype=np.int64, count=len(ends))),
        distance=ints(np.array(distance, dtype=np.int64)),
        delay_layer=ints(np.array([-1 if delay is None else layer_index[str(delay)] for delay in delays], dtype=np.int64)),
        lag=ints(np.array(_all_whole([data.get("lag", 0) for data in attributes], lambda i: f"{where(i)}: lag", low=-MAX_INT), dtype=np.int64)),
        tensor=ints(np.array(tensor, dtype=np.int64)),
        tensor_ptr=ints(pointer),
    )
    return edges, names, sizes


def _tensors(
    attributes: list[Mapping[str, Any]], ends: list[tuple[Any, Any]], where: Callable[[int], str]
) -> tuple[list[int], list[int], tuple[str, ...], list[int]]:
    """The tensors of every edge (indices, and pointers into them), and names and sizes of the tensors."""
    tensor, pointer, places, sizes = list[int](), [0], dict[str, int](), list[int]()
    for i, data in enumerate(attributes):
        carried: Any = data.get("tensors")
        if carried is None:
            carried = {f"{ends[i][0]} -> {ends[i][1]}": data.get("bytes", 0)}
        if not isinstance(carried, (dict, Mapping)):  # dict first, as above
            raise InputError(f"{where(i)}: tensors must be a mapping from name to bytes")
        for key, value in cast("Mapping[Any, Any]", carried).items():
            size = value if type(value) is int and 0 <= value <= MAX_INT else _whole(value, f"{where(i)}: bytes of tensor '{key}'")
            if size == 0:
                continue
            name = str(key)
            known = places.setdefault(name, len(sizes))
            if known == len(sizes):
                sizes.append(size)
            if sizes[known] != size:
                raise InputError(f"{where(i)}: tensor '{name}' has {size} bytes here and {sizes[known]} elsewhere")
            tensor.append(known)
        pointer.append(len(tensor))
    return tensor, pointer, tuple(places), sizes
