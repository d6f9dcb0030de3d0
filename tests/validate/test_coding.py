"""Pictures and events over time, against loops over every pixel and event."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched.errors import InputError
from spikepipe_sched.validate.coding import encode, event_frames


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_direct_coding_shows_the_same_picture_at_every_step_without_a_copy() -> None:
    images = torch.rand(5, 2, 3, generator=generator())
    shown = encode(images, "direct", 4, generator())
    assert shown.shape == (4, 5, 2, 3)
    assert all(torch.equal(step, images) for step in shown)
    assert shown.data_ptr() == images.data_ptr()


def test_poisson_coding_spikes_as_often_as_a_pixel_is_bright() -> None:
    images = torch.tensor([[0.0, 0.1, 0.5, 1.0]])
    spikes = encode(images, "poisson", 20_000, generator())
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    rates = spikes.mean(0)[0]
    assert (rates[0], rates[3]) == (0, 1)
    deviation = (images[0] * (1 - images[0]) / 20_000).sqrt()
    assert torch.all((rates - images[0]).abs() <= 4 * deviation)


def test_poisson_coding_draws_every_pixel_and_step_for_itself() -> None:
    spikes = encode(torch.full((100, 4), 0.5), "poisson", 100, generator()) - 0.5
    assert abs((spikes[1:] * spikes[:-1]).mean()) < 0.01  # of steps that follow each other: 0.25 if they were alike
    assert abs((spikes[:, :, 1:] * spikes[:, :, :-1]).mean()) < 0.01


def test_the_same_generator_state_gives_the_same_spikes_and_only_poisson_draws_from_it() -> None:
    images = torch.rand(3, 7, generator=generator())
    assert torch.equal(encode(images, "poisson", 9, generator(5)), encode(images, "poisson", 9, generator(5)))
    assert not torch.equal(encode(images, "poisson", 9, generator(5)), encode(images, "poisson", 9, generator(6)))
    untouched = generator(5)
    for coding in ("direct", "latency"):
        encode(images, coding, 9, untouched)
    assert torch.equal(untouched.get_state(), generator(5).get_state())


@pytest.mark.parametrize("steps", [1, 2, 5, 8])
def test_latency_coding_brings_one_spike_the_earlier_the_brighter(steps: int) -> None:
    values = [0.0, 1e-6, 0.2, 0.26, 0.74, 0.8, 1.0]
    spikes = encode(torch.tensor([values]), "latency", steps, generator())
    for i, value in enumerate(values):
        expected = [float(value > 0 and step == round((1 - value) * (steps - 1))) for step in range(steps)]
        assert spikes[:, 0, i].tolist() == expected


@pytest.mark.parametrize("steps", [2, 5, 8])
def test_latency_coding_is_snntorchs_for_a_threshold_of_zero(steps: int) -> None:
    from snntorch import spikegen

    images = torch.rand(50, 7, generator=generator())
    latency: Any = spikegen.latency  # its own types are too narrow
    theirs = latency(images, num_steps=steps, normalize=True, linear=True, threshold=1e-30)
    assert torch.equal(encode(images, "latency", steps, generator()), theirs)


def test_unknown_codings_and_no_steps_are_refused() -> None:
    with pytest.raises(InputError, match="direct, poisson, latency"):
        encode(torch.zeros(1, 1), "phase", 4, generator())  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="time_steps"):
        encode(torch.zeros(1, 1), "direct", 0, generator())


@given(
    st.lists(st.tuples(st.integers(-20, 220), st.integers(0, 5)), max_size=30),
    st.integers(-5, 50),
    st.integers(1, 150),
    st.integers(1, 7),
)
@settings(max_examples=100)
def test_events_fall_into_the_frame_of_their_time(events: list[tuple[int, int]], start: int, window: int, steps: int) -> None:
    expected = np.zeros((steps, 6), int)
    for time, place in events:
        for frame in range(steps):  # frame f lasts from start + f window / steps
            if frame * window <= (time - start) * steps < (frame + 1) * window:
                expected[frame, place] += 1
    times, places = (np.array([event[i] for event in events], np.int64) for i in (0, 1))
    cells, counts = event_frames(times, places, start=start, window=window, time_steps=steps, size=6)
    found = np.zeros(steps * 6, int)
    found[cells] = counts
    assert np.array_equal(found.reshape(steps, 6), expected)
    assert np.all(np.diff(cells) > 0)
    assert np.all(counts > 0)
