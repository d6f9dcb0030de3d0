"""HatScheT's modulo graphs: the period is the least initiation interval."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from spikepipe_sched import InputError, Limits, Problem, load_problem, solve
from tests.readers.samples import GRAPHML, RESOURCES, graphml, resources, shape
from tests.solvers.goldens import FILE


def read(folder: Path, graph: str = GRAPHML, units: str = RESOURCES, **options: Any) -> Problem:
    (folder / "x.graphml").write_text(graph, encoding="utf-8")
    (folder / "x_RM.xml").write_text(units, encoding="utf-8")
    return load_problem(folder / "x.graphml", resources=folder / "x_RM.xml", **options)


def least_period(problem: Problem) -> int | float | None:
    return solve(problem, "modulo", deterministic_limit=1.0, workers=1).objective


def test_resources_become_units_and_what_comes_after_blocking_a_lag(tmp_path):
    problem = read(tmp_path)
    assert problem.classes == ("add", "mul", "unlimited")
    assert [problem.classes[p.kind] for p in problem.processors] == ["mul", "mul", "add", "unlimited"]
    tasks, edges = shape(problem)
    assert tasks == {"in": [-1, -1, 0], "mul1": [-1, 1, -1], "add1": [2, -1, -1], "add2": [2, -1, -1]}
    assert edges == {("in", "mul1"): (0, 0, 0), ("mul1", "add1"): (0, 4, 0), ("add1", "add2"): (1, 3, 0), ("add2", "add2"): (3, 1, 0)}
    assert (problem.mode, problem.objective, problem.name) == ("periodic", ("period",), "x")


@pytest.mark.parametrize(
    ("limit", "blocking", "operations", "period"),
    [(1, 1, 4, 4), (2, 1, 4, 2), (3, 1, 4, 2), (2, 2, 3, 4), (1, 3, 2, 6), (3, 2, 4, 4), (-1, 5, 9, 1), ("inf", 5, 9, 1)],
)
def test_the_period_of_independent_operations_is_that_of_their_units(tmp_path, limit, blocking, operations, period):
    """Each unit takes whole operations only: blocking * ceil(operations / limit)."""
    graph = graphml({f"v{i}": "unit" for i in range(operations)}, [])
    assert least_period(read(tmp_path, graph, resources({"unit": (limit, 5, blocking)}))) == period


@pytest.mark.parametrize(
    ("edges", "period"),
    [
        ([("a", "b", 0, 0), ("b", "a", 1, 0)], 8),  # 3 + 5 in one iteration
        ([("a", "b", 0, 0), ("b", "a", 2, 0)], 4),
        ([("a", "b", 0, 0), ("b", "a", 3, 0)], 3),
        ([("a", "b", 0, 1), ("b", "a", 1, 2)], 11),
        ([("a", "b", 0, -2), ("b", "a", 1, 0)], 6),
        ([("a", "b", 0, 0), ("a", "b", 1, 0), ("b", "a", 1, 0)], 8),  # the second edge follows from the first
        ([("a", "b", 0, 0), ("a", "b", 1, 20), ("b", "a", 1, 0)], 14),  # (3 + 20 + 5) / 2 > 3 + 5
        ([("a", "b", 0, 0), ("a", "b", 1, 4), ("b", "a", 1, 0)], 8),  # (3 + 4 + 5) / 2 < 3 + 5
        ([("a", "b", 0, 0), ("a", "b", 0, 9), ("b", "a", 1, 0)], 17),
        ([("a", "a", 2, 0)], 2),
    ],
)
@pytest.mark.parametrize("limit", [1, -1])
def test_the_period_of_a_loop_is_its_latencies_and_delays_over_its_distances(tmp_path, edges, period, limit):
    graph = graphml({"a": "add", "b": "mul"}, edges)
    assert least_period(read(tmp_path, graph, resources({"add": (limit, 3, 1), "mul": (limit, 5, 1)}))) == period


@pytest.mark.parametrize(
    "edges", [[], [("a", "b", 0, -3)], [("a", "b", 1, 0)], [("a", "a", 5, 0)], [("a", "a", 4, -3)], [("a", "a", 5, -3)], [("a", "a", 6, -9)]]
)
@pytest.mark.parametrize("limit", [1, -1])
def test_every_result_counts_towards_the_span(tmp_path, edges, limit):
    """The result of a is there after 5 cycles, whoever waits for it."""
    graph, units = graphml({"a": "mul", "b": "port"}, edges), resources({"mul": (limit, 5, 1), "port": (-1, 0, 0)})
    assert solve(read(tmp_path, graph, units, limits=Limits(span_cycles=5)), "modulo", deterministic_limit=1.0).objective == 1
    assert solve(read(tmp_path, graph, units, limits=Limits(span_cycles=4)), "modulo", deterministic_limit=1.0).schedule is None


def test_an_operation_of_no_latency_may_have_a_negative_delay(tmp_path):
    graph, units = graphml({"a": "port", "b": "port"}, [("a", "b", 0, -1)]), resources({"port": (-1, 0, 0)})
    assert shape(read(tmp_path, graph, units))[1] == {("a", "b"): (0, -1, 0)}


def test_keys_may_be_declared_and_ids_stand_for_missing_names(tmp_path):
    text = """<graphml><key id="d0" for="node" attr.name="uses_resource" attr.type="string"/><key id="d1" for="edge" attr.name="latency"/>
    <graph><node id="n0"><data key="d0"> mul </data></node><node id="n1"><data key="d0">mul</data></node><node id="modsched_info"/>
    <edge source="n0" target="n1"><data key="d1">2</data><data key="deptype">Precedence</data></edge></graph></graphml>"""
    tasks, edges = shape(read(tmp_path, text))
    assert set(tasks) == {"n0", "n1"}
    assert edges["n0", "n1"] == (0, 4 + 2, 0)


def test_equal_names_give_way_to_ids(tmp_path):
    text = GRAPHML.replace("add2", "add1")
    assert set(shape(read(tmp_path, text))[0]) == {"1", "2", "3", "4"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<graphml", "<graph", ":11: not valid XML: mismatched tag"),
        ("</graphml>", "", ":12: not valid XML: no element found"),
        ('"distance">1', '"distance">-1', ":9: distance of the edge 'add1' -> 'add2' must be a whole number from 0"),
        ('"distance">1', '"distance">65537', ":9: distance of the edge 'add1' -> 'add2' must be at most 65536, got 65537"),
        ('"delay">2', '"delay">two', ":9: delay of the edge 'add1' -> 'add2' must be a whole number"),
        ('<data key="delay">2</data>', '<data key="delay">2</data><data key="latency">2</data>', ":9: the edge 'add1' -> 'add2' has a delay and a latency"),
        ('source="3"', 'source="9"', ":9: the edge joins '9', which is no node"),
        ('source="3"', "", ":9: <edge> needs the attribute source"),
        ('id="2"><', 'id="1"><', ":4: the node '1' stands twice"),
        (">mul<", ">div<", ":4: there is no resource 'div' in "),
        ("uses_resource", "uses", ":3: the node 'in' names no resource"),
        ('target="4"><data key="distance">1', 'target="3"><data key="distance">0', ":9: the node 'add1' waits for itself in the same iteration"),
        ('target="4"><data key="distance">1', 'target="2"><data key="distance">0', ": tasks wait for each other in a circle: 'mul1' -> 'add1' -> 'mul1'"),
        ("?><graphml", '?><!DOCTYPE graphml [<!ENTITY a "b">]><graphml', ":1: a document type (<!DOCTYPE) is not read"),
        ("mul1", "&mul;", ":4: not valid XML: undefined entity"),
        ('"UTF-8"', '"klingon"', ":1: not "),
        ("<graphml xmlns", "<svg xmlns", ":11: not valid XML: mismatched tag"),
        ("<graph edge", "<graph/><graph edge", ":1: expected one <graph>, got 2"),
        ('"directed"', '"undirected"', ":2: an undirected graph"),
        ('<edge id="3_4"', '<edge directed="false" id="3_4"', ":9: an undirected edge"),
        ("<graph edge", '<key id="distance" for="edge"><default>1</default></key><graph edge', ":2: the default of the key 'distance' is not read"),
    ],
)
def test_damage_of_the_graph_is_one_line_with_file_and_line(tmp_path, old, new, says):
    with pytest.raises(InputError) as caught:
        read(tmp_path, GRAPHML.replace(old, new, 1))
    assert str(caught.value).startswith(f"{tmp_path / 'x.graphml'}{says}")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('limit="2"', 'limit="0"', ":3: limit of 'mul' (-1: unlimited) must be a whole number from 1"),
        ('blockingTime="1" latency="5"', 'blockingTime="0" latency="5"', ":3: blockingTime of 'mul' must be a whole number from 1"),
        ('latency="5"', 'latency="70000"', ":3: latency of 'mul' must be at most 65536 cycles, got 70000"),
        ('latency="5"', "", ":3: <Resource> needs the attribute latency"),
        ('name="add"', 'name="mul"', ":4: the resource 'mul' stands twice"),
        ('name="add"', 'name="unlimited"', ":4: 'unlimited' is kept for"),
        ('limit="2"', 'limit="4096"', ":1: more than 4096 units in all"),
        ("</Resources>", '</Resources><rt name="r"/>', ":7: reservation tables (<rt>) are not read"),
    ],
)
def test_damage_of_the_resources_names_their_file(tmp_path, old, new, says):
    with pytest.raises(InputError) as caught:
        read(tmp_path, units=RESOURCES.replace(old, new, 1))
    assert str(caught.value).startswith(f"{tmp_path / 'x_RM.xml'}{says}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<graphml>\n<graph/></graphml>", ":2: there are no nodes in it"),
        ("\n<svg/>", ":2: expected <graphml>, got <svg>"),
        ("<graphml/>", ":1: expected one <graph>, got 0"),
    ],
)
def test_xml_without_a_graph_is_refused(tmp_path, text, says):
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert str(caught.value) == f"{tmp_path / 'x.graphml'}{says}"


def test_a_task_may_have_the_name_that_an_edge_would_take(tmp_path):
    graph = graphml({"a": "add", "b": "add", "a -> b, 1": "add"}, [("a", "b", 0, 0), ("a", "b", 1, 9)])
    assert set(shape(read(tmp_path, graph))[0]) == {"a", "b", "a -> b, 1", "a -> b, 1'"}


def test_elements_nested_too_deeply_are_refused(tmp_path):
    with pytest.raises(InputError, match=r":1: elements are nested more than 64 deep"):
        read(tmp_path, "<a>" * 100 + "</a>" * 100)


def test_the_resource_file_is_asked_for_and_never_guessed(tmp_path):
    read(tmp_path)
    with pytest.raises(InputError, match=r"needs the file of its resources \(--resources FILE\.xml\); is it 'x_RM\.xml'\?"):
        load_problem(tmp_path / "x.graphml")


def test_units_are_part_of_the_problem(tmp_path):
    with pytest.raises(InputError, match=r"x\.graphml: its tasks are bound to the 4 processors of the file; there cannot be 2"):
        read(tmp_path, processors=2)


@pytest.mark.reference
def test_the_published_periods_are_found(tmp_path, reference_data):
    """The example of Oppermann et al. under each limit on the schedule's length, and van Dongen's loop, also unrolled."""
    data = tomllib.loads((reference_data / FILE).read_text(encoding="utf-8"))
    example, loop = data["moovac_example"], data["van_dongen"]
    latencies = dict(example["tasks"].values())
    units = resources({unit: (count, latencies[unit], example["blocking"]) for unit, count in example["units"].items()})
    graph = graphml({task: unit for task, (unit, _) in example["tasks"].items()}, [(u, v, d, 0) for u, v, d in example["edges"]])
    for span, period in example["answers"].items():
        assert least_period(read(tmp_path, graph, units, limits=Limits(span_cycles=int(span)))) == period
    tasks = dict.fromkeys(sorted({task for u, v, _ in loop["edges"] for task in (u, v)}), "add")
    graph = graphml(tasks, [(u, v, d, 0) for u, v, d in loop["edges"]])
    units = resources({"add": (loop["units"]["add"], loop["latency"], loop["blocking"])})
    assert least_period(read(tmp_path, graph, units)) == loop["answers"]["integer_II"]
    assert least_period(read(tmp_path, graph, units, unroll=3)) == 16
