"""Tuning: the same grid for both arms, judged on training data that nobody trained on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from spikepipe_sched.validate import validate
from spikepipe_sched.validate.tune import FIRST_SEED, GRID, SEEDS, chosen_rates, held_out, tuning_jobs
from spikepipe_sched.validation import DELAYED, SYNCHRONOUS, TrainedRun
from spikepipe_sched.versions import WeightDelays
from tests.validate.small import QUICK, asked, delayed_result, small_data, small_network


def tried(arm: str, rate: float, *accuracies: float, diverged: bool = False) -> list[TrainedRun]:
    return [
        TrainedRun(arm=arm, seed=seed, rate=rate, losses=(), accuracies=(value,), diverged_epoch=1 if diverged else None, samples=1, seconds=1.0)
        for seed, value in enumerate(accuracies)
    ]


def test_a_fifth_of_every_class_is_held_out_and_none_of_it_is_trained_on():
    data = small_data(train=60)
    part = held_out(data)
    assert torch.bincount(part.test.labels).tolist() == [4, 4, 4]
    assert torch.bincount(part.train.labels).tolist() == [16, 16, 16]
    seen = [samples.batch(torch.arange(len(samples)), torch.Generator()) for samples in (part.train, part.test)]
    assert len(seen[0][0]) + len(seen[1][0]) == 60
    rows = [row for chosen, _ in asked(data.train) for row in chosen]
    assert sorted(rows) == list(range(60))
    assert not asked(data.test)
    assert torch.equal(part.test.labels, data.train.labels[rows[48:]])


def test_both_arms_try_the_same_rates_with_the_same_seeds_none_of_them_reported():
    late, prompt = WeightDelays.uniform(("a",), 3), WeightDelays.synchronous(("a",))
    jobs = tuning_jobs([(SYNCHRONOUS, prompt, "stash"), (DELAYED, late, "latest")], 0.09)
    of = {arm: sorted((job.seed, job.rate) for job in jobs if job.arm == arm) for arm in (SYNCHRONOUS, DELAYED)}
    assert of[SYNCHRONOUS] == of[DELAYED]
    assert sorted({rate for _, rate in of[DELAYED]}) == pytest.approx([0.01, 0.03, 0.09, 0.27])
    assert len(jobs) == 2 * SEEDS * len(GRID) == len({job.name for job in jobs})
    assert min(job.seed for job in jobs) == FIRST_SEED
    assert {(job.delays, job.policy) for job in jobs if job.arm == DELAYED} == {(late, "latest")}


def test_each_arm_gets_the_best_mean_and_of_equal_ones_the_lowest_rate():
    runs = tried(DELAYED, 0.1, 0.9, 0.5) + tried(DELAYED, 0.2, 0.6, 0.9) + tried(DELAYED, 0.3, 0.8, 0.7) + tried(DELAYED, 0.4, 0.1, 0.1, diverged=True)
    runs += tried(SYNCHRONOUS, 0.1, 0.1, 0.1) + tried(SYNCHRONOUS, 0.4, 0.9, 0.9)
    points = chosen_rates(runs)
    assert [(point.arm, point.rate) for point in points if point.chosen] == [(DELAYED, 0.2), (SYNCHRONOUS, 0.4)]
    assert [point.diverged for point in points if point.arm == DELAYED] == [0, 0, 0, 2]
    assert chosen_rates([]) == ()


def test_reported_runs_use_the_rates_that_were_chosen():
    data = small_data(train=60)
    found = validate(delayed_result(), data=data, network=small_network(), setup=replace(QUICK, epochs=1, batch=16, tune=True))
    chosen = {point.arm: point.rate for point in found.tuning if point.chosen}
    assert len(found.tuning) == 2 * len(GRID)
    assert {arm: {run.rate for run in found.arm(arm)} for arm in found.arms} == {arm: {rate} for arm, rate in chosen.items()}
    assert {run.seed for run in found.runs} == {0, 1}
    assert len(asked(data.test)) == 2 * 2 + 1  # the test data are for the reported runs, and once for the digest


def test_too_little_data_to_hold_some_out_is_said(tmp_path):
    with pytest.raises(ValueError, match="four fifths of the training data are fewer than the 32 samples of an update"):
        validate(delayed_result(), data=small_data(), network=small_network(), setup=replace(QUICK, batch=32, tune=True))
    with pytest.raises(ValueError, match="no class has three training samples, so that none can be held out for tuning"):
        validate(delayed_result(), data=small_data(train=6), network=small_network(), setup=replace(QUICK, batch=2, tune=True))
