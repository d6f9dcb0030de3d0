"""The claims of the papers' abstracts, each beside what was measured, and a verdict by a rule that is stated.

A verdict comes from the rows and from nothing else. It is about this reconstruction: other networks,
arrays and cost models may behave otherwise, and `spikepipe_sched.study.experiment.ASSUMPTIONS` says which
these are. Rows that are missing make no verdict. Claims in our own words, from the abstracts of

* SpikePipe, version 1: Sanjeet, Sahoo and Parhi, arXiv:2406.06879 (June 2024);
* SpikePipe, journal: IEEE Transactions on Circuits and Systems for Artificial Intelligence 2024;
* LayerPipe: Unnikrishnan and Parhi, ICCAD 2021, arXiv:2108.06629.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import TYPE_CHECKING, Final, Literal

from spikepipe_sched.study.experiment import ARRAYS, BASELINE, BEST, FIRST_NETWORKS, LARGE_NETWORKS, NETWORKS, PAPER, PROCESSORS, AccuracySetup
from spikepipe_sched.study.measure import Measure, chosen, filled, means

if TYPE_CHECKING:
    from spikepipe_sched.study.accuracy import Trained

Verdict = Literal["holds", "does not hold", "not testable here", "not enough cells"]

V1: Final = "SpikePipe, arXiv:2406.06879 version 1, abstract"
JOURNAL: Final = "SpikePipe, journal version (2024), abstract"
LAYERPIPE: Final = "LayerPipe, arXiv:2108.06629, abstract"
#: Numbers of processors over which a pipeline can be faster than another.
PIPELINES: Final = tuple(count for count in PROCESSORS if count > 1)
#: The abstract of LayerPipe speaks of 7 to 9 processors.
LAYERPIPE_PROCESSORS: Final = (8,)
CONVOLUTIONAL: Final = ("dvs_gesture_conv", "vgg9")
SMALL_NETWORKS: Final = tuple(name for name in NETWORKS if name not in LARGE_NETWORKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim and what became of it.

    Parameters
    ----------
    source, statement
        Who makes it, and what it says.
    rule
        What decides.
    measured
        The figures, in words.
    verdict, reason
        What the rule says of them, and why.
    """

    source: str
    statement: str
    rule: str
    measured: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All rows, and what was trained; None: nothing was to be trained."""

    rows: Sequence[Measure]
    trained: Sequence[Trained] | None = None


def claims(evidence: Evidence) -> tuple[Claim, ...]:
    """All of them, SpikePipe's first."""
    overheads = [
        overhead(evidence, source, networks, reading) for (source, networks), reading in product(((V1, FIRST_NETWORKS), (JOURNAL, CONVOLUTIONAL)), READINGS)
    ]
    return (
        mean_speedup(evidence, V1, PAPER, FIRST_NETWORKS, PIPELINES, 1.6, "standard pipelining, on average over its three networks"),
        mean_speedup(evidence, JOURNAL, PAPER, NETWORKS, PIPELINES, 1.7, "standard pipelining, on average over its four networks"),
        largest_speedup(evidence, f"{V1}; the journal version alike", PAPER, NETWORKS, PIPELINES, 2.0),
        *overheads,
        small_networks(evidence),
        large_networks(evidence),
        mean_speedup(evidence, LAYERPIPE, "layerpipe", NETWORKS, LAYERPIPE_PROCESSORS, 1.25, "PipeDream, on average with 7 to 9 processors"),
        largest_speedup(evidence, LAYERPIPE, "layerpipe", NETWORKS, LAYERPIPE_PROCESSORS, 1.8),
        less_traffic(evidence),
    )


def mean_speedup(evidence: Evidence, source: str, solver: str, networks: Sequence[str], processors: Sequence[int], claimed: float, over: str) -> Claim:
    """Holds if the arithmetic mean is not below what was claimed, by more than the rounding of its last digit."""
    least = claimed - _rounding(claimed)
    rows = chosen(evidence.rows, solver=solver, networks=networks, processors=processors, arrays=ARRAYS)
    found = means(row.speedup for row in rows)
    said = _missing(rows, networks, processors)
    verdict: Verdict = "not enough cells"
    if found is not None and not said:
        ceiling = means(row.ceiling for row in rows)
        assert ceiling is not None
        verdict = "holds" if found.arithmetic >= least else "does not hold"
        said = f"the mean is {found.arithmetic:.2f}, {_against(found.arithmetic, least, claimed)}"
        fair = means(row.speedup for row in rows if filled(row))
        if verdict == "holds" and fair is not None and fair.arithmetic < least:
            said += f"; it rests on cells with more arrays than layers, some of which {BASELINE} leaves idle: in the others the mean is {fair.arithmetic:.2f}"
        if verdict == "does not hold":
            reached = ", ".join(f"{count}" for count in processors if _mean(rows, count) >= least)
            said += f"; with {reached} processors alone it is reached" if reached else "; with no number of processors alone is it reached"
            if ceiling.arithmetic < least:
                said += f"; the proven bounds leave no schedule of these tasks more than {ceiling.arithmetic:.2f} on average"
    return Claim(
        source=source,
        statement=f"{claimed:g} times as fast as {over}",
        rule=f"holds if the arithmetic mean speed-up of {solver} over {BASELINE} is at least {least:g} over {_cells(networks, processors)}",
        measured=_speedups(evidence, solver, networks, processors),
        verdict=verdict,
        reason=said,
    )


def largest_speedup(evidence: Evidence, source: str, solver: str, networks: Sequence[str], processors: Sequence[int], claimed: float) -> Claim:
    """Holds if the largest is not below what was claimed, by more than the rounding of its last digit."""
    least = claimed - _rounding(claimed)
    rows = chosen(evidence.rows, solver=solver, networks=networks, processors=processors, arrays=ARRAYS)
    said = _missing(rows, networks, processors)
    best = max((row for row in rows if row.speedup is not None), key=lambda row: row.speedup or 0, default=None)
    measured, verdict = "no cell", "not enough cells"
    if best is not None and best.speedup is not None:
        at = best.outcome
        measured = f"{best.speedup:.2f} at most: {at.network} on {at.processors} arrays of {at.array}"
        if not said:
            verdict = "holds" if best.speedup >= least else "does not hold"
            ceiling = max(row.ceiling or 0 for row in rows)
            said = f"the largest is {best.speedup:.2f}, {_against(best.speedup, least, claimed)}; the proven bounds leave {ceiling:.2f} at most"
    return Claim(
        source=source,
        statement=f"up to {claimed:g} times as fast",
        rule=f"holds if the largest speed-up of {solver} over {BASELINE} is at least {least:g} over {_cells(networks, processors)}",
        measured=measured,
        verdict=verdict,
        reason=said,
    )


#: The readings of the share of communication that is added: whose share, and the figure.
READINGS: Final[dict[str, tuple[str, Callable[[Measure], float | None]]]] = {
    "moved": ("all bytes that the tasks of an iteration read and write", lambda row: row.overhead_moved),
    "buffers": ("all bytes between the arrays and their buffers", lambda row: row.overhead_buffers),
    "crossing": ("all bytes that cross between processors", lambda row: row.overhead_crossing),
}


def overhead(evidence: Evidence, source: str, networks: Sequence[str], reading: str, claimed: float = 0.005) -> Claim:
    """Holds if the mean is below what was claimed."""
    whole, figure = READINGS[reading]
    rows = chosen(evidence.rows, solver=PAPER, networks=networks, processors=PIPELINES, arrays=ARRAYS)
    added = [value for row in rows if (value := figure(row)) is not None]
    said, verdict = _missing(rows, networks, PIPELINES), "not enough cells"
    if added and not said:
        mean, within = fmean(added), sum(value < claimed for value in added)
        verdict = "holds" if mean < claimed else "does not hold"
        said = f"the mean is {100 * mean:.2f} %, {'below' if mean < claimed else 'not below'} {100 * claimed:g} %; of {len(added)} cells {within} are below"
        if verdict == "does not hold":
            said += f"; added on average, in MB an iteration: {_added(rows)}"
    networks_said = "" if networks == FIRST_NETWORKS else " in networks with convolutions"
    return Claim(
        source=source,
        statement=f"less than {100 * claimed:g} % of communication added{networks_said}, read as a share of {whole}",
        rule=f"holds if the mean over {_cells(networks, PIPELINES)} of {PAPER}'s bytes between processors beyond those of {BASELINE}, as that share, is below {100 * claimed:g} %",
        measured="; ".join(f"{solver} {_range(evidence, solver, networks, figure)}" for solver in (PAPER, BEST)),
        verdict=verdict,
        reason=said,
    )


def less_traffic(evidence: Evidence) -> Claim:
    """Holds if LayerPipe's bytes are fewer in the mean of cells, each in units of PipeDream's."""
    rows = chosen(evidence.rows, solver="layerpipe", networks=NETWORKS, processors=LAYERPIPE_PROCESSORS, arrays=ARRAYS)
    shares = [1 / (1 - row.overhead_crossing) for row in rows if row.overhead_crossing is not None and row.overhead_crossing < 1]
    said, verdict, measured = _missing(rows, NETWORKS, LAYERPIPE_PROCESSORS), "not enough cells", "no cell"
    if shares:
        measured = f"{fmean(shares):.2f} times the bytes of {BASELINE} on average, {min(shares):.2f} to {max(shares):.2f}"
        if not said:
            fewer = sum(share < 1 for share in shares)
            verdict = "holds" if fmean(shares) < 1 else "does not hold"
            said = f"{fmean(shares):.2f} times as many bytes on average; fewer in {fewer} of {len(shares)} cells"
    return Claim(
        source=LAYERPIPE,
        statement="less communication than PipeDream",
        rule=f"holds if layerpipe moves fewer bytes between processors than {BASELINE} in the mean of {_cells(NETWORKS, LAYERPIPE_PROCESSORS)}",
        measured=measured,
        verdict=verdict,
        reason=said,
    )


def small_networks(evidence: Evidence) -> Claim:
    """No verdict on the paper's networks; on the substitutes, whether all are without degradation."""
    found = [point for point in evidence.trained or () if point.network in SMALL_NETWORKS]
    worse = [point for point in found if point.verdict.outcome == "degraded"]
    open_ = [point for point in found if point.verdict.outcome == "inconclusive"]
    says = f"of {len(found)} schedules {len(worse)} lose accuracy" if worse else f"of {len(found)} schedules none is seen to lose accuracy"
    says += f", {len(open_)} are undecided" if open_ else ""
    says += f"; the claim {'does not hold' if worse else 'is undecided' if open_ else 'holds'} on the substitute"
    return _substituted(
        evidence,
        SMALL_NETWORKS,
        "no loss of accuracy from delayed gradients in small networks",
        "on the substitute: holds if no loss of the margin or more is possible (95 % interval) for any schedule, does not hold if one is shown",
        says,
    )


def large_networks(evidence: Evidence, claimed: float = 10.0) -> Claim:
    """No verdict on the paper's networks; on the substitutes, whether a loss of ten points is excluded everywhere."""
    found = [point for point in evidence.trained or () if point.network in LARGE_NETWORKS]
    excluded = [point for point in found if point.keeps(claimed)]
    shown = [point for point in found if point.loses(claimed)]
    says = f"a loss of {claimed:g} points is excluded for {len(excluded)} of {len(found)} schedules, and shown for {len(shown)}"
    says += f"; the claim {'does not hold' if shown else 'holds' if len(excluded) == len(found) else 'is undecided'} on the substitute"
    return _substituted(
        evidence,
        LARGE_NETWORKS,
        f"less than {claimed:g} % of accuracy lost in large networks",
        f"on the substitute: holds if a loss of {claimed:g} points is excluded (95 % interval) for every schedule, does not hold if one is shown",
        says,
    )


def _substituted(evidence: Evidence, networks: Sequence[str], statement: str, rule: str, says: str) -> Claim:
    """Not testable as far as the paper's data go, and what the substitutes say; nothing before all are trained."""
    asked, found = AccuracySetup(), [point for point in evidence.trained or () if point.network in networks]
    there = {(point.network, point.solver, point.processors) for point in found if not point.missing}
    needed = set(product(networks, asked.solvers, asked.processors))
    differences = [point.verdict.mean for point in found if point.verdict.mean is not None]
    measured = f"differences of {min(differences):+.2f} to {max(differences):+.2f} points over {len(found)} schedules" if differences else "nothing was trained"
    why = "the paper's data sets cannot be had here"
    verdict: Verdict = "not testable here"
    if evidence.trained is None:
        says = "no substitute was trained"
    elif missing := len(needed - there):
        verdict, why, says = "not enough cells", f"{missing} of {len(needed)} schedules are not trained out", ""
    return Claim(source=V1, statement=statement, rule=rule, measured=measured, verdict=verdict, reason="; ".join(filter(None, (why, says))))


def _missing(rows: Sequence[Measure], networks: Sequence[str], processors: Sequence[int]) -> str:
    """How many cells are missing that a claim needs; empty: none is."""
    needed = len(networks) * len(processors) * len(ARRAYS)
    there = sum(row.speedup is not None for row in rows)
    return f"{needed - there} of {needed} cells are missing" if there < needed else ""


def _speedups(evidence: Evidence, solver: str, networks: Sequence[str], processors: Sequence[int]) -> str:
    """Of the solver and of ours: both means, and what the bounds leave."""
    parts: list[str] = []
    for name in dict.fromkeys((solver, BEST)):
        rows = chosen(evidence.rows, solver=name, networks=networks, processors=processors, arrays=ARRAYS)
        if found := means(row.speedup for row in rows):
            each = ", ".join(f"{_mean(rows, count):.2f} on {count}" for count in processors if chosen(rows, solver=name, processors=(count,)))
            per = f"; {each}" if len(processors) > 1 else ""
            fair = means(row.speedup for row in rows if filled(row))
            per += f"; {fair.arithmetic:.2f} where there are no more arrays than layers" if fair else ""
            parts.append(f"{name} {found.arithmetic:.2f} (geometric {found.geometric:.2f}, {found.least:.2f} to {found.largest:.2f}{per})")
    ceilings = means(row.ceiling for row in chosen(evidence.rows, solver=solver, networks=networks, processors=processors, arrays=ARRAYS))
    parts += [f"no schedule can exceed {ceilings.arithmetic:.2f}"] if ceilings else ["no cell"]
    return "; ".join(parts)


def _mean(rows: Sequence[Measure], processors: int) -> float:
    found = means(row.speedup for row in rows if row.outcome.processors == processors)
    return found.arithmetic if found else 0.0


def _range(evidence: Evidence, solver: str, networks: Sequence[str], figure: Callable[[Measure], float | None]) -> str:
    rows = chosen(evidence.rows, solver=solver, networks=networks, processors=PIPELINES, arrays=ARRAYS)
    added = [100 * value for row in rows if (value := figure(row)) is not None]
    return f"{fmean(added):+.2f} % on average, {min(added):+.2f} to {max(added):+.2f}" if added else "no cell"


def _added(rows: Sequence[Measure]) -> str:
    """Megabytes of an iteration beyond the baseline's, the mean over cells, by what they carry."""
    kinds = dict.fromkeys(carried for row in rows for carried, _ in row.added)
    sizes = {carried: sum(dict(row.added).get(carried, 0) for row in rows) / len(rows) / 1e6 for carried in kinds}
    return ", ".join(f"{carried} {size:+.1f}" for carried, size in sorted(sizes.items(), key=lambda item: -item[1]))


def _rounding(claimed: float) -> float:
    """Half of the last digit of a claim: 0.05 of 1.6, 0.005 of 1.25."""
    return 0.5 * 10.0 ** -len(f"{claimed:.12g}".partition(".")[2] or "0")


def _against(value: float, least: float, claimed: float) -> str:
    return f"below {least:g}" if value < least else f"above {claimed:g}" if value > claimed + _rounding(claimed) else f"as claimed ({claimed:g})"


def _cells(networks: Sequence[str], processors: Sequence[int]) -> str:
    counts = ", ".join(map(str, processors))
    return f"{', '.join(networks)} on {counts} arrays of {', '.join(ARRAYS)}"
