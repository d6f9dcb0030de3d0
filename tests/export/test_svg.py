"""Still charts: what is drawn, and pictures that stand alone."""

import xml.etree.ElementTree as ET

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.export import svg
from spikepipe_sched.export.svg import svg_gantt, svg_picture, ticks
from tests.helpers import hand_result, in_turn, pipelined_result, training_problem
from tests.pages import EVIL, evil_problem

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(drawing).iter(f"{SVG}text")]


def test_bars_lie_where_the_schedule_says() -> None:
    drawing = svg_gantt(pipelined_result())
    assert drawing is not None
    bars = [(rect.find(f"{SVG}title"), rect) for rect in ET.fromstring(drawing).iter(f"{SVG}rect")]
    widths = {title.text: float(rect.get("width", "")) for title, rect in bars if title is not None}
    assert len(widths) == 8  # of seven tasks B(l1) is cut in two by the period's end
    cycle = widths["F(l0): 0 to 4 cycles"] / 4
    assert widths["B(l1): 11 to 13 cycles"] == pytest.approx(2 * cycle, abs=0.02)
    assert widths["U(l0): 9 to 10 cycles"] == pytest.approx(cycle, abs=0.02)
    assert "69.2 %" in texts(drawing)
    assert "100.0 %" in texts(drawing)


def test_a_bar_is_named_where_it_has_room() -> None:
    assert texts(svg_picture(pipelined_result())).count("l1") == 5  # F, W, U and both parts of B
    slow = hand_result(training_problem(2, 2), in_turn(training_problem(2, 2)))
    assert texts(svg_picture(slow)).count("l1") == 3  # among all others U is too short
    finite = texts(svg_picture(hand_result(training_problem(2, 2, mode="finite", micro_batches=2))))
    assert {"0", "1"} <= set(finite)  # micro-batches
    assert "l1" not in finite


def test_a_picture_stands_alone() -> None:
    picture = svg_picture(pipelined_result(), title="one <period> & more")
    root = ET.fromstring(picture)
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title").text == "one <period> & more"  # pyright: ignore[reportOptionalMemberAccess]
    assert "prefers-color-scheme:dark" in picture
    assert "script" not in picture
    assert "href" not in picture
    assert root.get("width")
    assert root.get("height")


def test_names_stay_text() -> None:
    root = ET.fromstring(svg_picture(hand_result(evil_problem()), title=EVIL[0]))  # well-formed, whatever the names
    assert {element.tag for element in root.iter()} == {SVG + tag for tag in ("svg", "title", "style", "g", "rect", "text", "path")}


def test_a_picture_of_too_many_bars_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svg, "MAX_PIECES", 3)
    assert svg_gantt(pipelined_result()) is None
    with pytest.raises(InputError, match="8 bars is too heavy"):
        svg_picture(pipelined_result())


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 13, 99, 1_000, 4_646_942, 2**46])
def test_ticks_are_few_and_round(length: int) -> None:
    places = ticks(length)
    assert places[0] == 0
    assert places[-1] <= length
    assert len(places) <= 9
    assert str(places.step).rstrip("0") in ("1", "2", "5")
    assert length < 4 or len(places) >= 4
