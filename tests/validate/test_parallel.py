"""Parallel neurons against sums over the steps."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spikepipe_sched.layer import LEARNED, PARALLEL, Layer, NeuronKind
from spikepipe_sched.network import temporal_parameters
from spikepipe_sched.validate.neurons import NeuronSettings, fire, initial_temporal
from spikepipe_sched.validate.surrogates import Surrogate
from tests.validate.step_loop import parallel_sums

KINDS = sorted(PARALLEL)


@settings(max_examples=100)
@given(
    kind=st.sampled_from(KINDS),
    steps=st.integers(1, 6),
    samples=st.integers(1, 3),
    shape=st.sampled_from([(1,), (4,), (2, 3), (2, 1, 2)]),
    neurons=st.builds(
        NeuronSettings,
        decay=st.sampled_from([0.0, 0.5, 1.0]),
        threshold=st.sampled_from([0.3, 1.0]),
        surrogate=st.sampled_from(get_args(Surrogate)),
        surrogate_width=st.sampled_from([0.5, 2.0]),
    ),
    other=st.booleans(),
    truncate=st.sampled_from([None, 1, 2, 3]),
    seed=st.integers(0, 2**16),
)
def test_spikes_and_gradients_are_those_of_sums_over_the_steps(
    kind: NeuronKind, steps: int, samples: int, shape: tuple[int, ...], neurons: NeuronSettings, other: bool, truncate: int | None, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    currents = torch.randn(steps, samples, *shape, dtype=torch.float64, generator=draw).add_(0.3).requires_grad_()
    errors = [torch.randn(currents.shape, dtype=torch.float64, generator=draw) for _ in range(2)]
    parameters = {name: values.requires_grad_() for name, values in initial_temporal(kind, steps, draw, torch.float64).items()}
    backward = initial_temporal(kind, steps, draw, torch.float64) if other else parameters
    leaves = [currents, *parameters.values()]
    results = list[list[Tensor]]()
    for spikes, potentials in (
        fire(currents, kind, neurons, parameters=parameters, backward_parameters=backward if other else None, truncate=truncate),
        parallel_sums(currents, kind, neurons, parameters, backward.get("temporal", currents), truncate),
    ):
        results.append([spikes, potentials, *torch.autograd.grad((spikes * errors[0] + potentials * errors[1]).sum(), leaves, materialize_grads=True)])
    fused, plain = results
    assert torch.equal(fused[0], plain[0])
    for found, expected in zip(fused, plain, strict=True):
        assert (found - expected).abs().max() <= 1e-12 * max(1e-3, expected.abs().max().item())


@pytest.mark.parametrize("kind", KINDS)
def test_only_psn_sees_the_steps_to_come(kind: NeuronKind) -> None:
    draw = torch.Generator().manual_seed(5)
    currents = torch.randn(6, 4, 8, generator=draw)
    parameters = initial_temporal(kind, 6, draw)
    later = torch.cat((currents[:3], currents[3:] + 1))
    before, after = (fire(values, kind, NeuronSettings(), parameters=parameters)[1][:3] for values in (currents, later))
    assert torch.equal(before, after) == (kind != "psn")


def test_psu_takes_off_what_it_estimates_to_have_fired() -> None:
    # No current: sig(0) = 1/2 of a spike at every step, whose reset decays by half a step.
    neurons = NeuronSettings(decay=0.5, threshold=1.0)
    _, potentials = fire(torch.zeros(4, 1, 1), "psu", neurons)
    assert potentials.flatten().tolist() == [0.0, -0.25, -0.375, -0.4375]


@pytest.mark.parametrize("kind", ["lif", *KINDS])
def test_as_many_values_are_learned_as_the_network_counts(kind: NeuronKind) -> None:
    layer = Layer(name="a", kind="linear", inputs=("input",), out_features=3, neuron=kind)
    made = initial_temporal(kind, 7, torch.Generator())
    assert sum(values.numel() for values in made.values()) == temporal_parameters(layer, 7)
    assert set(made) == ({"temporal", "offset"} if kind in LEARNED else set())


def test_initial_values_lie_within_one_over_the_root_of_the_steps() -> None:
    values = initial_temporal("ipsu", 25, torch.Generator().manual_seed(0), torch.float64)
    assert values["temporal"].dtype == torch.float64
    assert 0.19 < values["temporal"].abs().max() <= 0.2
    assert 0 < values["offset"].abs().max() <= 0.2
    assert initial_temporal("psn", 25, torch.Generator())["offset"].abs().max() == 0
    again = initial_temporal("ipsu", 25, torch.Generator().manual_seed(0), torch.float64)
    assert all(torch.equal(values[name], again[name]) for name in values)
