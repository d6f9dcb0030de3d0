"""Many runs: what ends them all."""

from __future__ import annotations

import pytest
import torch

from spikepipe_sched.errors import SpikepipeError
from spikepipe_sched.validate.run import Experiment, Job
from spikepipe_sched.validate.workers import run_all
from spikepipe_sched.versions import WeightDelays
from tests.validate.small import QUICK, small_data, small_network

EXPERIMENT = Experiment(network=small_network(), data=small_data(), setup=QUICK)
JOB = Job(name="one", label="one, seed 0", arm="synchronous", seed=0, rate=0.1, delays=WeightDelays.synchronous(("l1", "l2")), policy="stash")


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
