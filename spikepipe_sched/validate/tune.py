"""The learning rate of each arm, chosen without a look at the test data.

Stale weights bear a lower rate than fresh ones (Giladi et al., arXiv:1909.12340; Yang et al.,
arXiv:1910.05124), so one rate for both arms would measure the rate as much as the delays. Both try the same
grid with the same seeds, none of them a reported one, on four fifths of the training data; the fifth
held out, with the same share of every class, decides: the best mean accuracy after the last epoch, of
equal ones the lowest rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from spikepipe_sched.validate.run import Job, drawn_from
from spikepipe_sched.validation import TuningPoint

if TYPE_CHECKING:
    from spikepipe_sched.validate.data import DataSet, Samples
    from spikepipe_sched.validation import TrainedRun
    from spikepipe_sched.versions import WeightDelays

#: Factors of the rate, and how many seeds try each.
GRID: Final = (1 / 9, 1 / 3, 1.0, 3.0)
SEEDS: Final = 2
#: Tuning seeds begin here; reported ones never get so far.
FIRST_SEED: Final = 10**6
HELD_OUT: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Some of the samples of a set."""

    whole: Samples
    rows: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """See `Samples`."""
        return self.whole.batch(self.rows[chosen], generator)


def held_out(data: DataSet) -> DataSet:
    """The training data as a set of its own: a fifth of every class is to be judged on, the rest to be trained on."""
    generator, labels = drawn_from(FIRST_SEED), data.train.labels
    judged: list[Tensor] = []
    for label in range(data.classes):
        rows = torch.nonzero(labels == label).flatten()
        judged.append(rows[torch.randperm(len(rows), generator=generator)[: round(HELD_OUT * len(rows))]])
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[torch.cat(judged)] = True

    def part(mask: Tensor) -> Part:
        return Part(whole=data.train, rows=torch.nonzero(mask).flatten(), labels=labels[mask])

    return replace(data, train=part(~chosen), test=part(chosen))


def tuning_jobs(arms: Iterable[tuple[str, WeightDelays, str]], rate: float) -> list[Job]:
    """The runs that tuning takes: of every arm (name, delays, policy) one for each rate and seed."""
    return [
        Job(
            name=f"tune-{arm}-rate{rate * factor:.6g}-seed{k}",
            label=f"tuning {arm}, rate {rate * factor:.3g}, seed {k + 1} of {SEEDS}",
            arm=arm,
            seed=FIRST_SEED + k,
            rate=rate * factor,
            delays=delays,
            policy=policy,
        )
        for k in range(SEEDS)
        for factor in GRID
        for arm, delays, policy in arms
    ]


def chosen_rates(runs: Sequence[TrainedRun]) -> tuple[TuningPoint, ...]:
    """What was tried, arm by arm, from the lowest rate to the highest; one of each arm is chosen."""
    tried: dict[tuple[str, float], list[TrainedRun]] = {}
    for run in runs:
        tried.setdefault((run.arm, run.rate), []).append(run)
    mean = {key: sum(run.accuracy for run in some) / len(some) for key, some in tried.items()}
    best = {arm: max((key for key in mean if key[0] == arm), key=lambda key: (mean[key], -key[1])) for arm, _ in mean}
    return tuple(
        TuningPoint(
            arm=arm,
            rate=rate,
            accuracies=tuple(run.accuracy for run in some),
            diverged=sum(run.diverged_epoch is not None for run in some),
            chosen=best[arm] == (arm, rate),
        )
        for (arm, rate), some in sorted(tried.items())
    )
