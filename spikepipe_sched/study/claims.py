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
from dataclasses import dataclass, replace
from itertools import product
from statistics import fmean, median
from typing import TYPE_CHECKING, Final, Literal

from spikepipe_sched.export.summary import points_text, signed_percent
from spikepipe_sched.study.experiment import ARRAYS, BASELINE, BEST, FIRST_NETWORKS, LARGE_NETWORKS, NETWORKS, PAPER, PROCESSORS, AccuracySetup
from spikepipe_sched.study.measure import Measure, chosen, filled, means

if TYPE_CHECKING:
    from spikepipe_sched.study.accuracy import Trained

Verdict = Literal["holds", "holds in part", "does not hold", "not testable here", "not enough cells"]

V1: Final = "SpikePipe, arXiv:2406.06879 version 1, abstract"
JOURNAL: Final = "SpikePipe, journal version (2024), abstract"
LAYERPIPE: Final = "LayerPipe, arXiv:2108.06629, abstract"
#: Numbers of processors over which a pipeline can be faster than another.
PIPELINES: Final = tuple(count for count in PROCESSORS if count > 1)
#: The abstract of LayerPipe speaks of 7 to 9 processors.
LAYERPIPE_PROCESSORS: Final = (8,)
CONVOLUTIONAL: Final = ("dvs_gesture_conv", "vgg9")
SMALL_NETWORKS: Final = tuple(name for name in NETWORKS if name not in LARGE_NETWORKS)
#: Where no processor is left idle by stages for want of layers.
FILLED: Final = "no more arrays than layers"


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
        The figures, in words, line by line.
    verdict, reason
        What the rule says of them, and why.
    """

    source: str
    statement: str
    rule: str
    measured: tuple[str, ...]
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All rows, and what was trained; None: nothing was to be trained."""

    rows: Sequence[Measure]
    trained: Sequence[Trained] | None = None


def claims(evidence: Evidence) -> tuple[Claim, ...]:
    """All of them, SpikePipe's first."""
    layerpipe = (
        speedup(
            evidence, LAYERPIPE, "layerpipe", NETWORKS, LAYERPIPE_PROCESSORS, 1.25, "mean", "1.25 times as fast as PipeDream, on average with 7 to 9 processors"
        ),
        speedup(evidence, LAYERPIPE, "layerpipe", NETWORKS, LAYERPIPE_PROCESSORS, 1.8, "largest", "up to 1.8 times as fast"),
        less_traffic(evidence),
    )
    elsewhere = f"on other networks than its paper's, with {LAYERPIPE_PROCESSORS[0]} processors"
    return (
        speedup(evidence, V1, PAPER, FIRST_NETWORKS, PIPELINES, 1.6, "mean", "1.6 times as fast as standard pipelining, on average over its three networks"),
        speedup(evidence, JOURNAL, PAPER, NETWORKS, PIPELINES, 1.7, "mean", "1.7 times as fast as standard pipelining, on average over its four networks"),
        speedup(evidence, f"{V1}; the journal version alike", PAPER, NETWORKS, PIPELINES, 2.0, "largest", "up to 2 times as fast"),
        overhead(evidence, V1, FIRST_NETWORKS),
        overhead(evidence, JOURNAL, CONVOLUTIONAL),
        small_networks(evidence),
        large_networks(evidence),
        *(replace(claim, reason=f"{claim.reason}; {elsewhere}") for claim in layerpipe),
    )


def speedup(
    evidence: Evidence,
    source: str,
    solver: str,
    networks: Sequence[str],
    processors: Sequence[int],
    claimed: float,
    which: Literal["mean", "largest"],
    statement: str,
) -> Claim:
    """Holds if the mean or largest is not below what was claimed, by more than the rounding of its last digit; in part if only thanks to arrays left idle."""
    least = claimed - _rounding(claimed)
    rows = chosen(evidence.rows, solver=solver, networks=networks, processors=processors, arrays=ARRAYS)
    fair = [row for row in rows if filled(row)]
    found, among, said = _speedup(rows, which), _speedup(fair, which), _missing(rows, networks, processors)
    verdict: Verdict = "not enough cells"
    if found is not None and not said:
        verdict = "does not hold" if found < least else "holds" if among is not None and among >= least else "holds in part"
        said = f"the {which} is {found:.2f}, {_against(found, least, claimed)}"
        if verdict != "does not hold":
            said += f"; in the {len(fair)} of {len(rows)} cells with {FILLED} {'there is none' if among is None else f'it is {among:.2f}, {_against(among, least, claimed)}'}"
        if verdict == "holds in part":
            said += f": the claim rests on arrays that {BASELINE} leaves idle"
            few = _speedup([row for row in rows if row.outcome.processors < processors[-1]], which)
            said += "" if few is None else f"; on up to {processors[-2]} arrays the {which} is {few:.2f}"
        if verdict == "does not hold":
            if which == "mean":
                reached = ", ".join(str(count) for count in processors if (_speedup(_on(rows, count), which) or 0) >= least)
                said += f"; with {reached} processors alone it is reached" if reached else "; with no number of processors alone is it reached"
            ceiling = _ceiling(rows, which)
            if ceiling is not None and ceiling < least:
                said += f"; the proven bounds leave no schedule that places each task once (unroll = 1) more than {ceiling:.2f}"
    word = "arithmetic mean" if which == "mean" else "largest"
    return Claim(
        source=source,
        statement=statement,
        rule=(
            f"holds if the {word} speed-up of {solver} over {BASELINE} is at least {least:g} over {_cells(networks, processors)}, and over those of them with "
            f"{FILLED}; holds in part if only over all"
        ),
        measured=_speedups(evidence, solver, networks, processors, which),
        verdict=verdict,
        reason=said,
    )


#: The readings of the share of communication that is added: whose share, and the figure.
READINGS: Final[dict[str, tuple[str, Callable[[Measure], float | None]]]] = {
    "moved": ("all bytes that the tasks of an iteration read and write", lambda row: row.overhead_moved),
    "buffers": ("all bytes between the arrays and their buffers", lambda row: row.overhead_buffers),
    "crossing": ("all bytes that cross between processors", lambda row: row.overhead_crossing),
}


def overhead(evidence: Evidence, source: str, networks: Sequence[str], claimed: float = 0.005) -> Claim:
    """Holds if the mean is below what was claimed by all readings; in part if by some."""
    rows = chosen(evidence.rows, solver=PAPER, networks=networks, processors=PIPELINES, arrays=ARRAYS)
    said, verdict, below = _missing(rows, networks, PIPELINES), "not enough cells", f"{100 * claimed:g} %"
    added = {whole: [value for row in rows if (value := figure(row)) is not None] for whole, figure in READINGS.values()}
    if all(added.values()) and not said:
        holds = sum(fmean(shares) < claimed for shares in added.values())
        verdict = "holds" if holds == len(added) else "holds in part" if holds else "does not hold"
        each = ", ".join(f"{signed_percent(fmean(shares))} of {whole}" for whole, shares in added.items())
        said = f"by {holds} of {len(added)} readings the claim holds: the mean is {each}; added on average, in MB an iteration: {_added(rows)}"
    convolutions = "" if networks == FIRST_NETWORKS else " in networks with convolutions"
    return Claim(
        source=source,
        statement=f"less than {below} of communication added{convolutions}",
        rule=(
            f"holds if the mean over {_cells(networks, PIPELINES)} of {PAPER}'s bytes between processors beyond those of {BASELINE} is below {below} by each of "
            f"{len(READINGS)} readings, which are shares of different wholes; holds in part if by some"
        ),
        measured=tuple(
            f"of {whole}: {'; '.join(f'{solver} {_range(evidence, solver, networks, figure, claimed)}' for solver in (PAPER, BEST))}"
            for whole, figure in READINGS.values()
        ),
        verdict=verdict,
        reason=said,
    )


def less_traffic(evidence: Evidence) -> Claim:
    """Holds if LayerPipe's bytes are fewer in the mean of cells, each in units of PipeDream's."""
    rows = chosen(evidence.rows, solver="layerpipe", networks=NETWORKS, processors=LAYERPIPE_PROCESSORS, arrays=ARRAYS)
    shares = [1 / (1 - row.overhead_crossing) for row in rows if row.overhead_crossing is not None and row.overhead_crossing < 1]
    said, verdict, measured = _missing(rows, NETWORKS, LAYERPIPE_PROCESSORS), "not enough cells", ("no cell",)
    if shares:
        measured = (f"{fmean(shares):.2f} times the bytes of {BASELINE} on average, {min(shares):.2f} to {max(shares):.2f}",)
        if not said:
            fewer = sum(share < 1 for share in shares)
            verdict = "holds" if fmean(shares) < 1 else "does not hold"
            said = f"{fmean(shares):.2f} times as many bytes on average, fewer in {fewer} of {len(shares)} cells"
    return Claim(
        source=LAYERPIPE,
        statement="less communication than PipeDream",
        rule=f"holds if layerpipe moves fewer bytes between processors than {BASELINE} in the mean of {_cells(NETWORKS, LAYERPIPE_PROCESSORS)}",
        measured=measured,
        verdict=verdict,
        reason=said,
    )


def small_networks(evidence: Evidence) -> Claim:
    """No verdict on the paper's networks; on the substitutes, whether a loss of the margin is excluded everywhere."""
    found, margin = [point for point in evidence.trained or () if point.network in SMALL_NETWORKS], points_text(AccuracySetup().margin)
    worse = [point for point in found if point.verdict.outcome == "degraded"]
    open_ = [point for point in found if point.verdict.outcome == "inconclusive"]
    less = [point for point in found if point not in worse and point.verdict.high is not None and point.verdict.high < 0]
    says = f"of {len(found)} schedules {len(worse) or 'none'} {'are' if len(worse) > 1 else 'is'} seen to lose {margin} or more"
    says += f", {len(less)} {'lose' if len(less) > 1 else 'loses'} less" if less else ""
    says += f", {len(open_)} {'are' if len(open_) > 1 else 'is'} undecided" if open_ else ""
    says += f"; the claim {'does not hold' if worse else 'is undecided' if open_ else 'holds'} on the substitute"
    return _substituted(
        evidence,
        SMALL_NETWORKS,
        "no loss of accuracy from delayed gradients in small networks",
        f"on the substitute: holds if a loss of {margin} or more is excluded (95 % interval) for every schedule, does not hold if one is shown",
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
        f"less than {claimed:g} % of accuracy lost in large networks, read as points",
        f"on the substitute: holds if a loss of {claimed:g} points is excluded (95 % interval) for every schedule, does not hold if one is shown",
        says,
    )


def _substituted(evidence: Evidence, networks: Sequence[str], statement: str, rule: str, says: str) -> Claim:
    """Not testable as far as the paper's data go, and what the substitutes say; nothing before all are trained."""
    asked, found = AccuracySetup(), [point for point in evidence.trained or () if point.network in networks]
    there = {(point.network, point.solver, point.processors) for point in found if not point.missing}
    needed = set(product(networks, asked.solvers, asked.processors))
    differences = [point.verdict.mean for point in found if point.verdict.mean is not None]
    measured = "nothing was trained"
    if differences:
        various = len({(point.substitute, point.staleness) for point in found})
        measured = f"differences of {min(differences):+z.2f} to {max(differences):+z.2f} points over {len(found)} schedules, with {various} different delays"
    why = "the paper's data sets cannot be had here"
    verdict: Verdict = "not testable here"
    if evidence.trained is None:
        says = "no substitute was trained"
    elif missing := len(needed - there):
        verdict, why, says = "not enough cells", f"{missing} of {len(needed)} schedules are not trained out", ""
    return Claim(source=V1, statement=statement, rule=rule, measured=(measured,), verdict=verdict, reason="; ".join(filter(None, (why, says))))


def _missing(rows: Sequence[Measure], networks: Sequence[str], processors: Sequence[int]) -> str:
    """How many cells are missing that a claim needs; empty: none is."""
    needed = len(networks) * len(processors) * len(ARRAYS)
    there = sum(row.speedup is not None for row in rows)
    return f"{needed - there} of {needed} cells are missing" if there < needed else ""


def _speedups(evidence: Evidence, solver: str, networks: Sequence[str], processors: Sequence[int], which: Literal["mean", "largest"]) -> tuple[str, ...]:
    """A line for the solver and one for ours, and one for what the bounds leave."""
    lines: list[str] = []
    for name in dict.fromkeys((solver, BEST)):
        rows = chosen(evidence.rows, solver=name, networks=networks, processors=processors, arrays=ARRAYS)
        fair = [row for row in rows if filled(row)]
        if which == "largest":
            some = [f"{_largest(rows)}", *([f"where there are {FILLED} {_largest(fair)}"] if _speedup(fair, which) else [])] if _speedup(rows, which) else []
        else:
            found, each = means(row.speedup for row in rows), [(count, _speedup(_on(rows, count), which)) for count in processors]
            some = [f"{found.arithmetic:.2f} (geometric {found.geometric:.2f}, {found.least:.2f} to {found.largest:.2f})"] if found else []
            some += [", ".join(f"{mean:.2f} on {count}" for count, mean in each if mean)] if found and len(processors) > 1 else []
            some += [f"{mean:.2f} in the {len(fair)} cells with {FILLED}"] if (mean := _speedup(fair, which)) else []
        lines += [f"{name}: {'; '.join(some)}"] if some else []
    ceiling = _ceiling(chosen(evidence.rows, solver=solver, networks=networks, processors=processors, arrays=ARRAYS), which)
    return (
        *lines,
        "no cell" if ceiling is None else f"proven bound of schedules that place each task once (unroll = 1): {ceiling:.2f}; unrolled ones can be faster",
    )


def _largest(rows: Sequence[Measure]) -> str:
    best = max(rows, key=lambda row: row.speedup or 0)
    return f"{best.speedup:.2f} at most: {best.outcome.network} on {best.outcome.processors} arrays of {best.outcome.array}"


def _speedup(rows: Sequence[Measure], which: Literal["mean", "largest"]) -> float | None:
    found = means(row.speedup for row in rows)
    return found and (found.arithmetic if which == "mean" else found.largest)


def _ceiling(rows: Sequence[Measure], which: Literal["mean", "largest"]) -> float | None:
    found = means(row.ceiling for row in rows)
    return found and (found.arithmetic if which == "mean" else found.largest)


def _on(rows: Sequence[Measure], processors: int) -> list[Measure]:
    return [row for row in rows if row.outcome.processors == processors]


def _range(evidence: Evidence, solver: str, networks: Sequence[str], figure: Callable[[Measure], float | None], claimed: float) -> str:
    rows = chosen(evidence.rows, solver=solver, networks=networks, processors=PIPELINES, arrays=ARRAYS)
    added = [value for row in rows if (value := figure(row)) is not None]
    if not added:
        return "no cell"
    below = f"{sum(value < claimed for value in added)} of {len(added)} cells below {100 * claimed:g} %"
    return f"{signed_percent(fmean(added))} on average, median {signed_percent(median(added))}, {signed_percent(min(added))} to {signed_percent(max(added))}, {below}"


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
