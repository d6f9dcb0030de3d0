"""A sweep over delays as text, chart and page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spikepipe_sched.export.staleness import conditions, limits_note
from spikepipe_sched.network import Layer
from tests.pages import EVIL, Tags
from tests.sweeps import chain, measured, point

LOWS = {(1, 1): -0.4, (2, 2): -0.9, (4, 4): -3.0, (1, 0): 0.1, (4, 0): -0.3, (0, 1): -0.2, (4, 1): -0.6}


def test_the_table_has_a_row_for_every_profile_and_says_what_may_be_stale():
    sweep = measured(LOWS)
    sweep = replace(sweep, points=(*sweep.points, point((8, 8), -1.0, 0.5, diverged=1)))
    lines = str(sweep).splitlines()
    assert lines[0] == "chain on made up, adam at rate 0.002 (cosine), policy stash, loss rate, 3 epochs (60 updates of 16 samples), 2 seeds"
    rows = {line.split("  ")[0]: line.split() for line in lines[3:12]}
    assert rows["0"][1:] == ["synchronous", "91.00", "%"]
    assert rows["2"][1:] == ["uniform", "90.60", "%", "-0.40", "-0.90", "to", "+0.10", "0", "excluded"]
    assert rows["4"][-2:] == ["0", "shown"]
    assert rows["8"][-2:] == ["1", "shown"]
    assert rows["a 4, b 1"][4:5] == ["joint"]
    assert lines[-2].endswith("uniform staleness for which, and for all measured within it, a loss of 1 point or more is excluded: at most 2")
    assert lines[-1].endswith("excluded: at most a 4, b 1")


def test_the_table_says_where_nothing_may_be_stale():
    sweep = measured({(1, 1): -1.2})
    text = str(replace(sweep, setup=replace(sweep.setup, margin=0.5)))
    assert "not excluded" in text
    assert text.endswith("a loss of 0.5 points or more is excluded: only 0; more seeds, or a larger --tolerance, may allow some")


def test_more_seeds_are_advised_only_where_they_could_help():
    """The interval ends at -0.2: it shows a loss of more than 0.1 points."""
    sweep = measured({(1, 1): -1.2})
    nothing = "no measured staleness excludes a loss of {} points or more: nothing may be stale"
    advice = "; more seeds, or a larger --tolerance, may allow some"
    assert limits_note(sweep, 0.5, None) == f"{nothing.format(0.5)}{advice}; {conditions(sweep)}"
    assert limits_note(sweep, 0.1, None) == f"{nothing.format(0.1)}; {conditions(sweep)}"
    assert str(replace(sweep, setup=replace(sweep.setup, margin=0.1))).endswith("excluded: only 0")


def test_the_chart_shows_every_interval_at_its_staleness():
    figure: Any = measured(LOWS).curves()
    assert figure.layout.title.text == "chain on made up: accuracy with stale weights less that without"
    drawn = figure.data
    traces = {trace.name: trace for trace in drawn}
    assert list(traces) == ["uniform", "a alone", "b alone", "joint"]
    assert list(traces["a alone"].x) == [1, 4]
    assert list(traces["joint"].x) == [4]
    assert set(figure.layout.xaxis.tickvals) == {x for trace in drawn for x in trace.x}  # no halves
    for trace in drawn:
        lows = [mean - below for mean, below in zip(trace.y, trace.error_y.arrayminus, strict=True)]
        highs = [mean + above for mean, above in zip(trace.y, trace.error_y.array, strict=True)]
        assert lows == pytest.approx([about[1] for about in trace.customdata])
        assert highs == pytest.approx([about[2] for about in trace.customdata])


def test_the_cell_says_what_the_text_says_without_scripts():
    sweep = measured(LOWS)
    cell = sweep._repr_html_()
    assert set(Tags(cell).tags) <= {"div", "p", "table", "tr", "th", "td", "thead", "tbody"}
    lines = str(sweep).splitlines()
    assert all(f"<p>{line}</p>" in cell for line in (lines[0], *lines[-2:]))
    assert all(f">{sweep.named(one.staleness)}<" in cell for one in sweep.points)


def test_names_cannot_break_out_of_page_and_cell(tmp_path):
    layers = [Layer(name=name, kind="linear", inputs=(before,), out_features=4) for name, before in zip(EVIL, ("input", *EVIL), strict=False)]
    network = replace(chain(1), name=EVIL[0], layers=tuple(layers))
    sweep = measured({(1, 1, 1, 1): 0.0, (2, 0, 0, 0): -0.1, (2, 1, 1, 1): -0.2}, network=network)
    page = sweep.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").rstrip("\n") == page.rstrip("\n")
    for html in (page, sweep._repr_html_()):
        read = Tags(html)
        assert not {"img", "svg"} & set(read.tags)
        assert not [name for name, _ in read.attributes if name.startswith("on")]
