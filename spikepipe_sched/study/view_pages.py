"""Views of outcomes as tables, for the terminal and for pages, and as self-contained pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from spikepipe_sched.comparison import Comparison, Row
from spikepipe_sched.export.bars import plain
from spikepipe_sched.export.html import embedded, html_table, page
from spikepipe_sched.export.panels import panels
from spikepipe_sched.export.summary import percent
from spikepipe_sched.study.plots import TITLES, Chart, figure, front_figure
from spikepipe_sched.study.views import Compared, front_key, group_labels, lacking, namesakes, telling

if TYPE_CHECKING:
    from spikepipe_sched.result import Result

Table = tuple[list[str], list[list[str]], list[int]]

#: More problems have no Gantt charts on a page, and more schedules of one are not drawn.
MAX_CHARTS, MAX_SCHEDULES = 8, 8
#: More reasons are not listed.
_REASONS: Final = 10

_WORDS: Final = {
    "length_cycles": "period or makespan",
    "total_delay": "sum of delays",
    "traffic_bytes": "traffic bytes",
    "memory_bytes": "peak memory",
    "utilisation": "busy",
    "cycles_per_sample": "cycles/sample",
    "samples_per_s": "samples/s",
    "max_staleness": "staleness",
}


def compared_table(rows: Sequence[Compared], baseline: str) -> Table:
    """Headers, rows, and which columns are numbers."""
    labels = telling(rows)
    shown = ("length_cycles", "gap", "total_delay", "traffic_bytes", "memory_bytes", "utilisation", "speedup", "seconds")
    headers = [*labels, *(f"over {baseline}" if name == "speedup" else _word(name, rows) for name in shown), "status"]
    lines = [[*(_cell(row, name) for name in (*labels, *shown)), row.outcome.status] for row in rows]
    return headers, lines, _numbers(rows, labels, len(shown))


def front_table(rows: Sequence[Compared], over: Sequence[str]) -> Table:
    """The same for rows of fronts: those that are equal in all figures are one line, which names what they differ in."""
    labels = [name for name in telling(rows) if name not in over]
    points: dict[tuple[object, ...], list[Compared]] = {}
    for row in rows:
        points.setdefault((*front_key(row, over), *(row.value(name) for name in over)), []).append(row)
    headers = [*labels, *(_word(name, rows) for name in over)]
    lines = [
        [*(", ".join(dict.fromkeys(_cell(row, name) for row in equal)) for name in labels), *(_cell(equal[0], name) for name in over)]
        for equal in points.values()
    ]
    return headers, lines, _numbers(rows, labels, len(over))


def compared_notes(rows: Sequence[Compared], baseline: str) -> list[str]:
    """What gaps and speed-ups are to, and why some rows have no figures."""
    problems: dict[str, list[Compared]] = {}
    for row in rows:
        problems.setdefault(row.outcome.problem_key, []).append(row)
    without = sum(all(row.speedup is None for row in group) for group in problems.values())
    notes = [f"{len(rows):,} rows of {len(problems):,} problem{'' if len(problems) == 1 else 's'}; gaps are to the best bound that any row of a problem proved"]
    notes += [f"no speed-ups in {without:,} of them: they have no schedule of {baseline}"] if without else []
    notes += namesakes(rows)
    reasons = Counter((row.outcome.status, row.outcome.error) for row in rows if row.outcome.error).most_common()
    notes += [f"{count} {status}: {error}" for (status, error), count in reasons[:_REASONS]]
    return notes + ([f"and {len(reasons) - _REASONS} more reasons"] if len(reasons) > _REASONS else [])


def front_notes(rows: Sequence[Compared], best: Sequence[Compared], over: Sequence[str], baseline: str) -> list[str]:
    """What a front is of, and who was left out."""
    alike = ", ".join(group_labels(over)).replace("_", " ")
    figures = ", ".join(TITLES.get(name, name.replace("_", " ")) for name in over)
    lack = lacking(rows, over)
    said = f"{len(best):,} of {len(rows):,} rows: no other of the same {alike} is as good in {figures} and better in one"
    faster = [f"speed-ups are over {baseline}"] if "speedup" in over else []
    return [said, *faster, *([lack] if lack else []), *namesakes(rows)]


def compared_page(title: str, rows: Sequence[Compared], baseline: str, result: Callable[[str], Result | None]) -> str:
    """The table and, of the first problems, Gantt charts on one time axis; ``result`` has the schedules by key."""
    sections = [("Figures", html_table(*compared_table(rows, baseline)) + _paragraphs(compared_notes(rows, baseline)))]
    problems: dict[str, list[Compared]] = {}
    for row in rows:
        if row.outcome.length_cycles is not None:
            problems.setdefault(row.outcome.problem_key, []).append(row)
    for group in list(problems.values())[:MAX_CHARTS]:
        found = [(row, schedule) for row in group[:MAX_SCHEDULES] if (schedule := result(row.outcome.key)) is not None]
        if found:
            more = f"; {len(group) - MAX_SCHEDULES} more are not drawn" if len(group) > MAX_SCHEDULES else ""
            chart = embedded(panels(_comparison(found, baseline)), f"gantt{len(sections)}", script=len(sections) == 1)
            sections.append((f"{_named(found[0][0], rows)}{more}", chart))
    if len(problems) > MAX_CHARTS:
        sections.append(("Further schedules", f"<p>Those of {len(problems) - MAX_CHARTS:,} more problems are not drawn.</p>"))
    return page(title, sections)


def _comparison(found: Sequence[tuple[Compared, Result]], baseline: str) -> Comparison:
    """Of the schedules of one problem; rows of one solver are told apart by their seeds."""
    solvers = Counter(row.outcome.solver for row, _ in found)
    about: dict[str, Any] = {"source": "", "exact": False, "optimises": "", "ignores": ""}
    rows = [
        Row(
            solver=row.outcome.solver if solvers[row.outcome.solver] == 1 else f"{row.outcome.solver}, seed {row.outcome.seed}",
            status=row.outcome.status,
            result=result,
            **about,
        )
        for row, result in found
    ]
    return Comparison(problem=found[0][1].problem, rows=tuple(rows), baseline=baseline)


def _named(row: Compared, rows: Sequence[Compared]) -> str:
    """The problem of a row, in what tells it from the other rows'."""
    labels = [name for name in telling(rows) if name not in ("network", "solver", "seed")]
    return ", ".join([row.outcome.network, *(f"{name} {_cell(row, name)}" for name in labels)])


def front_page(title: str, rows: Sequence[Compared], best: Sequence[Compared], over: Sequence[str], baseline: str) -> str:
    """The table, and the rows among all others in the first two figures."""
    drawn = front_figure(rows, best, over)
    sections = [] if drawn is None else [(f"{_word(over[0], rows)} and {_word(over[1], rows)}", embedded(drawn, "front", script=True))]
    return page(
        title, [("Rows that no other one beats", html_table(*front_table(best, over)) + _paragraphs(front_notes(rows, best, over, baseline))), *sections]
    )


def chart_page(title: str, drawn: Chart) -> str:
    """The figure, with plotly's script inside."""
    return page(title, [(drawn.title, _paragraphs(drawn.notes) + embedded(figure(drawn), "plot", script=True))])


def _paragraphs(notes: Iterable[str]) -> str:
    return "".join(f"<p>{escape(plain(note))}</p>" for note in notes)


def _numbers(rows: Sequence[Compared], labels: Sequence[str], figures: int) -> list[int]:
    """Columns with numbers: labels that are, and all figures."""
    return [*(i for i, name in enumerate(labels) if rows and isinstance(rows[0].value(name), int)), *range(len(labels), len(labels) + figures)]


def _word(name: str, rows: Sequence[Compared]) -> str:
    """What a figure is called in these rows."""
    modes = {row.outcome.mode for row in rows}
    return ("period" if modes == {"periodic"} else "makespan") if name == "length_cycles" and len(modes) == 1 else _WORDS.get(name, name)


def _cell(row: Compared, name: str) -> str:
    """A label or a figure as text."""
    value = row.value(name)
    if name == "gap" and row.outcome.value is not None:
        return percent(row.outcome.gap)
    if value is None:
        return "-"
    if isinstance(value, str):
        return plain(value)
    if name in ("utilisation", "overhead"):
        return f"{100 * value:.1f} %"
    if name == "speedup":
        return f"{value:.2f}x"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
