"""Runs the experiment: cells, then training, then the report; whatever is there already is gone on from.

A folder holds it: ``store.sqlite`` the rows and schedules, ``training`` the checkpoints, ``report.html``,
``cells.csv`` and ``claims.json`` what they say, written anew after each part, and when it is interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.export.costs import cost_table, total
from spikepipe_sched.files import write_atomically
from spikepipe_sched.study.accuracy import Trained, train_substitutes
from spikepipe_sched.study.claims import Claim, Evidence, claims
from spikepipe_sched.study.experiment import StudySetup
from spikepipe_sched.study.measure import Measure, cells_csv, detail_of, measures, settled
from spikepipe_sched.study.run import Executor, SweepProgress, run_cells
from spikepipe_sched.study.store import Store
from spikepipe_sched.version import __version__

if TYPE_CHECKING:
    from spikepipe_sched.study.cell import Cell
    from spikepipe_sched.validation import TrainingProgress

#: Under which the store lists the experiment's cells.
NAME: Final = "spikepipe"
STORE, REPORT, CELLS, CLAIMS = "store.sqlite", "report.html", "cells.csv", "claims.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The experiment, as far as it is done.

    Parameters
    ----------
    setup
        What was asked for.
    rows
        One per cell that was answered, in the order of the grid.
    trained
        One per schedule whose delays were trained with; None: none were to be.
    cells
        How many there are to be answered.
    ended
        Whether it ran to its end; else it was stopped, or is still under way.
    """

    setup: StudySetup
    rows: tuple[Measure, ...]
    trained: tuple[Trained, ...] | None
    cells: int
    ended: bool = False

    @property
    def claims(self) -> tuple[Claim, ...]:
        """What the papers' abstracts say, beside it."""
        return claims(Evidence(rows=self.rows, trained=self.trained))

    @property
    def open_cells(self) -> int:
        """Cells without an answer, those that failed among them."""
        return self.cells - sum(settled(row.outcome) for row in self.rows)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to be done."""
        return self.ended and not self.open_cells


def run_study(
    setup: StudySetup,
    folder: Path,
    *,
    executor: Executor,
    workers: int = 1,
    observer: Callable[[SweepProgress], None] | None = None,
    training_observer: Callable[[TrainingProgress], None] | None = None,
) -> Study:
    """Run what is left of the experiment, and write what came out.

    Parameters
    ----------
    folder
        Where it all lies; made if need be.
    executor
        What runs the cells.
    workers
        Trainings side by side.
    observer, training_observer
        Hear how far it is.

    Raises
    ------
    InputError
        If a cell cannot be asked for, the folder cannot be used, or its files are damaged.
    """
    cells = setup.cells()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be made: {error.strerror or error}") from None
    strange = [name for name in (REPORT, CELLS, CLAIMS) if (folder / name).exists() and not (folder / STORE).exists()]
    require(not strange, f"{folder}: holds a file {', '.join(strange)} and no {STORE}, so that it is no folder of a study; name another one")
    with Store(folder / STORE, create=True) as store:
        summary = run_cells(cells, store, name=NAME, executor=executor, again=True, observer=observer)
        outcomes = store.outcomes(NAME)
        buffers = _buffer_bytes(cells)
        rows = measures(outcomes, {row.key: detail_of(store.result(row.key), buffers[row.key]) for row in outcomes if row.length_cycles is not None})
    study = Study(setup=setup, rows=rows, trained=None, cells=len(cells), ended=not summary.interrupted)
    if setup.accuracy is not None:
        study = replace(study, trained=(), ended=False)
        if not summary.interrupted:
            write(study, folder)
            own = folder / "training"
            trained, interrupted = train_substitutes(rows, setup.accuracy, batch=setup.batch, folder=own, workers=workers, observer=training_observer)
            study = replace(study, trained=trained, ended=not interrupted)
    write(study, folder)
    return study


def _buffer_bytes(cells: Sequence[Cell]) -> dict[str, int]:
    """By key: bytes that all tasks of an iteration move between an array and its buffers, wherever they run, as the arrays are alike."""
    sums: dict[tuple[str, str], int] = {}
    for cell in cells:
        at = cell.network.name, cell.platform.name
        if at not in sums:
            sums[at] = total(cost_table(cell.network, cell.setup, cell.platform)).sram_bytes
    return {cell.key: sums[cell.network.name, cell.platform.name] for cell in cells}


def write(study: Study, folder: Path) -> None:
    """The report, the rows and the claims, each file the old one or the new one."""
    from spikepipe_sched.study.report import report

    write_atomically(folder / CELLS, cells_csv(study.rows))
    write_atomically(folder / CLAIMS, claims_json(study))
    write_atomically(folder / REPORT, report(study))


def claims_json(study: Study) -> str:
    """Every claim with its verdict, and whether the experiment is complete."""
    content = {"version": __version__, "complete": study.complete, "claims": [asdict(claim) for claim in study.claims]}
    return json.dumps(content, indent=2, ensure_ascii=False)
