"""Fused neurons against a plain loop over the steps, and what their settings may be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spikepipe_sched.errors import InputError
from spikepipe_sched.layer import STATEFUL, NeuronKind, Recurrence
from spikepipe_sched.validate.neurons import NeuronSettings, Reset, carried, fire
from spikepipe_sched.validate.surrogates import Surrogate
from tests.validate.step_loop import step_loop

SHAPES: tuple[tuple[int, ...], ...] = ((1,), (5,), (3, 2), (2, 3, 2))


def close(found: Tensor, expected: Tensor) -> None:
    """Equal to 1e-12 of the largest value."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-12 * max(1e-3, expected.abs().max().item())


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """A neuron, its settings, and how it is called."""
    steps = draw(st.integers(1, 7))
    return {
        "kind": draw(st.sampled_from(sorted(STATEFUL))),
        "settings": NeuronSettings(
            decay=draw(st.sampled_from([0.0, 0.5, 0.9, 1.0])),
            threshold=draw(st.sampled_from([0.4, 1.0])),
            reset=draw(st.sampled_from(get_args(Reset))),
            surrogate=draw(st.sampled_from(get_args(Surrogate))),
            surrogate_width=draw(st.sampled_from([0.5, 1.0, 2.0])),
        ),
        "recurrence": draw(st.sampled_from(get_args(Recurrence))),
        "truncate": draw(st.one_of(st.none(), st.integers(1, steps))),
        "shape": (steps, draw(st.integers(1, 4)), *draw(st.sampled_from(SHAPES))),
        "backward": draw(st.booleans()),
        "read": draw(st.sampled_from(["outputs", "potentials", "both"])),
        "seed": draw(st.integers(0, 2**16)),
    }


@settings(max_examples=150)
@given(cases())
def test_spikes_and_gradients_are_those_of_a_loop_over_the_steps(case: dict[str, Any]) -> None:
    draw = torch.Generator().manual_seed(case["seed"])

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=draw)

    shape, recurrence = case["shape"], case["recurrence"]
    weights = {"none": None, "full": (shape[-1], shape[-1]), "self": shape[2:]}[recurrence]
    currents = (random(*shape) + 0.3).requires_grad_()
    recurrent = None if weights is None else random(*weights).requires_grad_()
    other = random(*weights) if weights is not None and case["backward"] else None
    errors = random(*shape), random(*shape)

    results = list[list[Tensor]]()
    for fused in (True, False):
        if fused:
            outputs, potentials = fire(
                currents,
                case["kind"],
                case["settings"],
                recurrence=recurrence,
                parameters={} if recurrent is None else {"recurrent": recurrent},
                backward_parameters=None if other is None else {"recurrent": other},
                truncate=case["truncate"],
            )
        else:
            outputs, potentials = step_loop(currents, case["kind"], case["settings"], recurrence, recurrent, other, case["truncate"])
        read = {"outputs": (outputs,), "potentials": (potentials,), "both": (outputs, potentials)}[case["read"]]
        answer = torch.stack([(values * error).sum() for values, error in zip(read, errors, strict=False)]).sum()
        leaves = [currents] if recurrent is None else [currents, recurrent]
        results.append([outputs, potentials, *torch.autograd.grad(answer, leaves)])
    fused_results, plain = results
    if case["kind"] != "li":
        assert torch.equal(fused_results[0], plain[0])
    for found, expected in zip(fused_results, plain, strict=True):
        close(found, expected)


@pytest.mark.parametrize("recurrence", ["full", "self"])
def test_the_backward_pass_multiplies_by_its_own_version_of_the_recurrent_weights(recurrence: Recurrence) -> None:
    # Two steps of a leaky integrator of one neuron: y0 = x0, y1 = b x0 + x1 + w y0; the error of y1 reaches x0 through b + w'.
    shape = (1, 1) if recurrence == "full" else (1,)
    now, then = torch.full(shape, 3.0, requires_grad=True), torch.full(shape, 7.0, requires_grad=True)
    currents = torch.tensor([[[2.0]], [[5.0]]], requires_grad=True)
    outputs, _ = fire(currents, "li", NeuronSettings(decay=0.25), recurrence=recurrence, parameters={"recurrent": now}, backward_parameters={"recurrent": then})
    assert outputs.flatten().tolist() == [2.0, 0.25 * 2 + 5 + 3 * 2]
    outputs[1].sum().backward()
    assert currents.grad is not None
    assert currents.grad.flatten().tolist() == [0.25 + 7.0, 1.0]
    assert now.grad is not None
    assert now.grad.item() == 2.0
    assert then.grad is None


@pytest.mark.parametrize("reset", get_args(Reset))
@pytest.mark.parametrize("kind", sorted(STATEFUL))
def test_step_by_step_is_the_same_as_all_steps_at_once(kind: NeuronKind, reset: Reset) -> None:
    draw = torch.Generator().manual_seed(1)
    neurons = NeuronSettings(decay=0.7, reset=reset)
    currents = (torch.randn(6, 3, 4, dtype=torch.float64, generator=draw) + 0.4).requires_grad_()
    errors = torch.randn(6, 3, 4, dtype=torch.float64, generator=draw)
    carry, outputs = torch.zeros_like(currents[:1]), list[Tensor]()
    for t in range(6):
        output, potential = fire(currents[t : t + 1] + carry, kind, neurons)
        carry = carried(output, potential, kind, neurons)
        outputs.append(output)
    together, _ = fire(currents, kind, neurons)
    close(torch.cat(outputs), together)
    close(*(torch.autograd.grad((values * errors).sum(), currents)[0] for values in (torch.cat(outputs), together)))


def test_a_layer_without_a_membrane_carries_nothing() -> None:
    ones = torch.ones(1, 1, 1)
    with pytest.raises(InputError, match="'psn' carries nothing from step to step"):
        carried(ones, ones, "psn", NeuronSettings())


@pytest.mark.parametrize("kind", ["relu", "none"])
def test_neurons_of_ann_layers_know_no_time(kind: NeuronKind) -> None:
    currents = torch.tensor([[[-1.0, 2.0]], [[3.0, -4.0]]])
    outputs, potentials = fire(currents, kind, NeuronSettings())
    assert torch.equal(outputs, currents.clamp_min(0) if kind == "relu" else currents)
    assert potentials is outputs


@pytest.mark.parametrize("recurrence", get_args(Recurrence))
def test_the_layout_in_memory_changes_nothing(recurrence: Recurrence) -> None:
    currents = torch.randn(5, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    parameters = {"recurrent": torch.full((3, 3) if recurrence == "full" else (3,), 0.3, dtype=torch.float64)}
    found = list[Tensor]()
    for values in (currents, currents.permute(2, 1, 0).contiguous().permute(2, 1, 0)):
        leaf = values.detach().requires_grad_()
        outputs, _ = fire(leaf, "lif", NeuronSettings(), recurrence=recurrence, parameters=parameters)
        outputs.sum(0).mean().backward()  # its gradient is an expanded scalar
        assert leaf.grad is not None
        found.append(leaf.grad)
    close(*found)


def test_half_precision_stays_half() -> None:
    currents = torch.full((3, 2, 2), 0.75, dtype=torch.bfloat16, requires_grad=True)
    outputs, potentials = fire(currents, "lif", NeuronSettings(threshold=1.0))
    outputs.sum().backward()
    assert outputs.dtype == potentials.dtype == torch.bfloat16
    assert outputs[:, 0, 0].tolist() == [0.0, 1.0, 0.0]  # potentials 0.75, 1.125, 0.8125
    assert currents.grad is not None
    assert currents.grad.dtype == torch.bfloat16


def test_only_potentials_are_kept_for_the_backward_pass() -> None:
    currents = torch.randn(9, 2, 3, requires_grad=True)
    kept = list[int]()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor):
        fire(currents, "lif", NeuronSettings())
    assert kept == [currents.numel()]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("decay", 1.5, "neurons: decay must be between 0 and 1, got 1.5"),
        ("decay", "a", "neurons: decay must be a number, got 'a'"),
        ("decay", float("nan"), "neurons: decay must be between 0 and 1, got nan"),
        ("threshold", 0.0, "neurons: threshold must be above 0 and finite, got 0.0"),
        ("surrogate_width", float("inf"), "neurons: surrogate_width must be above 0 and finite, got inf"),
        ("reset", "none", "neurons: reset must be one of soft, hard, got 'none'"),
        ("surrogate", "atan", "neurons: surrogate must be one of boxcar, arctan, fast-sigmoid, sigmoid, got 'atan'"),
    ],
)
def test_settings_out_of_range_are_named(field: str, value: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        replace(NeuronSettings(), **{field: value})  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == message
