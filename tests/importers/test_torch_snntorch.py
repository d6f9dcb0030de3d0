"""snnTorch modules: loops over time, neurons, recurrence and feedback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers.torch import from_torch
from tests.importers.torch_runs import Run, described, macs, nn, parameters, products, read, torch

snn = pytest.importorskip("snntorch", reason="snnTorch is not installed")


def explicit(net: Any, x: Any) -> Any:
    """The loop of snnTorch's tutorials, with states in the open."""
    mem1, mem2, spikes, membranes = net.lif1.init_leaky(), net.lif2.init_leaky(), [], []
    for _ in range(25):
        spk1, mem1 = net.lif1(net.fc1(x), mem1)
        spk2, mem2 = net.lif2(net.fc2(spk1), mem2)
        spikes.append(spk2)
        membranes.append(mem2)
    return torch.stack(spikes), torch.stack(membranes)


def test_a_loop_over_time_gives_t() -> None:
    net = Run(explicit, fc1=nn.Linear(20, 30), lif1=snn.Leaky(beta=0.9), fc2=nn.Linear(30, 5), lif2=snn.Leaky(beta=0.9, reset_mechanism="none"))
    example = torch.rand(2, 20)
    network, repairs = read(net, example, name="tutorial")
    assert repairs == []
    assert described(network) == [("fc1", "linear", ("input",), "lif"), ("fc2", "linear", ("fc1",), "iir")]
    assert (network.name, network.time_steps) == ("tutorial", 25)
    assert sum(network.parameters().values()) == parameters(net)
    assert macs(network, 2) == products(net, example)
    assert read(net, example, time_steps=7)[0].time_steps == 7


def test_a_module_of_one_step_needs_time_steps() -> None:
    parts = (
        nn.Conv2d(1, 4, 5),
        nn.MaxPool2d(2),
        snn.Leaky(beta=0.5, init_hidden=True),
        nn.Flatten(),
        nn.Linear(576, 10),
        snn.Synaptic(alpha=0.5, beta=0.5, init_hidden=True),
    )
    net, example = nn.Sequential(*parts), torch.rand(2, 1, 28, 28)
    with pytest.raises(InputError, match=r"module '2' \(Leaky\): is called for a single step; give time_steps"):
        from_torch(net, example)
    network, _ = read(net, example, time_steps=9)
    assert network.time_steps == 9
    assert described(network)[1:] == [
        ("1", "maxpool2d", ("0",), "none"),
        ("2", "neuron", ("1",), "lif"),
        ("2.flatten", "flatten", ("2",), "none"),
        ("4", "linear", ("2.flatten",), "lif"),
    ]
    assert sum(network.parameters().values()) == parameters(net)


@pytest.mark.parametrize(
    ("neuron", "kind"),
    [
        (lambda: snn.Leaky(beta=0.9, init_hidden=True), "lif"),
        (lambda: snn.Leaky(beta=0.9, init_hidden=True, reset_mechanism="none"), "iir"),
        (lambda: snn.Lapicque(beta=0.9, init_hidden=True), "lif"),
        (lambda: snn.Synaptic(alpha=0.9, beta=0.8, init_hidden=True), "lif"),
        (lambda: snn.Alpha(alpha=0.9, beta=0.8, init_hidden=True), "lif"),
    ],
)
def test_neurons_are_known_by_their_class(neuron: Callable[[], Any], kind: str) -> None:
    net = Run(lambda net, x: torch.stack([net.neuron(net.fc(frame)) for frame in x]), fc=nn.Linear(6, 4), neuron=neuron())
    network, _ = read(net, torch.rand(3, 2, 6))
    assert described(network) == [("fc", "linear", ("input",), kind)]
    assert (network.input_shape, network.time_steps) == ((6,), 3)


def test_recurrent_neurons() -> None:
    def forward(net: Any, x: Any) -> Any:
        states = [net.a.init_rleaky(), net.b.init_rsynaptic(), net.c.init_rleaky()]
        for frame in x:
            states[0] = net.a(net.f(frame), *states[0])
            states[1] = net.b(net.g(states[0][0]), *states[1])
            states[2] = net.c(net.h(states[1][0]), *states[2])
        return states[2][0]

    net = Run(
        forward,
        f=nn.Linear(6, 8, bias=False),
        a=snn.RLeaky(beta=0.9, linear_features=8),
        g=nn.Linear(8, 5),
        b=snn.RSynaptic(alpha=0.9, beta=0.9, all_to_all=False, V=torch.rand(5)),
        h=nn.Linear(5, 3),
        c=snn.RLeaky(beta=0.9, all_to_all=False, V=0.5),
    )
    network, repairs = read(net, torch.rand(4, 2, 6))
    assert [(layer.recurrence, layer.bias) for layer in network.layers] == [("full", True), ("self", True), ("self", True)]
    assert sum(network.parameters().values()) == parameters(net) + 2  # three weights in place of one
    assert len(repairs) == 1
    assert "one recurrent weight serves all 3 neurons" in repairs[0]
    net.f = nn.Linear(6, 8)
    _, repairs = read(net, torch.rand(4, 2, 6))
    assert any("its recurrent weights adds to that of 'f'" in repair for repair in repairs)


def spikes_back(net: Any, x: Any) -> Any:
    mem, spk, out = net.lif.init_leaky(), torch.zeros(x.shape[1], 30), 0
    for frame in x:
        spk, mem = net.lif(net.fc(frame) + net.rec(spk), mem)
        out = out + net.out(spk)
    return out


def current_back(net: Any, x: Any) -> Any:
    """The recurrent weights are used at the end of a step; at first there is nothing to add."""
    mem, back, out = net.lif.init_leaky(), 0, 0
    for frame in x:
        spk, mem = net.lif(net.fc(frame) + back, mem)
        back, out = net.rec(spk), out + net.out(spk)
    return out


@pytest.mark.parametrize(("forward", "feedback"), [(spikes_back, {"rec": ("add",)}), (current_back, {"add": ("rec",)})])
def test_what_comes_from_the_step_before_is_feedback(forward: Callable[[Any, Any], Any], feedback: dict[str, tuple[str, ...]]) -> None:
    net = Run(forward, fc=nn.Linear(20, 30), rec=nn.Linear(30, 30), lif=snn.Leaky(beta=0.9), out=nn.Linear(30, 3))
    example = torch.rand(7, 2, 20)
    network, repairs = read(net, example)
    assert repairs == []
    assert {name: inputs for name, _, inputs, _ in described(network)} == {"fc": ("input",), "rec": ("add",), "add": ("fc", "rec"), "out": ("add",)}
    assert {layer.name: layer.feedback for layer in network.layers if layer.feedback} == feedback
    assert network.layer("add").neuron == "lif"
    assert sum(network.parameters().values()) == parameters(net)
    assert macs(network, 2) == products(net, example)


@pytest.mark.parametrize("batch", [1, 2])
def test_the_steps_of_a_loop_may_be_stacked_for_a_layer(batch: int) -> None:
    def forward(net: Any, x: Any) -> Any:
        return net.head(torch.stack([net.lif(net.fc(x[step])) for step in range(len(x))]))

    net = Run(forward, fc=nn.Linear(6, 4), lif=snn.Leaky(beta=0.9, init_hidden=True), head=nn.Linear(4, 2))
    network, _ = read(net, torch.rand(5, batch, 6))
    assert described(network) == [("fc", "linear", ("input",), "lif"), ("head", "linear", ("fc",), "none")]
    assert {layer.time_steps for layer in network.layers} == {None}


def test_neurons_that_take_whole_sequences() -> None:
    def forward(net: Any, x: Any) -> Any:
        return net.read(net.g(net.spike(net.f(net.parallel(x)))[0]))

    parts = {"spike": snn.StateLeaky(beta=0.9, channels=4, output=True), "read": snn.StateLeaky(beta=0.9, channels=3, output=False)}
    net = Run(forward, parallel=snn.LeakyParallel(6, 8, bias=False), f=nn.Linear(8, 4), g=nn.Linear(4, 3), **parts)
    network, _ = read(net, torch.rand(5, 2, 6))
    assert described(network) == [("parallel", "linear", ("input",), "iir"), ("f", "linear", ("parallel",), "iir"), ("g", "linear", ("f",), "li")]
    assert network.time_steps == 5
    assert sum(network.parameters().values()) == parameters(net) - 8 * 8  # the matrix of leaks
    with pytest.raises(InputError, match="full matrix of leaks"):
        from_torch(snn.LeakyParallel(6, 8, weight_hh_enable=True), torch.rand(5, 2, 6))
    _, repairs = read(nn.Sequential(snn.LeakyParallel(6, 8)), torch.rand(5, 2, 6))
    assert "two biases" in repairs[0]


def test_a_module_stays_as_it_is() -> None:
    """Mode, states with their history, running statistics, gradients and hooks."""
    net: Any = Run(
        lambda net, x: torch.stack([net.lif(net.bn(net.fc(frame))) for frame in x]),
        fc=nn.Linear(6, 4),
        bn=nn.BatchNorm1d(4),
        lif=snn.Leaky(beta=0.9, init_hidden=True),
    ).train()
    example = torch.rand(3, 2, 6)
    net(example).sum().backward()
    membrane, gradient, mean = net.lif.mem, net.fc.weight.grad, net.bn.running_mean.clone()
    assert not membrane.is_leaf
    read(net, example)
    assert net.training
    assert net.lif.mem is membrane
    assert net.fc.weight.grad is gradient
    assert torch.equal(net.bn.running_mean, mean)
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in net.modules())


def twice(net: Any, x: Any) -> Any:
    """One neuron module for two layers."""
    mem1, mem2, spk = net.lif.init_leaky(), net.lif.init_leaky(), None
    for _ in range(4):
        spk, mem1 = net.lif(net.a(x), mem1)
        spk, mem2 = net.lif(net.b(spk), mem2)
    return spk


def membrane(net: Any, x: Any) -> Any:
    mem, out = net.lif.init_leaky(), None
    for _ in range(4):
        _, mem = net.lif(net.a(x), mem)
        out = net.b(mem)
    return out


@pytest.mark.parametrize(
    ("forward", "words"), [(twice, ["module 'a' (Linear)", "4 steps where others make 8"]), (membrane, ["module 'lif' (Leaky)", "membrane"])]
)
def test_what_cannot_be_read_names_the_module(forward: Callable[[Any, Any], Any], words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        from_torch(Run(forward, a=nn.Linear(6, 6), b=nn.Linear(6, 6), lif=snn.Leaky(beta=0.9)), torch.rand(2, 6))
    assert all(word in str(error.value) for word in words)


def test_recurrent_convolutions_are_refused() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), snn.RLeaky(beta=0.9, conv2d_channels=2, kernel_size=3, init_hidden=True))
    with pytest.raises(InputError, match=r"module '1' \(RLeaky\): recurrent weights of kind Conv2d"):
        from_torch(net, torch.rand(1, 1, 9, 9), time_steps=2)
