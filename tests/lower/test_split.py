"""Split tasks: the same work, the same dependencies, and the operands that each part needs."""

from __future__ import annotations

import itertools

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched.errors import InputError
from spikepipe_sched.layer import Layer
from spikepipe_sched.lower import Split

from .graphs import conv, graph_of, linear, macs

NET = (linear("a", "input", 8), linear("b", "a", 6), linear("c", "b", 4))


def whole(task: str) -> str:
    """The task that a part belongs to."""
    head, _, last = task[:-1].rpartition(",")
    return f"{head})" if last == "sum" or "/" in last else task


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    chosen=st.lists(st.tuples(st.sampled_from("FBW"), st.sampled_from("mkn"), st.integers(2, 4)), min_size=1, max_size=3, unique_by=lambda s: s[0]),
    windows=st.integers(1, 2),
    image=st.booleans(),
)
def test_parts_do_the_work_of_the_whole_and_wait_for_the_same_tasks(chosen: list[tuple[str, str, int]], windows: int, image: bool) -> None:
    layers = (conv("a", "input", 8), conv("b", "a", 6), conv("c", "b", 4)) if image else NET
    shape = (3, 4, 4) if image else (6,)
    splits = tuple(Split(kind=kind, axis=axis, parts=parts) for kind, axis, parts in chosen)  # type: ignore[arg-type]
    before = graph_of(*layers, shape=shape, windows=windows, batch=4)
    after = graph_of(*layers, shape=shape, windows=windows, batch=4, splits=splits)
    assert {whole(task) for task in after} == set(before)
    for task in before:
        assert sum(macs(after, part) for part in after if whole(part) == task) == macs(before, task)
        assert before.nodes[task]["stash_bytes"] == sum(after.nodes[part]["stash_bytes"] for part in after if whole(part) == task)
    assert {(whole(u), whole(v)) for u, v in after.edges if whole(u) != whole(v) or u == v} == set(before.edges)
    for u, v in before.edges:
        kinds = [(d.get("delay_layer"), d.get("distance")) for x, y, d in after.edges(data=True) if (whole(x), whole(y)) == (u, v)]
        assert set(kinds) == {(before.edges[u, v].get("delay_layer"), before.edges[u, v].get("distance"))}
    inside = nx.DiGraph([(u, v) for u, v, d in after.edges(data=True) if d.get("distance") == 0])
    assert nx.is_directed_acyclic_graph(inside)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(kind=st.sampled_from("FBW"), axis=st.sampled_from("mkn"), parts=st.integers(2, 4))
def test_slices_of_a_tensor_sum_to_it(kind: str, axis: str, parts: int) -> None:
    before, after = (graph_of(*NET, batch=4, splits=splits) for splits in ((), (Split(kind=kind, axis=axis, parts=parts),)))  # type: ignore[arg-type]
    sizes = {name: size for _, _, d in before.edges(data=True) for name, size in d["tensors"].items()}
    slices: dict[str, dict[str, int]] = {}
    for _, _, data in after.edges(data=True):
        for name, size in data["tensors"].items():
            if "#" in name:
                slices.setdefault(name.split(" ")[0], {})[name] = size
    for label, found in slices.items():
        assert sum(found.values()) == sizes[label.split("#")[0]], label
        assert len(found) == parts


def test_the_same_cut_in_every_layer_keeps_samples_apart() -> None:
    """Data parallelism: over the samples, part 1 of a layer reads part 1 of its producer and nothing else."""
    graph = graph_of(*NET, batch=4, windows=2, splits=(Split(kind="F", axis="m", parts=2),))
    assert {u for u in graph.predecessors("F(b,1,1/2)") if u[0] == "F"} == {"F(a,1,1/2)", "F(b,0,1/2)"}
    assert graph.edges["F(a,1,1/2)", "F(b,1,1/2)"]["tensors"] == {"a.out[1]#samples 1/2": 4}
    assert graph.edges["U(b)", "F(b,1,1/2)"]["tensors"] == {"b.weights": 96}


def test_a_cut_over_neurons_reads_all_inputs_and_its_own_weights() -> None:
    graph = graph_of(*NET, batch=4, splits=(Split(kind="F", axis="n", parts=2, layer="b"),))
    assert {u for u in graph.predecessors("F(b,0,2/2)") if u[0] == "F"} == {"F(a,0)"}
    assert graph.edges["F(a,0)", "F(b,0,2/2)"]["tensors"] == {"a.out[0]": 16}
    assert graph.edges["U(b)", "F(b,0,2/2)"]["tensors"] == {"b.weights#columns 2/2": 48}
    assert set(graph.predecessors("F(c,0)")) == {"F(b,0,1/2)", "F(b,0,2/2)", "U(c)"}
    assert "F(a,0)" in graph
    assert "F(b,0)" not in graph


def test_a_cut_over_the_sum_adds_its_parts_in_a_task_of_its_own() -> None:
    plain, graph = (graph_of(*NET, batch=4, splits=splits) for splits in ((), (Split(kind="F", axis="k", parts=2, layer="b"),)))
    parts, total = ("F(b,0,1/2)", "F(b,0,2/2)"), "F(b,0,sum)"
    assert [graph.edges["F(a,0)", part]["tensors"] for part in parts] == [{"a.out[0]#features 1/2": 8}, {"a.out[0]#features 2/2": 8}]
    assert [graph.edges["U(b)", part]["tensors"] for part in parts] == [{"b.weights#rows 1/2": 48}, {"b.weights#rows 2/2": 48}]
    assert all(graph.edges[part, total]["tensors"] == {f"{part}.partial": 16 * 6 * 4} for part in parts)  # 32-bit sums
    assert set(graph.predecessors(total)) == set(parts)
    assert set(graph.successors(total)) == set(plain.successors("F(b,0)"))
    assert graph.nodes[total]["cycles"]["edge8"] == (16 * 6 + 4 * 16 * 6) // 8  # one addition a value, then LIF
    assert graph.nodes[total]["macs"] == 0


def test_weight_gradients_can_be_split_over_samples() -> None:
    graph = graph_of(*NET, batch=4, splits=(Split(kind="W", axis="k", parts=4, layer="b"),))
    assert [macs(graph, f"W(b,0,{i}/4)") for i in range(1, 5)] == [8 * 4 * 6] * 4
    assert set(graph.predecessors("U(b)")) == {"W(b,0,sum)", "U(b)"}


@pytest.mark.parametrize(
    ("layers", "split", "words"),
    [
        (NET, {"layer": "x"}, "no layer 'x' with tasks; it has a, b, c"),
        (NET, {"layer": "b", "parts": 7}, r"F\(b,0\) cannot be cut into 7 parts: it has 6 as its dimension N"),
        (NET, {"layer": "b", "axis": "m", "parts": 3}, "has 2 samples"),
        (NET, {"parts": 1}, "parts must be between 2 and 4096"),
        (NET, {"kind": "U"}, "kind must be F, B or W"),
        (NET, {"axis": "x"}, "axis must be m, k or n"),
        (NET, {"layer": "a", "kind": "B"}, "layer 'a' has no B task"),
        ((linear("a", "input", recurrence="full"),), {"layer": "a"}, "recurrent layer; it stays whole"),
    ],
)
def test_cuts_that_cannot_be_made_say_why(layers: tuple[Layer, ...], split: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        graph_of(*layers, splits=(Split(**{"kind": "F", "axis": "n", "parts": 2, **split}),))  # type: ignore[arg-type]


def test_a_cut_of_all_layers_leaves_those_whole_that_are_too_small() -> None:
    graph = graph_of(*NET, splits=(Split(kind="F", axis="n", parts=5),))
    assert {task for task in graph if task.startswith("F(c")} == {"F(c,0)"}
    assert len([task for task in graph if task.startswith("F(b")]) == 5


def test_two_cuts_of_one_task_are_refused() -> None:
    pair = [Split(kind="F", axis=axis, parts=2) for axis in ("m", "n")]  # type: ignore[arg-type]
    for first, second in itertools.permutations(pair):
        with pytest.raises(InputError, match=r"F\(a,0\) is named by two splits"):
            graph_of(*NET, splits=(first, second))
