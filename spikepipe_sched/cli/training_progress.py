"""Live progress of training on stderr; nothing at all where stderr is not a terminal."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.text import Text

    from spikepipe_sched.validation import TrainingProgress


class TrainingLine:
    """The run that spoke last, and when all runs will be done at the speed so far."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.latest: TrainingProgress | None = None
        self.began = clock()
        self.first: dict[int, TrainingProgress] = {}
        self.now: dict[int, TrainingProgress] = {}

    def __call__(self, progress: TrainingProgress) -> None:
        """Hear news of one run."""
        if self.now.get(progress.run, progress).label != progress.label:  # tuning is over, and runs are counted anew
            self.began, self.first, self.now = self.clock(), {}, {}
        self.first.setdefault(progress.run, progress)  # what a checkpoint held took no time
        self.now[progress.run] = self.latest = progress

    def left_s(self) -> float | None:
        """Seconds until all runs are done; None: not yet known."""
        reached, before = (sum(progress.update / progress.updates for progress in some.values()) for some in (self.now, self.first))
        if self.latest is None or reached <= before:
            return None
        return (self.clock() - self.began) * (self.latest.runs - reached) / (reached - before)

    def text(self) -> str:
        """``run 3 of 10  delayed, seed 1  epoch 5 of 20  loss 0.412  accuracy 93.1 %  4,210 samples/s  2:10 left``."""
        now = self.latest
        if now is None:
            return "starting"
        words = [f"run {now.run + 1} of {now.runs}", now.label, f"epoch {min(now.epoch + 1, now.epochs)} of {now.epochs}"]
        words += [f"loss {now.loss:.3f}"] if now.loss is not None else []
        words += [f"accuracy {100 * now.accuracy:.1f} %"] if now.accuracy is not None else []
        words += [f"{now.samples_per_s:,.0f} samples/s"] if now.samples_per_s else []
        left = self.left_s()
        words += [f"{clock_text(left)} left"] if left is not None else []
        return "  ".join(words)

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text(self.text(), no_wrap=True, overflow="ellipsis")


def clock_text(seconds: float) -> str:
    """``0:05``, ``12:30`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def live_training() -> Generator[TrainingLine | None]:
    """Yield an observer to hand to `spikepipe_sched.validate`; None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    line = TrainingLine()
    with Live(get_renderable=line.__rich__, console=Console(stderr=True), refresh_per_second=4, transient=True):
        yield line
