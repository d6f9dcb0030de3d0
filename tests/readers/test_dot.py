"""Task graphs in DOT: the field's own files, and those of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spikepipe_sched import InputError, Problem, RepairWarning, check, load_problem, solve
from tests.helpers import by_hand
from tests.readers.samples import DOT, shape


def read(folder: Path, text: str, processors: int = 2, **options: Any) -> Problem:
    path = folder / "x.dot"
    path.write_text(text, encoding="utf-8", newline="")
    return load_problem(path, processors=processors, **options)


def edges_of(folder: Path, body: str) -> dict[tuple[str, str], int]:
    """The bytes of every edge of a graph whose nodes have 1 cycle."""
    return {ends: size for ends, (_, _, size) in shape(read(folder, f"digraph {{ node [weight=1]; {body} }}"))[1].items()}


def test_weights_are_cycles_of_tasks_and_of_transfers(tmp_path):
    path = tmp_path / "fork.dot"
    path.write_text(DOT)
    problem = load_problem(path)
    tasks, edges = shape(problem)
    assert tasks == {"0": [4], "b c": [6], "d": [2]}
    assert edges == {("0", "b c"): (0, 0, 30), ("0", "d"): (0, 0, 0)}
    assert (problem.name, len(problem.processors)) == ("fork", 3)
    assert len(load_problem(path, processors=5).processors) == 5


def test_a_transfer_takes_exactly_its_weight_between_processors_and_nothing_on_one(tmp_path):
    problem = read(tmp_path, "digraph { a -> b [weight=7]; a [weight=2]; b [weight=3] }")
    assert check(problem, by_hand(problem, {"a": (0, 0), "b": (1, 9)})) == ()
    assert check(problem, by_hand(problem, {"a": (0, 0), "b": (1, 8)})) != ()
    assert check(problem, by_hand(problem, {"a": (0, 0), "b": (0, 2)})) == ()


def test_links_do_not_wait_for_each_other(tmp_path):
    """Both children start at 1 + 4 on processors of their own: 8; one after the other on one processor: 7."""
    text = "digraph { a [weight=1]; b [weight=3]; c [weight=3]; a -> b [weight=4]; a -> c [weight=4] }"
    problem = read(tmp_path, text, processors=3)
    assert check(problem, by_hand(problem, {"a": (0, 0), "b": (1, 5), "c": (2, 5)})) == ()
    assert solve(problem, "cpsat", deterministic_limit=2.0, workers=1).objective == 7


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("a -> b -> c [weight=3]", {("a", "b"): 3, ("b", "c"): 3}),
        ("a->b[COMM=3]b->c[bytes=4,];a->c[latency=5;]", {("a", "b"): 3, ("b", "c"): 4, ("a", "c"): 5}),
        ("a->b[cost=3] b->c[Cycles=4] a->c[duration=5, label=9]", {("a", "b"): 3, ("b", "c"): 4, ("a", "c"): 5}),
        ("a->b[penwidth=2.5, minlen=2, label=data]", {("a", "b"): 0}),
        ("edge [Weight=2]; a -> b; edge [Weight=9] b -> c; a -> c [Weight=1]", {("a", "b"): 2, ("b", "c"): 9, ("a", "c"): 1}),
        ("a -> {b c} -> d [weight=1]", {("a", "b"): 1, ("a", "c"): 1, ("b", "d"): 1, ("c", "d"): 1}),
        ("subgraph cluster_0 { edge [weight=5]; label=x; a -> b } b -> c", {("a", "b"): 5, ("b", "c"): 0}),
        ("a:out:s -> b:in # a comment\n// another\n/* and\n one */ -> c", {("a", "b"): 0, ("b", "c"): 0}),
        ('"a" -> "b" + "b"', {("a", "bb"): 0}),
        ('"say \\"hi\\"" -> "->"', {('say "hi"', "->"): 0}),
        ("a -> b [label=<x <i>y</i> &gt; z>, weight=1]", {("a", "b"): 1}),
        ("é -> ß_1 -> -3.5", {("é", "ß_1"): 0, ("ß_1", "-3.5"): 0}),
    ],
)
def test_the_language_of_other_tools(tmp_path, body, found):
    assert edges_of(tmp_path, body) == found


@pytest.mark.parametrize("key", ["weight", "Weight", "cost", "cycles", "DURATION"])
def test_cycles_have_several_names(tmp_path, key):
    assert shape(read(tmp_path, f'digraph g {{ a [{key}="4"] }}'))[0] == {"a": [4]}


def test_a_node_has_the_attributes_of_every_place_that_names_it_and_defaults_of_the_first(tmp_path):
    text = "digraph { node [weight=2]; a; node [weight=3]; b; a [color=red]; b [weight=5]; subgraph { node [weight=7] c } d }"
    assert shape(read(tmp_path, text))[0] == {"a": [2], "b": [5], "c": [7], "d": [3]}


def test_numbers_on_edges_under_unknown_names_are_warned_of_once(tmp_path):
    with pytest.warns(RepairWarning) as caught:
        assert edges_of(tmp_path, "\na -> b [volume=7];\nb -> c [size=2.5, penwidth=1]; a -> c [weight=1, size=4]") == {
            ("a", "b"): 0,
            ("b", "c"): 0,
            ("a", "c"): 1,
        }
    (warning,) = caught
    says = "x.dot:2: the edge 'a' -> 'b' moves nothing, and 1 more like it: 'volume' = 7 is passed over, only weight, cost, cycles, duration, comm, bytes, latency are read"
    assert str(warning.message).endswith(says)


def test_a_strict_graph_may_repeat_an_edge(tmp_path):
    problem = read(tmp_path, "STRICT digraph { node [weight=1] a -> b [weight=1] a -> b [weight=4] }")
    assert shape(problem)[1] == {("a", "b"): (0, 0, 4)}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ":1: expected 'digraph', but the file ends here"),
        ("\n\ngraph { a -- b }", ":3: an undirected graph"),
        ("digraph {\n a -- b }", ":2: an edge without a direction"),
        ("digraph {\n a [weight=1]", ":2: expected a node, but the file ends here"),
        ("digraph { a [weight=1] }\ndigraph { b }", ":2: expected nothing after the graph"),
        ("digraph {\n a\n}", ":2: the task 'a' has no cycles"),
        ("digraph {\n a [weight=1.5]\n}", ":2: weight of the task 'a' must be a whole number from 0 to 2^42, got '1.5'"),
        ("digraph {\n a [weight=\n-1]\n}", ":3: weight of the task 'a' must be"),
        ("digraph {\n a [weight=1, Cost=2]\n}", ":2: the task 'a' has weight='1' and Cost='2'; leave one of them"),
        ("digraph {\n a [weight]\n}", ":2: expected '=' after the attribute 'weight', got ']'"),
        ("digraph { a [weight=1]\n a -> a }", ":2: the task 'a' waits for itself"),
        ("digraph { node [weight=1]\n a -> b\n a -> b }", ":3: the edge 'a' -> 'b' stands twice, first in line 2"),
        ("digraph { node [weight=1] a -> b -> a }", ": tasks wait for each other in a circle: 'a' -> 'b' -> 'a'"),
        ("digraph { }", ": there are no tasks in it"),
        ('digraph {\n "a }', ":2: the quoted text that starts here has no end"),
        ("digraph {\n /* a }", ":2: the comment that starts here has no end"),
        ("digraph {\n a [label=<b] }", ":2: the label in <...> that starts here has no end"),
        ("digraph {\n 12ab [weight=1] }", ":2: '12ab [weig' is no DOT"),
        ("digraph {\n a\0 }", ":2: '\\x00 }' is no DOT"),
        ('digraph {\n "a\tb" [weight=1] }', ":2: a task must be text of 1 to 200 printable characters"),
        ("digraph {\n a [weight 1] }", ":2: expected '=' after the attribute 'weight', got '1'"),
        ('digraph {\n "a" + b }', ":2: expected quoted text after '+', got 'b'"),
        ("digraph {\n a -> }", ":2: expected a node, got '}'"),
        ('digraph {\n TargetSystem="Ring-3"; a [weight=1] }', ":2: TargetSystem must be Homogeneous-P"),
        ('digraph {\n TargetSystem="Homogeneous-0"; a [weight=1] }', ":2: TargetSystem must be Homogeneous-P"),
        ("digraph { " + "{" * 100 + "}" * 100 + " }", ":1: subgraphs are nested more than 64 deep"),
    ],
)
def test_damage_is_one_line_with_file_and_line(tmp_path, text, says):
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'x.dot'}{says}")
    assert str(caught.value).isprintable()


def test_groups_of_nodes_make_no_more_edges_than_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("spikepipe_sched.readers.dot_graph.MAX_EDGES", 8)
    with pytest.raises(InputError, match=r":2: more than 8 edges"):
        edges_of(tmp_path, "\n{a b c} -> {d e f}")
