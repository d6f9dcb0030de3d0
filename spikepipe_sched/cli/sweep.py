"""``spikepipe-sched sweep``."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from spikepipe_sched.cli.options import JsonFlag
from spikepipe_sched.cli.output import require_writable, table, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikepipe_sched.study.cell import Cell
    from spikepipe_sched.study.outcome import Outcome
    from spikepipe_sched.study.run import Executor, SweepSummary

#: What tells cells apart: always shown, and where they differ.
_ALWAYS: Final = ("network", "processors", "solver")
_TELLING: Final = ("network", "platform", "array", "processors", "mode", "windows", "batch", "micro_batches", "unroll", "weights", "solver", "seed")
_REASONS: Final = 10


def sweep(
    file: Path,
    /,
    *,
    store: Path,
    workers: int | None = None,
    executor: Literal["local", "ray"] = "local",
    address: str | None = None,
    cell_timeout: float | None = None,
    again: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    afresh: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    list_cells: Annotated[bool, Parameter(name="--list", negative=(), show_default=False)] = False,
    json: JsonFlag = False,
) -> int:
    """Run solvers over networks, platforms, processors and windows; results go to a store.

    A cell is known by its content, and one that the store knows is not run again: the same command
    goes on where it was interrupted, and runs what a longer file adds. The versions of this package and
    of the solver's belong to that content, their code does not: after a change of code without a new
    version, run --afresh. Solvers have one thread each, and what they print goes to stderr. What fails
    is a row with its error; the exit code is then 1.

    Parameters
    ----------
    file
        The sweep (.toml): lists of networks, platforms and solvers; arrays, processors, windows and
        seeds as well, and what applies to all of them; ``schema sweep`` lists every field.
    store
        File of results (SQLite), made if there is none, on a local disk. Several sweeps may share it,
        at the same time too.
    workers
        Processes side by side; as many as processor cores if not given.
    executor
        Processes of this machine (local), or a Ray cluster (ray).
    address
        Of the Ray cluster: HOST:PORT, or auto; a cluster of this machine alone is started if not given.
    cell_timeout
        Time after which a cell is stopped and counts as failed, whatever its solver's limit [seconds].
    again
        Run those cells again that failed.
    afresh
        Run all cells of the file, and replace the rows that the store has of them.
    list_cells
        List the cells, and whether the store knows them, and run nothing.
    json
        Print the rows as JSON and nothing else.
    """
    from spikepipe_sched.cli.sweep_progress import live_sweep
    from spikepipe_sched.export.bars import plain
    from spikepipe_sched.study import Store, read_sweep, run_cells

    asked = read_sweep(file)
    if list_cells:
        return _list(asked.cells, store, json=json)
    chosen = _executor(executor, workers, address, cell_timeout)
    require_writable(store)
    with Store(store, create=True) as kept:
        with live_sweep() as observer:
            summary = run_cells(asked.cells, kept, name=asked.name, executor=chosen, again=again, afresh=afresh, observer=observer)
        if summary.replaced:
            print(f"note: the store had another sweep '{plain(asked.name)}' ({summary.replaced:,} cells); the name now stands for these", file=sys.stderr)
        if summary.interrupted:
            left = summary.total - summary.done
            print(f"interrupted: {left:,} of {summary.total:,} cells are left; the same command goes on with them", file=sys.stderr)
            return 130
        rows = kept.rows(asked.cells)  # the name may stand for others by now
    print(to_json(_plain(rows)) if json else "\n".join(_text(rows, summary)))
    return 1 if summary.failed else 0


def _executor(executor: str, workers: int | None, address: str | None, cell_timeout: float | None) -> Executor:
    from spikepipe_sched.errors import require

    if executor == "local":
        from spikepipe_sched.study.pool import Pool

        require(address is None, "--address belongs to --executor ray")
        return Pool(workers=(os.cpu_count() or 1) if workers is None else workers, cell_timeout_s=cell_timeout)
    from spikepipe_sched.study.ray_cluster import Ray

    require(workers is None and cell_timeout is None, "--workers and --cell-timeout belong to --executor local; a Ray cluster has as many workers as CPUs")
    return Ray(address=address)


def _list(cells: Sequence[Cell], path: Path, *, json: bool) -> int:
    """What would be run."""
    from spikepipe_sched.study import Store

    rows: dict[str, Outcome] = {}
    if path.exists():
        with Store(path) as store:
            rows = {row.key: row for row in store.rows(cells)}
    listed = [rows.get(cell.key) or cell.without("to run", "") for cell in cells]
    shown = _shown(listed)
    if json:
        print(to_json([{name: getattr(row, name) for name in (*_TELLING, "key", "status")} for row in listed]))
    else:
        print(table([*shown, "status"], [[*(_cell(getattr(row, name)) for name in shown), row.status] for row in listed], right=_right(listed, shown)))
        print(f"{len(cells):,} cells, {sum(cell.key in rows for cell in cells):,} of them known")
    return 0


def _text(rows: Sequence[Outcome], summary: SweepSummary) -> list[str]:
    """A table of the rows, why some have no figures, and how many there are."""
    from spikepipe_sched.export.summary import percent

    shown = _shown(rows)
    finite = {row.mode for row in rows} == {"finite"}
    headers = [*shown, "makespan" if finite else "period", "gap", "cycles/sample", "delay", "traffic", "memory", "busy", "status"]
    lines = [
        [
            *(_cell(getattr(row, name)) for name in shown),
            _cell(row.length_cycles),
            "" if row.value is None else percent(row.gap),
            "" if row.cycles_per_sample is None else f"{row.cycles_per_sample:,.1f}",
            _cell(row.total_delay),
            _cell(row.traffic_bytes),
            _cell(row.memory_bytes),
            "" if row.utilisation is None else f"{100 * row.utilisation:.1f} %",
            row.status,
        ]
        for row in rows
    ]
    figures = range(len(shown), len(headers) - 1)
    text = [table(headers, lines, right=[*_right(rows, shown), *figures])]
    reasons = Counter((row.status, row.error) for row in rows if row.error).most_common()
    text += [f"{count} {status}: {error}" for (status, error), count in reasons[:_REASONS]]
    text += [f"... {len(reasons) - _REASONS} more reasons in the store"] if len(reasons) > _REASONS else []
    ran = summary.done - summary.known
    failed = f", {summary.failed:,} failed (--again runs them again)" if summary.failed else ""
    return [*text, f"{summary.name}: {summary.total:,} cells, {ran:,} run now, {summary.known:,} known before{failed}"]


def _shown(rows: Sequence[Outcome]) -> list[str]:
    """Fields that tell these rows apart."""
    return [name for name in _TELLING if name in _ALWAYS or len({getattr(row, name) for row in rows}) > 1]


def _right(rows: Sequence[Outcome], shown: Sequence[str]) -> list[int]:
    """Which of these columns hold numbers."""
    return [i for i, name in enumerate(shown) if rows and isinstance(getattr(rows[0], name), int)]


def _cell(value: str | int | None) -> str:
    from spikepipe_sched.export.bars import plain

    return "" if value is None else f"{value:,}" if isinstance(value, int) else plain(value)


def _plain(rows: Sequence[Outcome]) -> list[dict[str, object]]:
    from dataclasses import asdict

    return [asdict(row) for row in rows]
