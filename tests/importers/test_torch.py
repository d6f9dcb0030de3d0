"""PyTorch modules: what is read equals torch's own counts, and what cannot be read is named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import load_platform
from spikepipe_sched.importers.torch import from_torch
from spikepipe_sched.lower import lower
from spikepipe_sched.training import TrainingSetup
from tests.importers.torch_runs import Run, described, macs, nn, parameters, products, read, torch

F = torch.nn.functional


def residual(net: Any, x: Any) -> Any:
    """As torchvision writes a block: one ReLU module for all places, and sums in place."""
    x = net.relu(net.bn1(net.conv1(x)))
    y = net.bn2(net.conv2(x))
    y += x
    y = F.max_pool2d(net.relu(y), 2)
    return F.log_softmax(net.fc(y.view(y.size(0), -1)), 1)


def residual_net() -> Any:
    convs = {"conv1": nn.Conv2d(2, 8, 3, padding=1), "conv2": nn.Conv2d(8, 8, 3, padding=1, bias=False)}
    return Run(residual, **convs, bn1=nn.BatchNorm2d(8), bn2=nn.BatchNorm2d(8), relu=nn.ReLU(inplace=True), fc=nn.Linear(128, 10))


def test_a_residual_network_has_torchs_parameters_and_products() -> None:
    net, example = residual_net(), torch.rand(2, 2, 8, 8)
    network, repairs = read(net, example)
    assert described(network) == [
        ("conv1", "conv2d", ("input",), "relu"),
        ("conv2", "conv2d", ("conv1",), "none"),
        ("add", "add", ("conv2", "conv1"), "relu"),
        ("max_pool2d", "maxpool2d", ("add",), "none"),
        ("max_pool2d.flatten", "flatten", ("max_pool2d",), "none"),
        ("fc", "linear", ("max_pool2d.flatten",), "none"),
    ]
    assert [network.layer(name).norm for name in ("conv1", "conv2", "fc")] == ["batch", "batch", "none"]
    assert (network.input_shape, network.time_steps, network.name) == ((2, 8, 8), 1, "Run")
    assert sum(network.parameters().values()) == parameters(net)
    assert macs(network, 2) == products(net, example)
    assert len(repairs) == 1
    assert "(log_softmax) counts as part of the loss" in repairs[0]
    assert len(lower(network, TrainingSetup(windows=1), load_platform("edge8"))) > 0


def test_tokens_and_their_mean() -> None:
    def forward(net: Any, x: Any) -> Any:
        x = net.embed(x).flatten(2).transpose(1, 2)
        x = x + net.fc2(F.relu(net.fc1(x)))
        return net.head(x.mean(1))

    net = Run(forward, embed=nn.Conv2d(3, 8, 4, stride=4), fc1=nn.Linear(8, 16), fc2=nn.Linear(16, 8), head=nn.Linear(8, 2))
    example = torch.rand(3, 3, 16, 20)
    network, repairs = read(net, example)
    assert repairs == []
    assert [(layer.kind, network.shapes()[layer.name]) for layer in network.layers] == [
        ("conv2d", (8, 4, 5)),
        ("tokens", (20, 8)),
        ("linear", (20, 16)),
        ("linear", (20, 8)),
        ("add", (20, 8)),
        ("mean", (8,)),
        ("linear", (2,)),
    ]
    assert sum(network.parameters().values()) == parameters(net)
    assert macs(network, 3) == products(net, example)


def test_concatenation_constants_factors_and_what_is_not_called() -> None:
    def forward(net: Any, x: Any) -> Any:
        y = torch.cat([F.relu(net.a(x)), net.b(x)], 1) + net.shift
        return net.c(y * 0.5).mean((2, 3))

    net = Run(forward, a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 6, 1), c=nn.Conv2d(10, 2, 1), unused=nn.Linear(3, 3), shift=nn.Parameter(torch.rand(1, 10, 1, 1)))
    network, repairs = read(net, torch.rand(1, 3, 8, 8))
    assert described(network)[2:] == [
        ("cat", "concat", ("a", "b"), "none"),
        ("c", "conv2d", ("cat",), "none"),
        ("mean", "avgpool2d", ("c",), "none"),
    ]
    assert sum(network.parameters().values()) == sum(parameters(part) for part in (net.a, net.b, net.c))
    assert len(repairs) == 4
    for word in ("'add': adding a constant", "'mul': one factor", "'Run': its own parameters", "'unused': its own parameters"):
        assert sum(word in repair for repair in repairs) == 1


def test_one_dimensional_layers_have_height_one() -> None:
    net = nn.Sequential(nn.Conv1d(3, 6, 5, padding=2, stride=2), nn.ReLU(), nn.AvgPool1d(2), nn.Conv1d(6, 4, 3, padding="same"), nn.Flatten(), nn.Linear(20, 4))
    example = torch.rand(2, 3, 20)
    network, _ = read(net, example)
    assert network.input_shape == (3, 1, 20)
    assert [network.shapes()[name] for name in "023"] == [(6, 1, 10), (6, 1, 5), (4, 1, 5)]
    assert sum(network.parameters().values()) == parameters(net)
    assert macs(network, 2) == products(net, example)


def test_code_that_no_compiler_can_follow_is_run() -> None:
    def forward(net: Any, x: Any) -> Any:
        x = net.a(x)
        return net.b(F.relu(x) if float(x.sum()) > -1e9 else x)

    network, _ = read(Run(forward, a=nn.Linear(6, 5), b=nn.Linear(5, 4)), torch.rand(2, 6))
    assert described(network) == [("a", "linear", ("input",), "relu"), ("b", "linear", ("a",), "none")]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_random_sequences_have_torchs_parameters_and_products(data: st.DataObject) -> None:
    channels, size = data.draw(st.integers(1, 4)), 12
    example, layers = torch.rand(data.draw(st.integers(1, 3)), channels, size, size), list[Any]()
    for _ in range(data.draw(st.integers(1, 3))):
        out, groups = channels * data.draw(st.integers(1, 3)), data.draw(st.sampled_from([1, channels]))
        kernel, dilation = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
        layers.append(
            nn.Conv2d(channels, out, kernel, stride=data.draw(st.integers(1, 2)), padding=1, dilation=dilation, groups=groups, bias=data.draw(st.booleans()))
        )
        layers += [nn.BatchNorm2d(out)] if data.draw(st.booleans()) else []
        layers += data.draw(st.sampled_from([[], [nn.ReLU()], [nn.Dropout(), nn.ReLU()], [nn.Identity()]]))
        channels = out
    layers += data.draw(st.sampled_from([[], [nn.AvgPool2d(2, padding=1)], [nn.AdaptiveAvgPool2d(1)], [nn.MaxPool2d(2, stride=1, padding=1)]]))
    body = nn.Sequential(*layers)
    try:
        features = body.eval()(example).flatten(1).shape[1]
    except RuntimeError:  # the picture has shrunk to nothing
        return
    net = nn.Sequential(body, nn.Flatten(), nn.Linear(features, 3)).eval()
    network, repairs = read(net, example)
    assert repairs == []
    assert sum(network.parameters().values()) == parameters(net)
    assert macs(network, len(example)) == products(net, example)


# -- refusals --------------------------------------------------------------------------------------


def in_a_buffer(net: Any, x: Any) -> Any:
    out = torch.zeros(4, *x.shape)
    for step in range(4):
        out[step] = net.a(x)
    return net.b(out)


@pytest.mark.parametrize(
    ("forward", "modules", "words"),
    [
        (lambda net, x: net.norm(net.a(x)), {"norm": nn.LayerNorm(6)}, ["module 'norm' (LayerNorm)", "not supported", "Linear"]),
        (lambda net, x: net.rnn(net.a(x))[0], {"rnn": nn.LSTM(6, 6)}, ["module 'rnn' (LSTM)", "not supported"]),
        (lambda net, x: net.b(net.act(net.a(x))), {"act": nn.Sigmoid()}, ["module 'act' (Sigmoid)", "not supported"]),
        (lambda net, x: net.conv(net.a(x).view(-1, 1, 2, 3)), {"conv": nn.Conv2d(1, 2, 1)}, ["module 'conv' (Conv2d)", "[6]", "[1, 2, 3]"]),
        (lambda net, x: net.a(x) + net.b(x)[:, :1], {}, ["function 'getitem'"]),
        (lambda net, x: net.b(torch.sin(net.a(x))), {}, ["function 'sin'", "not supported", "add"]),
        (lambda net, x: net.b(net.a(x).flip(-1)), {}, ["function 'flip'"]),
        (lambda net, x: net.b(net.a(x).reshape(-1, 3, 2).transpose(0, 2).reshape(-1, 6)), {}, ["function 'transpose'"]),
        (lambda net, x: net.a(net.a(x)), {}, ["module 'a' (Linear)", "weights shared"]),
        (lambda net, x: net.a(torch.sigmoid(net.a(x))), {}, ["function 'sigmoid'", "not supported"]),
        (lambda net, x: net.a(x) + net.b(torch.ones(2, 6)), {}, ["module 'b' (Linear)", "constant"]),
        (lambda net, x: net.b(torch.cat([net.a(x), net.a.weight[:2]], 1)[:, :6]), {}, ["'getitem'"]),
        (lambda net, x: net.b(torch.cat([net.a(x)[:, :3], torch.ones(2, 3)], 1)), {}, ["function 'getitem'"]),
        (lambda net, x: net.b(torch.stack([net.a(x) for _ in range(4)]).mean(0)), {}, ["function 'mean'", "time steps"]),
        (in_a_buffer, {}, ["function 'setitem'", "not supported"]),
        (lambda net, x: net.a(x[:, :3].repeat(1, 2)) + net.b(x[:, 3:].repeat(1, 2)), {}, ["function 'getitem'"]),
        (lambda net, x: net.bn(F.relu(net.a(x))), {"bn": nn.BatchNorm1d(6)}, ["module 'bn' (BatchNorm1d)", "directly behind"]),
        (lambda net, x: net.a(x[:, :5]), {}, ["running it on the example failed", "RuntimeError"]),
        (lambda net, x: x.sum(), {}, ["no layer with weights"]),
    ],
)
def test_what_cannot_be_read_names_the_module(forward: Callable[[Any, Any], Any], modules: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        from_torch(Run(forward, a=nn.Linear(6, 6), b=nn.Linear(6, 6), **modules), torch.rand(2, 6))
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ((nn.Conv2d(1, 2, 3), nn.MaxPool2d(2, ceil_mode=True)), "ceil_mode"),
        ((nn.Conv2d(1, 2, 3), nn.MaxPool2d(2, dilation=2)), "dilated"),
        ((nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(2)), r"\[7, 7\] does not divide into \[2, 2\]"),
    ],
)
def test_layers_with_an_argument_that_is_not_supported_are_named(layers: tuple[Any, ...], words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        from_torch(nn.Sequential(*layers), torch.rand(1, 1, 9, 9), time_steps=2)
    assert f"({type(layers[-1]).__name__})" in str(error.value)


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
def test_padding_that_differs_by_side_is_refused() -> None:
    with pytest.raises(InputError, match=r"module '0'.*odd kernel"):
        from_torch(nn.Sequential(nn.Conv2d(1, 2, 4, padding="same")), torch.rand(1, 1, 9, 9))


def test_examples_need_a_tensor_and_a_batch() -> None:
    net = nn.Sequential(nn.Linear(6, 4))
    with pytest.raises(InputError, match=r"module '0' \(Linear\).*batch dimension"):
        from_torch(net, torch.rand(6))
    with pytest.raises(InputError, match="no tensor"):
        from_torch(net, ("x",))
    with pytest.raises(InputError, match="empty"):
        from_torch(net, torch.rand(0, 6))
    with pytest.raises(InputError, match="time_steps"):
        from_torch(net, torch.rand(1, 6), time_steps=0)


@pytest.mark.parametrize(
    ("example", "coding"),
    [
        (torch.tensor([[0.0, 1.0, 1.0]]), "spikes"),
        (torch.tensor([[True, False, True]]), "spikes"),
        (torch.zeros(2, 3), "spikes"),
        (torch.tensor([[0.0, 1.0, 0.5]]), "direct"),
        (torch.tensor([[0.0, 1.0, 2.0]]), "direct"),
        (torch.tensor([[0.0, 1.0, -1.0]]), "direct"),
        (torch.tensor([[0.0, 1.0, float("nan")]]), "direct"),
        ((torch.tensor([[0.0, 1.0, 1.0]]), torch.tensor([0.5])), "spikes"),  # the first tensor is the input
    ],
)
def test_values_of_zero_and_one_alone_are_spikes(example: Any, coding: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: Any, _: Any = None) -> Any:
            return self.fc(x.float())

    assert from_torch(Net(), example).coding == coding


def test_what_the_run_writes_into_its_input_says_nothing_of_the_coding() -> None:
    def forward(net: Any, x: Any) -> Any:
        y = net.a(x)
        x.zero_()
        return y

    assert from_torch(Run(forward, a=nn.Linear(3, 2)), torch.tensor([[0.5, 1.0, 1.0]])).coding == "direct"


def test_the_importers_load_no_framework_before_they_need_it() -> None:
    code = "import sys, spikepipe_sched.importers.torch, spikepipe_sched.importers.onnx; print([n for n in ('torch', 'onnx', 'snntorch') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_without_torch_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spikepipe_sched.importers.torch_record", None)
    with pytest.raises(InputError, match=r"pip install -c constraints.txt '\.\[validate\]'"):
        from_torch(nn.Linear(6, 4), torch.rand(1, 6))


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(InputError, match=r"from_torch takes a torch\.nn\.Module, not 'net'"):
        from_torch("net", torch.zeros(1, 4))  # type: ignore[arg-type]
