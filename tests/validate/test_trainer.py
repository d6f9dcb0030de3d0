"""The trainer: going on from a saved state, divergence, what it hands to the model, refusals."""

import io
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from spikepipe_sched import InputError
from spikepipe_sched.validate.optimise import OptimizerSettings
from spikepipe_sched.validate.policies import POLICIES
from spikepipe_sched.validate.trainer import Trainer
from spikepipe_sched.versions import WeightDelays
from tests.validate.two_layers import ITERATIONS, LAYERS, batches, delays_for, trainer

SGD = OptimizerSettings(name="sgd", rate=0.05, momentum=0.8, weight_decay=0.02)
ADAM = OptimizerSettings(name="adam", rate=0.02)
DELAYS, STASH = delays_for("latest"), delays_for("stash")


def saved(training: Trainer) -> Any:
    """Its state, through a file."""
    file = io.BytesIO()
    torch.save(training.state(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("after", [0, 1, 3, 10])
@pytest.mark.parametrize(
    ("policy", "settings"), [pytest.param(name, s, id=f"{name}-{s.name}") for name, spec in POLICIES.items() for s in (SGD, ADAM) if s.name in spec.optimizers]
)
def test_a_restored_trainer_goes_on_bit_for_bit(policy: str, settings: OptimizerSettings, after: int) -> None:
    whole, first, second = (trainer(policy, delays_for(policy), settings) for _ in range(3))
    steps = batches()
    expected = [whole.step(*batch) for batch in steps]
    assert [first.step(*batch) for batch in steps[:after]] == expected[:after]
    state = saved(first)
    for batch in steps[after:]:
        first.step(*batch)  # what goes on must not change the state
    for batch in steps[:2]:
        second.step(*batch)  # nor what went before
    second.restore(state)
    assert [second.step(*batch) for batch in steps[after:]] == expected[after:]
    for layer in LAYERS:
        assert torch.equal(second.weights[layer]["weight"], whole.weights[layer]["weight"])
    assert torch.equal(second.model.statistics["a"]["mean"], whole.model.statistics["a"]["mean"])


def test_a_state_is_of_its_moment() -> None:
    training = trainer("spectrain", DELAYS, ADAM)
    steps = batches()
    for batch in steps[:5]:
        training.step(*batch)
    state = training.state()
    expected = [training.step(*batch) for batch in steps[5:]]
    for _ in range(2):  # restoring does not use it up
        training.restore(state)
        assert [training.step(*batch) for batch in steps[5:]] == expected


@pytest.mark.parametrize(
    ("policy", "settings", "options", "message"),
    [
        ("latest", SGD, {}, r"^training: the state is of another run, whose policy was 'stash', not 'latest'; train anew, or with its settings$"),
        ("stash", ADAM, {}, r"whose optimizer was .*sgd"),
        ("stash", SGD, {"seed": 4}, r"whose seed was 3, not 4"),
        ("stash", SGD, {"updates": 99}, r"whose updates was 14, not 99"),
    ],
)
def test_the_state_of_another_run_is_refused(policy: str, settings: OptimizerSettings, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        trainer(policy, STASH, settings, **options).restore(trainer("stash", STASH, SGD).state())


def test_divergence_is_said_and_not_raised() -> None:
    training = trainer("stash", WeightDelays.uniform(LAYERS, 3), replace(SGD, rate=1e90, schedule="constant"))
    losses = [training.step(*batch) for batch in batches()]
    assert not math.isfinite(losses[-1])
    assert training.diverged
    assert math.isfinite(losses[0])
    healthy = trainer("stash", WeightDelays.uniform(LAYERS, 3), SGD)
    healthy.step(*batches()[0])
    assert not healthy.diverged
    healthy.restore(healthy.state())
    assert not healthy.diverged


def test_weights_that_are_no_numbers_are_divergence_whatever_the_loss() -> None:
    training = trainer("stash", STASH, SGD)
    training.step(*batches()[0])
    training.weights["a"]["weight"][0, 0] = math.nan
    assert training.diverged


def test_a_loss_that_was_no_number_is_remembered() -> None:
    training = trainer("2bw", STASH, SGD)  # four iterations to an update: the weights stay finite
    inputs, labels = batches()[0]
    assert math.isnan(training.step(inputs * math.nan, labels))
    assert training.diverged
    other = trainer("2bw", STASH, SGD)
    other.restore(saved(training))
    assert other.diverged


def test_backward_weights_are_given_where_they_are_others_than_the_forward_ones() -> None:
    training = trainer("latest", WeightDelays(layers=LAYERS, forward=(3, 2), backward=(1, 2)), SGD)
    for batch in batches()[:2]:
        training.step(*batch)
    model: Any = training.model
    first, second = model.given
    assert first is None  # there is but one version yet
    assert not second["a"]["weight"].requires_grad
    assert second["b"]["weight"].requires_grad  # the very tensor that F reads
    stashed = trainer("stash", WeightDelays.uniform(LAYERS, 3), SGD)
    for batch in batches():
        stashed.step(*batch)
    model = stashed.model
    assert model.given == [None] * ITERATIONS


def test_no_more_versions_are_kept_than_are_read() -> None:
    training = trainer("latest", DELAYS, SGD)
    for batch in batches():
        training.step(*batch)
    older = training.state()["policy"]["weights"]
    assert {layer: len(values) for layer, values in older.items()} == {"a": 4, "b": 2}  # besides the newest


def test_training_reaches_a_solution_in_spite_of_the_delays() -> None:
    steps = batches(200)
    for policy, spec in POLICIES.items():
        training = trainer(policy, delays_for(policy), replace(SGD if "adam" not in spec.optimizers else ADAM, rate=0.01), updates=200)
        losses = [training.step(*batch) for batch in steps]
        assert sum(losses[-20:]) < sum(losses[:20]) / 2, policy


def test_delays_of_other_layers_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"^training: the delays are of other layers than those of the network that learn: b, c; give a schedule of this network$"
    ):
        trainer("stash", WeightDelays.synchronous(("a", "c")), SGD)


@pytest.mark.parametrize("policy", [name for name, spec in POLICIES.items() if spec.weights == "stash"])
def test_delays_that_differ_are_refused_where_the_backward_pass_reads_the_forward_version(policy: str) -> None:
    message = f"training: with the policy '{policy}' B reads what F has read, but the delays differ: take them by WeightDelays.of_schedule with weights='stash'"
    with pytest.raises(InputError) as caught:
        trainer(policy, DELAYS, SGD)
    assert str(caught.value) == message


def test_the_order_of_the_delays_does_not_matter() -> None:
    turned = WeightDelays(layers=("b", "a"), forward=(3, 5), backward=(1, 2))
    one, two = trainer("latest", DELAYS, SGD), trainer("latest", turned, SGD)
    assert [one.step(*batch) for batch in batches()] == [two.step(*batch) for batch in batches()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"updates": 0}, "training: updates must be at least 1, got 0"),
        ({"seed": -1}, "training: seed must not be negative, got -1"),
        ({"loss": "hinge"}, "validate: loss must be one of rate, step, membrane, count-mse, got 'hinge'"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        trainer("stash", STASH, SGD, **options)
    assert str(caught.value) == message
