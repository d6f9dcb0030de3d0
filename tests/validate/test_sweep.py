"""Sweeps over delays: what is trained, how it is compared, and that it goes on where it stopped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from spikepipe_sched import InputError, Layer, Network, Problem, Result, SpikepipeError, TrainingSetup, lower, solve
from spikepipe_sched.staleness import Profile
from spikepipe_sched.staleness_limits import delay_limits
from spikepipe_sched.validate import sweep as module
from spikepipe_sched.validate import sweep_delays, validate
from spikepipe_sched.validation import TrainedRun, TrainingProgress, ValidationSetup
from tests.helpers import platform

SETUP = ValidationSetup(epochs=1, seeds=2, batch=32)


def scheduled(*widths: int, weights: str = "stash", windows: int = 1, solver: str = "stages", **options: Any) -> Result:
    """A schedule of a network for digits on two processors, by contiguous stages if nothing else is said."""
    names = [f"fc{i}" for i in range(len(widths))]
    layers = [
        Layer(name=n, kind="linear", inputs=(b,), out_features=w, neuron="lif", bias=True) for n, b, w in zip(names, ("input", *names), widths, strict=False)
    ]
    network = Network(name="small", input_shape=(64,), time_steps=2, coding="direct", layers=tuple(layers))
    graph = lower(network, TrainingSetup(batch=32, windows=windows), platform())
    return solve(Problem.from_graph(graph, platform(), **{"mode": "periodic", "weights": weights} | options), solver)


@pytest.fixture
def bears(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Profile]]:
    """In place of training: accuracies that a function of the profile says; what was trained is listed."""

    def use(loss: Callable[[Profile], float], spread: float = 0.1) -> list[Profile]:
        trained: list[Profile] = []

        def run_all(experiment, jobs, **options):
            trained.extend(tuple(delay - 1 for delay in job.delays.forward) for job in jobs if job.seed == 0)
            runs = []
            for job in jobs:
                percent = 90 + job.seed - loss(tuple(delay - 1 for delay in job.delays.forward)) + (spread * job.seed if job.arm == "delayed" else 0)
                diverged = 1 if percent < 20 else None
                runs.append(
                    TrainedRun(arm=job.arm, seed=job.seed, rate=job.rate, losses=(), accuracies=(percent / 100,), diverged_epoch=diverged, samples=0, seconds=0)
                )
            return runs, False

        monkeypatch.setattr(module, "run_all", run_all)
        return trained

    return use


def test_uniform_profiles_are_compared_with_the_synchronous_arm_seed_by_seed(bears):
    trained = bears(lambda profile: 0.25 * max(profile), spread=0.5)
    found = sweep_delays(scheduled(16, 10), (4, 1, 0), data="digits", setup=replace(SETUP, seeds=3))
    assert trained == [(0, 0), (1, 1), (4, 4)]
    assert found.synchronous == pytest.approx((90, 91, 92))
    assert [(point.kind, point.staleness, point.diverged) for point in found.points] == [("uniform", (1, 1), 0), ("uniform", (4, 4), 0)]
    for point in found.points:
        differences = [0.5 * seed - 0.25 * point.staleness[0] for seed in range(3)]
        half = 4.302653 * stdev(differences) / 3**0.5  # Student's 97.5 % quantile with 2 degrees of freedom
        assert (point.mean, point.low, point.high) == pytest.approx((fmean(differences), fmean(differences) - half, fmean(differences) + half), rel=1e-6)


def test_windows_and_micro_batches_are_those_of_the_schedule(bears):
    bears(lambda profile: 0.0)
    found = sweep_delays(scheduled(16, 10, windows=2, solver="gpipe", mode="finite", micro_batches=3), (1,), data="digits", setup=replace(SETUP, batch=None))
    assert (found.windows, found.micro_batches, found.setup.batch) == (2, 3, 96)


def test_without_torch_the_message_says_what_to_install():
    code = "import sys; sys.modules['torch'] = None\ntry: from spikepipe_sched.validate import sweep_delays\nexcept ValueError as error: print(error)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "this needs PyTorch, which is not installed: pip install -c constraints.txt '.[validate]' in the repository\n"


def test_what_single_layers_bear_is_halved_until_all_bear_it_together(bears):
    """Each layer alone loses little, but losses multiply."""

    def loss(profile):
        return min(0.02 * (1 + profile[0]) * (1 + 8 * profile[1]) * (1 + profile[2]), 40)

    trained = bears(loss, spread=0.01)
    found = sweep_delays(scheduled(16, 12, 10), (1, 2, 8), single_layers=True, data="digits", setup=replace(SETUP, seeds=5))
    joint = [point for point in found.points if point.kind == "joint"]
    assert joint[0].staleness == (8, 2, 8)
    assert all(after.staleness == tuple(value // 2 for value in before.staleness) for before, after in pairwise(joint))
    assert [point.keeps_accuracy(1.0) for point in joint] == [False] * (len(joint) - 1) + [True]
    assert delay_limits(found, 1.0, "joint") == tuple(zip(found.layers, (value + 1 for value in joint[-1].staleness), strict=True))
    assert trained == [(0, 0, 0), *(point.staleness for point in found.points)]
    assert len(trained) == len(set(trained))


def test_nothing_is_trained_twice_for_a_joint_profile(bears):
    """Only the first layer bears anything: the joint profile is one that was measured."""
    trained = bears(lambda profile: 5.0 * any(profile[1:]))
    found = sweep_delays(scheduled(16, 10), (1, 4), single_layers=True, data="digits", setup=SETUP)
    assert [point.staleness for point in found.points if point.kind == "joint"] == [(4, 0)]
    assert sorted(trained) == sorted({(0, 0), (1, 1), (4, 4), (1, 0), (4, 0), (0, 1), (0, 4)})
    assert delay_limits(found, 1.0) == (("fc0", 5), ("fc1", 1))


def test_a_joint_profile_that_allows_no_more_than_a_uniform_one_is_not_tried(bears):
    bears(lambda profile: 0.01)
    found = sweep_delays(scheduled(16, 10), (1, 4), single_layers=True, data="digits", setup=SETUP)
    assert "joint" not in {point.kind for point in found.points}
    assert delay_limits(found, 1.0) == (("fc0", 5), ("fc1", 5))


def test_diverged_runs_are_counted_and_no_difference_is_larger_than_everything(bears):
    bears(lambda profile: 80.0 * any(profile), spread=4.0)
    (found,) = sweep_delays(scheduled(16, 10), (1,), data="digits", setup=SETUP).points
    assert (found.low, found.high) == (-100.0, pytest.approx(-78 + 2 * 12.7062, rel=1e-4))
    assert found.diverged == 2
    assert not found.keeps_accuracy(100)


def test_without_a_synchronous_arm_that_learns_there_is_nothing_to_compare(bears):
    trained = bears(lambda profile: 79.0)
    with pytest.raises(SpikepipeError, match="2 of 2 synchronous runs diverged or learned nothing"):
        sweep_delays(scheduled(16, 10), data="digits", setup=SETUP)
    assert trained == [(0, 0)]


@pytest.mark.parametrize(
    ("weights", "policy", "backward"),
    [("stash", None, (4, 4)), ("latest", None, (1, 1)), ("stash", "latest", (1, 1)), ("latest", "2bw", (4, 4)), ("stash", "ema", (1, 1))],
)
def test_backward_passes_read_what_the_policy_says(monkeypatch, weights, policy, backward):
    """Under ``latest`` the newest weights; the synchronous arm needs no policy."""
    jobs = []

    def run_all(experiment, some, **options):
        jobs.extend(some)
        return [], True

    monkeypatch.setattr(module, "run_all", run_all)
    result = scheduled(16, 10, weights=weights)
    delays, setup = module.delays_of(result, policy), replace(SETUP, policy=policy)
    experiment = module.prepare(result.problem, delays, data="digits", data_path=None, network=None, setup=setup, device="cpu", threads=1)
    sweep = module._Sweep(experiment, None, 1, None)
    for profiles in ([(3, 3), (3, 0)], [(0, 0)]):
        with pytest.raises(KeyboardInterrupt):
            sweep.train(profiles)
    stale = {job.delays.forward: (job.delays.backward, job.policy) for job in jobs if job.arm == "delayed"}
    assert stale == {(4, 4): (backward, policy or weights), (4, 1): ((backward[0], 1), policy or weights)}
    assert {(job.delays.forward, job.delays.backward, job.policy) for job in jobs if job.arm == "synchronous"} == {((1, 1), (1, 1), "stash")}
    assert len({job.name for job in jobs}) == len(jobs)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"staleness": (0,)}, "name a staleness of at least 1"),
        ({"staleness": (1, -1)}, "staleness must not be negative"),
        ({"setup": replace(SETUP, seeds=1)}, "an interval needs at least 2 seeds"),
        ({"setup": replace(SETUP, tune=True)}, "tune it by a validation"),
        ({"resume": True}, "name the folder of the checkpoints"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_trained(options, says):
    with pytest.raises(InputError, match=says):
        sweep_delays(scheduled(16, 10), **{"data": "digits", "setup": SETUP} | options)


def test_a_profile_gives_the_accuracies_of_a_schedule_with_these_delays(tmp_path: Path):
    """A validation of two stages is the independent oracle: its first layer is stale, its last is not."""
    result = scheduled(16, 10)
    validation = validate(result, data="digits", setup=SETUP, checkpoints=tmp_path)
    step = validation.delays.forward[0] - 1
    assert step > 0
    assert validation.delays.forward[1:] == (1,)
    found = sweep_delays(result, (step,), single_layers=True, data="digits", setup=SETUP)
    (point,) = (point for point in found.points if point.kind == "layer" and point.staleness[0])
    assert found.synchronous == tuple(100 * run.accuracy for run in validation.arm("synchronous"))
    assert point.accuracies == tuple(100 * run.accuracy for run in validation.arm("delayed"))
    assert (point.mean, point.low, point.high) == (validation.verdict.mean, validation.verdict.low, validation.verdict.high)


def test_an_interrupted_sweep_goes_on_and_ends_as_if_nothing_had_happened(tmp_path: Path):
    result, options = scheduled(16, 10), {"data": "digits", "setup": SETUP, "single_layers": True}
    whole = sweep_delays(result, (2,), **options)
    heard: list[str] = []

    def stop(progress: TrainingProgress) -> None:
        if progress.label not in heard:
            heard.append(progress.label)
        if len(heard) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep_delays(result, (2,), **options, checkpoints=tmp_path, observer=stop)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.pt")}
    assert len(before) == 4
    with pytest.raises(InputError, match="holds checkpoints of an earlier run"):
        sweep_delays(result, (2,), **options, checkpoints=tmp_path)
    assert sweep_delays(result, (2,), **options, checkpoints=tmp_path, resume=True) == whole
    assert {file: file.stat().st_mtime_ns for file in before} == before
