"""The experiment: what is to be trained, its runs, and what they say together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from spikepipe_sched.errors import InputError, require, require_one_of, require_whole, shown
from spikepipe_sched.layer import SPIKING
from spikepipe_sched.lower.sites import read_outs
from spikepipe_sched.validate.checkpoint import Store, identity
from spikepipe_sched.validate.data import DataSet, load_data
from spikepipe_sched.validate.policies import POLICIES, policy_for
from spikepipe_sched.validate.run import Experiment, Job, Report
from spikepipe_sched.validate.statistics import verdict
from spikepipe_sched.validate.tune import chosen_rates, held_out, tuning_jobs
from spikepipe_sched.validate.workers import run_all
from spikepipe_sched.validation import DELAYED, SYNCHRONOUS, DataSummary, TrainedRun, TuningPoint, Validation, ValidationSetup
from spikepipe_sched.version import __version__
from spikepipe_sched.versions import WeightDelays

if TYPE_CHECKING:
    from spikepipe_sched.network import Network
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result


def run_validation(
    result: Result,
    *,
    data: str | DataSet,
    data_path: Path | None,
    network: Network | None,
    setup: ValidationSetup,
    checkpoints: Path | None,
    resume: bool,
    workers: int,
    device: str,
    threads: int,
    observer: Report | None,
) -> Validation:
    """See `spikepipe_sched.validate`."""
    began = time.perf_counter()
    require_whole("validate", "workers", workers, 1)
    require(checkpoints is not None or not resume, "validate: to resume, name the folder of the checkpoints, or the same --output as before")
    problem, delays = result.problem, delays_of(result, setup.policy)
    experiment = prepare(problem, delays, data=data, data_path=data_path, network=network, setup=setup, device=device, threads=threads)
    setup = experiment.setup
    policy = setup.policy or problem.weights
    same = max(*delays.forward, *delays.backward) == 1  # every policy is plain training then
    arms = [(SYNCHRONOUS, WeightDelays.synchronous(delays.layers), "stash")] + ([] if same else [(DELAYED, delays, policy)])
    common = identity(experiment)
    store = None if checkpoints is None else Store.open(checkpoints, common, resume=resume)
    runs: list[TrainedRun] = []
    tried: list[TrainedRun] = []
    interrupted = False
    if setup.tune:
        part = replace(experiment, data=held_out(experiment.data))
        require(part.batches, f"validate: four fifths of the training data are fewer than the {part.batch} samples of an update; tune with a smaller batch")
        require(len(part.data.test), "validate: no class has three training samples, so that none can be held out for tuning; name the rate")
        part_store = store and replace(store, common=identity(part))
        tried, interrupted = run_all(part, tuning_jobs(arms, setup.rate), store=part_store, workers=workers, observer=observer)
    tuning = chosen_rates(tried)
    if not interrupted:
        rates = dict.fromkeys((SYNCHRONOUS, DELAYED), setup.rate) | {point.arm: point.rate for point in tuning if point.chosen}
        jobs = [
            Job(name=f"{arm}-seed{seed}", label=f"{arm}, seed {seed}", arm=arm, seed=seed, rate=rates[arm], delays=versions, policy=way)
            for seed in range(setup.seeds)
            for arm, versions, way in arms
        ]
        runs, interrupted = run_all(experiment, jobs, store=store, workers=workers, observer=observer)
    summary = summarise(experiment.data)
    return Validation(
        problem=problem.name,
        network=experiment.network.name,
        data=summary,
        delays=delays,
        setup=setup,
        updates=experiment.updates,
        same=same,
        runs=tuple(runs),
        tuning=tuning,
        verdict=verdict(runs, summary, setup.margin, same=same, missing=setup.seeds * len(arms) - len(runs)),
        notes=(*departures(problem, experiment), *notes(experiment, delays, tuning), *rising(runs, setup)),
        interrupted=interrupted,
        device=device,
        version=__version__,
        torch_version=str(torch.__version__),
        runtime_s=round(time.perf_counter() - began, 3),
    )


def delays_of(result: Result, policy: str | None) -> WeightDelays:
    """The weight versions that a schedule makes each layer use.

    Raises
    ------
    InputError
        If there is no schedule, no layer is updated, or no policy of that name.
    """
    if result.schedule is None:
        raise InputError(f"validate: the result has no schedule ({result.status}), so there are no delays to train with")
    if policy is not None:
        require_one_of("validate", "policy", policy, POLICIES)
    return WeightDelays.of_schedule(result.problem, result.schedule, None if policy is None else POLICIES[policy].weights)


def prepare(
    problem: Problem,
    delays: WeightDelays,
    *,
    data: str | DataSet,
    data_path: Path | None,
    network: Network | None,
    setup: ValidationSetup,
    device: str,
    threads: int,
) -> Experiment:
    """Network, data and set-up, fitted to each other.

    Raises
    ------
    InputError
        Naming what does not fit.
    """
    network = problem.network if network is None else network
    if network is None:
        raise InputError(f"validate: '{problem.name}' was not made from a network, or by an earlier version; name the network to train")
    _same_layers(network, delays)
    require_whole("validate", "threads", threads, 1)
    require(device.partition(":")[0] in ("cpu", "cuda"), f"validate: device must be cpu or cuda, got {shown(device)}")
    try:
        torch.zeros(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"validate: PyTorch cannot compute on '{device}': {str(error).splitlines()[0]}") from None
    batch = setup.batch or (problem.samples_per_iteration and problem.samples_per_iteration * problem.micro_batches)
    require(batch, f"validate: '{problem.name}' does not say how many samples an iteration has; name the batch")
    setup = replace(setup, policy=setup.policy or problem.weights, batch=batch)
    if isinstance(data, str):
        data = load_data(data, path=data_path, time_steps=network.time_steps, coding=setup.coding, shape=network.input_shape, difficulty=setup.difficulty)
    else:
        require(isinstance(data, DataSet), f"validate: data must be the name of a data set or a DataSet (DataSet.from_arrays), got {type(data).__name__}")
        loaded = setup.coding is None and not setup.difficulty and data_path is None
        require(loaded, f"validate: data '{data.name}' are loaded already; coding, difficulty and data_path belong to load_data")
    fits = (data.shape, data.time_steps) == (network.input_shape, network.time_steps)
    require(
        fits,
        f"validate: data '{data.name}' have {_sample(data.shape, data.time_steps)}, network '{network.name}' takes {_sample(network.input_shape, network.time_steps)}",
    )
    bptt_steps, windows = (None, 1) if problem.training is None else (problem.training.bptt_steps, problem.training.windows)
    experiment = Experiment(
        network=network, data=data, setup=setup, bptt_steps=bptt_steps, windows=windows, micro_batches=problem.micro_batches, device=device, threads=threads
    )
    apart = problem.training is not None and problem.training.loss == "step" and windows > 1
    require(
        not apart or setup.loss == "step",
        f"validate: in '{problem.name}' the error of a window waits for the outputs of its own steps alone (loss = step), the loss '{setup.loss}' "
        "is of all steps: validate with the loss step, or lower the network with loss = sequence",
    )
    policy_for(setup.policy or problem.weights, setup.optimizer_settings())
    classes = experiment.model().classes
    require(classes == data.classes, f"validate: network '{network.name}' has {classes} outputs, data '{data.name}' have {data.classes} classes")
    require(
        experiment.batches, f"validate: data '{data.name}' have {len(data.train)} training samples, fewer than the {batch} of an update; choose a smaller batch"
    )
    length = experiment.updates
    require(setup.warmup < length, f"validate: a warm-up of {setup.warmup} updates does not end within the {length} of a run; shorten it, or train for longer")
    return experiment


def departures(problem: Problem, experiment: Experiment) -> tuple[str, ...]:
    """In what the training is not that of the schedule, because its user asked for something else."""
    found, network, setup = list[str](), experiment.network, experiment.setup
    if problem.network is not None and learned(problem.network) != learned(network):
        found.append(f"the network is not the one that was scheduled, '{problem.network.name}', though its layers have the same names")
    batch = problem.samples_per_iteration and problem.samples_per_iteration * problem.micro_batches
    if batch and setup.batch != batch:
        found.append(f"an update takes {setup.batch} samples, the schedule's {batch}")
    if POLICIES[setup.policy or "stash"].weights == "stash" and problem.weights == "latest" and problem.mode == "periodic":
        found.append(f"the schedule was made for weights = latest: its memories need not hold the older weights that the policy {setup.policy} reads in B")
    return tuple(found)


def learned(network: Network) -> Network:
    """A network without what does not change what it learns."""
    return replace(network, name="network", summary="", source="", layers=tuple(replace(layer, spike_rate=None) for layer in network.layers))


def notes(experiment: Experiment, delays: WeightDelays, tuning: Sequence[TuningPoint]) -> tuple[str, ...]:
    """What a reader must know to judge the figures."""
    data, network, found = experiment.data, experiment.network, list(experiment.data.notes)
    policy = POLICIES[experiment.setup.policy or "stash"]
    if policy.name != "stash":
        found.append(f"policy {policy.name}: {policy.summary}; {policy.source}")
    together = policy.load().iterations_per_update(delays)
    if together > 1:
        found.append(
            f"the policy averages {together} iterations into an update, so the delayed arm makes fewer updates on the same samples; iterations left over at the end make none"
        )
    late = max(*delays.forward, *delays.backward) - 1
    if 4 * late > experiment.updates:
        found.append(f"the first {late} of {experiment.updates} iterations fill the pipeline, and find fresher weights than the others: train for longer")
    left = len(data.train) % experiment.batch
    if left:
        found.append(f"of every epoch's {len(data.train)} samples the last {left}, too few for an update, are left out; each epoch shuffles anew")
    if data.coding != network.coding:
        words = {"spikes": "spikes", "direct": "real values"}
        found.append(f"the data bring {words[data.coding]}, while the network was scheduled for {words[network.coding]}: its first layer costs otherwise")
    if experiment.setup.loss == "membrane" and experiment.windows > 1 and any(network.layer(name).neuron in SPIKING for name in read_outs(network)):
        found.append(f"the loss reads the output's potentials of all {experiment.windows} windows, while the schedule moves only their spikes between tasks")
    for arm in dict.fromkeys(point.arm for point in tuning):
        rates = [point for point in tuning if point.arm == arm]
        if rates[0].chosen or rates[-1].chosen:
            found.append(f"the best rate of the {arm} arm is at the end of its grid: one beyond it may be better")
    return tuple(found)


def rising(runs: Sequence[TrainedRun], setup: ValidationSetup) -> tuple[str, ...]:
    """Whether the synchronous arm was not trained out: then the difference may tell of slower learning, not of what is lost in the end."""
    curves = [run.accuracies for run in runs if run.arm == SYNCHRONOUS and run.diverged_epoch is None]
    last = max(1, setup.epochs // 4)
    if setup.epochs < 2 or not curves:
        return ()
    gained = 100 * sum(curve[-1] - curve[-1 - last] for curve in curves) / len(curves)
    ends = "the last epoch" if last == 1 else f"the last {last} epochs"
    told = f"without delays accuracy still rose by {gained:.1f} points over {ends}: trained for longer, the difference may be another"
    return (told,) if gained > setup.margin else ()


def _same_layers(network: Network, delays: WeightDelays) -> None:
    trained, scheduled = set(network.parameters()), set(delays.layers)
    if trained != scheduled:
        only = [
            f"only {what} has {', '.join(map(repr, sorted(names)))}"
            for what, names in (("the schedule", scheduled - trained), ("the network", trained - scheduled))
            if names
        ]
        raise InputError(f"validate: network '{network.name}' is not the one that was scheduled: {'; '.join(only)}")


def _sample(shape: Sequence[int], time_steps: int) -> str:
    return f"samples of shape {list(shape)} at {time_steps} steps"


def summarise(data: DataSet) -> DataSummary:
    """What a report says of the data."""
    counts = torch.bincount(data.test.labels, minlength=data.classes)
    return DataSummary(
        name=data.name,
        source=data.source,
        coding=data.coding,
        classes=data.classes,
        train_samples=len(data.train),
        test_samples=len(data.test),
        chance=int(counts.max()) / len(data.test),
    )
