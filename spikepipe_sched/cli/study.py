"""``spikepipe-sched study``."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from spikepipe_sched.cli.options import JsonFlag, numbers
from spikepipe_sched.cli.training_progress import TrainingLine, clock_text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.text import Text

    from spikepipe_sched.study.run import SweepProgress


def study(
    name: Literal["spikepipe"],  # noqa: ARG001  (there is one)
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("spikepipe-study"),
    quick: bool = False,
    accuracy: bool = True,
    workers: int = 1,
    time_limit: float | None = None,
    processors: Annotated[str | None, Parameter(alias="-P")] = None,
    arrays: str | None = None,
    json: JsonFlag = False,
) -> int:
    """Reproduce a paper's experiment, and say which of its claims hold.

    SpikePipe's networks, arrays and numbers of processors stand in no abstract: what is taken instead
    is listed in the report. Every network is scheduled on every array by the baselines, by the paper's
    method as far as it is known, and by the portfolio; substitutes are trained with the delays. Ctrl-C
    at any time: the same command goes on from there. A full run takes about half an hour on one core.

    Parameters
    ----------
    name
        The paper: spikepipe.
    output
        Folder for report.html, cells.csv, claims.json, and what is needed to go on.
    quick
        A small part of the grid in a minute or two; too little for verdicts.
    accuracy
        Train substitutes with the delays of the schedules, which needs PyTorch and scikit-learn.
    workers
        Cells, and then trainings, side by side, each in a process of its own.
    time_limit
        Seconds for each cell of a solver that searches; 10 if not given, 1 with --quick.
    processors
        Numbers of processors, comma-separated; verdicts need 2,4,8,16.
    arrays
        Sizes of the arrays, comma-separated; verdicts need 16x16,32x32,64x64.
    json
        Print the claims as JSON and nothing else.
    """
    from spikepipe_sched.errors import InputError
    from spikepipe_sched.study.experiment import StudySetup
    from spikepipe_sched.study.experiment import quick as small
    from spikepipe_sched.study.pool import Pool
    from spikepipe_sched.study.report import claims_text, means_text
    from spikepipe_sched.study.reproduce import REPORT, claims_json, run_study
    from spikepipe_sched.validate import require_torch

    setup = StudySetup() if accuracy else StudySetup(accuracy=None)
    setup = small(setup) if quick else setup
    setup = setup if processors is None else replace(setup, processors=tuple(numbers(processors, "--processors")))
    setup = setup if arrays is None else replace(setup, arrays=tuple(size for part in arrays.split(",") if (size := part.strip().lower())))
    setup = setup if time_limit is None else replace(setup, time_limit_s=time_limit)
    if accuracy:
        try:
            require_torch()
        except InputError as error:
            raise InputError(f"{error}; or leave it out: --no-accuracy") from None
    with _live() as line:
        found = run_study(
            setup, output, executor=Pool(workers=workers), workers=workers, observer=line and line.cells, training_observer=line and line.training
        )
    if json:
        print(claims_json(found))
    else:
        means = [means_text(found)] if found.rows else []
        print("\n\n".join([*means, claims_text(found, shutil.get_terminal_size((100, 24)).columns)]))
    print(f"written to {output / REPORT}", file=sys.stderr if json else sys.stdout)
    if not found.ended:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0 if found.complete else 1


class StudyLine:
    """How far the cells are, then how far training is."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.began = clock()
        self.latest: SweepProgress | None = None
        self.training = TrainingLine(clock)

    def cells(self, progress: SweepProgress) -> None:
        """Hear of a cell that was answered."""
        self.latest = progress

    def text(self) -> str:
        """``120 of 300 cells  vgg9  8 arrays of 32x32  auto  optimal  3:10 left``."""
        now = self.latest
        if self.training.latest is not None:
            return self.training.text()
        if now is None:
            return "starting"
        words = [f"{now.done} of {now.total} cells"]
        if now.latest is not None:
            row = now.latest
            words += [row.network, f"{row.processors} arrays of {row.array}", row.solver, row.status]
            left = (self.clock() - self.began) / (now.done - now.known) * (now.total - now.done)
            words += [f"{clock_text(left)} left"]
        return "  ".join(words)

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text(self.text(), no_wrap=True, overflow="ellipsis")


@contextmanager
def _live() -> Generator[StudyLine | None]:
    """Yield what is to hear how far it is; None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    line = StudyLine()
    with Live(get_renderable=line.__rich__, console=Console(stderr=True), refresh_per_second=4, transient=True):
        yield line
