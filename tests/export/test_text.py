"""The terminal chart, against goldens worked out by hand."""

import networkx as nx
import numpy as np

from spikepipe_sched.export.text import text_gantt
from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from tests.helpers import hand_result, pipelined_result, training_problem


def golden_cell(time: int) -> tuple[str, str]:
    """What p0 and p1 do in cycle ``time`` of the period, read off `pipelined_result` by hand."""
    first = "F" * 4 + "." + "W" * 4 + "U" + "." * 3
    second = "BB" + "WWWW" + "U" + "FFFF" + "BB"
    return first[time], second[time]


def test_a_period_by_hand() -> None:
    lines = text_gantt(pipelined_result(), 15 + 26).splitlines()
    cell = {"F": "█", "B": "▓", "W": "▒", "U": "░", ".": "·"}
    row = [line.split("|")[1] for line in lines[1:3]]
    assert len(row[0]) == 41 - 2 - len(" ||  100.0 %")
    for i in range(len(row[0])):
        low, high = 13 * i / len(row[0]), 13 * (i + 1) / len(row[0])
        if int(low) == int(high - 1e-9):  # the cell lies within one cycle
            assert (row[0][i], row[1][i]) == tuple(cell[kind] for kind in golden_cell(int(low)))
    assert "69.2 %" in lines[1]
    assert "100.0 %" in lines[2]


def test_golden() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph(name="by hand")
    graph.add_node("a", cycles=14, kind="F")
    graph.add_node("b", cycles=7, kind="B")
    graph.add_node("c", cycles=7)
    graph.add_edge("a", "b")
    problem = Problem.from_graph(graph, 2)
    result = hand_result(problem, Schedule(processor=np.array([0, 0, 1]), start=np.array([0, 14, 21])))
    assert text_gantt(result, 42) == (
        "by hand: the whole run, 28 cycles\n"
        "p0 |██████████████▓▓▓▓▓▓▓·······|   75.0 %\n"
        "p1 |·····················■■■■■■■|   25.0 %\n"
        "    0                         28\n"
        "█ F forward  ▓ B activation gradient  ■ task  · idle"
    )


def test_the_legend_says_what_digits_are_and_that_short_tasks_may_not_show() -> None:
    """Only where there are any: several micro-batches, and tasks shorter than a column."""
    several, one = (hand_result(training_problem(2, 2, mode="finite", micro_batches=count)) for count in (3, 1))
    assert several.metrics is not None
    digits, short = "digits: micro-batch", "tasks shorter than a column may not show"
    wide = several.metrics.length_cycles + 100
    assert digits in text_gantt(several, wide).splitlines()[-1]
    assert digits not in text_gantt(one, wide)
    assert short not in text_gantt(several, wide)
    assert short in text_gantt(several, 40).splitlines()[-1]


def test_every_width_is_kept_and_nothing_depends_on_chance() -> None:
    for result in (pipelined_result(), hand_result(training_problem(3, 3, mode="finite", micro_batches=3))):
        for width in (10, 40, 77, 200):
            text = text_gantt(result, width)
            rows = [line for line in text.splitlines() if "|" in line]
            assert {len(line) for line in rows} == {max(40, width)}
            assert text == text_gantt(result, width)


def test_names_cannot_steer_the_terminal() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph(name="\x1b[2J")
    graph.add_node("a\nb", cycles=1)
    assert "\x1b" not in text_gantt(hand_result(Problem.from_graph(graph, 1)))


def test_tasks_of_no_length_leave_no_mark() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, cycles in (("a", 1), ("b", 0), ("c", 1)):
        graph.add_node(name, cycles=cycles, kind="W")
    graph.add_edges_from([("a", "b"), ("b", "c")])
    problem = Problem.from_graph(graph, 1)
    text = text_gantt(hand_result(problem, Schedule(processor=np.array([0, 0, 0]), start=np.array([0, 3, 6]))), 42)
    assert text.splitlines()[1] == f"p0 |{'▒' * 4}{'·' * 20}{'▒' * 4}|   28.6 %"


def test_a_run_of_no_length() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("a", cycles=0)
    assert "0.0 %" in text_gantt(hand_result(Problem.from_graph(graph, 1)))
