"""Loops of NIR graphs: recurrence of a layer, or feedback that opens the cycle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import load_platform
from spikepipe_sched.importers.nir_file import NirGraph, NirNode
from spikepipe_sched.importers.nir_graph import simplify
from spikepipe_sched.importers.nir_loops import open_loops
from spikepipe_sched.lower import lower
from spikepipe_sched.training import TrainingSetup
from tests.importers.nir_files import Edges, Nodes, conv2d, forms, lif, node, read, weights

CHAIN: Edges = [("input", "a"), ("a", "n"), ("n", "output")]


def test_a_loop_over_two_layers_comes_back_into_a_sum_one_step_late(tmp_path: Path) -> None:
    nodes = {"a": weights(5, 4), "n": lif(5), "b": weights(4, 5), "m": lif(4)}
    network, repairs = read(tmp_path, nodes, [("input", "a"), ("a", "n"), ("n", "b"), ("b", "m"), ("m", "a"), ("m", "output")])
    assert forms(network) == [
        ("a.sum", "add", "none", ("input", "b"), ("b",), "none"),
        ("a", "linear", "lif", ("a.sum",), (), "none"),
        ("b", "linear", "lif", ("a",), (), "none"),
    ]
    assert repairs == []


def test_recurrent_weights_behind_a_sum_or_a_convolution_are_feedback(tmp_path: Path) -> None:
    nodes = {"a": weights(3, 4), "b": weights(3, 4), "n": lif(3), "w": weights(3, 3)}
    edges = [("input", "a"), ("input", "b"), ("a", "n"), ("b", "n"), ("n", "w"), ("w", "n"), ("n", "output")]
    network, _ = read(tmp_path, nodes, edges)
    assert forms(network)[2:] == [("n.sum", "add", "lif", ("a", "b", "w"), ("w",), "none"), ("w", "linear", "none", ("n.sum",), (), "none")]
    nodes = {"a": conv2d(3, 2, 3, padding=[1, 1]), "n": lif(3, 6, 6), "w": conv2d(3, 3, 3, padding=[1, 1])}
    network, repairs = read(tmp_path, nodes, [*CHAIN, ("n", "w"), ("w", "n")], shape=[2, 6, 6])
    assert forms(network) == [
        ("a", "conv2d", "none", ("input",), (), "none"),
        ("n.sum", "add", "lif", ("a", "w"), ("w",), "none"),
        ("w", "conv2d", "none", ("n.sum",), (), "none"),
    ]
    assert repairs == []


@pytest.mark.parametrize(("layer", "size", "shape"), [(weights(3, 4), (3,), [4]), (conv2d(3, 2, 1), (3, 5, 5), [2, 5, 5])])
def test_a_scale_from_a_neuron_to_itself_is_recurrence_neuron_by_neuron(tmp_path: Path, layer: dict[str, Any], size: tuple[int, ...], shape: list[int]) -> None:
    nodes = {"a": layer, "n": lif(*size), "s": node("Scale", scale=np.ones(size))}
    network, repairs = read(tmp_path, nodes, [*CHAIN, ("n", "s"), ("s", "n")], shape=shape)
    assert forms(network) == [("a", layer["type"].lower(), "lif", ("input",), (), "self")]
    assert repairs == []
    nodes["s"]["scale"] = np.ones(7)
    with pytest.raises(InputError, match="'s': recurrent weights"):
        read(tmp_path, nodes, [*CHAIN, ("n", "s"), ("s", "n")], shape=shape)


def test_a_neuron_that_feeds_itself_is_a_sum_with_itself_of_the_step_before(tmp_path: Path) -> None:
    network, repairs = read(tmp_path, {"a": weights(3, 4), "n": lif(3)}, [*CHAIN, ("n", "n")])
    assert forms(network)[1] == ("n.sum", "add", "lif", ("a", "n.sum"), ("n.sum",), "none")
    assert repairs == []
    nodes = {"n": lif(4), "s": node("Scale", scale=np.ones(4)), "fc": weights(2, 4)}
    edges = [("input", "n"), ("n", "s"), ("s", "n"), ("n", "fc"), ("fc", "output")]
    network, repairs = read(tmp_path, nodes, edges)  # no weights in front that could own the Scale
    assert forms(network)[0] == ("n.sum", "add", "lif", ("input", "n.sum"), ("n.sum",), "none")
    assert len(repairs) == 1


def test_of_two_sets_of_recurrent_weights_one_is_the_layers_own(tmp_path: Path) -> None:
    nodes = {"a": weights(3, 4), "n": lif(3), "v": weights(3, 3), "w": weights(3, 3)}
    network, _ = read(tmp_path, nodes, [*CHAIN, ("n", "w"), ("w", "n"), ("n", "v"), ("v", "n")])
    loops = [layer for layer in network.layers if layer.feedback]
    assert [(layer.name, layer.feedback) for layer in loops] == [("n.sum", ("w", "v"))]
    assert sum(network.parameters().values()) == 12 + 9 + 9


def test_a_loop_back_to_the_input_is_added_to_it(tmp_path: Path) -> None:
    network, _ = read(tmp_path, {"a": weights(4, 4), "n": lif(4)}, [*CHAIN, ("output", "input")])
    assert forms(network) == [("a.sum", "add", "none", ("input", "a"), ("a",), "none"), ("a", "linear", "lif", ("a.sum",), (), "none")]


def test_loops_that_the_input_does_not_reach_get_their_shapes_from_weights(tmp_path: Path) -> None:
    """A reservoir of 2,000 neurons on its own, with a read-out; another loop of two layers."""
    nodes = {"w": {"type": "Linear", "weight": np.zeros((2000, 2000), np.float16)}, "n": lif(2000), "out": weights(3, 2000), "a": weights(2, 4)}
    edges = [("w", "n"), ("n", "w"), ("n", "out"), ("out", "output"), ("input", "a"), ("a", "output2")]
    network, repairs = read(tmp_path, {**nodes, "output2": node("Output")}, edges)
    assert forms(network) == [
        ("w", "linear", "lif", ("w",), ("w",), "none"),
        ("out", "linear", "none", ("w",), (), "none"),
        ("a", "linear", "none", ("input",), (), "none"),
    ]
    assert network.parameters() == {"w": 2000**2, "out": 6000, "a": 8}
    assert repairs == []
    nodes = {"v": weights(5, 3), "m": lif(5), "w": weights(3, 5), "n": lif(3)}
    network, _ = read(tmp_path, nodes, [("v", "m"), ("m", "w"), ("w", "n"), ("n", "v"), ("n", "output")], shape=[7])
    assert forms(network) == [("v", "linear", "lif", ("w",), ("w",), "none"), ("w", "linear", "lif", ("v",), (), "none")]
    assert network.input_shape == (7,)
    nodes["v"] = weights(5, 4)
    with pytest.raises(InputError, match=r"'v': weights of shape \[5, 4\] do not fit its loop, which brings shape \[3\]"):
        read(tmp_path, nodes, [("v", "m"), ("m", "w"), ("w", "n"), ("n", "v"), ("n", "output")])


@pytest.mark.parametrize(
    ("nodes", "edges", "late"),
    [
        ({"a": weights(5, 4), "n": lif(5), "b": weights(4, 5), "m": lif(4)}, [*CHAIN, ("n", "b"), ("b", "m"), ("m", "a")], ("b", "a.sum")),
        ({"a": weights(3, 4), "n": lif(3)}, [*CHAIN, ("n", "n")], ("n.sum", "n.sum")),
        ({"w": weights(9, 9), "n": lif(9), "a": weights(3, 9)}, [("w", "n"), ("n", "w"), ("n", "a"), ("a", "output")], ("w", "w")),
    ],
)
def test_a_loop_reads_the_step_before_in_the_task_graph(tmp_path: Path, nodes: Nodes, edges: Edges, late: tuple[str, str]) -> None:
    network, _ = read(tmp_path, nodes, edges)
    graph = lower(network, TrainingSetup(windows=network.time_steps), load_platform("edge8"))
    source, target = late
    for step in range(1, network.time_steps):
        assert graph.has_edge(f"F({source},{step - 1})", f"F({target},{step})")
        assert not graph.has_edge(f"F({source},{step})", f"F({target},{step})")
    assert {name for name, kind in graph.nodes(data="kind") if kind == "U"} == {f"U({layer.name})" for layer in network.layers if layer.trainable}


@pytest.mark.parametrize(
    ("nodes", "edges", "words"),
    [
        ({"v": weights(4, 4), "w": weights(4, 4)}, [("v", "w"), ("w", "v")], "no neuron"),
        ({"m": lif(4), "n": lif(4)}, [("m", "n"), ("n", "m")], "no linear weights"),
        ({"c": conv2d(1, 1, 1), "n": lif(1, 2, 2)}, [("c", "n"), ("n", "c")], "no linear weights"),
        ({"s": node("Scale", scale=np.ones(1)), "d": node("Delay", delay=np.ones(1))}, [("s", "d"), ("d", "s")], "feeds itself"),
    ],
)
def test_loops_without_input_neuron_or_weights_are_refused_by_name(tmp_path: Path, nodes: Nodes, edges: Edges, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        read(tmp_path, {"a": weights(3, 4), **nodes}, [("input", "a"), ("a", "output"), *edges])
    assert any(f"'{name}'" in str(error.value) for name in nodes)


NAMES = [f"v{i}" for i in range(6)]


@settings(max_examples=150)
@given(st.sets(st.tuples(st.sampled_from(["input", *NAMES]), st.sampled_from(NAMES)), max_size=16), st.randoms(use_true_random=False))
def test_feedback_opens_every_cycle_wastes_no_edge_and_does_not_depend_on_the_order_of_edges(edges: set[tuple[str, str]], random: Any) -> None:
    """Oracle: networkx finds no cycle without the feedback, and one through each feedback edge."""
    reached = nx.descendants(nx.DiGraph([("input", "input"), *edges]), "input")
    used = sorted((source, target) for source, target in edges if target in reached and (source in reached or source == "input"))
    kinds = {name: ("LIF" if name in ("v1", "v4") else "Linear") for name in reached}
    nodes = {"input": NirNode(name="input", kind="Input"), **{name: NirNode(name=name, kind=kinds[name]) for name in sorted(reached)}}
    answers = []
    for _ in range(2):
        operations = simplify(NirGraph(nodes=nodes, edges=list(used)), lambda _message: None)
        order, feedback = open_loops(operations)
        answers.append(({name: set(op.inputs) for name, op in operations.by_name.items()}, feedback))
        graph = nx.DiGraph([(source, name) for name, op in operations.by_name.items() for source in op.inputs])
        late = [(source, name) for name, sources in feedback.items() for source in sources]
        graph.remove_edges_from(late)
        assert nx.is_directed_acyclic_graph(graph)
        place = {name: index for index, name in enumerate(order)}
        assert len(place) == len(operations.by_name)
        assert all(place[source] < place[target] for source, target in graph.edges)
        for source, target in late:
            assert operations.by_name[target].role == "sum"
            assert nx.has_path(graph, target, source)
        random.shuffle(used)
    assert answers[0] == answers[1]
