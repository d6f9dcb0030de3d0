"""Charts: which rows make which points, what is said about the others, and the figures made of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spikepipe_sched import InputError
from spikepipe_sched.study.outcome import NOT_SUPPORTED, Outcome
from spikepipe_sched.study.plots import Chart, chart, chart_table, front_figure, plot
from spikepipe_sched.study.view_pages import chart_page
from spikepipe_sched.study.views import compared, front
from tests.pages import EVIL, Tags
from tests.study.fakes import row

UNABLE: dict[str, Any] = {"status": NOT_SUPPORTED, "length_cycles": None, "value": None, "bound": None, "utilisation": None}


def outcomes(**changed: Any) -> list[Outcome]:
    """Two networks, three numbers of processors, two solvers, the baseline twice as slow; one of them cannot."""
    made: list[Outcome] = []
    for network in ("n", "m"):
        for count in (2, 4, 16):
            for solver, length in (("stages", 2400 // count), ("fast", 1200 // count)):
                unable = UNABLE if (network, count, solver) == ("m", 16, "fast") else {}
                figures: dict[str, Any] = {"value": length, "length_cycles": length, "bound": 1} | changed | unable
                key = f"{network} {count}"
                made.append(row(f"{key} {solver}", problem_key=key, network=network, processors=count, solver=solver, **figures))
    return made


def points(drawn: Chart) -> dict[tuple[str, str], dict[Any, list[float]]]:
    return {(series.facet, series.colour): series.points for series in drawn.series}


def test_every_row_is_a_point_of_its_panel_and_line():
    drawn = chart(outcomes())
    assert points(drawn) == {
        ("n", "stages"): {2: [1200], 4: [600], 16: [150]},
        ("n", "fast"): {2: [600], 4: [300], 16: [75]},
        ("m", "stages"): {2: [1200], 4: [600], 16: [150]},
        ("m", "fast"): {2: [600], 4: [300]},
    }
    assert drawn.notes == ("1 of 12 rows lack length_cycles and are not shown: 1 not supported",)


def test_speed_ups_are_of_each_problem_over_its_own_baseline():
    drawn = chart(outcomes(), y="speedup", baseline="fast", facet="none")
    assert points(drawn) == {("", "stages"): {2: [0.5, 0.5], 4: [0.5, 0.5], 16: [0.5]}, ("", "fast"): {2: [1, 1], 4: [1, 1], 16: [1]}}
    assert drawn.title == "speed-up over fast by processors"


def test_what_shares_a_place_is_said_and_joined_at_the_median():
    rows = [row(str(seed), seed=seed, length_cycles=length, value=length, bound=1, problem_key="p") for seed, length in enumerate((10, 40, 20))]
    drawn = chart(rows)
    assert drawn.notes == ("several rows share a place and differ in seed: lines join their medians",)
    assert chart_table(drawn)[1] == [["net", "2", "20"]]
    data = json.loads(plot(rows).to_json() or "")["data"]
    assert [(trace["x"], trace["y"]) for trace in data] == [([2], [20]), ([2, 2, 2], [10, 40, 20])]


def test_places_that_were_found_are_not_joined():
    data = json.loads(plot(outcomes(), x="period", y="utilisation", facet="none").to_json() or "")["data"]
    assert {trace["mode"] for trace in data} == {"markers"}
    assert [len(trace["x"]) for trace in data] == [6, 5]
    asked = json.loads(plot(outcomes()).to_json() or "")["data"]
    assert {trace["mode"] for trace in asked} == {"lines+markers"}


def test_a_figure_has_a_panel_for_each_facet_one_legend_and_the_notes():
    drawn = plot(outcomes())
    layout = json.loads(drawn.to_json() or "")["layout"]
    assert [annotation["text"] for annotation in layout["annotations"]] == ["n", "m"]
    assert "period or makespan [cycles] by processors<br><sup>1 of 12 rows lack" in layout["title"]["text"]
    shown = [(trace.name, trace.showlegend) for trace in drawn.data]  # pyright: ignore[reportAttributeAccessIssue]
    assert shown == [("stages", True), ("fast", True), ("stages", False), ("fast", False)]
    assert (layout["xaxis"]["type"], layout["xaxis"]["ticktext"]) == ("log", ["2", "4", "16"])


def test_a_solver_of_the_study_has_one_colour_whatever_else_is_drawn():
    def colours(*solvers: str) -> dict[str, str]:
        rows = [row(name, solver=name, problem_key="p") for name in solvers]
        return {trace.name: trace.marker.color for trace in plot(rows).data}  # pyright: ignore[reportAttributeAccessIssue]

    few, many = colours("auto", "mine"), colours("spikepipe", "stages", "auto", "layerpipe")
    assert few["auto"] == many["auto"]
    assert len({*few.values(), *many.values()}) == 5


def test_words_on_the_axis_keep_the_order_of_the_rows():
    rows = [row(str(i), array=array, length_cycles=10, bound=1, value=10) for i, array in enumerate(("8x8", "16x16", "128x128"))]
    drawn = chart(rows, x="array")
    assert drawn.places == ["8x8", "16x16", "128x128"]
    assert json.loads(plot(rows, x="array").to_json() or "")["layout"]["xaxis"]["type"] == "category"


def test_the_table_has_medians_and_marks_what_is_missing():
    headers, lines, numbers = chart_table(chart(outcomes(), y="period"))
    assert headers == ["network", "processors", "stages", "fast"]
    assert lines[-1] == ["m", "16", "150", "-"]
    assert numbers == [1, 2, 3]
    assert chart_table(chart(outcomes(), facet="none", colour="none", y="pes"))[0] == ["processors", "processing elements"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"y": "solver"}, "no figure 'solver'"),
        ({"x": "nosuch"}, "rows have no 'nosuch'; choose from network"),
        ({"colour": "pes"}, "rows have no 'pes'"),
        ({"facet": "speedup"}, "rows have no 'speedup'"),
        ({"y": "speedup", "baseline": "nosuch"}, "no row is of the solver 'nosuch'; the baseline must be one of stages, fast"),
        ({"x": "speedup", "y": "gap", "baseline": "nosuch"}, "no row is of the solver 'nosuch'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options: dict[str, str], says: str):
    with pytest.raises(InputError, match=says):
        plot(outcomes(), **options)


def test_networks_that_share_a_name_are_told():
    rows = outcomes()
    assert chart([*rows, row("other", network="n", network_key="changed")]).notes[-1] == "2 different networks are called n; name a sweep to see one of them"


def test_too_many_panels_are_refused():
    rows = [row(str(i), network=f"n{i}") for i in range(61)]
    with pytest.raises(InputError, match="61 panels are more than 60; choose another facet than network"):
        plot(rows)


def test_the_picture_of_a_front_has_every_row_once_and_a_line_along_what_is_reached():
    rows = compared(outcomes())
    over = ("length_cycles", "processors")
    drawn = front_figure(rows, front(rows, over), over)
    assert drawn is not None
    data = json.loads(drawn.to_json() or "")["data"]
    assert [(trace["name"], trace["x"], trace["y"]) for trace in data] == [
        ("beaten", [2, 4, 16], [1200, 600, 150]),
        ("beaten by none", [2, 4, 16], [600, 300, 75]),
        ("beaten", [2, 4], [1200, 600]),
        ("beaten by none", [2, 4, 16], [600, 300, 150]),
    ]
    assert [trace.get("line", {}).get("shape") for trace in data] == [None, "hv"] * 2
    more = ("processors", "length_cycles", "pes")
    scattered = front_figure(rows, front(rows, more), more)
    assert scattered is not None
    assert {trace["mode"] for trace in json.loads(scattered.to_json() or "")["data"]} == {"markers"}
    assert front_figure(rows, front(rows, over[:1]), over[:1]) is None


def test_names_stay_text():
    harmless, hostile = (Tags(chart_page(name, chart([row("a", network=name, solver=name)]))) for name in ("net", EVIL[0]))
    assert harmless.tags == hostile.tags
    traces = json.loads(plot([row("a", network=EVIL[0], solver=EVIL[3], array=EVIL[1])], x="array").to_json() or "")
    assert "<b>" not in traces["data"][0]["name"]
    assert "<svg" not in traces["data"][0]["x"][0]
