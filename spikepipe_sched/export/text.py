"""A Gantt chart for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spikepipe_sched.export.bars import LOOKS, drawable, folded, kinds_present, plain

if TYPE_CHECKING:
    from spikepipe_sched.export.bars import Bar
    from spikepipe_sched.result import Result

IDLE: Final = "·"
_LONGEST_NAME: Final = 16


def text_gantt(result: Result, width: int = 100) -> str:
    """One steady-state period (or the whole finite run), a line per processor.

    Each character is an equal share of the time and shows what takes most of it; the last column is
    the share of the time that the processor is busy. The same result gives the same text.

    Parameters
    ----------
    width
        Characters in a line; at least 40 are used.

    Raises
    ------
    InputError
        If the result has no schedule.
    """
    problem, schedule = drawable(result)
    pieces = folded(result)
    length = schedule.period if schedule.period is not None else max(1, *(bar.end for bar in pieces))
    names = [plain(p.name) for p in problem.processors]
    names = [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…" for name in names]
    margin = max(len(name) for name in names)
    cells = max(40, width) - margin - len(" ||  100.0 %")
    what = "one period in steady state" if schedule.period is not None else "the whole run"
    lines = [f"{plain(problem.name)}: {what}, {length:,} cycles"]
    rows: list[list[Bar]] = [[] for _ in names]
    for bar in pieces:
        rows[bar.processor].append(bar)
    for name, row in zip(names, rows, strict=True):
        busy = sum(bar.end - bar.start for bar in row)
        lines.append(f"{name:<{margin}} |{_cells(row, length, cells)}| {100 * busy / length:6.1f} %")
    right = f"{length:,}"
    lines.append(f"{'':<{margin}}  0{right:>{cells - 1}}")
    legend = [f"{LOOKS[kind].cell} {LOOKS[kind].label}" for kind in kinds_present(problem)]
    lines.append("  ".join([*legend, f"{IDLE} idle"]))
    return "\n".join(lines)


def _cells(row: list[Bar], length: int, cells: int) -> str:
    """Cell i covers [i, i + 1) * length / cells; times are multiplied by ``cells`` to stay whole."""
    shares: list[dict[str, int]] = [{} for _ in range(cells)]
    for bar in row:
        begin, end = bar.start * cells, bar.end * cells
        if begin == end:  # a zero-cycle task takes no time of any cell
            continue
        for i in range(begin // length, min(cells, -(-end // length))):
            covered = min(end, (i + 1) * length) - max(begin, i * length)
            shares[i][bar.kind] = shares[i].get(bar.kind, 0) + covered
    return "".join(_cell(share, length) for share in shares)


def _cell(share: dict[str, int], length: int) -> str:
    if not share:
        return IDLE
    kind = max(LOOKS, key=lambda k: share.get(k, 0))  # the first in the legend among equals
    return LOOKS[kind].cell if share[kind] >= length - sum(share.values()) else IDLE
