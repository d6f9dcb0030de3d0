"""Live progress of a solve on stderr; nothing at all where stderr is not a terminal."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.text import Text

    from spikepipe_sched.solver import Observer, Progress


class _Line:
    """One line that rich draws anew several times a second: the latest of every objective."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.latest: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        self.latest = progress

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text(progress_line(self.latest, time.perf_counter() - self.began), no_wrap=True, overflow="ellipsis")


def progress_line(progress: Progress | None, elapsed_s: float) -> str:
    """``12.3 s  cpsat  period  incumbent 1,040  bound 1,000  gap 4.00 %``."""
    if progress is None:
        return f"{elapsed_s:5.1f} s  starting"
    words = [f"{elapsed_s:5.1f} s", progress.solver, progress.objective]
    words.append("no schedule yet" if progress.incumbent is None else f"incumbent {progress.incumbent:,}")
    if progress.bound is not None:
        words.append(f"bound {progress.bound:,}")
    if progress.incumbent is not None and progress.bound is not None:
        from spikepipe_sched.export.summary import percent
        from spikepipe_sched.result import gap

        words.append(f"gap {percent(gap(progress.incumbent, progress.bound))}")
    return "  ".join(words)


@contextmanager
def live_progress(prefix: str = "") -> Generator[Observer | None]:
    """Yield an observer to hand to `spikepipe_sched.solve`; None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    line = _Line()

    def drawn() -> Text:
        return Text(prefix) + line.__rich__()

    with Live(get_renderable=drawn, console=Console(stderr=True), refresh_per_second=4, transient=True):
        yield line
