"""Pages and cells: complete, self-contained, and closed to names that try to break out."""

import json
import re
from collections.abc import Callable

import plotly.graph_objects as go
import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.export import svg
from spikepipe_sched.export.html import embedded, html_page, html_table, result_to_html, tabs
from spikepipe_sched.result import Result, conclude
from tests.helpers import HAND, hand_result, pipelined_result, training_problem
from tests.pages import Tags, evil_problem


def evil_result() -> Result:
    return hand_result(evil_problem())


@pytest.mark.parametrize("render", [html_page, result_to_html])
def test_names_stay_text(render: Callable[[Result], str]) -> None:
    harmless, evil = Tags(render(hand_result(training_problem(4)))), Tags(render(evil_result()))
    assert set(evil.tags) == set(harmless.tags)
    assert "img" not in evil.tags
    assert not [name for name, _ in evil.attributes if name.startswith("on")]
    assert evil.tags.count("script") == harmless.tags.count("script")


def test_names_inside_scripts_are_escaped() -> None:
    harmless, evil = Tags(html_page(hand_result(training_problem(4)))), Tags(html_page(evil_result()))
    assert len(evil.scripts) == len(harmless.scripts)
    data = [script for script in evil.scripts if "alert(1)" in script]
    assert data
    for script in data:
        assert "<img" not in script
        assert "<!--" not in script
        assert "</" not in script.replace("<\\/", "")


def test_the_page_needs_nothing_from_outside() -> None:
    page = html_page(pipelined_result())
    parsed = Tags(page)
    assert not [value for name, value in parsed.attributes if name in ("src", "href")]
    assert "link" not in parsed.tags
    assert page.startswith("<!DOCTYPE html>")
    assert "Plotly.newPlot" in page
    assert "@import" not in page
    assert "url(" not in page[: page.index("<body>")]
    assert len(page) > 10**6  # plotly's script is inside


def test_the_page_has_every_table() -> None:
    page = re.sub(r"<script.*?</script>", "", html_page(pipelined_result()), flags=re.DOTALL)
    for heading in ("Summary", "Schedule", "Objectives", "Delay of each layer", "Processors", "Memory", "Traffic"):
        assert f"<h2>{heading}</h2>" in page
    for text in ("longest tasks: some must share a processor", "8.33 %", "100.00 %", "l0", "16 bytes cross", "69.2 %", "speed-up"):
        assert text in page


def test_the_first_screen_says_how_good_it_is() -> None:
    page = html_page(pipelined_result())
    for value, text in (
        ("13", "cycles, 1,230,769,230.8 samples/s; gap 8.33 %"),
        ("3", "iterations in all, 2 at most; proven best"),
        ("16", "bytes per iteration; gap 100.00 %"),
        ("84.6 %", "of all cycles busy"),
    ):
        assert f"<dd>{value}<small>{text}</small></dd>" in page


def test_figures_come_with_their_data_once_and_the_script_once() -> None:
    parsed = Tags(html_page(pipelined_result()))
    plots = [name for name in parsed.ids() if f"{name}-data" in parsed.ids()]
    assert plots == ["gantt", "gantt1", "gantt2", "utilisation", "memory", "traffic", "delays"]
    assert parsed.tags.count("script") == 2 + len(plots)
    assert len(parsed.ids()) == len(set(parsed.ids()))


def test_titles_become_captions_as_text() -> None:
    figure = go.Figure(layout={"title": {"text": "&lt;b&gt; &amp; all"}})
    html = embedded(figure, "one", script=False)
    assert "<figcaption>&lt;b&gt; &amp; all</figcaption>" in html
    assert figure.layout.title.text == "&lt;b&gt; &amp; all"  # pyright: ignore[reportAttributeAccessIssue]  (a figure is not changed)
    assert json.loads(Tags(html).scripts[0])["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)"


def test_views_are_tabs_of_which_the_first_is_shown() -> None:
    parsed = Tags(tabs("some", [("<one>", "<p>1</p>"), ("two", "<p>2</p>")]))
    assert [value for name, value in parsed.attributes if name == "aria-selected"] == ["true", "false"]
    assert parsed.attributes.count(("hidden", None)) == 1
    assert "one" not in parsed.tags


def test_columns_are_aligned_whatever_style_a_notebook_brings() -> None:
    table = html_table(("name", "n"), [("some name", "14.36 %")], (1,))
    assert '<td style="text-align:left">some name</td><td class="number" style="text-align:right;white-space:nowrap">14.36 %</td>' in table
    assert '<th style="text-align:left">name</th><th class="number" style="text-align:right">n</th>' in table


def test_long_tables_scroll_and_lose_no_row() -> None:
    rows = [[str(i)] for i in range(41)]
    assert 'class="wide tall"' in html_table(("n",), rows, (0,))
    assert html_table(("n",), rows, (0,)).count("<td") == 41
    assert "tall" not in html_table(("n",), rows[:40], (0,))


def test_the_cell_for_notebooks() -> None:
    cell = pipelined_result()._repr_html_()
    parsed = Tags(cell)
    assert "script" not in parsed.tags
    assert parsed.tags.count("svg") == 1
    assert cell.count("<title>") == 8  # seven tasks; B(l1) is cut in two by the period's end
    assert "B(l1): 11 to 13 cycles" in cell
    assert "B(l1): 0 to 2 cycles" in cell


def test_large_schedules_fall_back_to_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svg, "MAX_PIECES", 3)
    cell = result_to_html(evil_result())
    assert "<svg" not in cell
    assert "<pre>" in cell


def test_without_a_schedule() -> None:
    result = conclude(training_problem(), None, provenance=HAND)
    assert "unknown" in result_to_html(result)
    with pytest.raises(InputError, match="no schedule"):
        html_page(result)
