"""Pages and cells: complete, self-contained, and closed to names that try to break out."""

import re
from collections.abc import Callable

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.export import svg
from spikepipe_sched.export.html import html_page, result_to_html
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
    assert len(page) > 10**6  # plotly's script is inside


def test_the_page_has_every_table() -> None:
    page = re.sub(r"<script.*?</script>", "", html_page(pipelined_result()), flags=re.DOTALL)
    for heading in ("Summary", "Schedule", "Objectives", "Delay of each layer", "Processors", "Traffic"):
        assert f"<h2>{heading}</h2>" in page
    for text in ("longest tasks: some must share a processor", "8.33 %", "100.00 %", "l0", "16 bytes cross", "69.2 %", "speed-up"):
        assert text in page


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
