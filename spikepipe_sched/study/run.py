"""Running a sweep: what the store does not know is asked, and written the moment it is answered."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from spikepipe_sched.study.cell import Cell
    from spikepipe_sched.study.outcome import Outcome
    from spikepipe_sched.study.store import Store


class Executor(Protocol):
    """Whatever can run cells: processes of this machine (`Pool`), or a cluster (`Ray`)."""

    def outcomes(self, cells: Sequence[Cell]) -> Generator[tuple[Outcome, str | None]]:
        """What `Cell.run` returns for each of them, once each, in the order they end; closed early, it stops those that run."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepProgress:
    """News of a running sweep.

    Parameters
    ----------
    total, known
        Cells of the sweep, and how many of them had a row before it began.
    done, failed
        Cells with a row by now, and how many of these rows failed.
    latest
        The row that came last; None at the beginning.
    """

    total: int
    known: int
    done: int
    failed: int
    latest: Outcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSummary:
    """How a sweep ended.

    Parameters
    ----------
    total, known, done, failed
        As in `SweepProgress`.
    interrupted
        Whether it was stopped before all cells had a row.
    """

    name: str
    total: int
    known: int
    done: int
    failed: int
    interrupted: bool = False


def run_cells(
    cells: Sequence[Cell],
    store: Store,
    *,
    name: str,
    executor: Executor,
    again: bool = False,
    observer: Callable[[SweepProgress], None] | None = None,
) -> SweepSummary:
    """Give every cell a row in the store.

    Cells that have one are not run. Ctrl-C stops those that run; the rows that are written stay, and
    the next call goes on from there.

    Parameters
    ----------
    name
        Under which the store lists these cells, in this order.
    again
        Run those again that failed.
    observer
        Called at the beginning and after every row.

    Raises
    ------
    SpikepipeError
        If the store cannot be written, or the executor cannot run anything.
    """
    store.register(name, cells)
    wanted = {cell.key: cell for cell in cells}
    failed = store.failed() & wanted.keys()
    left = wanted.keys() - store.known() - (set() if again else failed)
    failed -= left
    known = done = len(wanted) - len(left)
    interrupted = False

    def tell(latest: Outcome | None = None) -> None:
        if observer is not None:
            observer(SweepProgress(total=len(wanted), known=known, done=done, failed=len(failed), latest=latest))

    try:
        tell()
        with closing(executor.outcomes([cell for key, cell in wanted.items() if key in left])) as answers:
            for outcome, result in answers:
                _keep(store, outcome, result)
                done += 1
                if outcome.failed:
                    failed.add(outcome.key)
                tell(outcome)
    except KeyboardInterrupt:
        interrupted = True
    return SweepSummary(name=name, total=len(wanted), known=known, done=done, failed=len(failed), interrupted=interrupted)


def _keep(store: Store, outcome: Outcome, result: str | None) -> None:
    """Write a row, even if Ctrl-C comes in between: what is finished is kept."""
    try:
        store.add(outcome, result)
    except KeyboardInterrupt:
        store.add(outcome, result)
        raise
