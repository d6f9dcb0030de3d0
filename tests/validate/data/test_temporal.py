"""The generated set: rates tell nothing of the class, times do."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from spikepipe_sched.validate.data import DataSet, Samples, load_data
from spikepipe_sched.validate.data.temporal import GROUPS

#: Coding, difficulty, and how many of the samples their orders tell apart at least.
DRAWN = {("counts", 0.0): 0.99, ("binary", 0.5): 0.7, ("counts", 1.0): 0.25}


@cache
def drawn(coding: str, difficulty: float) -> DataSet:
    return load_data("temporal", coding=coding, difficulty=difficulty)


def events(samples: Samples) -> np.ndarray:
    """(N, T, channels) counts."""
    return samples.batch(torch.arange(len(samples)), torch.Generator()).transpose(0, 1).numpy()


def nearest_centroid(data: DataSet, features: list[np.ndarray]) -> float:
    """Share of test samples that lie nearest to their own class's mean of the training samples; features (N, ...) of both."""
    train, test = (each.reshape(len(each), -1) for each in features)
    labels = data.train.labels.numpy()
    centres = np.stack([train[labels == label].mean(0) for label in range(data.classes)])
    distances = ((test[:, None] - centres) ** 2).sum(-1)
    return float(np.mean(distances.argmin(1) == data.test.labels.numpy()))


def orders(frames: np.ndarray) -> np.ndarray:
    """Whether a group's mean time comes before another's, for all pairs."""
    steps = np.arange(frames.shape[1])[:, None]
    grouped = np.stack([frames[:, :, group::GROUPS].sum(2) for group in range(GROUPS)], 2)
    middle = (grouped * steps).sum(1) / grouped.sum(1)
    return np.sign(middle[:, :, None] - middle[:, None])


def shuffled(frames: np.ndarray) -> np.ndarray:
    """Every sample's steps in an order of its own."""
    draw = np.random.default_rng(0)
    return np.stack([sample[draw.permutation(len(sample))] for sample in frames])


@pytest.mark.parametrize(("coding", "difficulty"), DRAWN)
def test_rates_and_shuffled_steps_are_at_chance_and_orders_are_not(coding: str, difficulty: float) -> None:
    data = drawn(coding, difficulty)
    both = [events(part) for part in (data.train, data.test)]
    chance = 0.1 + 4 * np.sqrt(0.1 * 0.9 / len(data.test))  # four standard deviations
    assert nearest_centroid(data, [frames.sum(1) for frames in both]) < chance
    assert nearest_centroid(data, [shuffled(frames) for frames in both]) < chance
    assert nearest_centroid(data, [orders(frames) for frames in both]) > DRAWN[coding, difficulty]


def test_the_number_of_a_channels_events_has_the_same_distribution_in_all_classes() -> None:
    data = drawn("counts", 1.0)
    counts, labels = events(data.train).sum(1), data.train.labels.numpy()
    whole = counts.mean()
    deviation = counts.std() / np.sqrt(200)
    for label in range(data.classes):
        assert np.all(np.abs(counts[labels == label].mean(0) - whole) < 5 * deviation)
    assert drawn("counts", 0.0).train.batch(torch.arange(9), torch.Generator()).sum(0).eq(1).all()  # without noise: one each


def test_a_higher_difficulty_is_harder_to_tell() -> None:
    found = []
    for coding, difficulty in DRAWN:
        data = drawn(coding, difficulty)
        found.append(nearest_centroid(data, [orders(events(part)) for part in (data.train, data.test)]))
    assert found == sorted(found, reverse=True)
    assert found[0] > found[2] + 0.3


def test_a_seed_makes_the_same_set_again_and_another_seed_another_one() -> None:
    first, again, other = (load_data("temporal", seed=seed, difficulty=0.3) for seed in (4, 4, 5))
    assert np.array_equal(events(first.test), events(again.test))
    assert torch.equal(first.test.labels, again.test.labels)
    assert not np.array_equal(events(first.test), events(other.test))


def test_it_is_generated_for_the_channels_and_steps_of_the_network() -> None:
    data = load_data("temporal", shape=(73,), time_steps=31)
    assert events(data.test).shape == (1000, 31, 73)
    assert torch.bincount(data.test.labels).tolist() == [100] * 10
