"""Small problems that every solver meets: both modes, the graphs and limits that tend to break solvers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx

from spikepipe_sched import Interconnect, Limits, Network, Platform, Problem, Split, SystolicArray, TrainingSetup, load_network
from spikepipe_sched.lower import lower as lowered
from spikepipe_sched.network import Layer
from spikepipe_sched.readers.pipeline import Pipeline
from tests.oracle import random_problem


def arrays(count: int, *, memory_bytes: int | None = None, latency: int = 3) -> Platform:
    """Equal 8 x 8 arrays."""
    return Platform(
        name="arrays",
        classes={"array": SystolicArray(rows=8, cols=8, lanes=8, memory_bytes=memory_bytes)},
        processors=("array",) * count,
        interconnect=Interconnect(latency_cycles=latency, bandwidth_bytes_per_cycle=16),
        clock_hz=10**9,
    )


def unlike() -> Platform:
    """A large and two small arrays."""
    classes = {"large": SystolicArray(rows=16, cols=16, lanes=16), "small": SystolicArray(rows=4, cols=8, lanes=8)}
    return Platform(name="unlike", classes=classes, processors=("large", "small", "small"), interconnect=Interconnect(latency_cycles=10), clock_hz=10**9)


def network_problem(name: str = "tiny", *, windows: int = 1, platform: Platform | None = None, **options: Any) -> Problem:
    """A library network, lowered and compiled."""
    machine = platform or arrays(3)
    graph = lowered(load_network(name), TrainingSetup(batch=4, windows=windows), machine)
    return Problem.from_graph(graph, machine, **{"mode": "periodic"} | options)


def residual_problem(**options: Any) -> Problem:
    """A skip over a recurrent layer."""
    layers = (
        Layer(name="first", kind="linear", inputs=("input",), out_features=12, neuron="lif"),
        Layer(name="loop", kind="linear", inputs=("first",), out_features=12, neuron="lif", recurrence="full"),
        Layer(name="join", kind="add", inputs=("first", "loop")),
        Layer(name="last", kind="linear", inputs=("join",), out_features=4, neuron="li"),
    )
    network = Network(name="residual", input_shape=(16,), time_steps=4, layers=layers)
    return Problem.from_graph(lowered(network, TrainingSetup(batch=4, windows=2), arrays(2)), arrays(2), **{"mode": "periodic"} | options)


def small_problem(*layers: Layer, shape: tuple[int, ...] = (8,), splits: tuple[Split, ...] = (), membrane: str = "store", windows: int = 2) -> Problem:
    """Layers on three unlike arrays, two steps."""
    network = Network(name="small", input_shape=shape, time_steps=2, layers=layers)
    setup = TrainingSetup(batch=2, windows=windows, membrane=membrane)  # type: ignore[arg-type]
    return Problem.from_graph(lowered(network, setup, unlike(), splits=splits), unlike(), mode="periodic")


def attention_problem() -> Problem:
    """Products of two activations, and weight gradients in two parts."""
    operands = [Layer(name=name, kind="linear", inputs=("input",), out_features=4, neuron="lif") for name in "qkv"]
    scores = Layer(name="scores", kind="matmul", inputs=("q", "k"), transpose=True, heads=2)
    context = Layer(name="context", kind="matmul", inputs=("scores", "v"), heads=2, neuron="lif")
    return small_problem(*operands, scores, context, shape=(3, 4), windows=1, splits=(Split(kind="W", axis="k", parts=2),))


def hybrid_problem() -> Problem:
    """An ANN layer of one step, a parallel neuron, and a LIF layer whose membrane is recomputed."""
    front = Layer(name="front", kind="linear", inputs=("input",), out_features=8, neuron="relu", time_steps=1)
    middle = Layer(name="middle", kind="linear", inputs=("front",), out_features=8, neuron="rpsu")
    return small_problem(front, middle, Layer(name="last", kind="linear", inputs=("middle",), out_features=4, neuron="lif"), membrane="recompute")


def loop_problem() -> Problem:
    """A loop through time over two layers."""
    first = Layer(name="first", kind="linear", inputs=("input",), out_features=8)
    meet = Layer(name="meet", kind="add", inputs=("first", "back"), feedback=("back",), neuron="lif")
    return small_problem(first, meet, Layer(name="back", kind="linear", inputs=("meet",), out_features=8))


def own_graph(processors: int = 3) -> Problem:
    """A user's fork and join with nothing but durations."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, duration in {"split": 2, "a": 3, "b": 3, "c": 4, "join": 1}.items():
        graph.add_node(name, duration=duration)
    graph.add_edges_from([("split", x) for x in "abc"] + [(x, "join") for x in "abc"])
    return Problem.from_graph(graph, processors)


def ring(unroll: int = 1) -> Problem:
    """Tasks of different iterations that wait for each other: the recurrence decides the period."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name in "xyz":
        graph.add_node(name, duration=4)
    graph.add_edge("x", "y")
    graph.add_edge("y", "z")
    graph.add_edge("z", "x", distance=2)
    return Problem.from_graph(graph, 3, unroll=unroll)


def in_flight(count: int, *, span: int | None = None) -> Problem:
    """Forward through three devices and back, of at most ``count`` iterations at a time; B frees its slot as it starts."""
    classes = {f"d{i}": SystolicArray(rows=1, cols=1) for i in range(3)}
    graph: nx.DiGraph[str] = nx.DiGraph()
    for device in classes:
        graph.add_node(f"F-{device}", cycles={device: 1})
        graph.add_node(f"B-{device}", cycles={device: 2})
        graph.add_edge(f"B-{device}", f"F-{device}", distance=count, lag=-2)
    nx.add_path(graph, [f"F-{device}" for device in classes] + [f"B-{device}" for device in reversed(classes)])
    machine = Platform(name="devices", classes=classes, processors=tuple(classes), interconnect=Interconnect(), clock_hz=1)
    return Problem.from_graph(graph, machine, limits=Limits(span_cycles=span))


def pipeline(micro_batches: int = 3, *, stages: int = 3, **options: Any) -> Problem:
    """Unequal stages, as the literature of pipelines states them."""
    columns = [tuple(column[:stages]) for column in ((3, 2, 4, 1), (4, 1, 3, 2), (2, 3, 2, 1))]
    return Pipeline.of_stages("stages", *columns, micro_batches=micro_batches, transfer_cycles=1, **options).problem()


INSTANCES: dict[str, Callable[[], Problem]] = {
    "tiny": network_problem,
    "tiny, windows 4": lambda: network_problem(windows=4),
    "tiny, unlike arrays": lambda: network_problem(windows=2, platform=unlike()),
    "tiny, one processor": lambda: network_problem(platform=arrays(1)),
    "tiny, delays at most 2": lambda: network_problem(limits=Limits(delay=2)),
    "tiny, latest weights": lambda: network_problem(windows=2, weights="latest"),
    "tiny, delays first": lambda: network_problem(objective=("delay", "traffic")),
    "tiny, finite": lambda: network_problem(mode="finite", micro_batches=3),
    "tiny, finite, traffic first": lambda: network_problem(mode="finite", micro_batches=2, objective=("traffic", "makespan")),
    "tiny, little memory": lambda: network_problem(platform=arrays(2, memory_bytes=1400)),
    "tiny, too little memory": lambda: network_problem(platform=arrays(2, memory_bytes=300)),
    "tiny, period out of reach": lambda: network_problem(limits=Limits(period_cycles=150)),
    "residual": residual_problem,
    "residual, finite": lambda: residual_problem(mode="finite", micro_batches=2),
    "recurrent": lambda: network_problem("braille_rnn", windows=2),
    "attention, split": attention_problem,
    "hybrid, recomputed": hybrid_problem,
    "loop through time": loop_problem,
    "own graph": own_graph,
    "own graph, one processor": lambda: own_graph(1),
    "ring": ring,
    "ring, 2 iterations": lambda: ring(2),
    "ring, 3 iterations": lambda: ring(3),
    "2 in flight": lambda: in_flight(2),
    "3 in flight, little span": lambda: in_flight(3, span=9),
    "3 in flight, too little span": lambda: in_flight(3, span=8),
    "unrolled": lambda: network_problem(unroll=2),
    "unrolled, windows 2": lambda: network_problem(unroll=3, windows=2),
    "unrolled, delays at most 2": lambda: network_problem(unroll=2, limits=Limits(delay=2)),
    "tiny, one layer synchronous": lambda: network_problem(limits=Limits(layer_delay=(("fc2", 1), ("fc1", 3)))),
    "residual, little span": lambda: residual_problem(limits=Limits(span_cycles=4000)),
    "pipeline": pipeline,
    "pipeline, one micro-batch": lambda: pipeline(1),
    "pipeline, interleaved": lambda: pipeline(2, stages=2, placement="interleaved", chunks=2),
    "pipeline, there and back": lambda: pipeline(2, stages=2, placement="v", chunks=2),
    "pipeline, free": lambda: pipeline(2, stages=2, placement="free", chunks=2),
    "pipeline, fewer layers than processors": lambda: pipeline(2, stages=2, placement="free", processors=3),
    "pipeline, little memory": lambda: pipeline(memory=2),
    **{f"random periodic {seed}": lambda seed=seed: random_problem(seed, "periodic") for seed in range(8)},
    **{f"random finite {seed}": lambda seed=seed: random_problem(seed, "finite") for seed in range(8)},
}
