"""``compare`` and ``pareto`` as views of a store of sweeps: nothing is solved."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spikepipe_sched.cli.output import require_writable, table, to_json
from spikepipe_sched.errors import InputError, require

if TYPE_CHECKING:
    from spikepipe_sched.study.views import Compared

#: How SQLite's files begin (https://sqlite.org/fileformat.html).
_HEADER: Final = b"SQLite format 3\0"


def is_store(name: str) -> bool:
    """Whether a name is that of a store: by its ending, or what the file begins with."""
    if Path(name).suffix in (".sqlite", ".db"):
        return True
    try:
        with Path(name).open("rb") as file:
            return file.read(len(_HEADER)) == _HEADER
    except (OSError, ValueError):
        return False


def refuse(name: str, options: Mapping[str, bool], grouped: Sequence[str]) -> None:
    """InputError if options are given that cannot apply to a store: some by name, and whether they are, and those of groups."""
    wrong = [*(option for option, is_given in options.items() if is_given), *grouped]
    require(not wrong, f"{name}: a store is shown as it is, and nothing is solved, so {', '.join(wrong)} cannot apply")


def compare_store(name: str, sweeps: Sequence[str], baseline: str, output: Path | None, *, json: bool) -> int:
    """All rows of some sweeps, or of the store."""
    from spikepipe_sched.files import write_atomically
    from spikepipe_sched.study import Store
    from spikepipe_sched.study.view_pages import compared_notes, compared_page, compared_table
    from spikepipe_sched.study.views import compared, require_baseline, stored

    _require_output(output, (".html", ".json"))
    with Store(Path(name)) as store:
        outcomes = stored(store, sweeps)
        require_baseline(outcomes, baseline)
        rows = compared(outcomes, baseline)
        if output is not None:
            write_atomically(output, to_json(plain_rows(rows)) if output.suffix == ".json" else compared_page(name, rows, baseline, store.result))
    headers, lines, numbers = compared_table(rows, baseline)
    _print(to_json(plain_rows(rows)) if json else "\n".join([table(headers, lines, right=numbers), *compared_notes(rows, baseline)]), output, json=json)
    return 0


def pareto_store(name: str, sweeps: Sequence[str], over: str | None, baseline: str | None, output: Path | None, *, json: bool) -> int:
    """The rows that no other one beats."""
    from spikepipe_sched.comparison import BASELINE
    from spikepipe_sched.files import write_atomically
    from spikepipe_sched.study import Store
    from spikepipe_sched.study.view_pages import front_notes, front_page, front_table
    from spikepipe_sched.study.views import compared, figure_names, front, lacking, require_baseline, stored

    _require_output(output, (".html", ".json"))
    figures = figure_names([part.strip() for part in ("period,pes" if over is None else over).split(",")])
    require(baseline is None or "speedup" in figures, "--baseline belongs to the figure speedup")
    reference = baseline or BASELINE
    with Store(Path(name)) as store:
        outcomes = stored(store, sweeps)
    if "speedup" in figures:
        require_baseline(outcomes, reference)
    rows = compared(outcomes, reference)
    best = front(rows, figures)
    if not best:
        raise InputError(f"{name}: there is nothing to compare: {lacking(rows, figures)}")
    if output is not None:
        write_atomically(output, to_json(plain_rows(best)) if output.suffix == ".json" else front_page(name, rows, best, figures, reference))
    headers, lines, numbers = front_table(best, figures)
    _print(
        to_json(plain_rows(best)) if json else "\n".join([table(headers, lines, right=numbers), *front_notes(rows, best, figures, reference)]),
        output,
        json=json,
    )
    return 0


def plain_rows(rows: Sequence[Compared]) -> list[dict[str, Any]]:
    """Rows as JSON has them."""
    return [asdict(row.outcome) | {"speedup": row.speedup} for row in rows]


def _require_output(output: Path | None, endings: Sequence[str]) -> None:
    require(output is None or output.suffix in endings, f"--output takes a file that ends in {' or '.join(endings)}, not '{output}'")
    require_writable(output)


def _print(text: str, output: Path | None, *, json: bool) -> None:
    from spikepipe_sched.export.bars import plain

    print(text if json else "\n".join(map(plain, text.split("\n"))))
    if output is not None:
        print(f"written to {output}", file=sys.stderr if json else sys.stdout)
