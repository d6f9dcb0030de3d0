"""Graphs become problems, or errors that name what is wrong."""

from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest

from spikepipe_sched import InputError, Interconnect, Limits, Platform, Problem, SystolicArray
from spikepipe_sched.cost import CostTerm
from spikepipe_sched.problem import MAX_CELLS, MAX_DISTANCE, MAX_INT, MAX_TIME, Edges, Tasks, ints
from tests.helpers import platform, small_graph, training_graph, training_problem, unlike_platform


def edge_names(problem: Problem) -> set[tuple[str, str, int]]:
    """(source#copy, target#copy, distance) of every written-out edge."""
    instance, names = problem.instance, problem.tasks.names
    name = [f"{names[t]}{i}" for t, i in zip(instance.task.tolist(), instance.copy.tolist(), strict=True)]
    return {(name[u], name[v], d) for u, v, d in zip(instance.source.tolist(), instance.target.tolist(), instance.distance.tolist(), strict=True)}


# -- users' own graphs -------------------------------------------------------------------------------


def test_a_graph_with_nothing_but_durations_is_a_finite_problem() -> None:
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_node(1, duration=3)
    graph.add_node(("b", 2), duration=np.int64(4))
    graph.add_node("c", cycles=2.0)
    graph.add_edges_from([(1, ("b", 2)), (1, "c")])
    problem = Problem.from_graph(graph, 2)
    assert (problem.mode, problem.micro_batches, problem.layers, problem.tensors) == ("finite", 1, (), ())
    assert problem.tasks.names == ("1", "('b', 2)", "c")
    assert problem.instance.duration.tolist() == [[3, 3], [4, 4], [2, 2]]
    assert [p.name for p in problem.processors] == ["p0", "p1"]
    assert problem.instance.transfer.tolist() == [0, 0]


def test_a_problem_is_shown_in_one_line() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("a", duration=3)
    graph.add_node("b", duration=2)
    graph.add_edge("a", "b")
    assert (
        repr(Problem.from_graph(graph, 2, name="pair", micro_batches=3))
        == "Problem(name='pair', mode='finite', tasks=2, edges=1, processors=2, micro_batches=3)"
    )
    assert repr(Problem.from_graph(graph, 2, mode="periodic", unroll=4)).endswith("mode='periodic', tasks=2, edges=1, processors=2, unroll=4)")


@pytest.mark.parametrize("edge", [{"distance": 1}, {"delay_layer": "a"}])
def test_a_graph_over_iterations_is_periodic(edge: dict[str, Any]) -> None:
    graph = small_graph({"F(a)": 1, "U(a)": 1}, {("F(a)", "U(a)"): {}, ("U(a)", "F(a)"): edge})
    assert Problem.from_graph(graph).mode == "periodic"
    assert Problem.from_graph(graph, mode="finite").mode == "finite"


def test_bytes_of_an_edge_are_a_tensor_of_its_own() -> None:
    graph = small_graph({"a": 1, "b": 1, "c": 1}, {("a", "b"): {"bytes": 7}, ("a", "c"): {"bytes": 0}})
    problem = Problem.from_graph(graph, platform())
    assert (problem.tensors, problem.tensor_bytes.tolist()) == (("a -> b",), [7])
    assert problem.instance.transfer.tolist() == [1 + 2, 0]  # nothing to send: free


def test_classes_that_run_a_task_differ() -> None:
    problem = Problem.from_graph(small_graph({"a": {"big": 1, "small": 2}, "b": {"small": 3, "unknown": 9}}), unlike_platform())
    assert problem.instance.duration.tolist() == [[1, 2], [-1, 3]]
    assert problem.instance.min_duration().tolist() == [1, 3]


@pytest.mark.parametrize(
    ("nodes", "edges", "message"),
    [
        ({}, {}, "problem: it has no tasks"),
        ({"a": None}, {}, r"task 'a': it needs the attribute 'cycles' \(or 'duration'\)"),
        ({"a": "3"}, {}, "task 'a': cycles must be a whole number, got '3'"),
        ({"a": 1.5}, {}, "task 'a': cycles must be a whole number, got 1.5"),
        ({"a": True}, {}, "task 'a': cycles must be a whole number, got True"),
        ({"a": float("inf")}, {}, "task 'a': cycles must be a whole number, got inf"),
        ({"a": -1}, {}, f"task 'a': cycles must be between 0 and {MAX_INT}, got -1"),
        ({"a": MAX_INT + 1}, {}, f"task 'a': cycles must be between 0 and {MAX_INT}"),
        ({"a": 10**40}, {}, "task 'a': cycles must be between 0"),
        ({"a": {"big": -1}}, {}, "task 'a': cycles on 'big' must be between 0"),
        ({"a": {}}, {}, "problem: no processor can run task 'a'"),
        ({"a": {"huge": 3}}, {}, "problem: no processor can run task 'a'"),
        ({"a": 1, "b": 1}, {"bytes": -2}, "edge 'a' -> 'b': bytes of tensor 'a -> b' must be between 0"),
        ({"a": 1, "b": 1}, {"tensors": {"x": 0.5}}, "edge 'a' -> 'b': bytes of tensor 'x' must be a whole number"),
        ({"a": 1, "b": 1}, {"tensors": ["x"]}, "edge 'a' -> 'b': tensors must be a mapping"),
        ({"a": 1, "b": 1}, {"distance": -1}, "edge 'a' -> 'b': distance must be between 0"),
        ({"a": 1, "b": 1}, {"distance": MAX_DISTANCE + 1}, f"an edge has a distance above {MAX_DISTANCE}"),
        ({"a": 1, "b": 1}, {"lag": "1"}, "edge 'a' -> 'b': lag must be a whole number"),
        ({"a": 1, "b": 1}, {"distance": 1, "delay_layer": "l"}, "edge 'a' -> 'b': give either distance or delay_layer, not both"),
        ({"a": 1, "b": 1}, {"delay_layer": "l"}, "the edge with a delay layer from 'a' must start at a task of kind U"),
    ],
)
def test_what_cannot_be_used_is_named(nodes: dict[str, Any], edges: dict[str, Any], message: str) -> None:
    graph: nx.DiGraph = nx.DiGraph()
    for name, cycles in nodes.items():
        graph.add_node(name, **({} if cycles is None else {"cycles": cycles}))
    if edges:
        graph.add_edge("a", "b", **edges)
    with pytest.raises(InputError, match=message):
        Problem.from_graph(graph, unlike_platform())


@pytest.mark.parametrize("key", ["macs", "weight_bytes", "output_bytes", "stash_bytes"])
def test_a_negative_size_names_its_task(key: str) -> None:
    graph = small_graph({"a": 1})
    graph.nodes["a"][key] = -1
    with pytest.raises(InputError, match=f"task 'a': {key} must be between 0"):
        Problem.from_graph(graph)


def test_cost_terms_come_along_with_their_shares() -> None:
    graph = small_graph({"a": 1})
    graph.graph["cost_terms"] = {"gemm": 1.5, "sparsity": -0.5}
    assert Problem.from_graph(graph).cost_terms == (CostTerm(name="gemm", share=1.5), CostTerm(name="sparsity", share=-0.5))
    with pytest.raises(InputError, match="two cost terms have the same name"):
        replace(Problem.from_graph(graph), cost_terms=(CostTerm(name="gemm", share=1.0),) * 2)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (("gemm",), "cost_terms must be a mapping from name to share"),
        ({"gemm": "all"}, "cost_terms must be a mapping from name to share"),
        ({"gemm": float("nan")}, "cost term 'gemm': its share must be a finite number"),
    ],
)
def test_cost_terms_without_shares_are_refused(terms: Any, message: str) -> None:
    graph = small_graph({"a": 1})
    graph.graph["cost_terms"] = terms
    with pytest.raises(InputError, match=message):
        Problem.from_graph(graph)


def test_a_tensor_has_one_size() -> None:
    graph = small_graph({"a": 1, "b": 1, "c": 1}, {("a", "b"): {"tensors": {"x": 4}}, ("a", "c"): {"tensors": {"x": 5}}})
    with pytest.raises(InputError, match="edge 'a' -> 'c': tensor 'x' has 5 bytes here and 4 elsewhere"):
        Problem.from_graph(graph)


@pytest.mark.parametrize("graph", [nx.Graph(), nx.MultiDiGraph(), {"a": 1}, None])
def test_other_graphs_are_refused(graph: Any) -> None:
    with pytest.raises(InputError, match=r"must be a networkx\.DiGraph"):
        Problem.from_graph(graph)


def test_names_that_look_alike_are_refused() -> None:
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_node(1, cycles=1)
    graph.add_node("1", cycles=1)
    with pytest.raises(InputError, match="two tasks have the same name"):
        Problem.from_graph(graph)


@pytest.mark.parametrize("processors", [0, -1])
def test_no_processors_are_refused(processors: int) -> None:
    with pytest.raises(InputError, match="at least one processor"):
        Problem.from_graph(small_graph({"a": 1}), processors)


# -- cycles ------------------------------------------------------------------------------------------


def test_a_cycle_within_an_iteration_names_a_task_on_it() -> None:
    """Not one that merely waits for it."""
    edges = {("start", "x"): {}, ("x", "y"): {}, ("y", "x"): {}, ("y", "after"): {}, ("after", "end"): {}}
    graph = small_graph({"start": 1, "x": 1, "y": 1, "after": 1, "end": 1}, edges)
    with pytest.raises(InputError, match=r"cycle through task '[xy]'; an edge to a later iteration needs distance >= 1"):
        Problem.from_graph(graph)
    graph.edges["y", "x"]["distance"] = 1
    assert Problem.from_graph(graph).mode == "periodic"


def test_a_task_that_waits_for_itself_is_refused() -> None:
    with pytest.raises(InputError, match="edge 'a' -> 'a': a task that waits for itself needs distance >= 1"):
        Problem.from_graph(small_graph({"a": 1}, [("a", "a")]))


def test_a_long_cycle_is_found_quickly() -> None:
    n = 30_000
    graph = small_graph({f"t{i}": 1 for i in range(n)}, [(f"t{i}", f"t{(i + 1) % n}") for i in range(n)])
    with pytest.raises(InputError, match="cycle through task 't"):
        Problem.from_graph(graph)


def test_edges_over_iterations_may_close_cycles() -> None:
    problem = Problem.from_graph(small_graph({"a": 1, "b": 1}, {("a", "b"): {"distance": 1}, ("b", "a"): {"distance": 1}}))
    assert problem.instance.order.tolist() == [0, 1]


# -- written-out copies ------------------------------------------------------------------------------


def test_unrolled_copies_feed_one_another() -> None:
    """Copy i of u feeds copy (i + distance) mod K at distance floor((i + distance) / K)."""
    graph = small_graph({"a": 1, "b": 1}, {("a", "b"): {}, ("b", "a"): {"distance": 1}, ("a", "a"): {"distance": 4}})
    assert edge_names(Problem.from_graph(graph, 2, unroll=2)) == {
        ("a0", "b0", 0),
        ("a1", "b1", 0),
        ("b0", "a1", 0),
        ("b1", "a0", 1),
        ("a0", "a0", 2),
        ("a1", "a1", 2),
    }
    three = edge_names(Problem.from_graph(graph, 2, unroll=3))
    assert {("b2", "a0", 1), ("a0", "a1", 1), ("a1", "a2", 1), ("a2", "a0", 2)} <= three
    assert len(three) == 9


def test_micro_batches_share_their_updates() -> None:
    """One U; edges from before the first micro-batch vanish, and so do weights."""
    graph = small_graph({"F(a)": 1, "W(a)": 1, "U(a)": 1}, {("F(a)", "W(a)"): {}, ("W(a)", "U(a)"): {}, ("F(a)", "F(a)"): {"distance": 2}})
    graph.add_edge("U(a)", "U(a)", distance=1)
    graph.add_edge("U(a)", "F(a)", delay_layer="a", bytes=3)
    problem = Problem.from_graph(graph, 2, mode="finite", micro_batches=3)
    assert edge_names(problem) == {
        ("F(a)0", "W(a)0", 0),
        ("F(a)1", "W(a)1", 0),
        ("F(a)2", "W(a)2", 0),
        ("W(a)0", "U(a)0", 0),
        ("W(a)1", "U(a)0", 0),
        ("W(a)2", "U(a)0", 0),
        ("F(a)0", "F(a)2", 0),
    }
    assert problem.instance.delay_edge.size == 0


def test_updates_may_follow_updates_and_take_nothing_from_later_micro_batches() -> None:
    graph = small_graph({"W(a)": 1, "U(a)": 1, "U(b)": 1}, {("U(a)", "U(b)"): {}, ("W(a)", "U(b)"): {"distance": 1}, ("U(a)", "W(a)"): {"distance": 1}})
    assert edge_names(Problem.from_graph(graph, 2, mode="finite", micro_batches=2)) == {("U(a)0", "U(b)0", 0)}


def test_in_finite_mode_nothing_follows_an_update() -> None:
    """It would have to be dropped: all micro-batches come before the update."""
    graph = small_graph({"U(a)": 1, "report": 1}, [("U(a)", "report")])
    with pytest.raises(InputError, match=r"'report' waits for the update 'U\(a\)' of its own iteration"):
        Problem.from_graph(graph, mode="finite")
    assert edge_names(Problem.from_graph(graph, mode="periodic")) == {("U(a)0", "report0", 0)}


# -- options -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "cyclic"}, "mode must be periodic or finite"),
        ({"weights": "newest"}, "weights must be stash or latest, got 'newest'"),
        ({"unroll": 0}, "unroll must be at least 1"),
        ({"mode": "finite", "unroll": 2}, "unroll belongs to periodic mode"),
        ({"micro_batches": 2}, "micro_batches belong to finite mode"),
        ({"mode": "finite", "micro_batches": 0}, "micro_batches must be at least 1"),
        ({"objective": ("makespan",)}, "'makespan' is not an objective of periodic mode; choose from period, delay, traffic, memory"),
        ({"objective": ("period", "period")}, "an objective is named twice"),
        ({"limits": Limits(layer_delay=(("l7", 2),))}, "there is no layer 'l7'"),
        ({"limits": Limits(makespan_cycles=9)}, "a periodic schedule has no makespan"),
        ({"mode": "finite", "limits": Limits(period_cycles=9)}, "a finite schedule has no period"),
        ({"unroll": MAX_CELLS}, f"more than {MAX_CELLS}"),
        ({"unroll": 20_000}, f"more than {MAX_CELLS}"),  # each pair of an update's and a reader's copy
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        training_problem(2, 2, **options)


@pytest.mark.parametrize(
    "limits",
    [
        {"delay": 0},
        {"delay": 1.5},
        {"delay": True},
        {"period_cycles": -1},
        {"traffic_bytes": -1},
        {"span_cycles": MAX_INT + 1},
        {"layer_delay": (("a", 0),)},
        {"layer_delay": (("a", "2"),)},
    ],
)
def test_limits_are_whole_and_positive(limits: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"limits: .* must be a whole number between"):
        Limits(**limits)


def test_the_tighter_delay_limit_counts() -> None:
    problem = training_problem(3, 2, limits=Limits(delay=4, layer_delay=(("l0", 2), ("l1", 9), ("l0", 3))))
    assert problem.delay_limits.tolist() == [2, 4, 4]
    assert training_problem(2, 2).delay_limits.tolist() == [MAX_INT] * 2


# -- large numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [MAX_INT + 1, -MAX_INT - 1, -(2**63), 2**63, 2**64 - 1, 2**64, 10**30])
def test_a_number_out_of_range_never_wraps_around(value: int) -> None:
    with pytest.raises(InputError, match=r"larger than|whole numbers"):
        ints([1, value])


def test_numbers_at_the_limit_are_kept() -> None:
    assert ints([-MAX_INT, MAX_INT]).tolist() == [-MAX_INT, MAX_INT]
    assert ints([]).tolist() == []
    graph = small_graph({"a": MAX_INT, "b": MAX_INT}, {("a", "b"): {"bytes": MAX_INT, "lag": -MAX_INT, "distance": MAX_DISTANCE}})
    assert Problem.from_graph(graph, 2).instance.duration.tolist() == [[MAX_INT] * 2] * 2


@pytest.mark.parametrize("values", [[0.5], ["1"], [True], [None]])
def test_only_whole_numbers_are_taken(values: list[Any]) -> None:
    with pytest.raises(InputError, match="whole numbers"):
        ints(values)


def test_too_much_work_is_refused() -> None:
    """Times of such schedules would not fit in 64 bits."""
    graph = small_graph({f"t{i}": MAX_INT for i in range(20)})
    with pytest.raises(InputError, match=f"more than {MAX_TIME}"):
        Problem.from_graph(graph)


def test_too_many_bytes_are_refused() -> None:
    graph = small_graph({"a": 1, "b": 1}, {("a", "b"): {"bytes": MAX_INT}})
    with pytest.raises(InputError, match="bytes, more than"):
        Problem.from_graph(graph, 1, mode="finite", micro_batches=2**21)


@pytest.mark.parametrize("link", [{"latency_cycles": 10**30}, {"bandwidth_bytes_per_cycle": 10**30}])
def test_links_stay_in_range(link: dict[str, int]) -> None:
    machine = replace(platform(), interconnect=Interconnect(**link))  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="interconnect"):
        Problem.from_graph(small_graph({"a": 1, "b": 1}, {("a", "b"): {"bytes": 3}}), machine)


# -- parts that do not fit together ------------------------------------------------------------------


def changed(problem: Problem, tasks: dict[str, Any], edges: dict[str, Any], **changes: Any) -> Problem:
    return replace(problem, tasks=replace(problem.tasks, **tasks), edges=replace(problem.edges, **edges), **changes)


@pytest.mark.parametrize(
    ("tasks", "edges", "changes", "message"),
    [
        ({"kinds": ("F",)}, {}, {}, "one entry per task"),
        ({"cycles": ints([[1, 1]] * 3)}, {}, {}, "one row per task"),
        ({"layer": ints([0, 0, 3])}, {}, {}, "an unknown layer"),
        ({"macs": ints([0, 0, -1])}, {}, {}, "sizes must not be negative"),
        ({}, {"lag": ints([0])}, {}, "one entry per edge"),
        ({}, {"source": ints([0, 3])}, {}, "an unknown task"),
        ({}, {"tensor": ints([0, 1])}, {}, "an unknown tensor"),
        ({}, {"tensor_ptr": ints([0, 2, 1])}, {}, "tensor_ptr does not fit"),
        ({}, {"tensor_ptr": ints([0, 2, 2]), "tensor": ints([0, 0])}, {}, "the same tensor twice"),
        ({}, {"distance": ints([-1, 0])}, {}, "either a distance >= 0 or a delay layer"),
        ({}, {}, {"tensor_bytes": ints([4, 4])}, "tensor_ptr does not fit"),
        ({}, {}, {"tensors": ("x", "x"), "tensor_bytes": ints([4, 4])}, "two tensors have the same name"),
        ({}, {}, {"processors": ()}, "it has no processors"),
        ({}, {}, {"layers": ("a", "a")}, "two layers have the same name"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tasks: dict[str, Any], edges: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    graph = small_graph({"F(a)": 1, "W(a)": 1, "U(a)": 1}, {("F(a)", "W(a)"): {"tensors": {"x": 4}}, ("W(a)", "U(a)"): {"tensors": {"x": 4}}})
    problem = Problem.from_graph(graph, platform(), mode="periodic")
    assert isinstance(problem.tasks, Tasks)
    assert isinstance(problem.edges, Edges)
    with pytest.raises(InputError, match=message):
        changed(problem, tasks, edges, **changes)


def test_layers_come_in_topological_order() -> None:
    """As listed; else as tasks can run."""
    graph = training_graph(3, names=("last", "middle", "first"))
    assert Problem.from_graph(graph, platform()).layers == ("last", "middle", "first")
    del graph.graph["layers"]
    turned: nx.DiGraph = nx.DiGraph()
    turned.add_nodes_from(sorted(graph.nodes(data=True)))
    turned.add_edges_from(graph.edges(data=True))
    assert Problem.from_graph(turned, platform()).layers == ("last", "middle", "first")


def test_a_class_without_a_processor_plays_no_part() -> None:
    classes = {"used": SystolicArray(rows=1, cols=1), "idle": SystolicArray(rows=1, cols=1)}
    machine = Platform(name="idle", classes=classes, processors=("used",), interconnect=Interconnect(), clock_hz=1)
    with pytest.raises(InputError, match="no processor can run task 'a'"):
        Problem.from_graph(small_graph({"a": {"idle": 1}}), machine)
    assert Problem.from_graph(small_graph({"a": {"idle": 1, "used": 2}}), machine).classes == ("used",)


def test_arrays_are_read_only() -> None:
    problem = training_problem()
    for array in (problem.tasks.cycles, problem.edges.source, problem.instance.duration, problem.tensor_bytes):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
