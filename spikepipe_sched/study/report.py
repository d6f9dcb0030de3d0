"""The experiment as a page that needs nothing else, and its claims as text."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from html import escape
from statistics import fmean
from typing import TYPE_CHECKING, Final

from spikepipe_sched.export.bars import plain
from spikepipe_sched.export.html import embedded, html_table, page
from spikepipe_sched.export.summary import percent, points_text, signed_percent
from spikepipe_sched.export.table import labelled, table
from spikepipe_sched.study.charts import accuracy_chart, panels
from spikepipe_sched.study.claims import CONVOLUTIONAL, PIPELINES, READINGS
from spikepipe_sched.study.experiment import ASSUMPTIONS, BASELINE, NETWORKS, SHOWN
from spikepipe_sched.study.measure import Measure, chosen, filled, means, settled
from spikepipe_sched.version import __version__

if TYPE_CHECKING:
    from spikepipe_sched.study.accuracy import Trained
    from spikepipe_sched.study.claims import Claim
    from spikepipe_sched.study.experiment import AccuracySetup
    from spikepipe_sched.study.reproduce import Study

TITLE: Final = "SpikePipe, reconstructed from its abstract: what was claimed and what was measured"


def report(study: Study) -> str:
    """The page: claims first, then what they rest on."""
    rows = study.rows
    sections = [("How far it is", f"<p>{escape(progress_line(study))}</p>"), ("Claims", _claims(study))]
    if rows:
        sections += _figures(rows)
    if study.trained is not None and study.setup.accuracy is not None:
        sections.append(("Accuracy with these delays, on substitutes", _accuracy(study.trained, study.setup.accuracy, study.setup.batch)))
    sections += [
        ("Cells", _cells(rows)),
        ("Assumptions", html_table(("of", "what is taken"), ASSUMPTIONS.items(), ())),
        ("How to reproduce it", _reproduce(study)),
    ]
    return page(TITLE, sections)


def _figures(rows: Sequence[Measure]) -> list[tuple[str, str]]:
    """Sections of figures and the tables that go with them."""

    def drawn(name: str, title: str, value: Callable[[Measure], float | None], ticks: str = "") -> str:
        return embedded(panels(rows, title, value, ticks=ticks), name, script=False)

    speed = panels(rows, f"Period of {BASELINE} over that of each schedule, on as many arrays", lambda row: row.speedup, ceiling=lambda row: row.ceiling)
    moved = drawn("overhead", f"Bytes between processors beyond those of {BASELINE}, as a share of all bytes moved", lambda row: row.overhead_moved, ".1%")
    buffers = drawn("buffers", "The same, as a share of all bytes between the arrays and their buffers", lambda row: row.overhead_buffers, ".1%")
    return [
        (f"Speed-up over {BASELINE}", _speedups(rows) + embedded(speed, "speedup", script=True)),
        ("Communication overhead", _overheads(rows) + moved + buffers),
        ("Utilisation", drawn("busy", "Share of the cycles of all arrays that are busy", lambda row: row.outcome.utilisation, ".0%")),
        ("Staleness", drawn("staleness", "Largest staleness of a layer [updates]", lambda row: row.outcome.max_staleness, ",d")),
    ]


def progress_line(study: Study) -> str:
    """What is done and what is not, and how many claims have no verdict for want of cells."""
    open_claims = sum(claim.verdict == "not enough cells" for claim in study.claims)
    unsettled = f"{open_claims} of {len(study.claims)} claims have no verdict, as they need more cells than there are" if open_claims else ""
    if study.complete:
        done = f"Complete: {study.cells} cells are answered" + ("" if study.trained is None else f", {len(study.trained)} schedules are trained with")
        return f"{done}. {unsettled[:1].upper()}{unsettled[1:]}{'.' if unsettled else ''}".strip()
    parts = [f"{study.cells - study.open_cells} of {study.cells} cells are answered"]
    failed = sum(not settled(row.outcome) for row in study.rows)
    parts += [f"{failed} of the others failed"] if failed else []
    parts += ["training is not done"] if study.trained is not None and not study.ended else []
    return f"NOT COMPLETE: {', '.join(parts)}. {unsettled}{'. ' if unsettled else ''}The same command goes on from here."


def claims_text(study: Study, width: int = 100) -> str:
    """How far it is, every claim with its verdict, and the claims that have none, in lines of at most ``width`` columns."""
    blocks = ["\n".join(labelled([("study", progress_line(study))], indent=0, width=width))]
    undecided = [claim for claim in study.claims if claim.verdict == "not enough cells"]
    for claim in study.claims:
        if claim in undecided:
            continue
        measured = zip(("measured", *[""] * len(claim.measured)), claim.measured, strict=False)
        rows = [("claim", f"{claim.statement} ({claim.source})"), *measured, ("verdict", f"{claim.verdict}: {claim.reason}")]
        blocks.append("\n".join(labelled([(label.ljust(len("measured")), plain(text)) for label, text in rows], indent=0, width=width)))
    if undecided:
        blocks.append("\n".join(labelled([("too few cells for", "; ".join(plain(claim.statement) for claim in undecided))], indent=0, width=width)))
    return "\n\n".join(blocks)


def means_text(study: Study) -> str:
    """Mean and largest speed-up and mean overhead of every solver, by number of processors."""
    headers, rows = _mean_rows(study.rows, parts=False)
    return table(headers, rows, right=range(2, len(headers)))


def _claims(study: Study) -> str:
    note = (
        "Verdicts are about this reconstruction, by the rules stated, and computed from the rows: they neither confirm nor refute what the papers measured "
        "on their own networks and arrays."
    )
    return f'<p>{escape(note)}</p><div class="cards">{"".join(map(_card, study.claims))}</div>'


def _card(claim: Claim) -> str:
    """The verdict and why; then, smaller, the figures and the rule."""
    known = {"holds": "good", "holds in part": "part", "does not hold": "bad"}.get(claim.verdict, "open")
    lines = (("measured", claim.measured), ("rule", (claim.rule,)), ("claimed by", (claim.source,)))
    details = "".join(f"<dt>{label}</dt>{''.join(f'<dd>{escape(plain(text))}</dd>' for text in texts)}" for label, texts in lines)
    return (
        f'<section class="{known}"><h3>{escape(plain(claim.statement))}</h3>'
        f"<p><strong>{escape(claim.verdict)}</strong>: {escape(plain(claim.reason))}</p><dl>{details}</dl></section>"
    )


def _mean_rows(rows: Sequence[Measure], *, parts: bool) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    headers = (
        "solver",
        "cells",
        "count",
        "mean",
        "geometric",
        "least",
        "largest",
        "bound",
        "overhead of bytes moved",
        "of buffers",
        "of bytes crossing",
        "busy",
    )
    found: list[tuple[str, ...]] = []
    counts = sorted({row.outcome.processors for row in rows})
    pipelines = [row for row in rows if row.outcome.processors in PIPELINES]
    groups = [(f"{count} processor{'' if count == 1 else 's'}", [row for row in rows if row.outcome.processors == count]) for count in counts]
    groups += [("2 and more processors", pipelines), ("2 up to as many as layers", [row for row in pipelines if filled(row)])]
    if parts:
        groups += [("2 and more, with convolutions", [row for row in pipelines if row.outcome.network in CONVOLUTIONAL])]
        groups += [
            (f"2 and more, {name}", [row for row in pipelines if row.outcome.network == name]) for name in dict.fromkeys(row.outcome.network for row in rows)
        ]
    for solver in _solvers(rows):
        for label, group in groups:
            some = chosen(group, solver=solver)
            speed, ceiling = means(row.speedup for row in some), means(row.ceiling for row in some if row.speedup is not None)
            if speed is None or ceiling is None:
                continue
            figures = (speed.arithmetic, speed.geometric, speed.least, speed.largest, ceiling.arithmetic)
            shares = [_mean_share(some, figure) for _, figure in READINGS.values()]
            busy = _mean_share(some, lambda row: row.outcome.utilisation)
            found.append((plain(solver), label, str(speed.count), *(f"{value:.2f}" for value in figures), *shares, busy.lstrip("+")))
    return headers, found


def _mean_share(rows: Sequence[Measure], figure: Callable[[Measure], float | None]) -> str:
    known = [value for row in rows if (value := figure(row)) is not None]
    return signed_percent(fmean(known)) if known else "-"


def _solvers(rows: Sequence[Measure]) -> list[str]:
    """Each once, those that matter most first."""
    return sorted({row.outcome.solver for row in rows}, key=lambda name: (SHOWN.index(name) if name in SHOWN else len(SHOWN), name))


def _speedups(rows: Sequence[Measure]) -> str:
    headers, found = _mean_rows(rows, parts=True)
    note = (
        f"Speed-ups over {BASELINE}, by number of processors, over all from 2 on, and over those where contiguous stages could use all processors, as there are no "
        "more of them than layers: arithmetic and geometric mean, least and largest; bound: the mean of what the "
        "best proven lower bounds on the period leave to schedules that place each task once (unroll = 1), which those with several iterations in a period can "
        "exceed. Then the mean overheads by all three readings, and the busy share."
    )
    return f"<p>{escape(note)}</p><p>{escape(_proven(rows))}</p>{html_table(headers, found, range(2, len(headers)))}"


def _proven(rows: Sequence[Measure]) -> str:
    """In how many cells a solver reaches the best bound on the period, and how far it may be from it in the others."""
    texts: list[str] = []
    for solver in _solvers(rows):
        gaps = [row.gap for row in chosen(rows, solver=solver, processors=PIPELINES) if row.gap is not None]
        texts += [f"{solver} in {gaps.count(0)} of {len(gaps)} cells, else within {percent(max(gaps))}"] if gaps else []
    return (
        f"From 2 processors on, no schedule that places each task once (unroll = 1) has a shorter period, as a bound proves: {'; '.join(texts) or 'no cell'}."
    )


def _overheads(rows: Sequence[Measure]) -> str:
    headers = ("solver", "network", *(f"mean share of {whole}" for whole, _ in READINGS.values()), "cells")
    found: list[tuple[str, ...]] = []
    for solver in _solvers([row for row in rows if row.outcome.solver != BASELINE]):
        for network in dict.fromkeys(row.outcome.network for row in rows):
            some = [row for row in chosen(rows, solver=solver, networks=(network,), processors=PIPELINES) if row.overhead_moved is not None]
            if some:
                found.append((solver, network, *(_mean_share(some, figure) for _, figure in READINGS.values()), str(len(some))))
    note = f"Bytes between processors beyond those of {BASELINE}, from 2 processors on; below 0 there are fewer."
    return f"<p>{escape(note)}</p>{html_table(headers, found, range(2, len(headers)))}"


def _accuracy(trained: Sequence[Trained], setup: AccuracySetup, batch: int) -> str:
    how = (
        f"{setup.seeds} seeds, each trained with the delays and without for {setup.epochs} epochs in batches of {batch}, by Adam at rate {setup.rate:g} with a "
        f"cosine schedule, weights stashed; test accuracy after the last epoch; a loss of {points_text(setup.margin)} counts. "
        "Differences are with the delays less without, in points. The rate is not tuned, and the cosine schedule ends near 0, where weights hardly move and delays "
        "are forgiven."
    )
    if not trained:
        return f"<p>{escape(how)}</p><p>No schedule is trained with.</p>"
    various = len({(point.substitute, point.staleness) for point in trained})
    shared = (
        f"The {len(trained)} schedules have {various} different delays on {len({point.substitute for point in trained})} substitutes. All rows of a substitute share its "
        "runs without delays, so that their differences lean to one side together: each interval stands alone, and rows do not add up to more evidence."
    )
    for substitute in dict.fromkeys(point.substitute for point in trained):
        of_it = [point for point in trained if point.substitute == substitute]
        if all((point.verdict.mean or 0) > 0 for point in of_it):
            shared += (
                f" On {substitute} the runs with delays are better in all {len(of_it)} rows: the shared runs without them, {fmean(of_it[0].synchronous):.2f} % on "
                "average, are the low ones, which says nothing for delays."
            )
    headers = ("network", "schedule", "substitute", "staleness by layer", "without delays", "with", "difference", "95 % interval", "seeds", "verdict")
    rows: list[tuple[str, ...]] = []
    for point in trained:
        found = point.verdict
        rows.append(
            (
                point.network,
                f"{point.solver} on {point.processors}",
                point.substitute,
                " ".join(map(str, point.staleness)),
                f"{fmean(point.synchronous):.2f} %" if point.synchronous else "-",
                f"{fmean(point.delayed):.2f} %" if point.delayed else "-",
                "-" if found.mean is None else f"{found.mean:+z.2f}",
                "-" if found.low is None or found.high is None else f"{found.low:+z.2f} to {found.high:+z.2f}",
                str(len(found.differences)),
                f"{found.outcome}: {found.reason}",
            )
        )
    return (
        f"<p>{escape(how)}</p><p>{escape(plain(shared))}</p>"
        + embedded(accuracy_chart(trained, setup.margin), "accuracy", script=False)
        + html_table(headers, rows, (4, 5, 6, 7, 8))
    )


def _cells(rows: Sequence[Measure]) -> str:
    headers = ("network", "array", "processors", "solver", "period", "speed-up", "gap to the best bound", "delays", "busy", "status")
    found: list[tuple[str, ...]] = []
    for row in rows:
        at = row.outcome
        found.append(
            (
                at.network,
                at.array,
                str(at.processors),
                at.solver,
                "-" if at.length_cycles is None else f"{at.length_cycles:,}",
                "-" if row.speedup is None else f"{row.speedup:.2f}",
                "-" if row.gap is None else percent(row.gap),
                " ".join(str(delay) for _, delay in row.detail.delays),
                "-" if at.utilisation is None else f"{100 * at.utilisation:.1f} %",
                f"{at.status}{': ' if at.error else ''}{at.error.rpartition('cannot take this problem: ')[2]}",
            )
        )
    note = "Period in cycles of an iteration; delays of the layers in their order [iterations]; everything else that is known of each cell is in cells.csv."
    return f"<p>{escape(note)}</p>{html_table(headers, found, (2, 4, 5, 6, 8))}"


def _reproduce(study: Study) -> str:
    return f"<p>spikepipe-sched {escape(__version__)}:</p><pre>{escape(command(study))}</pre>"


def command(study: Study) -> str:
    """The command line that asks for the same grid."""
    setup = study.setup
    words = ["spikepipe-sched", "study", "spikepipe", "-o", "FOLDER"]
    words += ["--quick"] if setup.networks != NETWORKS else []
    words += ["--time-limit", f"{setup.time_limit_s:g}", "--processors", ",".join(map(str, setup.processors)), "--arrays", ",".join(setup.arrays)]
    return shlex.join(words + (["--no-accuracy"] if setup.accuracy is None else []))
