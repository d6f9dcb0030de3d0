"""The grid, what rows say together, and one small experiment run, interrupted and gone on from."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.export.costs import cost_table, total
from spikepipe_sched.importers import load_network, load_platform
from spikepipe_sched.study.cell import Cell
from spikepipe_sched.study.experiment import ARRAYS, ASSUMPTIONS, BASELINE, NETWORKS, PROCESSORS, SOLVERS, StudySetup, quick
from spikepipe_sched.study.measure import COLUMNS, Detail, cells_csv, means, measures, settled
from spikepipe_sched.study.outcome import Outcome
from spikepipe_sched.study.reproduce import run_study
from spikepipe_sched.training import TrainingSetup
from tests.study.made import BOUND, LENGTH, TRAFFIC, outcome

SMALL = StudySetup(networks=("tiny", "nmnist_mlp"), processors=(1, 4), arrays=("8x8",), solvers=("stages", "layerpipe", "spikepipe"), accuracy=None)


class Here:
    """Runs cells in this process; after ``most`` of them somebody presses Ctrl-C."""

    def __init__(self, most: int | None = None) -> None:
        self.most, self.run = most, 0

    def outcomes(self, cells: Sequence[Cell]) -> Generator[tuple[Outcome, str | None]]:
        for cell in cells:
            if self.run == self.most:
                raise KeyboardInterrupt
            self.run += 1
            yield cell.run()


def test_the_grid_is_every_network_array_number_and_solver() -> None:
    cells = StudySetup().cells()
    assert len(cells) == len({cell.key for cell in cells}) == len(NETWORKS) * len(ARRAYS) * len(PROCESSORS) * len(SOLVERS)
    assert {cell.setup.windows for cell in cells} == {1}
    assert {cell.setup.batch for cell in cells} == {16}
    sizes = {(cell.platform.classes[cell.platform.processors[0]].rows, len(cell.platform.processors)) for cell in cells}
    assert sizes == {(rows, count) for rows in (16, 32, 64) for count in PROCESSORS}


def test_quick_is_a_part_of_it() -> None:
    small = quick(StudySetup())
    assert small.accuracy is not None
    assert small.accuracy.epochs < 5
    assert len(small.cells()) <= 30
    assert quick(StudySetup(accuracy=None)).accuracy is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"networks": ()}, "at least one of the networks"),
        ({"processors": (2, 2)}, "processors comes twice: 2, 2"),
        ({"processors": (0,)}, "processors"),
        ({"arrays": ("32",)}, "ROWSxCOLUMNS"),
        ({"solvers": ("auto",)}, "baseline"),
        ({"solvers": ("stages", "nobody")}, "nobody"),
        ({"batch": 0}, "batch"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_wrong_grid_is_refused_in_one_line(changes, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        StudySetup(**changes)
    assert "\n" not in str(error.value)


def test_every_assumption_is_said() -> None:
    assert {"networks", "arrays", "standard pipelining", "speed-up", "communication overhead", "accuracy"} <= ASSUMPTIONS.keys()
    text = " ".join(ASSUMPTIONS.values())
    assert all(name in text for name in (*NETWORKS, "stages", "spikepipe", "layerpipe", "auto"))


def test_rows_of_one_problem_are_measured_against_its_baseline_and_its_best_bound() -> None:
    fast = outcome(solver="auto", length_cycles=6000, bound=5000, traffic_bytes=2 * TRAFFIC, overhead=0.1)
    other = outcome(processors=8, solver="auto", length_cycles=3000)  # without a baseline
    details = {fast.key: Detail(crossing=(("errors", 5), ("weights", 7)), buffer_bytes=10 * TRAFFIC), outcome().key: Detail(crossing=(("errors", 9),))}
    base, auto, alone = measures([outcome(), fast, other], details)
    assert (base.speedup, base.ceiling, base.best_bound) == (1.0, LENGTH / 5000, 5000)
    assert (auto.speedup, auto.ceiling, auto.gap) == (2.0, LENGTH / 5000, 0.2)
    assert (auto.overhead_moved, auto.overhead_buffers, auto.overhead_crossing) == (0.1, 0.1, 0.5)
    assert auto.added == (("errors", -4), ("weights", 7))
    assert (alone.speedup, alone.ceiling, alone.best_bound) == (None, None, BOUND)


def test_nothing_added_to_nothing_is_no_overhead() -> None:
    rows = measures([outcome(traffic_bytes=0), outcome(solver="auto", traffic_bytes=0)], {})
    assert [row.overhead_crossing for row in rows] == [0.0, 0.0]
    fewer = measures([outcome(), outcome(solver="auto", traffic_bytes=0)], {})
    assert fewer[1].overhead_crossing is None  # a share of nothing


def test_means_leave_out_what_is_not_known() -> None:
    found = means([1.0, None, 4.0])
    assert found is not None
    assert (found.count, found.arithmetic, found.least, found.largest) == (2, 2.5, 1.0, 4.0)
    assert found.geometric == pytest.approx(2.0)
    assert means([None]) is None


def test_cells_are_csv_with_a_column_for_everything_that_is_known() -> None:
    gone = outcome(solver="layerpipe", status="not supported", error='it has "no", way', length_cycles=None, traffic_bytes=None, overhead=None, bound=None)
    details = {outcome().key: Detail(delays=(("fc1", 2), ("fc2", 1)), crossing=(("errors", 5),))}
    text = cells_csv(measures([outcome(), gone], details))
    assert "\r" not in text
    head, first, second = csv.reader(io.StringIO(text))
    assert head == list(COLUMNS)
    assert {field for field in head if head.count(field) > 1} == set()
    base, absent = dict(zip(head, first, strict=True)), dict(zip(head, second, strict=True))
    assert (base["network"], base["length_cycles"], base["speedup_over_stages"]) == ("vgg9", str(LENGTH), "1.0")
    assert (base["delays"], base["bytes_crossing"], base["key"]) == ("fc1:2 fc2:1", "errors: 5", outcome().key)
    assert (absent["error"], absent["speedup_over_stages"], absent["length_cycles"]) == ('it has "no", way', "", "")


def test_a_small_experiment_is_interrupted_and_gone_on_from(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    stopped = run_study(SMALL, folder, executor=Here(5))
    assert (stopped.ended, stopped.complete, stopped.open_cells, len(stopped.rows)) == (False, False, 7, 5)
    assert "NOT COMPLETE: 5 of 12 cells" in (folder / "report.html").read_text(encoding="utf-8")
    rest = Here()
    done = run_study(SMALL, folder, executor=rest)
    assert (done.ended, done.complete, rest.run) == (True, True, 7)
    assert "Complete: 12 cells" in (folder / "report.html").read_text(encoding="utf-8")
    idle = Here()
    same = run_study(SMALL, folder, executor=idle)
    assert (same, idle.run) == (done, 0)


def test_an_experiment_leaves_rows_delays_and_claims(tmp_path: Path) -> None:
    study = run_study(SMALL, tmp_path, executor=Here())
    rows = {(row.outcome.network, row.outcome.processors, row.outcome.solver): row for row in study.rows}
    assert {key for key, row in rows.items() if row.outcome.status == "not supported"} == {("tiny", 1, "layerpipe"), ("nmnist_mlp", 1, "layerpipe")}
    assert all(settled(row.outcome) for row in study.rows)
    assert all(
        row.speedup is not None and row.ceiling is not None and 1 - 1e-9 <= row.speedup <= row.ceiling
        for row in study.rows
        if row.outcome.solver == "spikepipe"
    )
    fast = rows["nmnist_mlp", 4, "spikepipe"]
    assert [layer for layer, _ in fast.detail.delays] == ["fc1", "fc2", "fc3"]
    assert sum(delay for _, delay in fast.detail.delays) == fast.outcome.total_delay
    assert sum(size for _, size in fast.detail.crossing) == fast.outcome.traffic_bytes
    assert sum(size for _, size in fast.added) == (fast.outcome.traffic_bytes or 0) - (rows["nmnist_mlp", 4, BASELINE].outcome.traffic_bytes or 0)
    cost = total(cost_table(load_network("nmnist_mlp"), TrainingSetup(batch=16, windows=1), load_platform("array32").with_array(8, 8)))
    assert fast.detail.buffer_bytes == cost.sram_bytes > (fast.outcome.traffic_bytes or 0)
    content = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    assert content["complete"]
    assert {claim["verdict"] for claim in content["claims"]} == {"not enough cells", "not testable here"}
    assert len((tmp_path / "cells.csv").read_text(encoding="utf-8").splitlines()) == 13


def test_a_failed_cell_is_open_and_is_tried_again(tmp_path: Path) -> None:
    class Broken(Here):
        def outcomes(self, cells: Sequence[Cell]) -> Generator[tuple[Outcome, str | None]]:
            yield from ((cell.without("failed", "made"), None) for cell in cells)

    setup = replace(SMALL, networks=("tiny",), processors=(1,))
    failed = run_study(setup, tmp_path, executor=Broken())
    assert (failed.ended, failed.complete, failed.open_cells) == (True, False, 3)
    assert "3 of the others failed" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert run_study(setup, tmp_path, executor=Here()).complete


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="folder cannot be made"):
        run_study(SMALL, tmp_path / "file", executor=Here())


def test_files_that_are_not_its_own_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(InputError, match=r"holds a file report\.html and no store\.sqlite"):
        run_study(SMALL, tmp_path, executor=Here())
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
