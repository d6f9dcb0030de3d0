"""The interactive chart, read back from the figure's JSON as a browser would."""

import json
from typing import Any

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.export import gantt as module
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

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    ink = luminance(figure["layout"]["font"]["color"])
    assert 1.05 / (ink + 0.05) >= 4.5  # WCAG AA on white
    assert (ink + 0.05) / (luminance("#111111") + 0.05) >= 4


def test_no_schedule() -> None:
    with pytest.raises(InputError, match="no schedule to draw"):
        gantt(conclude(training_problem(), None, provenance=HAND))
