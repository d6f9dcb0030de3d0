"""Solvers side by side, drawn: one axis for all, every solver there, names and texts kept as text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import networkx as nx
import pytest

from spikepipe_sched import InputError, Problem, compare
from spikepipe_sched.comparison import Comparison
from spikepipe_sched.export import comparison as module
from spikepipe_sched.export import panels as panels_module
from spikepipe_sched.export.comparison import comparison_page, comparison_text
from spikepipe_sched.export.text import cells_in, chart_lines
from tests.helpers import hand_result, training_problem
from tests.pages import EVIL, Tags, evil_problem


def periodic() -> Comparison:
    return compare(training_problem(3, 2), ["stages", "sequential"])


def finite() -> Comparison:
    return compare(training_problem(3, 2, mode="finite", micro_batches=3), ["stages", "sequential", "list"])


def lengths(comparison: Comparison) -> dict[str, int]:
    return {row.solver: row.length_cycles for row in comparison.rows if row.length_cycles is not None}


def drawn(comparison: Comparison) -> dict[str, Any]:
    """The figure as a browser gets it."""
    return json.loads(comparison.gantt().to_json() or "")


def evil() -> Comparison:
    found = compare(evil_problem(), ["stages", "sequential"])
    texts = {"solver": EVIL[0], "source": EVIL[1], "optimises": EVIL[2], "ignores": EVIL[1], "bound_source": EVIL[2]}
    rows = (replace(found.rows[0], **texts), replace(found.rows[1], note=EVIL[0]))
    return replace(found, rows=rows, baseline_note=EVIL[1], left_out=((EVIL[0], EVIL[2]),))


def test_in_text_the_end_of_a_run_stands_where_its_length_puts_it():
    comparison = finite()
    longest, cells = max(lengths(comparison).values()), cells_in(comparison.problem, 100)
    for row in comparison.rows:
        assert row.result is not None
        assert row.length_cycles is not None
        lines = [line.split("|")[1] for line in chart_lines(row.result, 100, longest) if "|" in line]
        assert {len(line) for line in lines} == {cells}
        ends = max(len(line.rstrip()) for line in lines)
        assert ends == -(-row.length_cycles * cells // longest)


def test_the_text_names_the_axis_once_and_every_length():
    comparison = finite()
    text = comparison_text([comparison])
    assert text.count("one axis") == 1
    assert f"one axis of {max(lengths(comparison).values()):,} cycles" in text
    for name, length in lengths(comparison).items():
        assert f"{name}: makespan {length:,}" in text


def test_in_text_a_short_period_is_repeated_up_to_the_end_of_the_axis():
    result = hand_result(training_problem(2, 2))
    assert result.metrics is not None
    period = result.metrics.length_cycles
    width = 3 * period + 100 - cells_in(result.problem, 100)  # a column is a cycle
    once, thrice = chart_lines(result, width, period), chart_lines(result, width, 3 * period)
    for first, second in zip(once[:-1], thrice[:-1], strict=True):
        assert first.rsplit("|", 1)[1] == second.rsplit("|", 1)[1]  # busy as much
        cells = second.split("|")[1]
        assert cells == cells[:period] * 3


def test_micro_batches_are_numbered_where_there_is_room():
    comparison = compare(training_problem(2, 2, mode="finite", micro_batches=3), ["sequential"])
    (row,) = comparison.rows
    assert row.result is not None
    wide, narrow = (
        chart_lines(row.result, width, length)[0].split("|")[1] for width, length in ((400, row.length_cycles or 0), (40, 50 * (row.length_cycles or 0)))
    )
    assert set("012") <= set(wide)
    assert not set(wide) & set("3456789")
    assert not set(narrow) & set("0123456789")


def test_the_panels_share_an_axis_and_bars_are_as_long_as_their_tasks():
    for comparison in (periodic(), finite()):
        figure = drawn(comparison)
        layout, instance = figure["layout"], comparison.problem.instance
        axes = [layout[key] for key in layout if key.startswith("xaxis")]
        assert len(axes) == len(comparison.rows)
        assert {tuple(axis["range"]) for axis in axes} == {(0, max(lengths(comparison).values()))}
        assert {axis.get("matches", "x") for axis in axes} <= {"x", "x2", "x3"}
        takes = {comparison.problem.tasks.names[int(task)]: int(duration.max()) for task, duration in zip(instance.task, instance.duration, strict=True)}
        seen = {trace.get("xaxis", "x") for trace in figure["data"]}
        assert len(seen) == len(comparison.rows)
        for trace in figure["data"]:
            assert all(x == takes[about[0]] for x, about in zip(trace["x"], trace["customdata"], strict=True))
        titles = " ".join(note["text"] for note in layout["annotations"])
        assert all(f"{name}: " in titles for name in lengths(comparison))
        marks = sorted(shape["x0"] for shape in layout["shapes"])
        assert marks == sorted(lengths(comparison).values())


def test_the_legend_names_every_kind_once():
    traces = drawn(finite())["data"]
    shown = [trace["legendgroup"] for trace in traces if trace["showlegend"]]
    assert len(shown) == len(set(shown)) == len({trace["legendgroup"] for trace in traces})


def test_a_chart_that_is_cut_says_so(monkeypatch: pytest.MonkeyPatch):
    comparison = finite()
    longest = max(lengths(comparison).values())
    monkeypatch.setattr(panels_module, "MAX_BARS", 20)
    figure = drawn(comparison)
    assert sum(len(trace["x"]) for trace in figure["data"]) <= 20
    assert f"of {longest:,} cycles" in figure["layout"]["title"]["text"]
    assert f"of {longest:,} cycles" in comparison_page([comparison])
    monkeypatch.setattr(module, "MAX_TEXT_BARS", 20)
    assert "cycles are drawn" in comparison_text([comparison])


def test_the_page_holds_every_solver_and_needs_nothing_from_outside():
    comparisons = [finite(), compare(training_problem(3, 3, mode="finite", micro_batches=3), ["stages", "modulo"])]
    page = comparison_page(comparisons)
    parsed = Tags(page)
    assert not [value for name, value in parsed.attributes if name in ("src", "href")]
    assert "link" not in parsed.tags
    assert parsed.attributes.count(("class", "plot")) == 2
    assert len(page) < 1.5 * 5_000_000  # plotly's script is inside once
    text = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    for name in ("stages", "sequential", "list", "modulo"):
        assert f">{name}</td>" in text
    assert "Schedules on 2 processors" in text
    assert "Schedules on 3 processors" in text
    assert "not supported" in text


def test_a_page_of_no_schedules_has_the_table():
    text = comparison_page([compare(training_problem(2, 2), ["list"])])
    assert "not supported" in text
    assert "Plotly" not in text


@pytest.mark.parametrize("render", [lambda c: comparison_page([c]), lambda c: c._repr_html_()], ids=["page", "cell"])
def test_names_and_texts_stay_text(render):
    harmless, hostile = Tags(render(periodic())), Tags(render(evil()))
    assert set(hostile.tags) == set(harmless.tags)
    assert "img" not in hostile.tags
    assert not [name for name, _ in hostile.attributes if name.startswith("on")]
    assert hostile.tags.count("script") == harmless.tags.count("script")
    for script in hostile.scripts:
        if "alert(1)" in script:
            assert "<img" not in script
            assert "</" not in script.replace("<\\/", "")


def test_text_cannot_steer_the_terminal():
    found = periodic()
    rows = (replace(found.rows[0], solver="\x1b[2J", note="\x1b[31m", optimises="a\nb", bound_source="\x1b[1m"), found.rows[1])
    text = str(replace(found, rows=rows, left_out=(("\x1b[0m", "\x1b[0m"),), baseline_note="\x1b[0m"))
    assert "\x1b" not in text
    assert "a\nb" not in text


def test_the_cell_has_a_chart_for_each_schedule_and_no_script():
    parsed = Tags(finite()._repr_html_())
    assert "script" not in parsed.tags
    assert parsed.tags.count("svg") == 3


def test_a_cell_with_too_many_bars_is_drawn_as_text(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_PIECES", 5)
    cell = evil()._repr_html_()
    assert "<svg" not in cell
    assert "<pre>" in cell


def test_the_gap_is_named_after_an_objective_other_than_the_length():
    found = compare(training_problem(2, 2, objective=("memory", "period")), ["sequential"])
    assert "gap of peak memory" in str(found).splitlines()[0]
    assert "no peak memory is below" in str(found)


def test_the_table_says_how_many_iterations_a_period_has():
    text = str(compare(training_problem(2, 2, unroll=2), ["sequential"]))
    assert "period of 2 iterations" in text.splitlines()[0]


def test_finite_problems_have_a_bubble_where_periodic_ones_say_how_busy_processors_are():
    def column(comparison: Comparison, title: str) -> list[str]:
        header, *lines = [re.split(r"\s{2,}", line.strip()) for line in str(comparison).splitlines()[: len(comparison.rows) + 1]]
        return [line[header.index(title)] for line in lines]

    run, loop = finite(), periodic()
    assert column(run, "bubble") == [f"{100 * (1 - (row.utilisation or 0)):.1f} %" for row in run.rows]
    assert column(loop, "busy") == [f"{100 * (row.utilisation or 0):.1f} %" for row in loop.rows]
    assert "busy" not in str(run).splitlines()[0]
    assert "bubble" not in str(loop).splitlines()[0]


def test_delays_have_a_column_where_weights_are_updated():
    loop: nx.DiGraph[str] = nx.DiGraph()
    loop.add_node("a", kind="F", layer="a", cycles=3)
    loop.add_edge("a", "a", distance=1)
    assert "sum of delays" in str(periodic()).splitlines()[0]
    assert "delays" not in str(compare(Problem.from_graph(loop, 2), ["modulo"])).splitlines()[0]


def test_without_a_schedule_there_is_no_figure():
    found = compare(training_problem(2, 2), ["list"])
    with pytest.raises(InputError, match="no schedule"):
        found.gantt()
    assert "not supported" in str(found)
    assert "not supported" in found._repr_html_()


def test_documents_are_written_where_asked(tmp_path):
    found = periodic()
    assert found.to_json(tmp_path / "c.json") + "\n" == (tmp_path / "c.json").read_text()
    assert found.to_html(tmp_path / "c.html") + "\n" == (tmp_path / "c.html").read_text()
