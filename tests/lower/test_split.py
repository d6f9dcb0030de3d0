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


SPLITS = st.lists(st.tuples(st.sampled_from("FBW"), st.sampled_from("mkn"), st.integers(2, 4)), min_size=1, max_size=3, unique_by=lambda s: s[0])
SKIP = Layer(name="s", kind="add", inputs=("a", "b"))
NETS: dict[str, tuple[tuple[int, ...], tuple[Layer, ...]]] = {
    "chain": ((6,), NET),
    "images": ((3, 4, 4), (conv("a", "input", 8), conv("b", "a", 6), conv("c", "b", 4))),
    "groups": ((4, 4, 4), (conv("a", "input", 8, groups=2), conv("b", "a", 8, groups=4, norm="batch"), conv("c", "b", 4))),
    "parallel": ((6,), (linear("a", "input", 8, neuron="psn"), linear("b", "a", 6, neuron="psu", norm="batch"), linear("c", "b", 4, neuron="rpsu"))),
    "recurrent": ((6,), (linear("a", "input", 8, recurrence="self"), linear("b", "a", 8, recurrence="full"), SKIP, linear("c", "s", 4))),
    "normalised": ((6,), (linear("a", "input", 8, norm="batch"), linear("b", "a", 8, norm="batch"), SKIP, linear("c", "s", 4))),
}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(chosen=SPLITS, windows=st.integers(1, 2), net=st.sampled_from(sorted(NETS)), membrane=st.sampled_from(["store", "recompute"]))
def test_parts_do_the_work_of_the_whole_and_wait_for_the_same_tasks(chosen: list[tuple[str, str, int]], windows: int, net: str, membrane: str) -> None:
    shape, layers = NETS[net]
    splits = tuple(Split(kind=kind, axis=axis, parts=parts) for kind, axis, parts in chosen)  # type: ignore[arg-type]
    before = graph_of(*layers, shape=shape, windows=windows, batch=4, membrane=membrane)
    try:
        after = graph_of(*layers, shape=shape, windows=windows, batch=4, membrane=membrane, splits=splits)
    except InputError as error:
        assert "no task can be cut that way" in str(error)  # noqa: PT017  (nothing else may be refused here)
        return
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
    check_operands(before, after)


def check_operands(before: nx.DiGraph, after: nx.DiGraph) -> None:
    """Every part reads of both operands of its product; what else the whole task read, the parts read or their sum does."""
    parts: dict[str, set[str]] = {}
    for task in after:
        parts.setdefault(whole(task), set()).add(task)
    for u, v, data in before.edges(data=True):
        ours = parts[v]
        if ours == {v}:
            continue
        multiplied = {task for task in ours if after.nodes[task]["macs"]}
        kind, layer = before.nodes[v]["kind"], before.nodes[v]["layer"]
        for tensor in data["tensors"]:
            name = tensor.partition("[")[0]
            readers = {y for x, y, d in after.edges(data=True) if whole(x) == u and y in ours and any(t.partition("#")[0] == tensor for t in d["tensors"])}
            operand = name == f"{layer}.weights" or (name == f"{layer}.error" and kind in "BW") or (name.endswith(".out") and kind in "FW")
            assert readers == multiplied if operand or multiplied == ours else readers in (multiplied, ours - multiplied)


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
        (NET, {"layer": "b", "parts": 7}, r"F\(b,0\) cannot be cut into 7 parts: it has 6 channels or features along N"),
        (NET, {"layer": "b", "axis": "m", "parts": 3}, "has 2 samples"),
        (NET, {"parts": 1}, "parts must be between 2 and 4096"),
        (NET, {"kind": "U"}, "kind must be F, B or W"),
        (NET, {"axis": "x"}, "axis must be m, k or n"),
        (NET, {"layer": "a", "kind": "B"}, "layer 'a' has no B task"),
        ((linear("a", "input", recurrence="full"),), {"layer": "a"}, "recurrent layer; it stays whole"),
        ((linear("a", "input", norm="batch"),), {"layer": "a", "axis": "m"}, "normalises over all samples; it stays whole along them"),
        ((linear("a", "input", norm="batch"), linear("b", "a")), {"layer": "b", "kind": "B", "axis": "m"}, "normalises over all samples"),
        ((linear("a", "input", neuron="psn"),), {"layer": "a"}, r"F\(a,0,neuron\) is a product over time; it stays whole"),
        (NET, {"parts": 9, "axis": "m"}, "no task can be cut that way; name a layer to see why"),
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


def test_parts_over_samples_read_all_of_the_small_weights() -> None:
    """Each part of a cut over samples needs the factor of every neuron; of a cut over neurons, its own."""
    layers = (linear("a", "input", 4, recurrence="self"), linear("b", "a"))
    over = {axis: graph_of(*layers, batch=4, splits=(Split(kind="F", axis=axis, parts=2, layer="a"),)) for axis in "mn"}  # type: ignore[arg-type]
    assert over["m"].edges["U(a)", "F(a,0,1/2)"]["tensors"] == {"a.weights": 48, "a.recurrent": 8}
    assert over["n"].edges["U(a)", "F(a,0,1/2)"]["tensors"] == {"a.weights#columns 1/2": 24, "a.recurrent#columns 1/2": 4}


def test_convolutions_are_cut_between_channels() -> None:
    """Two input channels of 3 x 3 taps: two parts of nine along K, and never three."""
    layers = (conv("a", "input", 4), conv("b", "a", 4))
    graph = graph_of(*layers, shape=(2, 4, 4), splits=(Split(kind="F", axis="k", parts=2, layer="a"),))
    assert [macs(graph, f"F(a,0,{i}/2)") for i in (1, 2)] == [2 * 4 * 16 * 9 * 4] * 2
    with pytest.raises(InputError, match="it has 2 channels or features along K"):
        graph_of(*layers, shape=(2, 4, 4), splits=(Split(kind="F", axis="k", parts=3, layer="a"),))
    with pytest.raises(InputError, match="it has 4 channels or features along N"):
        graph_of(*layers, shape=(2, 4, 4), splits=(Split(kind="B", axis="n", parts=5, layer="b"),))
