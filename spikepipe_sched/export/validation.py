"""A validation as text, as a cell for notebooks, and as a page with its curves."""

from __future__ import annotations

import math
from html import escape
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Final

from spikepipe_sched.export.bars import BLUE, VERMILION, plain
from spikepipe_sched.export.gantt import LOOK
from spikepipe_sched.export.html import embedded, html_table, page
from spikepipe_sched.export.table import labelled, table
from spikepipe_sched.validation import DELAYED, SYNCHRONOUS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plotly.graph_objects import Figure

    from spikepipe_sched.validation import TrainedRun, Validation

COLOURS: Final = {SYNCHRONOUS: BLUE, DELAYED: VERMILION}
_ARMS: Final = ("arm", "rate", "runs", "accuracy", "± std", "diverged", "samples/s")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 260, 48, 34


def validation_text(validation: Validation, width: int = 100) -> str:
    """What was trained, what came out, and the verdict, in lines of at most ``width`` columns."""
    rows = [(label, plain(text)) for label, text in validation_rows(validation)]
    head, verdict = rows[:-2], rows[-2:]
    indent = max(len(label) for label, _ in rows)
    blocks = [_paragraphs(head, indent, width), table(_ARMS, _arms(validation), right=range(1, len(_ARMS)))]
    if validation.tuning:
        headers, tried = _tuning(validation)
        blocks.append(table(headers, tried, right=(1, 2, 3)))
    blocks.append(_paragraphs([*(("note", plain(note)) for note in validation.notes), *verdict], indent, width))
    return "\n\n".join(blocks)


def validation_cell(validation: Validation) -> str:
    """For notebooks: the tables and still curves; needs neither scripts nor the network."""
    return f"<div>{_tables(validation)}{svg_curves(validation)}</div>"


def validation_page(validation: Validation) -> str:
    """A self-contained page: the tables, and interactive curves with plotly's script inside."""
    sections = [("Verdict", _tables(validation))]
    if validation.runs:
        sections.append(("Curves", embedded(curves(validation), "curves", script=True)))
    return page(f"{validation.network}: accuracy with the delays of a schedule", sections)


def validation_rows(validation: Validation) -> list[tuple[str, str]]:
    """Label and text of every line of the summary; the last two are the difference and the verdict."""
    setup, data, delays = validation.setup, validation.data, validation.delays
    stale = [delay - 1 for delay in delays.forward]
    scheduled = f", with the delays of the schedule of '{validation.problem}'" if validation.problem != validation.network else ""
    coded = f", coded {setup.coding}" if setup.coding else ""
    optimizer = f"{setup.optimizer}, rate {f'{setup.rate:g}' if not setup.tune else 'tuned'}, {setup.rate_schedule}"
    optimizer += f" after {setup.warmup:,} updates of warm-up" if setup.warmup else ""
    optimizer += f", momentum {setup.momentum:g}" + (f", weight decay {setup.weight_decay:g}" if setup.weight_decay else "")
    neurons = f"decay {setup.decay:g}, threshold {setup.threshold:g}, reset {setup.reset}; surrogate {setup.surrogate} of width {setup.surrogate_width:g}"
    return [
        ("trained", f"{validation.network}{scheduled}; on {validation.device}, {validation.runtime_s:,.1f} s"),
        (
            "data",
            f"{data.name}{coded}: {data.train_samples:,} training and {data.test_samples:,} test samples of {data.classes} classes (largest class {100 * data.chance:.1f} %); {data.source}",
        ),
        ("staleness", f"largest {max(stale)}, sum {sum(stale)} [updates]: {_staleness(validation)}"),
        ("policy", setup.policy or ""),
        ("optimizer", optimizer),
        ("length", f"{setup.epochs:,} epochs, {validation.updates:,} updates of {setup.batch:,} samples; loss {setup.loss}"),
        ("neurons", neurons),
        ("difference", _difference(validation)),
        ("verdict", f"{validation.verdict.outcome}: {validation.verdict.reason}"),
    ]


def _paragraphs(rows: Sequence[tuple[str, str]], indent: int, width: int) -> str:
    return "\n".join(line for label, text in rows for line in labelled([(label.ljust(indent), text)], indent=0, width=width))


def _staleness(validation: Validation) -> str:
    delays = validation.delays
    pairs = zip(delays.layers, delays.forward, delays.backward, strict=True)
    shown = [f"{layer} {forward - 1}" + (f" (backward {backward - 1})" if backward != forward else "") for layer, forward, backward in pairs]
    return ", ".join([*shown[:24], *([f"and {len(shown) - 24} more"] if len(shown) > 24 else [])])


def _difference(validation: Validation) -> str:
    verdict, count = validation.verdict, len(validation.verdict.differences)
    if verdict.mean is None:
        return "none: no seed has both its runs"
    within = "" if verdict.low is None or verdict.high is None else f", 95 % interval {verdict.low:+.2f} to {verdict.high:+.2f}"
    return f"{verdict.mean:+.2f} points{within}, delayed less synchronous over {count} seed{'' if count == 1 else 's'}; margin {validation.setup.margin:g}"


def _arms(validation: Validation) -> list[list[str]]:
    return [_arm(name, validation.arm(name)) for name in validation.arms]


def _arm(name: str, runs: Sequence[TrainedRun]) -> list[str]:
    if not runs:
        return [name, "-", "0", "-", "-", "-", "-"]
    right = [100 * run.accuracy for run in runs]
    spread = f"± {stdev(right):.2f}" if len(right) > 1 else ""
    seconds = sum(run.seconds for run in runs)
    speed = f"{sum(run.samples for run in runs) / seconds:,.0f}" if seconds else "-"
    return [name, f"{runs[0].rate:.3g}", str(len(runs)), f"{fmean(right):.2f} %", spread, str(sum(run.diverged_epoch is not None for run in runs)), speed]


def _tuning(validation: Validation) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            point.arm,
            f"{point.rate:.3g}",
            f"{100 * fmean(point.accuracies):.2f} %",
            str(point.diverged),
            "chosen" if point.chosen else "",
        ]
        for point in validation.tuning
    ]
    return ["tuning of", "rate", "held out", "diverged", ""], rows


def _tables(validation: Validation) -> str:
    rows = validation_rows(validation)
    notes = [("note", note) for note in validation.notes]
    tuned = ""
    if validation.tuning:
        headers, tried = _tuning(validation)
        tuned = html_table(headers, tried, (1, 2, 3))
    return html_table((), [rows[-1], rows[-2], *rows[:-2], *notes], ()) + html_table(_ARMS, _arms(validation), range(1, len(_ARMS))) + tuned


def curves(validation: Validation) -> Figure:
    """Test accuracy and training loss over the epochs: thin lines for the runs, thick ones for their means."""
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for name in validation.arms:
        runs = validation.arm(name)
        for row, scale in ((1, 100.0), (2, 1.0)):
            lines = [run.accuracies if row == 1 else run.losses for run in runs]
            look = {"legendgroup": name, "line": {"color": COLOURS[name], "width": 1}, "opacity": 0.35, "mode": "lines", "showlegend": False}
            for run, line in zip(runs, lines, strict=True):
                values = [scale * value for value in line]
                figure.add_trace(Scatter(x=list(range(1, len(values) + 1)), y=values, name=f"{name}, seed {run.seed}", **look), row=row, col=1)
            mean = [scale * value for value in mean_curve(lines)]
            thick = look | {"line": {"color": COLOURS[name], "width": 3}, "opacity": 1, "mode": "lines+markers", "showlegend": row == 1}
            figure.add_trace(Scatter(x=list(range(1, len(mean) + 1)), y=mean, name=f"{name}, mean of {len(runs)}", **thick), row=row, col=1)
    figure.update_yaxes(title_text="test accuracy [%]", row=1, col=1)
    figure.update_yaxes(title_text="training loss", row=2, col=1)
    figure.update_xaxes(title_text="epoch", row=2, col=1)
    figure.update_xaxes(tick0=1, dtick=max(1, round(max((len(run.losses) for run in validation.runs), default=1) / 10)), tickformat=",d")
    title = escape(plain(f"{validation.network} on {validation.data.name}, with the delays of a schedule and without"))
    figure.update_layout(height=640, template="plotly_white", title={"text": title, "font": {"size": 14}}, **LOOK)
    figure.update_layout(hovermode="x unified")
    return figure


def mean_curve(lines: Sequence[Sequence[float]]) -> list[float]:
    """Mean of the runs at every epoch that all of them reached."""
    return [fmean(values) for values in zip(*lines, strict=False)]


def svg_curves(validation: Validation) -> str:
    """Test accuracy over the epochs, still: one SVG, no script; empty without runs."""
    if not validation.runs:
        return ""
    epochs = max(len(run.accuracies) for run in validation.runs)
    values = [value for run in validation.runs for value in run.accuracies]
    low, high = math.floor(10 * min(values)) / 10, math.ceil(10 * max(values)) / 10
    high = high if high > low else low + 0.1
    right, bottom = _WIDTH - 12, _HEIGHT - _BOTTOM

    def points(line: Sequence[float]) -> str:
        steps = max(epochs - 1, 1)
        return " ".join(
            f"{_LEFT + (right - _LEFT) * i / steps:.1f},{bottom - (bottom - 20) * (value - low) / (high - low):.1f}" for i, value in enumerate(line)
        )

    style = f"max-width:{_WIDTH}px;font:12px sans-serif"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="100%" role="img" style="{style}" fill="currentColor">']
    parts += [f'<path d="M{_LEFT} 20V{bottom}H{right}" fill="none" stroke="currentColor" stroke-opacity="0.4"/>']
    parts += [f'<text x="{_LEFT - 6}" y="{y}" text-anchor="end">{100 * value:.0f} %</text>' for y, value in ((24, high), (bottom, low))]
    parts += [f'<text x="{_LEFT}" y="{_HEIGHT - 16}">1</text><text x="{right}" y="{_HEIGHT - 16}" text-anchor="end">epoch {epochs}</text>']
    for k, name in enumerate(validation.arms):
        colour, lines = COLOURS[name], [run.accuracies for run in validation.arm(name)]
        parts += [f'<polyline points="{points(line)}" fill="none" stroke="{colour}" stroke-opacity="0.3"/>' for line in lines]
        parts += [f'<polyline points="{points(mean_curve(lines))}" fill="none" stroke="{colour}" stroke-width="2.5"/>']
        parts += [f'<text x="{_LEFT + 8 + 150 * k}" y="14" fill="{colour}">{escape(name)}, test accuracy</text>']
    return "".join([*parts, "</svg>"])
