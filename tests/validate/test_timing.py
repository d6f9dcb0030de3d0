"""What a reader of other time steps sees, and where truncated back-propagation cuts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikepipe_sched.layer import Layer
from spikepipe_sched.lower.windows import cut_time, meeting
from spikepipe_sched.network import Network
from spikepipe_sched.validate.timing import overlaps, retime, step_before, truncation


@given(ours=st.integers(1, 12), theirs=st.integers(1, 12))
def test_a_step_reads_the_mean_of_the_steps_that_the_lowering_has_it_meet(ours: int, theirs: int) -> None:
    shares = overlaps(ours, theirs)
    met = meeting(cut_time(ours, ours), cut_time(theirs, theirs))
    assert [{j for j, share in enumerate(row) if share} for row in shares] == [{w.index for w in met[i]} for i in range(ours)]
    assert [sum(row) for row in shares] == pytest.approx([1.0] * ours)
    assert [sum(column) / ours for column in zip(*shares, strict=True)] == pytest.approx([1 / theirs] * theirs)  # nothing is lost


def test_four_steps_read_as_two_three_and_eight() -> None:
    outputs = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64).reshape(4, 1, 1)
    for steps, seen in {1: [0.5], 2: [0.5, 0.5], 3: [0.25, 1.0, 0.25], 8: [0, 0, 1, 1, 1, 1, 0, 0]}.items():
        torch.testing.assert_close(retime(outputs, steps).flatten().tolist(), list(map(float, seen)))
    assert retime(outputs, 4) is outputs


def test_what_is_shown_again_and_again_stays_so() -> None:
    seen = retime(torch.rand(2, 3).expand(4, 2, 3), 6)
    assert seen.shape == (6, 2, 3)
    assert seen.stride(0) == 0


@pytest.mark.parametrize(("truncate", "reached"), [(None, [1, 1, 1, 1, 0]), (2, [1, 0, 1, 0, 0]), (1, [0, 0, 0, 0, 0])])
def test_feedback_is_the_step_before_and_its_gradient_stops_at_the_border_of_a_segment(truncate: int | None, reached: list[int]) -> None:
    outputs = torch.arange(1.0, 6.0).reshape(5, 1, 1).requires_grad_()
    seen = step_before(outputs, truncate)
    assert seen.flatten().tolist() == [0, 1, 2, 3, 4]
    if any(reached):
        seen.sum().backward()
        assert outputs.grad is not None
        assert outputs.grad.flatten().tolist() == reached
    else:
        assert not seen.requires_grad


@pytest.mark.parametrize(("own", "bptt_steps", "length"), [(8, 2, 2), (4, 2, 1), (2, 2, 1), (1, 2, None), (16, 3, 6), (8, 8, None), (8, None, None), (4, 5, 3)])
def test_a_segment_has_the_layers_own_number_of_steps(own: int, bptt_steps: int | None, length: int | None) -> None:
    layer = Layer(name="a", kind="linear", inputs=("input",), out_features=2, time_steps=own)
    network = Network(name="net", input_shape=(3,), time_steps=8, layers=(layer,))
    assert truncation(network, layer, bptt_steps) == length
