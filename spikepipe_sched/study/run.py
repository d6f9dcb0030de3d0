"""Running a sweep: what the store does not know is asked, and written the moment it is answered."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from spikepipe_sched.study.cell import Cell
    from spikepipe_sched.study.outcome import Outcome
    from spikepipe_sched.study.store import Store


#: How long an answer waits after Ctrl-C for another program that keeps the store locked [seconds].
_GRACE_S: Final = 1.0


class Executor(Protocol):
    """Whatever can run cells: processes of this machine (`Pool`), or a cluster (`Ray`)."""

    def outcomes(self, cells: Sequence[Cell]) -> Generator[tuple[Outcome, str | None]]:
        """What `Cell.run` returns for each of them, once each, in the order they end.

        Closed early, it stops those that run; if KeyboardInterrupt is thrown in, it first gives what has ended.
        """
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
    replaced
        Cells that its name stood for in the store before, if some of them are not in it now; else 0.
    interrupted
        Whether it was stopped before all cells had a row.
    """

    name: str
    total: int
    known: int
    done: int
    failed: int
    replaced: int = 0
    interrupted: bool = False


def run_cells(
    cells: Sequence[Cell],
    store: Store,
    *,
    name: str,
    executor: Executor,
    again: bool = False,
    afresh: bool = False,
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
    afresh
        Run all of them, and replace the rows that are there.
    observer
        Called at the beginning and after every row.

    Raises
    ------
    SpikepipeError
        If the store cannot be written, or the executor cannot run anything.
    """
    replaced = store.register(name, cells)
    wanted = {cell.key: cell for cell in cells}
    failed = store.failed() & wanted.keys()
    left = set(wanted) if afresh else wanted.keys() - store.known() - (set() if again else failed)
    failed -= left
    known = done = len(wanted) - len(left)
    interrupted = False

    def tell(latest: Outcome | None = None) -> None:
        if observer is not None:
            observer(SweepProgress(total=len(wanted), known=known, done=done, failed=len(failed), latest=latest))

    def keep(outcome: Outcome, result: str | None) -> None:
        nonlocal done
        _keep(store, outcome, result, replace=afresh)
        done += 1
        if outcome.failed:
            failed.add(outcome.key)
        tell(outcome)

    try:
        with closing(executor.outcomes([cell for key, cell in wanted.items() if key in left])) as answers:
            try:
                tell()
                for answer in answers:
                    keep(*answer)
            except KeyboardInterrupt as stop:
                with suppress(StopIteration):  # what has ended, and nobody has asked for
                    keep(*answers.throw(stop))
                for answer in answers:
                    keep(*answer)
                raise
    except KeyboardInterrupt:
        interrupted = True
    return SweepSummary(name=name, total=len(wanted), known=known, done=done, failed=len(failed), replaced=replaced, interrupted=interrupted)


def _keep(store: Store, outcome: Outcome, result: str | None, *, replace: bool) -> None:
    """Write a row, even if Ctrl-C comes in between: what is finished is kept."""
    try:
        store.add(outcome, result, replace=replace)
    except KeyboardInterrupt:
        store.add(outcome, result, replace=replace, patience_s=_GRACE_S)
        raise
