"""A sweep over delays as text, chart and page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spikepipe_sched.export.staleness import staleness_chart, staleness_page, staleness_text
from spikepipe_sched.network import Layer
from tests.pages import EVIL, Tags
from tests.sweeps import chain, measured, point

LOWS = {(1, 1): -0.4, (2, 2): -0.9, (4, 4): -3.0, (1, 0): 0.1, (4, 0): -0.3, (0, 1): -0.2, (4, 1): -0.6}


def test_the_table_has_a_row_for_every_profile_and_says_what_may_be_stale():
    sweep = measured(LOWS)
    sweep = replace(sweep, points=(*sweep.points, point((8, 8), -1.0, 0.5, diverged=1)))
    lines = staleness_text(sweep).splitlines()
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
    text = staleness_text(replace(sweep, setup=replace(sweep.setup, margin=0.5)))
    assert "not excluded" in text
    assert text.endswith("a loss of 0.5 points or more is excluded: only 0")


def test_the_chart_shows_every_interval_at_its_staleness():
    drawn: Any = staleness_chart(measured(LOWS)).data
    traces = {trace.name: trace for trace in drawn}
    assert list(traces) == ["uniform", "a alone", "b alone", "joint"]
    assert list(traces["a alone"].x) == [1, 4]
    assert list(traces["joint"].x) == [4]
    for trace in drawn:
        lows = [mean - below for mean, below in zip(trace.y, trace.error_y.arrayminus, strict=True)]
        highs = [mean + above for mean, above in zip(trace.y, trace.error_y.array, strict=True)]
        assert lows == pytest.approx([about[1] for about in trace.customdata])
        assert highs == pytest.approx([about[2] for about in trace.customdata])


def test_names_cannot_break_out_of_the_page():
    layers = [Layer(name=name, kind="linear", inputs=(before,), out_features=4) for name, before in zip(EVIL, ("input", *EVIL), strict=False)]
    network = replace(chain(1), name=EVIL[0], layers=tuple(layers))
    read = Tags(staleness_page(measured({(1, 1, 1, 1): 0.0, (2, 0, 0, 0): -0.1, (2, 1, 1, 1): -0.2}, network=network)))
    assert not {"img", "svg"} & set(read.tags)
    assert not [name for name, _ in read.attributes if name.startswith("on")]
