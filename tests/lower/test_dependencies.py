"""The task graph waits for exactly what back-propagation through time must wait for, window by window."""

from __future__ import annotations

from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched.importers import load_platform
from spikepipe_sched.layer import PARALLEL, STATEFUL, Layer
from spikepipe_sched.lower import lower
from spikepipe_sched.lower.plan import Plan
from spikepipe_sched.network import Network
from spikepipe_sched.training import TrainingSetup

from .steps import Event, needs

EDGE8 = load_platform("edge8")
NEURONS = sorted(STATEFUL | PARALLEL | {"relu", "none"})


@st.composite
def jobs(draw: st.DrawFn) -> tuple[Network, TrainingSetup]:
    """Networks of up to five layers, with skips, feedback, loops, products of activations and time steps of their own."""
    time_steps = draw(st.integers(1, 4))
    layers: list[Layer] = []
    tokens = draw(st.booleans())
    for index in range(draw(st.integers(1, 5))):
        name, before = f"l{index}", [layer.name for layer in layers if not layer.transpose]
        kinds = ["linear"] + (["linear", "neuron"] if before else []) + (["add", "add"] if len(before) >= 2 else [])
        kinds += ["matmul"] if tokens and len(before) >= 2 else []
        kind = draw(st.sampled_from(kinds))
        own_time = draw(st.sampled_from([None, None, 1, 2, 3]))
        neuron: Any = draw(st.sampled_from([n for n in NEURONS if kind != "neuron" or n != "none"]))
        if kind == "linear":
            source = draw(st.sampled_from([*before, "input"]))
            recurrence: Any = draw(st.sampled_from(["none", "none", "full", "self"])) if neuron in STATEFUL else "none"
            norm: Any = draw(st.sampled_from(["none", "batch"]))
            layers.append(
                Layer(name=name, kind="linear", inputs=(source,), out_features=4, neuron=neuron, recurrence=recurrence, norm=norm, time_steps=own_time)
            )
        elif kind == "neuron":
            layers.append(Layer(name=name, kind="neuron", inputs=(draw(st.sampled_from(before)),), neuron=neuron, time_steps=own_time))
        else:
            pair = tuple(draw(st.permutations(before))[:2])
            if kind == "matmul":
                layers.append(Layer(name=f"{name}s", kind="matmul", inputs=pair, transpose=True, neuron=neuron, heads=2, time_steps=own_time))
                layers.append(Layer(name=name, kind="matmul", inputs=(f"{name}s", pair[1]), heads=2, time_steps=own_time))
            else:
                late = draw(st.sampled_from([(), (), pair[:1]]))  # closes no loop
                layers.append(Layer(name=name, kind="add", inputs=pair, feedback=late, neuron=neuron, time_steps=own_time))
    windows = draw(st.integers(1, time_steps))
    last = layers[-1].name
    if not layers[-1].transpose and draw(st.booleans()) and windows == time_steps:  # a loop from the end to a sum in front
        layers = [Layer(**{**fields(layer), "time_steps": None}) for layer in layers]
        layers.append(Layer(name="turn", kind="linear", inputs=("head",), out_features=4))
        layers.append(Layer(name="head", kind="add", inputs=(last, "turn"), feedback=("turn",), neuron="lif"))
    length = draw(st.integers(1, time_steps)) if draw(st.booleans()) else None
    own = [layer.time_steps for layer in layers if layer.time_steps is not None]
    if length is not None and any(j * length * steps % time_steps for steps in own for j in range(1, -(-time_steps // length))):
        length = None  # a layer's own steps cannot be cut there
    if length is not None and any(j * length * windows % time_steps for j in range(1, -(-time_steps // length))):
        length = None  # a window would reach over the border of a segment
    setup = TrainingSetup(batch=1, windows=windows, loss=draw(st.sampled_from(["sequence", "step"])), bptt_steps=length)
    return Network(name="net", input_shape=(3, 4) if tokens else (4,), time_steps=time_steps, layers=tuple(layers)), setup


def fields(layer: Layer) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in layer.__dataclass_fields__}


def tasks_of(graph: nx.DiGraph, network: Network, setup: TrainingSetup) -> dict[Event, str]:
    """The task in which each event happens."""
    plan, where = Plan(network, setup), {}
    for name, site in plan.sites.items():
        for window in plan.windows[name]:
            for step in range(window.first, window.last):
                where["f", name, step] = plan.output_task(site, window)
                if site.needs_error:
                    where["e", name, step] = plan.synapse_error(site, window)
                if site.layer.trainable:
                    found = [
                        v for v, d in graph.nodes(data=True) if (d["kind"], d["layer"], d["window"]) == ("W", name, window.index) and d["part"] != "neuron"
                    ]
                    (where["w", name, step],) = found
    return where


@settings(max_examples=150, deadline=None, derandomize=True)
@given(job=jobs())
def test_tasks_wait_for_each_other_exactly_as_their_steps_do(job: tuple[Network, TrainingSetup]) -> None:
    """Equal transitive closures: of the steps' own rules gathered into windows, and of the task graph."""
    network, setup = job
    graph = lower(network, setup, EDGE8)
    where = tasks_of(graph, network, setup)
    assert set(where.values()) <= set(graph)
    expected = nx.DiGraph()
    expected.add_nodes_from(where.values())
    waits = needs(network, setup)
    assert set(waits) == set(where)
    expected.add_edges_from((where[before], where[event]) for event, all_before in waits.items() for before in all_before if where[before] != where[event])
    inside = nx.DiGraph([(u, v) for u, v, d in graph.edges(data=True) if d.get("distance") == 0])
    inside.add_nodes_from(graph)
    for task in expected:
        reached = nx.descendants(inside, task) & set(expected)
        wanted = nx.descendants(expected, task)
        assert reached == wanted, (task, sorted(reached - wanted), sorted(wanted - reached))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(job=jobs())
def test_recomputing_membranes_keeps_no_state_and_adds_forward_work(job: tuple[Network, TrainingSetup]) -> None:
    network, setup = job
    stored = lower(network, setup, EDGE8)
    again = lower(network, TrainingSetup(**{**{f: getattr(setup, f) for f in setup.__dataclass_fields__}, "membrane": "recompute"}), EDGE8)
    assert set(stored) == set(again)
    trained = {d["layer"] for _, d in stored.nodes(data=True) if d["kind"] in "EBW"}
    for layer in network.layers:
        tasks = [v for v, d in again.nodes(data=True) if d["layer"] == layer.name and d["kind"] == "F"]
        if keeps_membrane(layer):
            assert all(again.nodes[task]["stash_bytes"] == 0 for task in tasks)
    extra = sum(d["macs"] for _, d in again.nodes(data=True)) - sum(d["macs"] for _, d in stored.nodes(data=True))
    forward = sum(
        d["macs"] for _, d in stored.nodes(data=True) if d["kind"] == "F" and keeps_membrane(network.layer(d["layer"])) and has_error(stored, d["layer"])
    )
    assert extra == forward
    assert trained


def keeps_membrane(layer: Layer) -> bool:
    """A leaky integrator is linear: its error needs no membrane."""
    return layer.stateful and layer.neuron != "li"


def has_error(graph: nx.DiGraph, layer: str) -> bool:
    """Whether the layer takes part in the backward pass: something upstream of it, or it, has weights."""
    upstream = {layer} | {
        d["layer"]
        for v in nx.ancestors(graph, next(t for t in graph if graph.nodes[t]["layer"] == layer and graph.nodes[t]["kind"] == "F"))
        for d in [graph.nodes[v]]
    }
    return any(d["kind"] == "U" and d["layer"] in upstream for _, d in graph.nodes(data=True))


def test_the_steps_of_a_chain_by_hand() -> None:
    """The oracle itself, on two LIF layers and two steps."""
    layers = (Layer(name="a", kind="linear", inputs=("input",), out_features=2, neuron="lif"),)
    layers += (Layer(name="b", kind="linear", inputs=("a",), out_features=2, neuron="lif"),)
    waits = needs(Network(name="n", input_shape=(2,), time_steps=2, layers=layers), TrainingSetup(loss="step"))
    assert waits["f", "b", 1] == {("f", "a", 1), ("f", "b", 0)}
    assert waits["e", "a", 0] == {("f", "a", 0), ("e", "a", 1), ("e", "b", 0)}
    assert waits["e", "b", 1] == {("f", "b", 1)}
    assert waits["w", "b", 0] == {("e", "b", 0), ("f", "a", 0)}


@pytest.mark.parametrize("windows", [1, 2])
def test_loops_need_windows_of_one_step(windows: int) -> None:
    layers = (Layer(name="a", kind="linear", inputs=("input",), out_features=4), Layer(name="s", kind="add", inputs=("a", "b"), feedback=("b",), neuron="lif"))
    layers += (Layer(name="b", kind="linear", inputs=("s",), out_features=4),)
    network = Network(name="loop", input_shape=(4,), time_steps=3, layers=layers)
    with pytest.raises(ValueError, match=r"layers 's' and 'b' lie on a cycle through time, which needs windows of one step: choose windows=3"):
        lower(network, TrainingSetup(windows=windows), EDGE8)
    assert lower(network, TrainingSetup(windows=3), EDGE8).has_edge("F(b,0)", "F(s,1)")


def late_reader(**fields: Any) -> Network:
    """``out`` reads ``b`` one step late, and no loop is closed."""
    layers = tuple(Layer(name=name, kind="linear", inputs=("input",), out_features=4) for name in "ab")
    out = Layer(name="out", kind="add", inputs=("a", "b"), feedback=("b",), neuron="lif", **fields)
    return Network(name="late", input_shape=(4,), time_steps=4, layers=(*layers, out))


@pytest.mark.parametrize(
    ("windows", "fields", "forward", "backward"),
    [
        (1, {}, {(0, 0)}, {(0, 0)}),
        (2, {}, {(0, 0), (0, 1), (1, 1)}, {(0, 0), (0, 1), (1, 1)}),
        (4, {}, {(0, 1), (1, 2), (2, 3)}, {(0, 1), (1, 2), (2, 3)}),
        (2, {"bptt_steps": 2}, {(0, 0), (0, 1), (1, 1)}, {(0, 0), (1, 1)}),
        (4, {"bptt_steps": 2}, {(0, 1), (1, 2), (2, 3)}, {(0, 1), (2, 3)}),
    ],
)
def test_feedback_that_closes_no_loop_is_read_from_the_own_window_and_the_one_before(
    windows: int, fields: dict[str, Any], forward: set[tuple[int, int]], backward: set[tuple[int, int]]
) -> None:
    graph = lower(late_reader(), TrainingSetup(batch=1, windows=windows, **fields), EDGE8)
    pairs = [(v, w) for v in range(windows) for w in range(windows)]
    assert {(v, w) for v, w in pairs if graph.has_edge(f"F(b,{v})", f"F(out,{w})")} == forward
    assert {(v, w) for v, w in pairs if graph.has_edge(f"E(out,{w})", f"E(b,{v})")} == backward


def test_feedback_is_late_by_a_step_of_its_reader() -> None:
    graph = lower(late_reader(time_steps=2), TrainingSetup(batch=1, windows=4), EDGE8)
    assert set(graph.predecessors("F(out,3)")) >= {"F(b,0)", "F(b,1)", "F(a,2)", "F(a,3)"}
    assert not any(graph.has_edge(f"F(b,{v})", f"F(out,{w})") for v, w in [(0, 1), (1, 1), (2, 3), (3, 3)])
