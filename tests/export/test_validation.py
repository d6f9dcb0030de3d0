"""A validation as text, cell and page: everything that decides is named, nothing breaks out."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest

from spikepipe_sched.export.validation import mean_curve, svg_curves, validation_text
from spikepipe_sched.validation import DELAYED, SYNCHRONOUS, Validation, ValidationSetup, Verdict
from spikepipe_sched.versions import WeightDelays
from tests.pages import EVIL, Tags
from tests.validations import made, trained


def test_the_text_names_everything_that_decides():
    text = " ".join(str(made()).split())
    for said in (
        "net, with the delays of the schedule of 'net on four'",
        "digits: 1,438 training and 359 test samples of 10 classes (largest class 10.3 %); UCI",
        "largest 3, sum 3 [updates]: fc1 3 (backward 1), fc2 0",
        "policy latest",
        "adam, rate tuned, cosine, momentum 0.9",
        "3 epochs, 267 updates of 16 samples; loss rate",
        "decay 0.5, threshold 0.5, reset soft; surrogate arctan of width 0.5",
        "synchronous 0.002 2 91.00 % ± 1.41 0 2,000",
        "delayed 0.002 2 89.00 % ± 0.71 0 2,000",
        "delayed 0.006 10.00 % 2",
        "note mind the gap",
        "-2.00 points, 95 % interval -2.50 to -1.50, delayed less synchronous over 2 seeds; margin 1",
        "verdict degraded: by 2.00 points (1.50 to 2.50), more than 1",
    ):
        assert said in text


def test_lines_are_no_wider_than_asked_for():
    assert max(map(len, validation_text(made(), 80).splitlines())) <= 80


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        (
            ValidationSetup(policy="stash", batch=4, rate=0.1, optimizer="sgd", warmup=1000),
            "sgd, rate 0.1, cosine after 1,000 updates of warm-up, momentum 0.9",
        ),
        (ValidationSetup(policy="stash", batch=4, weight_decay=1e-4, rate_schedule="step"), "adam, rate 0.002, step, momentum 0.9, weight decay 0.0001"),
        (ValidationSetup(policy="stash", batch=4, coding="poisson"), "digits, coded poisson: 1,438"),
    ],
)
def test_the_optimizer_and_the_coding_are_spelt_out(setup, said):
    assert said in " ".join(str(made(setup=setup)).split())


def test_one_training_for_both_arms_is_one_row():
    one = made(same=True, runs=(trained(SYNCHRONOUS, 0, 0.5, 0.9),), delays=WeightDelays.synchronous(("fc1",)), tuning=())
    rows = [line.split()[0] for line in str(one).splitlines() if line.startswith((SYNCHRONOUS, DELAYED))]
    assert rows == [SYNCHRONOUS]
    assert one.arm(DELAYED) == one.runs


def test_what_is_not_there_is_not_made_up():
    nothing = Verdict(outcome="inconclusive", reason="4 of 4 runs were not finished", differences=())
    text = str(made(runs=(), verdict=nothing))
    assert "none: no seed has both its runs" in text
    assert svg_curves(made(runs=())) == ""
    assert "<svg" not in made(runs=())._repr_html_()
    assert Tags(made(runs=()).to_html()).tags
    single = replace(nothing, differences=(-0.5,), mean=-0.5)
    assert "-0.50 points, delayed less synchronous over 1 seed" in str(made(verdict=single))


def test_means_are_of_the_epochs_that_all_runs_reached():
    assert mean_curve([(0.2, 0.4, 0.6), (0.4, 0.6)]) == pytest.approx([0.3, 0.5])
    assert mean_curve([]) == []


def drawn(validation: Validation) -> list[dict[str, Any]]:
    """The lines of the figure, as a browser gets them."""
    figure = json.loads(validation.curves().to_json() or "")
    assert figure["layout"]["title"]["text"] == "net on digits, with the delays of a schedule and without"
    return figure["data"]


def test_the_figure_holds_every_run_and_the_mean_of_each_arm():
    lines = drawn(made())
    assert sorted(line["name"] for line in lines) == sorted(
        2 * [f"{arm}, {which}" for arm in (SYNCHRONOUS, DELAYED) for which in ("seed 0", "seed 1", "mean of 2")]
    )
    accuracy, loss = (line for line in lines if line["name"] == "delayed, mean of 2")
    assert accuracy["y"] == pytest.approx([35, 70, 89])
    assert loss["y"] == pytest.approx([1, 0.5, 1 / 3])
    assert accuracy["x"] == [1, 2, 3]


@pytest.mark.parametrize(("epochs", "step"), [(3, 1), (40, 4)])
def test_epochs_are_counted_in_whole_numbers(epochs: int, step: int):
    validation = made(runs=(trained(SYNCHRONOUS, 0, *[0.5] * epochs), trained(DELAYED, 0, *[0.5] * epochs)))
    axis = json.loads(validation.curves().to_json() or "")["layout"]["xaxis2"]
    assert (axis["tick0"], axis["dtick"]) == (1, step)


def test_a_diverged_run_is_drawn_as_far_as_it_went():
    validation = made(runs=(trained(SYNCHRONOUS, 0, 0.5, 0.9), trained(DELAYED, 0, 0.1, diverged=True)))
    assert [len(line["y"]) for line in drawn(validation) if line["name"] == "delayed, seed 0"] == [1, 0]
    assert "delayed 0.002 1 10.00 % 1" in " ".join(str(validation).split())
    ET.fromstring(svg_curves(validation))


def test_the_still_curves_are_one_drawing_inside_its_frame():
    root = ET.fromstring(svg_curves(made()))
    lines = [element.get("points") for element in root.iter() if element.tag.endswith("polyline")]
    assert len(lines) == 6
    spots = [tuple(map(float, spot.split(","))) for line in lines for spot in (line or "").split()]
    assert all(0 <= x <= 640 and 0 <= y <= 260 for x, y in spots)


def test_page_and_cell_need_nothing_else_and_names_stay_text(tmp_path):
    validation = made(
        network=EVIL[0],
        problem=EVIL[1],
        notes=(EVIL[2],),
        delays=WeightDelays(layers=(EVIL[1], EVIL[3]), forward=(2, 1), backward=(2, 1)),
        data=replace(made().data, source=EVIL[0]),
    )
    page = validation.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").rstrip("\n") == page.rstrip("\n")
    for html in (page, validation._repr_html_()):
        tags = Tags(html)
        assert not {"img", "link", "iframe"} & set(tags.tags)
        assert not [name for name, _ in tags.attributes if name.startswith("on")]
        assert not [value for name, value in tags.attributes if name in ("src", "href")]
    assert "script" not in Tags(validation._repr_html_()).tags
