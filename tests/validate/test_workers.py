"""Many runs: what ends them all, and that nothing outlives them."""

from __future__ import annotations

from dataclasses import replace
from multiprocessing import active_children

import pytest
import torch

from spikepipe_sched.errors import SpikepipeError
from spikepipe_sched.validate.checkpoint import Store, identity
from spikepipe_sched.validate.run import Experiment, Job
from spikepipe_sched.validate.workers import run_all
from spikepipe_sched.versions import WeightDelays
from tests.validate.small import QUICK, small_data, small_network

EXPERIMENT = Experiment(network=small_network(), data=small_data(), setup=QUICK)
JOB = Job(
    name="one",
    label="one, seed 0",
    arm="synchronous",
    seed=0,
    rate=0.1,
    delays=WeightDelays.synchronous(tuple(EXPERIMENT.network.parameters())),
    policy="stash",
)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_want_of_memory_is_one_error_whoever_notices_it(monkeypatch, error):
    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr("spikepipe_sched.validate.workers.train", fail)
    with pytest.raises(SpikepipeError, match="out of memory in the run 'one, seed 0'; use fewer workers, a smaller batch"):
        run_all(EXPERIMENT, [JOB])


def test_other_failures_are_not_taken_for_a_want_of_memory(monkeypatch):
    def fail(*_arguments, **_options):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr("spikepipe_sched.validate.workers.train", fail)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        run_all(EXPERIMENT, [JOB])


def test_no_worker_outlives_the_runs_even_if_there_was_nothing_left_for_it(tmp_path, capfd):
    store = Store.open(tmp_path, identity(EXPERIMENT), resume=False)
    jobs = [replace(JOB, name=f"seed{seed}", seed=seed) for seed in range(2)]
    whole = run_all(EXPERIMENT, jobs, store=store)
    assert run_all(EXPERIMENT, jobs, store=store, workers=2) == whole  # the first worker has read both before the second one is there
    assert not active_children()
    assert capfd.readouterr().err == ""
