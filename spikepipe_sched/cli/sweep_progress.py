"""Live progress of a sweep on stderr: one line that is drawn anew, or a line now and then where stderr is not a terminal."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.text import Text

    from spikepipe_sched.study.outcome import Outcome
    from spikepipe_sched.study.run import SweepProgress

#: Seconds between lines where nobody watches.
_PAUSE_S: Final = 30.0


class SweepLine:
    """How far the sweep is, when it will be done at the speed so far, and what came last."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.began = clock()
        self.latest: SweepProgress | None = None

    def __call__(self, progress: SweepProgress) -> None:
        """Hear news."""
        self.latest = progress

    def left_s(self) -> float | None:
        """Seconds until all cells are done; None: not yet known."""
        now = self.latest
        if now is None or now.done == now.known:  # what was known took no time
            return None
        return (self.clock() - self.began) * (now.total - now.done) / (now.done - now.known)

    def text(self) -> str:
        """``12 of 48 cells  1 failed  0:35 left  vgg9 on 4 processors, spikepipe: period 1,040, gap 4.00 %``."""
        from spikepipe_sched.cli.training_progress import clock_text

        now = self.latest
        if now is None:
            return "starting"
        left = self.left_s()
        words = [f"{now.done:,} of {now.total:,} cells"]
        words += [f"{now.failed:,} failed"] if now.failed else []
        words += [f"{clock_text(left)} left"] if left is not None else []
        words += [_last(now.latest)] if now.latest is not None else []
        return "  ".join(words)

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text(self.text(), no_wrap=True, overflow="ellipsis")


class SpokenLine(SweepLine):
    """The same, printed now and then."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(clock)
        self.spoke = self.began

    def __call__(self, progress: SweepProgress) -> None:
        """Hear news, and pass them on if the last line is a while ago."""
        super().__call__(progress)
        if self.clock() - self.spoke >= _PAUSE_S:
            self.spoke = self.clock()
            print(self.text(), file=sys.stderr, flush=True)


def _last(row: Outcome) -> str:
    from spikepipe_sched.export.bars import plain
    from spikepipe_sched.export.summary import percent

    where = f"{row.network} on {row.processors} processor{'' if row.processors == 1 else 's'}, {row.solver}: "
    return plain(where + (row.status if row.value is None else f"{row.objective} {row.value:,}, gap {percent(row.gap)}"))


@contextmanager
def live_sweep() -> Generator[SweepLine]:
    """Yield an observer to hand to `spikepipe_sched.study.run_cells`."""
    if not sys.stderr.isatty():
        yield SpokenLine()
        return
    from rich.console import Console
    from rich.live import Live

    line = SweepLine()
    with Live(get_renderable=line.__rich__, console=Console(stderr=True), refresh_per_second=4, transient=True):
        yield line
