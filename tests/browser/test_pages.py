"""What a reader of the pages sees and does, in a real browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from spikepipe_sched import compare
from spikepipe_sched.export.bars import contrast
from spikepipe_sched.export.comparison import comparison_page
from spikepipe_sched.export.html import embedded, html_page
from spikepipe_sched.export.html import page as document
from spikepipe_sched.result import Result
from spikepipe_sched.study.charts import accuracy_chart, panels
from tests.helpers import hand_result, in_turn, pipelined_result, training_problem
from tests.pages import evil_problem
from tests.study.made import grid, trained
from tests.sweeps import measured
from tests.validations import made

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.conftest import Open


def bars(page: Page, chart: str = "gantt") -> Locator:
    """The bars that are drawn, once there are some."""
    found = page.locator(f"#{chart} .barlayer .point path")
    found.first.wait_for(state="attached")
    return found


def visible_range(page: Page, chart: str = "gantt") -> tuple[float, float]:
    low, high = page.evaluate("name => document.getElementById(name)._fullLayout.xaxis.range", chart)
    return low, high


def after(page: Page, chart: str, event: str, act: Any) -> None:
    """Do something, and wait until the chart says that it has happened."""
    page.evaluate(
        "([name, event]) => { const div = document.getElementById(name); div.done = false; div.on(event, () => setTimeout(() => { div.done = true; })); }",
        [chart, event],
    )
    act()
    page.wait_for_function("name => document.getElementById(name).done", arg=chart)


def hover_text(page: Page, bar: Locator) -> str:
    box = bar.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator(".hoverlayer .hovertext").wait_for()
    return page.locator(".hoverlayer .hovertext").text_content() or ""


def drag(page: Page, chart: str, start: float, end: float) -> None:
    """Over shares of the chart's width, along its first row."""
    box = page.locator(f"#{chart} .nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + start * box["width"], box["y"] + 15)
    page.mouse.down()
    page.mouse.move(box["x"] + (start + end) / 2 * box["width"], box["y"] + 15, steps=3)
    page.mouse.move(box["x"] + end * box["width"], box["y"] + 15, steps=3)
    page.mouse.up()


def rows(page: Page, chart: str) -> list[str]:
    """What stands beside the rows, from top to bottom."""
    ticks = page.locator(f"#{chart} .ytick text").all()
    return [tick.text_content() or "" for tick in sorted(ticks, key=lambda tick: (tick.bounding_box() or {})["y"])]


def test_bars_tell_what_they_are_zoom_stand_out_and_hide(opened: Open) -> None:
    page = opened(html_page(pipelined_result()))
    assert bars(page).count() == 8  # seven tasks, one of them cut in two by the period's end
    text = hover_text(page, bars(page).first)
    assert re.search(r"F\(l0\).*layer l0.*start 0 cycles, end 4, takes 4", text, re.DOTALL)
    assert visible_range(page) == (0, 13)
    after(page, "gantt", "plotly_relayout", lambda: drag(page, "gantt", 0.25, 0.75))
    assert visible_range(page) == pytest.approx((0.25 * 13, 0.75 * 13), abs=0.3)
    after(page, "gantt", "plotly_relayout", page.get_by_label("Show all of it").first.click)
    assert visible_range(page) == (0, 13)
    after(page, "gantt", "plotly_afterplot", lambda: page.get_by_label("Layer to highlight").first.select_option("l1"))
    dim = page.evaluate("() => document.getElementById('gantt').data.flatMap(t => t.marker.opacity.map((o, i) => [t.customdata[i][1], o < 0.5]))")
    assert sorted(map(tuple, dim)) == [("l0", True)] * 3 + [("l1", False)] * 5
    after(page, "gantt", "plotly_afterplot", page.locator("#gantt .legendtoggle").first.click)
    assert bars(page).count() == 6  # without F


def test_views_are_switched_with_the_keyboard(opened: Open) -> None:
    page = opened(html_page(pipelined_result()))
    bars(page)
    first, second, third = page.get_by_role("tab").all()
    assert [tab.inner_text() for tab in (first, second, third)] == ["Steady state", "3 periods", "From the empty pipeline"]
    first.press("ArrowRight")
    assert bars(page, "gantt1").count() == 3 * 7 + 1
    assert not page.locator("#gantt").is_visible()
    second.press("ArrowRight")
    assert third.get_attribute("aria-selected") == "true"
    assert bars(page, "gantt2").count() == 3 * 7
    assert page.locator("#gantt2 .annotation-text").text_content() == "first full period"
    third.press("ArrowRight")
    assert page.locator("#gantt").is_visible()
    first.press("End")
    assert third.get_attribute("aria-selected") == "true"
    third.press("Home")
    assert first.get_attribute("aria-selected") == "true"
    first.press("ArrowLeft")
    assert third.get_attribute("aria-selected") == "true"


def inks(page: Page) -> tuple[str, dict[str, str]]:
    """Colour of the ground, and of every text on it, as the browser computes them; texts of bars and cells have grounds of their own."""
    script = """() => {
      const hex = (rgb) => "#" + rgb.match(/\\d+/g).slice(0, 3).map((c) => Number(c).toString(16).padStart(2, "0")).join("");
      const inks = {};
      for (const place of document.querySelectorAll("body, h1, h2, figcaption, th, td, p, .plot text:not(.bartext):not(.heatmap-label text)"))
        if (!place.closest(".hoverlayer, .heatmap-label")) inks[`${place.tagName} ${place.getAttribute("class") || place.parentElement.getAttribute("class")}`] =
          hex(getComputedStyle(place)[place.ownerSVGElement ? "fill" : "color"]);
      return [hex(getComputedStyle(document.body).backgroundColor), inks];
    }"""
    ground, found = page.evaluate(script)
    return ground, found


PAGES = {
    "schedule": lambda: html_page(pipelined_result()),
    "comparison": lambda: comparison_page([compare(training_problem(3, 2, mode="finite", micro_batches=2), ["stages", "sequential"])]),
    "validation": lambda: made().to_html(),
    "staleness": lambda: measured({(1, 1): -0.4, (2, 2): -0.9, (1, 0): 0.1, (4, 1): -0.6}).to_html(),
}


@pytest.mark.parametrize("render", PAGES.values(), ids=PAGES)
def test_light_and_dark_follow_the_reader(opened: Open, render: Any) -> None:
    page, grounds = opened(render()), set[str]()
    for plot in page.locator(".plot:visible").all():
        plot.scroll_into_view_if_needed()
        plot.locator("[class$=tick] text").first.wait_for(state="attached")
    turns: list[Any] = [("screen", "light"), ("screen", "dark"), ("print", "dark"), ("screen", "light")]
    for media, scheme in turns:
        page.emulate_media(media=media, color_scheme=scheme)
        ground, found = inks(page)
        assert {"BODY null", "H1 null"} <= set(found)
        assert len([name for name in found if "tick" in name]) >= 2
        assert min((contrast(ink, ground), name) for name, ink in found.items())[0] >= 4.5
        assert contrast(ground, "#000000" if (media, scheme) == ("screen", "dark") else "#ffffff") < 1.2  # paper is white
        grounds.add(ground)
    assert len(grounds) == 2


def test_paper_gets_every_figure_of_the_chosen_views(opened: Open) -> None:
    page = opened(html_page(pipelined_result()))
    bars(page)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for name, mark in (("utilisation", ".point path"), ("memory", ".scatterlayer .js-line"), ("traffic", ".hm image"), ("delays", ".point path")):
        page.locator(f"#{name} {mark}").first.wait_for(state="attached")
    assert page.locator("#memory .scatterlayer .js-line").count() == 2
    assert rows(page, "utilisation") == ["p0", "p1"]
    widths = page.evaluate(
        "() => Object.fromEntries([...document.querySelectorAll('.plot .main-svg:first-child')].map(s => [s.closest('.plot').id, s.clientWidth]))"
    )
    assert widths == dict.fromkeys(("gantt", "utilisation", "memory", "traffic", "delays"), 680)  # of an A4 sheet's 718 pixels inside its margins
    assert not page.get_by_role("tab").first.is_visible()
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_function("() => document.querySelector('#gantt .main-svg').clientWidth > 900")


def test_a_hundred_tasks_are_drawn_one_by_one_and_fit_a_narrow_screen(opened: Open) -> None:
    result = hand_result(training_problem(25, 4, mode="finite", micro_batches=1))  # all on p0
    page = opened(html_page(result), width=390)
    assert bars(page).count() == result.problem.instance.size == 99
    assert page.locator("#gantt-note").inner_text() == ""
    assert rows(page, "gantt") == ["p0", "p1", "p2", "p3"]
    assert not page.get_by_role("tab").count()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("figure", [panels(grid(), "panels", lambda row: row.speedup), accuracy_chart(trained(), 1.0)], ids=["panels", "accuracy"])
def test_crowded_figures_keep_their_width_on_a_narrow_screen_and_fit_a_sheet(opened: Open, figure: Any) -> None:
    page = opened(document("title", [("figure", embedded(figure, "wide", script=True))]), width=390)
    page.locator("#wide .main-svg").first.wait_for(state="attached")
    assert page.evaluate("document.querySelector('#wide .main-svg').clientWidth") >= 640
    assert page.evaluate("document.documentElement.scrollWidth") <= 390  # the figure moves, the page does not
    assert page.evaluate("document.getElementById('wide').layout.dragmode") is False
    page.set_viewport_size({"width": 718, "height": 900})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("() => document.querySelector('#wide .main-svg').clientWidth === 680")
    assert page.evaluate("document.documentElement.scrollWidth") <= 718


def many(mode: str) -> Result:
    """10,000 runs in turn on eight processors."""
    problem = training_problem(10, 8, unroll=257) if mode == "periodic" else training_problem(626, 8, mode="finite", micro_batches=5)
    return hand_result(problem, in_turn(problem, processor=problem.instance.task % 8))


@pytest.mark.parametrize("mode", ["periodic", "finite"])
def test_ten_thousand_tasks_are_usable_and_none_is_lost(opened: Open, mode: str) -> None:
    result = many(mode)
    size = result.problem.instance.size
    assert size >= 10_000
    page = opened(html_page(result))
    drawn = bars(page).count()
    assert drawn < 3_500  # what a browser redraws in a moment
    note = page.locator("#gantt-note").inner_text()
    apart, inside, blocks = (int(number.replace(",", "")) for number in re.findall(r"([\d,]+) (?:task|block)", note))
    assert apart + inside == size
    assert apart + blocks == drawn
    assert re.search(r"short tasks.*\d % busy.*zoom in to see them apart", hover_text(page, bars(page).nth(drawn // 2)), re.DOTALL)
    low, high = visible_range(page)
    after(page, "gantt", "plotly_afterplot", lambda: drag(page, "gantt", 0.500, 0.502 + 0.01))
    inner = visible_range(page)
    assert inner[1] - inner[0] < 0.02 * (high - low)
    page.wait_for_function("() => document.getElementById('gantt-note').textContent === ''")
    seen = page.evaluate("() => document.getElementById('gantt').data.flatMap(t => t.customdata.map(c => [c[4], c[5]]))")
    assert result.schedule is not None
    start, end = result.schedule.start, result.schedule.start + result.problem.instance.duration[range(size), result.schedule.processor]
    assert sorted(map(tuple, seen)) == sorted((int(a), int(b)) for a, b in zip(start, end, strict=True) if a <= inner[1] and b >= inner[0])


def test_a_comparison_zooms_all_its_panels_together(opened: Open) -> None:
    found = compare(training_problem(3, 2, mode="finite", micro_batches=3), ["stages", "sequential"])
    page = opened(comparison_page([found]))
    assert bars(page, "gantt2").count() == 2 * found.problem.instance.size
    after(page, "gantt2", "plotly_relayout", lambda: drag(page, "gantt2", 0.2, 0.6))
    ranges = page.evaluate("() => { const layout = document.getElementById('gantt2')._fullLayout; return [layout.xaxis.range, layout.xaxis2.range]; }")
    assert ranges[0] == ranges[1] != [0, max(row.length_cycles or 0 for row in found.rows)]


@pytest.mark.parametrize(
    "render", [lambda: html_page(hand_result(evil_problem())), lambda: comparison_page([compare(evil_problem(), ["stages", "sequential"])])]
)
def test_names_are_text_and_never_run(opened: Open, render: Any) -> None:
    page = opened(render())
    chart = "gantt" if page.locator("#gantt").count() else "gantt2"
    text = hover_text(page, bars(page, chart).first)
    assert "<img src=x onerror=alert(1)>" in text
    assert not page.locator("img[src=x], svg[onload]").count()
    assert "</script><img" in page.locator("h1").inner_text()
    if page.get_by_label("Layer to highlight").count():
        page.get_by_label("Layer to highlight").first.select_option(index=2)
        assert page.evaluate("() => new Set(document.getElementById('gantt').data.flatMap(t => t.marker.opacity.map(o => o < 0.5))).size") == 2
