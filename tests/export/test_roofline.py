"""The roofline chart: points under their roofs, names that stay text, a page that needs nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from plotly.graph_objects import Figure

from spikepipe_sched.cost import CostModel, Gemm
from spikepipe_sched.errors import InputError
from spikepipe_sched.export.costs import CostRow, cost_table, topology_table
from spikepipe_sched.export.roofline import roofline, roofline_page
from spikepipe_sched.importers import load_network, load_platform
from spikepipe_sched.importers.topology import TopologyLayer
from spikepipe_sched.platform import Platform
from spikepipe_sched.training import TrainingSetup

ARRAY32, UNLIKE = load_platform("array32"), load_platform("unlike")
STALLS = CostModel(stalls=True)


def rows_on(platform: Platform, model: CostModel = STALLS) -> list[CostRow]:
    return cost_table(load_network("dvs_gesture_conv"), TrainingSetup(batch=2), platform, model)


def without_bandwidth(platform: Platform) -> Platform:
    return replace(platform, classes={name: replace(array, dram_bytes_per_cycle=None) for name, array in platform.classes.items()})


def traces(figure: Figure, mode: str) -> list[Any]:
    """plotly's types know nothing of a trace."""
    drawn: Any = figure.data
    return [trace for trace in drawn if trace.mode == mode]


def points(figure: Figure, name: str = "") -> list[tuple[float, float]]:
    return [pair for trace in traces(figure, "markers") if name in trace.name for pair in zip(trace.x, trace.y, strict=True)]


@pytest.mark.parametrize("sparsity", ["none", "skip"])
@pytest.mark.parametrize("platform", [ARRAY32, UNLIKE], ids=["alike", "unlike"])
def test_with_stalls_no_point_is_above_its_roof(platform: Platform, sparsity: str) -> None:
    figure = roofline(rows_on(platform, replace(STALLS, sparsity=sparsity)), platform)
    for name, array in platform.classes.items():
        found = points(figure, name if len(platform.classes) > 1 else "")
        assert found
        assert array.dram_bytes_per_cycle is not None
        for x, y in found:
            assert y <= min(array.processing_elements, array.dram_bytes_per_cycle * x) * (1 + 1e-12)


def test_every_layer_and_pass_with_products_is_a_point() -> None:
    rows = rows_on(ARRAY32)
    figure = roofline(rows, ARRAY32)
    labels = [about[0] for trace in traces(figure, "markers") for about in trace.customdata]
    assert sorted(labels) == sorted(f"{row.kind} {row.layer}" for row in rows if row.macs)
    assert {trace.name for mode in ("lines", "markers") for trace in traces(figure, mode)} == {
        "roof of array32",
        "F forward",
        "B activation gradient",
        "W weight gradient",
    }


def test_the_roof_bends_where_bandwidth_meets_the_peak() -> None:
    """1024 elements over 64 bytes a cycle: 16 multiply-accumulates per byte."""
    figure = roofline(rows_on(ARRAY32), ARRAY32)
    (roof,) = traces(figure, "lines")
    assert (roof.x[1], roof.y[1]) == (16, 1024)
    assert roof.y[0] == roof.x[0] * 64
    assert roof.y[2] == 1024
    xs = [x for x, _ in points(figure)]
    assert roof.x[0] < min(xs)
    assert max(xs) < roof.x[2]


def test_without_a_bandwidth_it_is_over_sram_bytes_and_says_so() -> None:
    platform = without_bandwidth(ARRAY32)
    rows = rows_on(platform, CostModel())
    figure = roofline(rows, platform)
    assert figure.layout.xaxis.title.text == "intensity [MACs per SRAM byte]"
    (roof,) = traces(figure, "lines")
    assert set(roof.y) == {1024}
    assert sorted(points(figure)) == sorted((row.macs / row.sram_bytes, row.macs / row.cycles) for row in rows if row.macs)


def test_it_says_where_points_may_lie_above_the_slope() -> None:
    assert "would wait" in roofline(rows_on(ARRAY32, CostModel()), ARRAY32).layout.title.text
    assert "would wait" not in roofline(rows_on(ARRAY32), ARRAY32).layout.title.text


def test_rows_of_another_platform_are_refused() -> None:
    with pytest.raises(InputError, match="array 'large' is not of platform 'array32'"):
        roofline(rows_on(UNLIKE), ARRAY32)


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(InputError, match="no row has matrix products"):
        roofline([row for row in rows_on(ARRAY32) if row.kind == "U"], ARRAY32)


def test_the_page_is_self_contained_and_names_stay_text() -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    rows = topology_table([TopologyLayer(name=evil, gemm=Gemm(m=4, k=4, n=4))], ARRAY32)
    page = roofline_page(rows, ARRAY32, evil)
    assert page.startswith("<!DOCTYPE html>")
    assert "Plotly.newPlot" in page
    assert "<img" not in re.sub(r'"use strict".*?</script>', "", page, flags=re.DOTALL)
    assert evil not in page
    assert not re.search(r"<(link|script|img)[^>]+(src|href)=", re.sub(r"<script.*?</script>", "<script>", page, flags=re.DOTALL))
