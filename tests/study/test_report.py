"""The report says what is done, what was claimed and measured, and needs nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from spikepipe_sched.study.charts import accuracy_chart, panels
from spikepipe_sched.study.experiment import ASSUMPTIONS, StudySetup, quick
from spikepipe_sched.study.report import claims_text, command, means_text, progress_line, report
from spikepipe_sched.study.reproduce import Study
from tests.study.made import grid, trained

FULL = Study(setup=StudySetup(), rows=grid(lambda row: row.processors), trained=trained(), cells=300, ended=True)


def text_of(html: str) -> str:
    """What a page shows without scripts."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style).*?</\1>", "", html, flags=re.DOTALL))


def test_the_page_holds_claims_figures_assumptions_and_the_command() -> None:
    page = report(FULL)
    shown = text_of(page)
    for claim in FULL.claims:
        assert claim.verdict in shown
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", page)
    assert headings[:2] == ["How far it is", "Claims"]
    for name in ("speedup", "overhead", "buffers", "busy", "staleness", "accuracy"):
        assert f'id="{name}' in page
    assert all(word in shown for word in ASSUMPTIONS)
    assert "spikepipe-sched study spikepipe -o FOLDER" in shown
    assert "auto in 0 of 48 cells, else within" in shown
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="http', page)


def test_what_is_not_done_is_said_on_top() -> None:
    assert progress_line(FULL) == "Complete: 300 cells are answered, 32 schedules are trained with."
    part = Study(setup=quick(StudySetup()), rows=FULL.rows[:20], trained=(), cells=20, ended=True)
    assert progress_line(part).startswith("Complete: 20 cells")
    assert "claims have no verdict" in progress_line(part)
    stopped = replace(FULL, rows=FULL.rows[:100], trained=(), ended=False)
    assert progress_line(stopped).startswith("NOT COMPLETE: 100 of 300 cells are answered, training is not done.")
    assert progress_line(stopped) in text_of(report(stopped)).replace("&#x27;", "'")
    assert progress_line(replace(FULL, ended=False, trained=())).startswith("NOT COMPLETE: 300 of 300 cells are answered, training is not done.")


def test_a_report_before_the_first_row_has_claims_without_verdicts() -> None:
    nothing = Study(setup=StudySetup(accuracy=None), rows=(), trained=None, cells=300)
    assert "not enough cells" in text_of(report(nothing))


def test_texts_are_escaped() -> None:
    bad = replace(FULL.rows[0], outcome=replace(FULL.rows[0].outcome, network="<script>alert(1)</script>", error="<b>", length_cycles=None, status="failed"))
    page = report(replace(FULL, rows=(bad, *FULL.rows[1:])))
    assert "<script>alert" not in page
    assert "failed: &lt;b&gt;" in page
    assert "1 of the others failed" in page


def test_panels_draw_every_solver_and_what_no_schedule_exceeds() -> None:
    figure: Any = panels(FULL.rows, "title", lambda row: row.speedup, ceiling=lambda row: row.ceiling)
    assert len(figure.data) == 4 * 3 * 6
    first = {trace.name: trace for trace in figure.data[:6]}
    assert list(first["auto"].x) == ["1", "2", "4", "8", "16"]
    assert list(first["auto"].y) == [1, 2, 4, 8, 16]
    assert set(first["proven bound (unroll = 1)"].y) == {3.0}
    assert sum(trace.showlegend for trace in figure.data) == 6
    titles = [text for note in figure.layout.annotations if (text := note.text)]
    assert (len(titles), titles[0]) == (12, "nmnist_mlp<br>16x16")
    assert {axis.matches for axis in figure.select_yaxes(row=2)} == {None, "y4"}  # columns compare


def test_shares_are_drawn_in_percent() -> None:
    figure: Any = panels(FULL.rows, "title", lambda row: row.overhead_moved, ticks=".1%")
    assert {axis.tickformat for axis in figure.select_yaxes()} == {".1%"}
    assert figure.data[0].hovertemplate == "stages: %{y:.2%} on %{x}<extra></extra>"


def test_the_accuracy_of_every_schedule_is_drawn_with_its_interval() -> None:
    figure: Any = accuracy_chart(trained(), 1.0)
    spikepipe, auto = figure.data
    assert len(spikepipe.y) == len(auto.y) == 16
    assert list(spikepipe.error_y.arrayminus) == list(spikepipe.error_y.array)  # around the mean
    assert spikepipe.y[0] - spikepipe.error_y.arrayminus[0] == -0.4
    assert figure.layout.meta["narrowest"] == 640  # 32 names that stand upright


def test_training_says_what_rows_share_and_what_was_not_tuned() -> None:
    shown = text_of(report(FULL))
    assert "The 32 schedules have 3 different delays on 3 substitutes." in shown
    assert "each interval stands alone" in shown
    assert "The rate is not tuned" in shown
    assert "are better in all" not in shown
    better = text_of(report(replace(FULL, trained=trained(lambda name: 0.1 if name == "vgg9" else -0.4))))
    assert "On digits_vgg the runs with delays are better in all 8 rows: the shared runs without them, 97.50 % on average" in better
    assert "On digits_mlp the runs" not in better


def test_a_difference_of_almost_nothing_has_no_minus() -> None:
    assert "-0.00" not in text_of(report(replace(FULL, trained=trained(lambda _: -0.002, lambda _: -0.001))))


def test_what_matters_most_comes_first_and_the_baseline_adds_nothing_to_itself() -> None:
    def solvers(heading: str) -> list[str]:
        part = report(FULL).partition(f"<h2>{heading}</h2>")[2].partition("</table>")[0]
        return list(dict.fromkeys(re.findall(r"<tr><td[^>]*>([^<]*)</td>", part)))

    assert solvers("Speed-up over stages") == ["spikepipe", "auto", "layerpipe", "pipedream", "stages"]
    assert solvers("Communication overhead") == ["spikepipe", "auto", "layerpipe", "pipedream"]
    assert "1 processors" not in text_of(report(FULL))


def test_a_problem_that_a_solver_cannot_take_is_said_in_few_words() -> None:
    said = "solver 'layerpipe' cannot take this problem: too few processors"
    refused = replace(FULL.rows[0], outcome=replace(FULL.rows[0].outcome, length_cycles=None, status="not supported", error=said))
    assert "not supported: too few processors" in text_of(report(replace(FULL, rows=(refused, *FULL.rows[1:]))))


def test_the_terminal_shows_means_and_claims_within_its_width() -> None:
    table = means_text(FULL).splitlines()
    assert table[0].split()[:3] == ["solver", "cells", "count"]
    assert len(table) == 1 + 5 * 7  # five numbers of processors, all but 1, and those without more processors than layers
    auto = next(line for line in table if line.startswith("auto") and "2 and more" in line)
    assert auto.split()[6:10] == ["7.50", "5.66", "2.00", "16.00"]
    claims = claims_text(FULL, 80)
    assert max(map(len, claims.splitlines())) <= 80
    assert claims.count("verdict") == len(FULL.claims)
    assert claims.count("measured  ") == len(FULL.claims)  # once, in front of its lines
    assert "          of all bytes between the arrays and their buffers" in claims


def test_a_claim_that_holds_in_part_has_a_look_of_its_own() -> None:
    idle = replace(FULL, rows=grid(lambda row: row.processors, layers=1))
    assert report(idle).count('<section class="part">') == [claim.verdict for claim in idle.claims].count("holds in part") > 0


def test_the_command_asks_for_the_same_grid() -> None:
    words = command(replace(FULL, setup=StudySetup(processors=(2, 4), arrays=("8x8",), time_limit_s=2.5, accuracy=None))).split()
    assert words[-7:] == ["--time-limit", "2.5", "--processors", "2,4", "--arrays", "8x8", "--no-accuracy"]
    small = command(replace(FULL, setup=quick(StudySetup()))).split()
    assert small[5:8] == ["--quick", "--time-limit", "1"]
