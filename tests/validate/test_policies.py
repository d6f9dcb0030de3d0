"""Every policy against its own formula, written out with all versions in lists; and without delays against plain PyTorch."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from spikepipe_sched import InputError
from spikepipe_sched.validate.optimise import OptimizerSettings, torch_optimizer
from spikepipe_sched.validate.policies import POLICIES
from spikepipe_sched.validate.policies.policy import DoubleBuffered
from spikepipe_sched.versions import WeightDelays
from tests.validate.two_layers import ITERATIONS, LAYERS, Course, Pair, TwoLayers, batches, delays_for, gradients, trained, trainer

SGD = OptimizerSettings(name="sgd", rate=0.05, momentum=0.8, weight_decay=0.02)
ADAM = OptimizerSettings(name="adam", rate=0.02, momentum=0.8, weight_decay=0.02)
BOTH = [pytest.param(SGD, id="sgd"), pytest.param(ADAM, id="adam")]
#: F of a is 4 updates behind, of b 2; B of a finds a version that is 1 update old, of b the newest.
LATEST, STASH = delays_for("latest"), delays_for("stash")
DF, DB = {"a": 5, "b": 3}, {"a": 2, "b": 1}


def version(j: int, delay: int) -> int:
    return max(0, j + 1 - delay)


def agree(policy: str, delays: WeightDelays, settings: OptimizerSettings, expected: list[Pair], **options: Any) -> None:
    """The trainer's weights after every iteration are those expected; to rounding."""
    found = trained(policy, delays, settings, **options)
    assert len(found) == len(expected) == ITERATIONS + 1
    for there, here in zip(found, expected, strict=True):
        for layer in LAYERS:
            np.testing.assert_allclose(there[layer], here[layer], rtol=1e-11, atol=1e-13)
    assert np.abs(found[-1]["a"] - found[0]["a"]).max() > 0.01  # something was learned


@pytest.mark.parametrize("settings", BOTH)
def test_stash_reads_the_same_old_version_forward_and_backward(settings: OptimizerSettings) -> None:
    course = Course(settings)
    for j in range(ITERATIONS):
        read = {layer: course.w[version(j, DF[layer])][layer] for layer in LAYERS}
        course.learn(gradients(j, read, read))
    agree("stash", STASH, settings, course.w)


@pytest.mark.parametrize("settings", BOTH)
def test_latest_reads_the_newest_version_each_task_finds(settings: OptimizerSettings) -> None:
    course = Course(settings)
    for j in range(ITERATIONS):
        forward = {layer: course.w[version(j, DF[layer])][layer] for layer in LAYERS}
        backward = {layer: course.w[version(j, DB[layer])][layer] for layer in LAYERS}
        course.learn(gradients(j, forward, backward))
    agree("latest", LATEST, settings, course.w)


def test_latest_may_find_older_weights_backward_than_forward() -> None:
    """B may run far from the update, F next to it."""
    for policy, (da, db) in product(("latest", "ema"), (((1, 4), (2, 3)),)):
        delays = WeightDelays(layers=LAYERS, forward=(da[0], db[0]), backward=(da[1], db[1]))
        course = Course(SGD)
        for j in range(ITERATIONS):
            forward = {layer: course.w[version(j, d[0])][layer] for layer, d in (("a", da), ("b", db))}
            backward = {layer: course.w[version(j, d[1])][layer] for layer, d in (("a", da), ("b", db))}
            course.learn(gradients(j, forward, backward))
        agree(policy, delays, SGD, course.w)


@pytest.mark.parametrize("settings", BOTH)
@pytest.mark.parametrize(("deepest", "m"), [(5, 4), (3, 2), (2, 1)])
def test_2bw_averages_m_iterations_and_reads_the_version_before(settings: OptimizerSettings, deepest: int, m: int) -> None:
    course = Course(settings, updates=ITERATIONS // m)
    expected, mean = [course.w[0]], dict[str, Any](zip(LAYERS, (0, 0), strict=True))
    for j in range(ITERATIONS):
        k = j // m
        read = course.w[max(0, k - 1)]
        mean = {layer: mean[layer] + g / m for layer, g in gradients(j, read, read).items()}
        if (j + 1) % m == 0:
            course.learn(mean)
            mean = {"a": 0, "b": 0}
        expected.append(course.w[-1])
    agree("2bw", WeightDelays(layers=LAYERS, forward=(deepest, 1), backward=(deepest, 1)), settings, expected)


def test_2bw_warms_up_over_the_same_samples() -> None:
    """Of 14 iterations the first 4 are warm-up: one update of four, the other two come after it."""
    training = trainer("2bw", STASH, replace(SGD, warmup=4))
    rates = [training._optimizer.rate(update) for update in range(3)]
    assert rates == pytest.approx([SGD.rate, SGD.rate, SGD.rate / 2])


@pytest.mark.parametrize("deepest", range(1, 9))
def test_2bw_takes_the_smallest_m_whose_versions_are_there(deepest: int) -> None:
    """Iteration j finds the updates up to j - D; all iterations of macro-batch k need that of the last iteration of k - 2."""

    def possible(m: int) -> bool:
        return all((j // m - 1) * m - 1 <= j - deepest for j in range(m, 10 * m))

    delays = WeightDelays(layers=LAYERS, forward=(1, deepest), backward=(1, deepest))
    assert DoubleBuffered.iterations_per_update(delays) == next(m for m in range(1, 10) if possible(m))


def moving_average(course: Course, layer: str, upto: int, decays: list[float]) -> Any:
    """Of the changes up to a version, where ``decays[i]`` is what the average keeps at change i."""
    average = np.zeros_like(course.w[0][layer])
    for i in range(upto):
        average = decays[i] * average + (1 - decays[i]) * (course.w[i + 1][layer] - course.w[i][layer])
    return average


@pytest.mark.parametrize("settings", BOTH)
def test_ema_estimates_the_forward_weights_from_the_newest_and_their_mean_change(settings: OptimizerSettings) -> None:
    course = Course(settings)
    for j in range(ITERATIONS):
        forward = {layer: course.w[version(j, DF[layer])][layer] for layer in LAYERS}
        backward = dict[str, Any]()
        for layer in LAYERS:
            window, f, b = DF[layer] - DB[layer], version(j, DF[layer]), version(j, DB[layer])
            decays = [min(i / (i + 1), (window - 1) / (window + 1)) for i in range(b)]
            backward[layer] = course.w[b][layer] - (b - f) * moving_average(course, layer, b, decays)
        course.learn(gradients(j, forward, backward))
    agree("ema", LATEST, settings, course.w)


def test_ema_of_one_update_is_stashing() -> None:
    """And so it is in the warm-up, while the average is a plain mean: as long as a window of 3 has seen 2 changes."""
    near = WeightDelays(layers=LAYERS, forward=(2, 3), backward=(1, 2))
    stash = trained("stash", replace(near, backward=near.forward), SGD)
    for there, here in zip(trained("ema", near, SGD), stash, strict=True):
        for layer in LAYERS:
            np.testing.assert_allclose(there[layer], here[layer], rtol=1e-11)
    far = WeightDelays(layers=LAYERS, forward=(4, 4), backward=(1, 1))
    for there, here in zip(trained("ema", far, SGD)[:4], trained("stash", replace(far, backward=far.forward), SGD)[:4], strict=True):
        np.testing.assert_allclose(there["a"], here["a"], rtol=1e-11)


@pytest.mark.parametrize("settings", BOTH)
def test_pipemare_lowers_stale_rates_at_first_and_corrects_the_discrepancy(settings: OptimizerSettings) -> None:
    course = Course(settings)
    tau, annealed = {"a": 4, "b": 2}, ITERATIONS / 4
    for j in range(ITERATIONS):
        forward = {layer: course.w[version(j, DF[layer])][layer] for layer in LAYERS}
        backward = dict[str, Any]()
        for layer in LAYERS:
            f, b = version(j, DF[layer]), version(j, DB[layer])
            gamma = np.exp(-2) ** (1 / (DF[layer] - DB[layer]))
            backward[layer] = course.w[b][layer] - (b - f) * moving_average(course, layer, b, [gamma] * b)
        power = 1 - min(j / annealed, 1)
        course.learn(gradients(j, forward, backward), {layer: 1 / tau[layer] ** power for layer in LAYERS})
    agree("pipemare", LATEST, settings, course.w)


@pytest.mark.parametrize("settings", BOTH)
def test_spectrain_predicts_both_passes_along_the_direction(settings: OptimizerSettings) -> None:
    course = Course(settings)

    def predicted(j: int, found: int, layer: str) -> Any:
        return course.w[found][layer] - sum(course.rate(i) for i in range(found, j)) * course.d[found][layer]

    for j in range(ITERATIONS):
        forward = {layer: predicted(j, version(j, DF[layer]), layer) for layer in LAYERS}
        backward = {layer: predicted(j, version(j, DB[layer]), layer) for layer in LAYERS}
        course.learn(gradients(j, forward, backward))
    agree("spectrain", LATEST, settings, course.w)


@pytest.mark.parametrize("settings", BOTH)
def test_msnag_predicts_what_comes_without_gradients(settings: OptimizerSettings) -> None:
    """The optimizer itself, run on with gradients of 0 and no decay, is the oracle."""
    course, m = Course(settings), settings.momentum

    def coasted(j: int, found: int, layer: str) -> Any:
        weights, g = course.w[found][layer].copy(), [g[layer] for g in course.g[:found]]
        if not g:
            return weights
        velocity = np.sum([m ** (found - 1 - i) * each for i, each in enumerate(g)], axis=0)
        square = np.sum([0.001 * 0.999 ** (found - 1 - i) * each**2 for i, each in enumerate(g)], axis=0) / (1 - 0.999**found)
        for i in range(found, j):
            velocity = m * velocity
            adam = (1 - m) * velocity / (1 - m ** (i + 1)) / (np.sqrt(square) + 1e-8)
            weights -= course.rate(i) * (velocity if settings.name == "sgd" else adam)
        return weights

    for j in range(ITERATIONS):
        read = {layer: coasted(j, version(j, DF[layer]), layer) for layer in LAYERS}
        course.learn(gradients(j, read, read))
    agree("msnag", STASH, settings, course.w)


def test_msnag_of_one_rate_is_the_closed_form() -> None:
    """r v (m - m^(s+1)) / (1 - m), at the first iteration that predicts: iteration 2 of a layer one update behind."""
    settings = replace(SGD, schedule="constant", weight_decay=0.0)
    delays = WeightDelays(layers=LAYERS, forward=(3, 1), backward=(3, 1))
    training, m = trainer("msnag", delays, settings), settings.momentum
    for inputs, labels in batches()[:3]:
        training.step(inputs, labels)
    policy: Any = training._policy
    first, v = policy.weights.read("a", 2)["weight"], policy.directions["a"][-2]["weight"]
    assert v.abs().max() > 0
    torch.testing.assert_close(policy.forward("a")["weight"], first - settings.rate * v * (m - m**3) / (1 - m), rtol=1e-12, atol=0)


def test_spike_compensation_counts_late_gradients_at_once_and_predicts_forward_weights() -> None:
    settings, m = SGD, SGD.momentum
    course = Course(settings)
    v: Pair = {layer: np.zeros_like(course.w[0][layer]) for layer in LAYERS}
    velocities = [v]
    for j in range(ITERATIONS):
        f = {layer: version(j, DF[layer]) for layer in LAYERS}
        reach = {layer: sum(course.rate(i) for i in range(f[layer], j)) for layer in LAYERS}
        forward = {layer: course.w[f[layer]][layer] - reach[layer] * velocities[f[layer]][layer] for layer in LAYERS}
        backward = {layer: course.w[version(j, DB[layer])][layer] for layer in LAYERS}
        found, now, after = gradients(j, forward, backward), course.w[-1], dict[str, Any]()
        v = {}
        for layer in LAYERS:
            s, g = j - f[layer], found[layer] + settings.weight_decay * now[layer]
            v[layer] = m * velocities[-1][layer] + g
            after[layer] = now[layer] - course.rate(j) * (m**s * v[layer] + (1 - m**s) / (1 - m) * g)
        velocities.append(v)
        course.w.append(after)
    agree("sc-lwp", LATEST, settings, course.w)


@pytest.mark.parametrize("settings", BOTH)
def test_gap_aware_divides_by_how_far_the_weights_have_moved(settings: OptimizerSettings) -> None:
    course = Course(settings)
    for j in range(ITERATIONS):
        read = {layer: course.w[version(j, DF[layer])][layer] for layer in LAYERS}
        found, now = gradients(j, read, read), course.w[-1]
        for layer in LAYERS:
            squares = [d[layer] ** 2 for d in course.d[1:]]
            if squares and version(j, DF[layer]) < j:
                mean = sum(0.001 * 0.999 ** (j - 1 - i) * square for i, square in enumerate(squares)) / (1 - 0.999**j)
                gap = 1 + np.abs(now[layer] - read[layer]) / (settings.rate * (np.sqrt(mean) + 1e-8))
                assert gap.max() > 1.1
                decay = settings.weight_decay * now[layer]
                found[layer] = (found[layer] + decay) / gap - decay
        course.learn(found)
    agree("gap-aware", STASH, settings, course.w)


# -- all policies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("policy", "settings"), [pytest.param(name, s, id=f"{name}-{s.name}") for name, spec in POLICIES.items() for s in (SGD, ADAM) if s.name in spec.optimizers]
)
def test_without_delays_every_policy_is_plain_pytorch_bit_for_bit(policy: str, settings: OptimizerSettings, dtype: torch.dtype) -> None:
    training = trainer(policy, WeightDelays.synchronous(LAYERS), settings, dtype=dtype)
    plain = {layer: {name: value.requires_grad_() for name, value in values.items()} for layer, values in TwoLayers(dtype).initial(3).items()}
    optimizer = torch_optimizer(plain, settings)
    for update, (inputs, labels) in enumerate(batches(dtype=dtype)):
        loss = ((inputs @ plain["a"]["weight"].T @ plain["b"]["weight"].T).mean(0) - torch.eye(3, dtype=dtype)[labels]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = settings.rate_of(update, ITERATIONS)
        optimizer.step()
        assert training.step(inputs, labels) == loss.item()
        for layer in LAYERS:
            assert torch.equal(training.weights[layer]["weight"], plain[layer]["weight"])
    model: Any = training.model
    assert model.given == [None] * ITERATIONS


@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "2bw"])  # its two versions are of all layers
def test_a_layer_without_delay_is_left_alone(policy: str) -> None:
    training = trainer(policy, delays_for(policy, (4, 1), (1, 1)), SGD)
    for inputs, labels in batches():
        training.step(inputs, labels)
        chosen = training._policy
        assert chosen.forward("b")["weight"] is training.weights["b"]["weight"]
        assert chosen.backward("b") is None
        assert chosen.factor("b") == 1
        assert not chosen.weights.state()["b"]


def test_every_policy_is_listed_with_its_source() -> None:
    assert set(POLICIES) == {"stash", "latest", "2bw", "ema", "spectrain", "msnag", "sc-lwp", "pipemare", "gap-aware"}
    for name, spec in POLICIES.items():
        assert spec.name == name
        assert "arXiv" in spec.source or "doi" in spec.source or "USENIX" in spec.source
        assert spec.load().__doc__


@pytest.mark.parametrize(
    ("policy", "settings", "message"),
    [
        ("fresh", SGD, r"^validation: policy must be one of stash, latest, .* got 'fresh'$"),
        ("sc-lwp", ADAM, r"^the policy 'sc-lwp' is defined for sgd only, not for adam: choose another optimizer, or one of stash, latest, "),
        ("msnag", replace(SGD, momentum=0.0), r"^the policy 'msnag' goes by the momentum, which is 0: choose a momentum above 0, or another policy$"),
    ],
)
def test_a_policy_that_is_not_defined_is_refused(policy: str, settings: OptimizerSettings, message: str) -> None:
    with pytest.raises(InputError, match=message):
        trainer(policy, STASH, settings)
