"""A Gantt chart for the terminal."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from spikepipe_sched.export.bars import LOOKS, bars, clipped, drawable, kinds_present, length_cycles, plain, processor_labels, window

if TYPE_CHECKING:
    from spikepipe_sched.export.bars import Bar
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result

IDLE: Final = "·"
#: Columns beside the cells and the processor's name.
FRAME: Final = len(" ||  100.0 %")
_LONGEST_NAME: Final = 16


def text_gantt(result: Result, width: int = 100) -> str:
    """One steady-state period (or the whole finite run), a line per processor.

    Each character is an equal share of the time and shows what takes most of it; in a finite run
    the number of the micro-batch stands where it has room. The last column is the share of the time
    that the processor is busy. The same result gives the same text.

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
    length = length_cycles(result)
    what = "one period in steady state" if schedule.period is not None else "the whole run"
    return "\n".join([f"{plain(problem.name)}: {what}, {length:,} cycles", *chart_lines(result, width, length), legend_line(problem, width, length)])


def chart_lines(result: Result, width: int, axis: int) -> list[str]:
    """A line per processor and a ruler, over ``axis`` cycles: of steady state, or of a finite run, after whose end nothing stands.

    The ruler's number is the period, or the makespan, and ends where it does.
    """
    problem, schedule = drawable(result)
    length = length_cycles(result)
    names = [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…" for name in map(plain, processor_labels(problem))]
    margin = max(len(name) for name in names)
    cells = cells_in(problem, width)
    end = min(cells, -(-length * cells // axis))
    rows: list[list[Bar]] = [[] for _ in names]
    for bar in clipped(window(result, axis), axis):
        rows[bar.processor].append(bar)
    busy = [0] * len(names)
    for bar in bars(result):
        busy[bar.processor] += bar.end - bar.start
    lines: list[str] = []
    for name, row, cycles in zip(names, rows, busy, strict=True):
        drawn = _cells(row, axis, cells)
        if problem.micro_batches > 1:
            drawn = _numbered(drawn, row, axis)
        if schedule.period is None:
            drawn = drawn[:end].ljust(cells)
        lines.append(f"{name:<{margin}} |{drawn}| {100 * cycles / length:6.1f} %")
    return [*lines, f"{'':<{margin}}  0{f'{length:,}':>{end - 1}}"]


def cells_in(problem: Problem, width: int) -> int:
    """Characters of a line that stand for time."""
    return max(40, width) - min(_LONGEST_NAME, max(map(len, processor_labels(problem)))) - FRAME


def legend_line(problem: Problem, width: int, axis: int) -> str:
    """What the characters of `chart_lines` stand for, and whether there are tasks too short for them."""
    entries = [*(f"{LOOKS[kind].cell} {LOOKS[kind].label}" for kind in kinds_present(problem)), f"{IDLE} idle"]
    entries += ["digits: micro-batch, where there is room"] if problem.micro_batches > 1 else []
    cycles = problem.tasks.cycles
    entries += ["tasks shorter than a column may not show"] if ((cycles >= 0) & (cycles * cells_in(problem, width) < axis)).any() else []
    return "  ".join(entries)


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


def _numbered(drawn: str, row: list[Bar], length: int) -> str:
    """The cells with the micro-batch's number in the middle of every block that is longer than it.

    A block is a run of bars of one kind and micro-batch without a break: the layers, or windows, of a stage.
    """
    cells, text = len(drawn), list(drawn)
    order = sorted((bar for bar in row if bar.start < bar.end and bar.kind != "U"), key=lambda bar: bar.start)  # an update is of no micro-batch
    heads = [i for i, (a, b) in enumerate(pairwise(order), 1) if (a.end, a.kind, a.iteration) != (b.start, b.kind, b.iteration)]
    for first, after in pairwise([0, *heads, len(order)]):
        if first == after:
            continue
        number = str(order[first].iteration)
        left, right = -(-order[first].start * cells // length), order[after - 1].end * cells // length  # cells covered altogether
        if right - left > len(number):
            place = left + (right - left - len(number)) // 2
            text[place : place + len(number)] = number
    return "".join(text)
