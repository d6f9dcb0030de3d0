"""The model against a recursive oracle in plain autograd, in float64; networks of the library; what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spikepipe_sched import list_networks, load_network
from spikepipe_sched.errors import InputError
from spikepipe_sched.layer import PARALLEL, SPIKING, Layer, NeuronKind
from spikepipe_sched.network import Network
from spikepipe_sched.validate.model import Model, Weights
from spikepipe_sched.validate.neurons import NeuronSettings
from tests.validate.drawn_networks import networks
from tests.validate.network_oracle import Oracle, gradients

#: No sum of spikes and no mean of them lies on the threshold, where rounding would decide.
NEURONS = NeuronSettings(decay=0.6, threshold=0.83)
HARD = replace(NEURONS, reset="hard", surrogate="fast-sigmoid")


def _model(network: Network, neurons: NeuronSettings = NEURONS, **options: Any) -> Model:
    return Model(network, neurons, dtype=torch.float64, **options)


def _random(model: Model, seed: int, *, leaves: bool) -> Weights:
    generator = torch.Generator().manual_seed(seed)
    weights = model.initial(seed)
    for parameters in weights.values():
        for name, tensor in parameters.items():  # also where they begin at 0 or 1
            parameters[name] = (tensor + 0.5 * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)).requires_grad_(leaves)
    return weights


def _inputs(network: Network, samples: int, seed: int = 0) -> Tensor:
    return torch.rand(network.time_steps, samples, *network.input_shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _last(network: Network) -> str:
    return network.layers[-1].name


def _assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor], *, normalised: bool = False) -> None:
    """Equal but for rounding, measured by the largest value: a normalisation of nearly equal values amplifies it, 300 times and more."""
    near = (1e-10 if normalised else 1e-12) * max(1.0, *(tensor.abs().max().item() for tensor in wanted.values()))
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-12, atol=near, msg=lambda m, name=name: f"{name}: {m}")


def _is_normalised(network: Network) -> bool:
    return any(layer.norm == "batch" for layer in network.layers)


def _assert_equal_to_oracle(network: Network, neurons: NeuronSettings, *, versions: int, samples: int = 2, output: str = "", **options: Any) -> None:
    stepwise = options.pop("stepwise", ())
    model = _model(network, neurons, **options)
    weights = _random(model, 1, leaves=True)
    backward = _random(model, 2, leaves=False) if versions == 2 else None
    inputs = _inputs(network, samples)
    answer = model.forward(inputs, weights, backward, training=True)
    oracle = Oracle(network, neurons, inputs, weights, backward, stepwise=stepwise, **options)
    values, potentials = oracle.answer(output or _last(network))
    answers = {"values": answer.values, "potentials": answer.potentials}
    _assert_same(answers, {"values": values, "potentials": potentials}, normalised=_is_normalised(network))
    assert answer.spiking == (network.layer(output or _last(network)).neuron in SPIKING)
    _assert_same(gradients((answer.values, answer.potentials), weights), gradients((values, potentials), weights), normalised=_is_normalised(network))


@given(
    network=networks(),
    versions=st.sampled_from([1, 2]),
    neurons=st.sampled_from([NEURONS, HARD]),
    samples=st.integers(2, 3),
    windows=st.integers(1, 3),
    micro_batches=st.integers(1, 2),
)
@settings(max_examples=80)
def test_outputs_and_gradients_are_those_of_plain_autograd(
    network: Network, versions: int, neurons: NeuronSettings, samples: int, windows: int, micro_batches: int
) -> None:
    _assert_equal_to_oracle(network, neurons, versions=versions, samples=samples * micro_batches, windows=windows, micro_batches=micro_batches)


@given(network=networks())
@settings(max_examples=20)
def test_evaluation_normalises_by_the_running_statistics_and_leaves_them(network: Network) -> None:
    model = _model(network)
    weights, inputs = _random(model, 1, leaves=True), _inputs(network, 2)
    for parameters in model.statistics.values():
        parameters["mean"].uniform_(-1, 1, generator=torch.Generator().manual_seed(3))
        parameters["variance"].uniform_(0.5, 2, generator=torch.Generator().manual_seed(4))
    before = {name: {key: tensor.clone() for key, tensor in parameters.items()} for name, parameters in model.statistics.items()}
    answer = model.forward(inputs, weights, _random(model, 2, leaves=False), training=False)
    values, potentials = Oracle(network, NEURONS, inputs, weights, _random(model, 2, leaves=False), statistics=before).answer(_last(network))
    _assert_same(gradients((answer.values, answer.potentials), weights), gradients((values, potentials), weights), normalised=_is_normalised(network))
    assert all(torch.equal(tensor, before[name][key]) for name, parameters in model.statistics.items() for key, tensor in parameters.items())


@given(network=networks())
@settings(max_examples=30)
def test_a_copy_of_the_weights_as_the_other_version_changes_no_bit(network: Network) -> None:
    answers = []
    for copied in (False, True):
        model = _model(network)
        weights = _random(model, 1, leaves=True)
        backward = {name: {key: tensor.detach().clone() for key, tensor in parameters.items()} for name, parameters in weights.items()}
        answer = model.forward(_inputs(network, 2), weights, backward if copied else None, training=True)
        answers.append({"values": answer.values, **gradients((answer.values, answer.potentials), weights)})
    assert all(torch.equal(answers[0][name], answers[1][name]) for name in answers[0])


@given(network=networks(neurons=("relu", "none")))
@settings(max_examples=15)
def test_the_two_version_gradients_pass_finite_differences_where_the_versions_agree(network: Network) -> None:
    model = _model(network)
    weights = _random(model, 1, leaves=True)
    names = [(layer, name) for layer, parameters in weights.items() for name in parameters]
    inputs = _inputs(network, 2)

    def answer(*values: Tensor) -> Tensor:
        given_weights: Weights = {layer: {} for layer in weights}
        for (layer, name), tensor in zip(names, values, strict=True):
            given_weights[layer][name] = tensor
        copies = {layer: {name: tensor.detach().clone() for name, tensor in parameters.items()} for layer, parameters in given_weights.items()}
        return model.forward(inputs, given_weights, copies, training=True).values

    leaves = [weights[layer][name] for layer, name in names]
    # A fast check along random directions; a kink of a ReLU or a maximum within 1e-7 has no chance.
    assert torch.autograd.gradcheck(answer, leaves, eps=1e-7, atol=1e-4, rtol=1e-4, fast_mode=True)


def _linear(name: str, source: str, width: int = 3, **fields: Any) -> Layer:
    return Layer(name=name, kind="linear", inputs=(source,), out_features=width, **fields)


def _network(*layers: Layer, steps: int = 4, shape: tuple[int, ...] = (3,)) -> Network:
    return Network(name="net", input_shape=shape, time_steps=steps, layers=layers, coding="direct")


FEEDBACK = _network(
    _linear("in", "input", norm="batch"),
    Layer(name="sum", kind="add", inputs=("in", "back"), feedback=("back",), neuron="lif"),
    _linear("back", "sum", bias=True, neuron="iir"),
    _linear("out", "sum", 2, neuron="li"),
)
RECURRENT_LOOP = _network(
    Layer(name="join", kind="concat", inputs=("input", "a", "c"), feedback=("c",)),
    _linear("a", "input"),
    _linear("b", "join", neuron="lif", recurrence="full"),
    _linear("c", "b", neuron="if", recurrence="self", norm="batch"),
    _linear("out", "c", 2),
    steps=5,
)
PARALLEL_LOOP = _network(
    Layer(name="sum", kind="add", inputs=("input", "back"), feedback=("back",), neuron="ipsu"),
    _linear("mid", "sum", neuron="rpsu"),
    _linear("back", "mid", neuron="psu"),
    _linear("out", "mid", 2, time_steps=2),
)
IMAGE_LOOP = _network(
    Layer(name="conv", kind="conv2d", inputs=("input",), out_channels=2, kernel=(3, 3), padding=(1, 1)),
    Layer(name="sum", kind="add", inputs=("conv", "back"), feedback=("back",), neuron="lif"),
    Layer(name="pool", kind="avgpool2d", inputs=("sum",), kernel=(3, 3), padding=(1, 1)),
    Layer(name="back", kind="conv2d", inputs=("pool",), out_channels=2, kernel=(3, 3), padding=(1, 1), groups=2, neuron="relu"),
    Layer(name="flat", kind="flatten", inputs=("sum",)),
    _linear("out", "flat", 2, time_steps=1),
    shape=(1, 3, 3),
)
ONTO_ITSELF = _network(_linear("in", "input"), Layer(name="out", kind="add", inputs=("in", "out"), feedback=("out",), neuron="lif"), steps=3)
BEHIND = _network(_linear("a", "input"), _linear("b", "input", neuron="lif"), Layer(name="out", kind="add", inputs=("a", "b"), feedback=("b",)))
LOOPS = {
    "feedback": (FEEDBACK, "out", ()),
    "recurrent": (RECURRENT_LOOP, "out", ("c",)),
    "parallel": (PARALLEL_LOOP, "out", ()),
    "image": (IMAGE_LOOP, "out", ()),
    "itself": (ONTO_ITSELF, "out", ()),
    "no loop": (BEHIND, "out", ()),
}


@pytest.mark.parametrize("versions", [1, 2])
@pytest.mark.parametrize("bptt_steps", [None, 1, 2, 3])
@pytest.mark.parametrize("loop", LOOPS)
def test_loops_turn_step_by_step(loop: str, bptt_steps: int | None, versions: int) -> None:
    network, output, stepwise = LOOPS[loop]
    _assert_equal_to_oracle(network, HARD, versions=versions, samples=3, output=output, stepwise=stepwise, bptt_steps=bptt_steps)


@pytest.mark.parametrize("bptt_steps", [1, 2, 3, 4, 5])
def test_truncation_cuts_layers_of_other_time_steps_at_the_same_times(bptt_steps: int) -> None:
    network = _network(
        _linear("a", "input", neuron="lif", recurrence="full"),
        _linear("b", "a", neuron="iir", recurrence="self", time_steps=4),
        _linear("c", "b", 2, neuron="li", time_steps=2 if bptt_steps > 1 else 8),
        steps=8,
    )
    if bptt_steps == 3:
        with pytest.raises(InputError, match=r"training: bptt_steps=3 cuts the 4 time steps of layer 'b' unevenly, at \[2, 3\]; choose another"):
            _model(network, bptt_steps=3)
    else:
        _assert_equal_to_oracle(network, NEURONS, versions=2, bptt_steps=bptt_steps)


@pytest.mark.parametrize("neuron", sorted(PARALLEL))
def test_truncation_cuts_the_products_over_time_of_parallel_neurons(neuron: NeuronKind) -> None:
    network = _network(_linear("a", "input", neuron=neuron), _linear("b", "a", neuron=neuron, time_steps=2), _linear("out", "b", 2, neuron="li"))
    _assert_equal_to_oracle(network, NEURONS, versions=2, bptt_steps=2)


def test_an_image_shown_at_every_step_may_be_given_once() -> None:
    network = _network(
        Layer(name="pool", kind="avgpool2d", inputs=("input",), kernel=(2, 2)),
        Layer(name="conv", kind="conv2d", inputs=("pool",), out_channels=2, kernel=(3, 3), norm="batch", neuron="lif", bias=True),
        Layer(name="flat", kind="flatten", inputs=("conv",)),
        _linear("out", "flat", 2, time_steps=2),
        shape=(2, 8, 8),
    )
    image = _inputs(network, 2)[0]
    answers = []
    for inputs in (image.expand(4, *image.shape), image.repeat(4, 1, 1, 1, 1)):
        model = _model(network)
        weights = _random(model, 1, leaves=True)
        answer = model.forward(inputs, weights, training=True)
        answers.append({"values": answer.values, **gradients((answer.values, answer.potentials), weights), **model.statistics["conv"]})
    _assert_same(*answers)


def test_training_moves_the_statistics_a_tenth_of_the_way() -> None:
    network = _network(_linear("a", "input", norm="batch"))
    model, inputs = _model(network), _inputs(network, 3)
    weights = model.initial(0)
    model.forward(inputs, weights, training=True)
    currents = (inputs @ weights["a"]["weight"].t()).flatten(0, 1)
    torch.testing.assert_close(model.statistics["a"]["mean"], 0.1 * currents.mean(0))
    torch.testing.assert_close(model.statistics["a"]["variance"], 0.9 + 0.1 * currents.var(0))


def test_training_moves_the_statistics_by_every_window_of_every_micro_batch_in_turn() -> None:
    network = _network(_linear("a", "input", norm="batch"), steps=5)
    model, inputs = _model(network, windows=2, micro_batches=2), _inputs(network, 4)
    weights = model.initial(0)
    model.forward(inputs, weights, training=True)
    mean = torch.zeros(3, dtype=torch.float64)
    for samples in (slice(0, 2), slice(2, 4)):
        for window in (slice(0, 2), slice(2, 5)):
            mean = 0.9 * mean + 0.1 * (inputs[window, samples] @ weights["a"]["weight"].t()).mean((0, 1))
    torch.testing.assert_close(model.statistics["a"]["mean"], mean)


@pytest.mark.parametrize("name", [entry.name for entry in list_networks() if entry.name != "hybrid_flownet"])
def test_the_model_learns_what_the_network_counts(name: str) -> None:
    network = load_network(name)
    model = Model(network, device="meta")
    assert {layer: sum(map(Tensor.numel, parameters.values())) for layer, parameters in model.initial(0).items()} == network.parameters()
    assert model.layers == tuple(network.parameters())


@pytest.mark.parametrize("name", ["braille_rnn", "csnn_mnist", "digits_mlp", "fsnn_mnist", "mnist_iir", "nmnist_cnn", "scsr_ntidigits", "srnn_shd", "tiny"])
def test_library_networks_train(name: str) -> None:
    network = load_network(name)
    network = replace(network, time_steps=3)
    model = Model(network)
    weights = model.initial(0)
    leaves = {f"{layer}.{key}": tensor.requires_grad_() for layer, parameters in weights.items() for key, tensor in parameters.items()}
    inputs = torch.rand(3, 2, *network.input_shape, generator=torch.Generator().manual_seed(0)).round()
    answer = model.forward(inputs, weights, model.initial(1), training=True)
    assert answer.values.shape[1:] == (2, model.classes)
    answer.potentials.square().sum().backward()
    gradients = {name: tensor.grad for name, tensor in leaves.items()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())


def test_initial_weights_depend_on_the_seed_and_the_layer_alone() -> None:
    short = _network(_linear("a", "input", bias=True, neuron="lif", recurrence="full"), _linear("out", "a", 2))
    long = _network(_linear("new", "input"), *(replace(layer, inputs=("new",)) if layer.name == "a" else layer for layer in short.layers))
    one, same, other = _model(short).initial(3), _model(long).initial(3), _model(short).initial(4)
    assert all(torch.equal(one[layer][name], same[layer][name]) for layer in one for name in one[layer])
    assert not any(torch.equal(one[layer][name], other[layer][name]) for layer in one for name in one[layer])
    assert not torch.equal(same["new"]["weight"], same["a"]["weight"])
    assert torch.equal(Model(short, NEURONS).initial(3)["a"]["weight"], one["a"]["weight"].float())


def test_initial_weights_are_drawn_in_units_of_the_threshold() -> None:
    network = _network(_linear("a", "input", 400, bias=True, neuron="lif", recurrence="full"), _linear("b", "a", neuron="relu"), shape=(150,))
    weights = _model(network).initial(0)
    bounds = {"weight": NEURONS.threshold * math.sqrt(6 / 150), "bias": 1 / math.sqrt(150), "recurrent": 1 / math.sqrt(400)}
    for name, bound in bounds.items():
        assert 0.95 * bound < weights["a"][name].abs().max() <= bound
    assert 0.95 * math.sqrt(6 / 400) < weights["b"]["weight"].abs().max() <= math.sqrt(6 / 400)


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        (
            (_linear("a", "input"), _linear("b", "input")),
            (3,),
            r"the outputs of 2 layers leave it \('a', 'b'\); training needs one, which puts out the classes",
        ),
        ((_linear("a", "input"),), (4, 3), r"its output 'a' has shape \[4, 3\]; training needs \(classes,\): end it with 'flatten', 'mean' or a linear layer"),
        (
            (Layer(name="sum", kind="add", inputs=("a", "b"), feedback=("b",)), _linear("a", "input"), _linear("b", "sum", neuron="psn"), _linear("c", "b")),
            (3,),
            r"layers 'sum' and 'b' lie on a cycle through time: the parallel neuron of layer 'b' needs all steps at once",
        ),
        (
            (
                Layer(name="pool", kind="avgpool2d", inputs=("input",), kernel=(2, 2), padding=(2, 1)),
                Layer(name="flat", kind="flatten", inputs=("pool",)),
                _linear("a", "flat"),
            ),
            (1, 6, 6),
            r"layer 'pool': PyTorch pads a pool by half its kernel \[2, 2\] at most, not by \[2, 1\]",
        ),
        (
            (
                Layer(name="pool", kind="sumpool2d", inputs=("input",), kernel=(2, 2), dilation=(2, 2)),
                Layer(name="flat", kind="flatten", inputs=("pool",)),
                _linear("a", "flat"),
            ),
            (1, 6, 6),
            r"layer 'pool': PyTorch has no sumpool2d with dilation=\[2, 2\]",
        ),
    ],
)
def test_networks_that_cannot_be_trained_are_refused_by_name(layers: tuple[Layer, ...], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Model(_network(*layers, shape=shape))


def test_a_network_of_the_library_whose_output_is_an_image_is_refused() -> None:
    with pytest.raises(InputError, match=r"network 'hybrid_flownet': its output 'r2_add' has shape \[512, 16, 16\]"):
        Model(load_network("hybrid_flownet"))


def test_inputs_of_another_shape_are_refused() -> None:
    network = _network(_linear("a", "input"))
    model = Model(network)
    with pytest.raises(InputError, match=r"network 'net': inputs must have the shape \(4 time steps, samples, 3\), got \[3, 2, 3\]"):
        model.forward(torch.zeros(3, 2, 3), model.initial(0), training=False)


def test_one_value_cannot_be_normalised() -> None:
    network = _network(_linear("a", "input", norm="batch"), steps=1)
    model = Model(network)
    with pytest.raises(InputError, match="layer 'a': one value per channel has no variance to normalise by; train with a larger batch"):
        model.forward(torch.zeros(1, 1, 3), model.initial(0), training=True)
    assert model.forward(torch.zeros(1, 1, 3), model.initial(0), training=False).values.shape == (1, 1, 3)


def test_samples_that_make_no_equal_micro_batches_cannot_be_normalised() -> None:
    network = _network(_linear("a", "input", norm="batch"))
    model = Model(network, micro_batches=3)
    with pytest.raises(InputError, match="layer 'a': 7 samples make no 3 equal micro-batches to normalise; choose a multiple"):
        model.forward(torch.zeros(4, 7, 3), model.initial(0), training=True)
    assert model.forward(torch.zeros(4, 7, 3), model.initial(0), training=False).values.shape == (4, 7, 3)
