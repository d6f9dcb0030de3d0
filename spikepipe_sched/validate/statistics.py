"""From paired accuracies to a verdict.

Runs of one seed share initial weights, batches and noise, so that what differs between the arms is
judged seed by seed: with d the n differences, m their mean and s their standard deviation, the
interval is m -+ t s / sqrt(n), t the 97.5 % quantile of Student's distribution with n - 1 degrees of
freedom (Student 1908, doi:10.1093/biomet/6.1.1). It is read as in trials of non-inferiority (Piaggio et
al. 2012, doi:10.1001/jama.2012.87802): no degradation if all of it lies above -margin, degraded if all of
it lies below, else inconclusive. So each of the two is wrong with a probability of at most 2.5 %, as far
as the differences are normal. It speaks of other seeds, not of other data, and takes tuned rates as given.

Accuracy comes in steps of one test sample, and few seeds often agree by chance. Therefore s is taken to
be at least that of a rounding error, 1 / sqrt(12) of such a step (Sheppard's term); where both arms are
one and the same training, the differences are 0 and nothing is added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import stdtrit  # Student's quantiles; scipy.stats takes a second to import

from spikepipe_sched.validation import DELAYED, SYNCHRONOUS, DataSummary, Outcome, TrainedRun, Verdict

#: An estimate of more seeds than this says that the difference is too close to the margin to be told from it.
MAX_SEEDS: Final = 1000
#: Standard errors above chance at which a network has learned something.
ABOVE_CHANCE: Final = 3.0


def interval(differences: Sequence[float], resolution: float = 0.0) -> tuple[float, float, float, float]:
    """Mean, standard deviation (n - 1), and both ends of the 95 % interval of the mean.

    Parameters
    ----------
    differences
        At least two, in any unit.
    resolution
        Step in which they were measured, in the same unit.
    """
    values, count = np.asarray(differences, dtype=float), len(differences)
    mean, std = float(values.mean()), float(values.std(ddof=1))
    half = float(stdtrit(count - 1, 0.975)) * max(std, resolution / math.sqrt(12)) / math.sqrt(count)
    return mean, std, mean - half, mean + half


def paired(differences: Sequence[float], data: DataSummary) -> tuple[float, float, float, float]:
    """`interval` of differences of accuracies [percentage points]: in steps of a test sample, and none of them beyond 100."""
    mean, std, low, high = interval(differences, 100 / data.test_samples)
    return mean, std, max(low, -100.0), min(high, 100.0)


def seeds_needed(mean: float, std: float, margin: float, have: int) -> int | None:
    """How many seeds would settle it if mean and spread stay.

    The least number of seeds, more than ``have``, at which the interval no longer holds
    -margin; None: more than `MAX_SEEDS`.
    """
    counts = np.arange(have + 1, MAX_SEEDS + 1)
    enough = stdtrit(counts - 1, 0.975) * std / np.sqrt(counts) < abs(mean + margin)
    return int(counts[np.argmax(enough)]) if enough.any() else None


def verdict(runs: Sequence[TrainedRun], data: DataSummary, margin: float, *, same: bool, missing: int = 0) -> Verdict:
    """What the runs say.

    Parameters
    ----------
    runs
        Of both arms; of the synchronous one alone where both are the ``same`` training.
    data
        Says what is chance, and in which steps accuracy comes.
    margin
        Largest loss that does not count [percentage points].
    missing
        Runs that were asked for and not finished.
    """
    synchronous = {run.seed: run for run in runs if run.arm == SYNCHRONOUS}
    if same:
        reason = "nothing is stale, both arms are one and the same training"
        return Verdict(outcome="no degradation", reason=reason, differences=(0.0,) * len(synchronous), mean=0.0, std=0.0, low=0.0, high=0.0)
    delayed = {run.seed: run for run in runs if run.arm == DELAYED}
    differences = tuple(100 * (delayed[seed].accuracy - run.accuracy) for seed, run in synchronous.items() if seed in delayed)
    found = paired(differences, data) if len(differences) >= 2 else None
    needed = None
    settled = f"{missing} of {missing + len(runs)} runs were not finished" if missing else _no_reference(tuple(synchronous.values()), data)
    outcome: Outcome
    if settled:
        outcome, reason = "inconclusive", settled
    elif failed := _diverged(tuple(delayed.values())):
        outcome, reason = "degraded", f"{failed} of {len(delayed)} runs diverged with the delays, none without"
    elif found is None:
        outcome, reason = "inconclusive", "one seed gives no interval; at least 2 are needed"
    else:
        mean, std, low, high = found
        outcome, reason = _read(mean, low, high, margin)
        if outcome == "inconclusive":
            needed = seeds_needed(mean, max(std, 100 / data.test_samples / math.sqrt(12)), margin, len(differences))
            if idle := _idle(tuple(delayed.values()), data):
                reason = f"{idle} of {len(delayed)} runs learned nothing with the delays, all did without; {reason}"
            reason += "; it is too close to the margin to be told from it" if needed is None else f"; about {needed} seeds would tell, if the spread stays"
    mean, std, low, high = found or (differences[0] if differences else None, None, None, None)
    return Verdict(outcome=outcome, reason=reason, differences=differences, mean=mean, std=std, low=low, high=high, seeds_needed=needed)


def learned_above(data: DataSummary) -> float:
    """The accuracy that guessing the most frequent class stays below, save for one test set in hundreds.

    A network that was never trained treats the samples of a class alike, and may come out above: of 100
    initial weights of ``digits_mlp`` 8 do. Therefore no single run may lie below.
    """
    return data.chance + ABOVE_CHANCE * math.sqrt(data.chance * (1 - data.chance) / data.test_samples)


def _no_reference(runs: Sequence[TrainedRun], data: DataSummary) -> str:
    """Why the synchronous runs are no yardstick; empty: they are one."""
    if failed := _diverged(runs):
        return f"{failed} of {len(runs)} runs diverged without any delays, so there is nothing to compare with; lower the rate, or tune it"
    if idle := _idle(runs, data):
        limit = 100 * learned_above(data)
        return f"{idle} of {len(runs)} runs learned nothing without any delays (at most {limit:.1f} % right); change the rate or the epochs, or tune the rate"
    return ""


def _idle(runs: Sequence[TrainedRun], data: DataSummary) -> int:
    limit = learned_above(data)
    return sum(run.accuracy <= limit for run in runs if limit < 1)


def _diverged(runs: Sequence[TrainedRun]) -> int:
    return sum(run.diverged_epoch is not None for run in runs)


def _read(mean: float, low: float, high: float, margin: float) -> tuple[Outcome, str]:
    """The verdict of an interval, and what it means."""
    points = f"{margin:g} point{'' if margin == 1 else 's'}"
    if low > -margin:
        if high < 0:
            return "no degradation", f"there is a loss, but of less than {points}"
        return "no degradation", "the delays help" if low > 0 else f"a loss of {points} or more is ruled out"
    if high < -margin:
        return "degraded", f"by {-mean:.2f} points ({-high:.2f} to {-low:.2f}), more than {margin:g}"
    return "inconclusive", f"there is a loss, but it may be less or more than {points}" if high < 0 else f"a loss of {points} is neither shown nor ruled out"
