"""The interactive chart, read back from the figure's JSON as a browser would."""

import json
from typing import Any

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.export import gantt as module
from spikepipe_sched.export.bars import contrast
from spikepipe_sched.export.gantt import gantt, periods_drawn
from spikepipe_sched.result import Result, conclude
from tests.helpers import HAND, hand_result, pipelined_result, training_problem


def drawn(result: Result) -> tuple[set[tuple[str, str, int, int, int]], dict[str, Any]]:
    """(task, processor, iteration, start, cycles) of every bar, and the whole figure."""
    figure = json.loads(gantt(result).to_json() or "")
    found: list[tuple[str, str, int, int, int]] = []
    for trace in figure["data"]:
        assert trace["type"] == "bar"
        assert trace["orientation"] == "h"
        for y, base, x, about in zip(trace["y"], trace["base"], trace["x"], trace["customdata"], strict=True):
            assert about[4:] == [base, base + x, x]
            assert about[0].startswith(trace["name"][0])
            found.append((about[0], y, about[3], base, x))
    assert len(set(found)) == len(found)
    return set(found), figure


def expected(result: Result, periods: int) -> set[tuple[str, str, int, int, int]]:
    assert result.schedule is not None
    problem, schedule = result.problem, result.schedule
    instance = problem.instance
    return {
        (
            problem.tasks.names[int(instance.task[v])],
            problem.processors[int(schedule.processor[v])].name,
            q * problem.unroll + int(instance.copy[v]),
            int(schedule.start[v]) + q * (schedule.period or 0),
            int(instance.duration[v, schedule.processor[v]]),
        )
        for q in range(periods)
        for v in range(instance.size)
    }


def test_every_bar_equals_the_schedule() -> None:
    result = pipelined_result()  # the last task starts at 22 = 1 * 13 + 9: period 2 is the first full one
    assert periods_drawn(result) == (3, 2)
    found, figure = drawn(result)
    assert found == expected(result, 3)
    assert [trace["name"][0] for trace in figure["data"]] == ["F", "B", "W", "U"]
    (window,) = figure["layout"]["shapes"]
    assert (window["x0"], window["x1"]) == (26, 39)
    assert figure["layout"]["barmode"] == "overlay"  # bars stand where the schedule says, not stacked


def test_the_marked_period_is_full() -> None:
    result = pipelined_result()
    _, first = periods_drawn(result)
    assert first is not None
    found, _ = drawn(result)
    inside = sum(
        min(start + cycles, (first + 1) * 13) - max(start, first * 13)
        for _, _, _, start, cycles in found
        if start < (first + 1) * 13 and start + cycles > first * 13
    )
    assert result.metrics is not None
    assert inside == sum(result.metrics.busy_cycles)


def test_finite_and_unrolled() -> None:
    finite = hand_result(training_problem(3, 2, mode="finite", micro_batches=2))
    found, figure = drawn(finite)
    assert found == expected(finite, 1)
    assert not figure["layout"].get("shapes")
    unrolled = hand_result(training_problem(2, 2, unroll=2))
    assert drawn(unrolled)[0] == expected(unrolled, periods_drawn(unrolled)[0])
    assert periods_drawn(unrolled)[0] * 2 >= 3


def test_an_idle_processor_has_its_row() -> None:
    _, figure = drawn(hand_result(training_problem(2, 3)))  # all on p0
    axis = figure["layout"]["yaxis"]
    assert axis["categoryarray"] == ["p0", "p1", "p2"]
    assert axis["range"] == [2.5, -0.5]


def test_the_bars_of_a_finite_run_show_their_micro_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    result = hand_result(training_problem(2, 2, mode="finite", micro_batches=2))
    _, figure = drawn(result)
    for trace in figure["data"]:
        numbers = [str(about[3]) for about in trace["customdata"]]
        assert trace.get("text") == (None if trace["name"].startswith("U") else numbers)
    monkeypatch.setattr(module, "MAX_NUMBERED", 3)
    assert not any("text" in trace for trace in drawn(result)[1]["data"])


def test_at_least_three_iterations_unless_too_many_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    assert periods_drawn(hand_result()) == (3, 1)
    monkeypatch.setattr(module, "MAX_BARS", 10)
    assert periods_drawn(pipelined_result()) == (1, None)


def test_readable_on_light_and_dark() -> None:
    _, figure = drawn(pipelined_result())
    assert figure["layout"]["paper_bgcolor"] == figure["layout"]["plot_bgcolor"] == "rgba(0,0,0,0)"

    ink = figure["layout"]["font"]["color"]
    assert contrast(ink, "#ffffff") >= 4.5
    assert contrast(ink, "#0d1117") >= 4
    for trace in figure["data"]:
        colour = trace["marker"]["color"]
        assert contrast(trace["insidetextfont"]["color"], colour) >= 4.5
        assert max(contrast(colour, "#ffffff"), contrast(trace["marker"]["line"]["color"], "#ffffff")) >= 3  # the bar, or its outline
        assert contrast(colour, "#0d1117") >= 3


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#000000", "#ffffff") == contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#123456", "#123456") == 1
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)  # the lightest grey that passes for text on white


def test_steady_state_is_clipped_to_its_periods_and_tells_the_whole() -> None:
    result = pipelined_result()
    assert result.metrics is not None
    for periods in (1, 2):
        figure = json.loads(gantt(result, "steady", periods=periods).to_json() or "")
        bars = [bar for trace in figure["data"] for bar in zip(trace["base"], trace["x"], trace["customdata"], strict=True)]
        assert all(base >= 0 and base + x <= 13 * periods for base, x, _ in bars)
        assert sum(x for _, x, _ in bars) == periods * sum(result.metrics.busy_cycles)
        assert {about[0] for *_, about in bars} == set(result.problem.tasks.names)
        assert all(about[6] == (1 if about[0][0] == "U" else 4) for *_, about in bars)  # B(l1), which is cut, still takes 4
        assert figure["layout"]["xaxis"]["range"] == [0, 13 * periods]
        assert [shape["x0"] for shape in figure["layout"].get("shapes", [])] == [13] * (periods - 1)


def test_a_finite_run_is_drawn_whole_in_every_view() -> None:
    result = hand_result(training_problem(2, 2, mode="finite", micro_batches=2))
    assert gantt(result, "steady", periods=3).to_json() == gantt(result).to_json()


def test_views_and_periods_are_checked() -> None:
    with pytest.raises(InputError, match="view must be one of start, steady, got 'prologue'"):
        gantt(hand_result(), "prologue")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="periods must be at least 1, got 0"):
        gantt(hand_result(), "steady", periods=0)


def test_what_is_not_drawn_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BARS", 10)
    figure = gantt(pipelined_result())
    assert "all 3 until the first full period would be over 10 bars" in (figure.layout.title.text or "")  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(("options", "word"), [({}, "iteration"), ({"mode": "finite", "micro_batches": 2}, "micro-batch")])
def test_two_shades_are_explained(options: dict[str, Any], word: str) -> None:
    two = gantt(hand_result(training_problem(2, 2, **options)))
    assert two.layout.title.text.endswith(f"; every second {word} is paler")  # pyright: ignore[reportAttributeAccessIssue]
    one = gantt(hand_result(training_problem(2, 2, mode="finite", micro_batches=1)))
    assert "paler" not in one.layout.title.text  # pyright: ignore[reportAttributeAccessIssue]


def test_no_schedule() -> None:
    with pytest.raises(InputError, match="no schedule to draw"):
        gantt(conclude(training_problem(), None, provenance=HAND))
