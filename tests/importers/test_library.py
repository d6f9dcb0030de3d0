"""The problem library: every network is pinned, loads, lowers everywhere, and names its source."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from typing import get_args

import networkx as nx
import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import list_networks, list_platforms, load_network, load_platform
from spikepipe_sched.layer import STATEFUL, LayerKind
from spikepipe_sched.lower import lower
from spikepipe_sched.network import INPUT, Network
from spikepipe_sched.training import TrainingSetup
from tests.importers.reference_networks import REFERENCES, Reference

#: Trained values, multiply-accumulates of one sample and time step, and time steps.
PINNED = {
    "braille_rnn": (2_211, 2_166, 256),
    "csnn_mnist": (29_826, 1_411_840, 50),
    "digits_conv": (9_694, 55_168, 4),
    "digits_deep": (92_170, 91_392, 8),
    "digits_mlp": (26_122, 25_856, 8),
    "digits_vgg": (37_686, 318_336, 4),
    "dvs_gesture_conv": (1_059_616, 3_053_056, 60),
    "dvs_gesture_plif": (1_698_926, 841_014_272, 20),
    "fsnn_mnist": (229_642, 20_509_440, 30),
    "hybrid_flownet": (10_987_776, 3_359_637_504, 5),
    "ldsnn_vgg9": (11_181_184, 436_774_912, 8),
    "mnist_conv": (207_178, 506_176, 4),
    "mnist_iir": (647_000, 647_000, 16),
    "nmnist_cnn": (39_890, 903_680, 32),
    "nmnist_mlp": (1_451_008, 1_451_008, 32),
    "psn_cifar": (70_113_174, 1_735_172_096, 4),
    "resnet19_cifar": (12_630_858, 2_216_495_616, 6),
    "scsr_ntidigits": (511_200, 510_000, 300),
    "sew_resnet18": (11_689_512, 1_814_073_344, 4),
    "shd_recurrent": (380_928, 380_928, 100),
    "spikformer_cifar": (9_324_730, 934_039_296, 4),
    "srnn_shd": (141_588, 141_312, 250),
    "tiny": (160, 160, 4),
    "vgg16": (33_625_216, 722_280_448, 10),
    "vgg9": (11_181_184, 436_774_912, 10),
    "vggsnn_dvs": (9_271_498, 1_361_654_784, 10),
    "vowels_recurrent": (19_209, 19_072, 29),
}
#: Networks whose source shows images, or frames in which events are counted, at every time step.
DIRECT = {
    "csnn_mnist",
    "digits_conv",
    "digits_deep",
    "digits_mlp",
    "digits_vgg",
    "dvs_gesture_plif",
    "fsnn_mnist",
    "hybrid_flownet",
    "mnist_conv",
    "psn_cifar",
    "resnet19_cifar",
    "sew_resnet18",
    "spikformer_cifar",
    "vggsnn_dvs",
    "vowels_recurrent",
}
NETWORKS = [entry.name for entry in list_networks()]
PLATFORMS = [entry.name for entry in list_platforms()]


def test_the_library_holds_what_is_pinned_here() -> None:
    assert NETWORKS == sorted(PINNED) == sorted(REFERENCES)
    assert len(NETWORKS) >= 16
    assert {"edge8", "array32", "unlike"} <= set(PLATFORMS)


def test_the_library_shows_what_a_network_can_hold() -> None:
    networks = [load_network(name) for name in NETWORKS]
    layers = [layer for network in networks for layer in network.layers]
    assert {layer.kind for layer in layers} == set(get_args(LayerKind))
    assert {layer.neuron for layer in layers} >= {*STATEFUL, "psn", "relu"}
    assert {layer.recurrence for layer in layers} == {"none", "full", "self"}
    assert any(layer.feedback for layer in layers)
    assert {layer.time_steps for layer in layers} >= {None, 1, 2}


@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_documented_and_its_size_is_pinned(name: str) -> None:
    network = load_network(name)
    assert network.name == name
    assert network.summary
    assert re.search(r"doi:10\.|arXiv:\d|github\.com/|reconstruction|made up", network.source)
    assert network.time_steps >= 4  # the default number of windows
    assert (sum(network.parameters().values()), sum(network.macs().values()), network.time_steps) == PINNED[name]


def test_real_values_come_in_where_the_source_shows_images_or_frames() -> None:
    assert {name for name in NETWORKS if load_network(name).coding == "direct"} == DIRECT


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_has_the_shape_parameters_and_products_of_the_same_network_in_torch(name: str) -> None:
    network = load_network(name)
    reference = Reference(network.input_shape)
    REFERENCES[name](reference)
    assert {INPUT: network.input_shape, **reference.shapes} == network.shapes()
    assert reference.parameters == network.parameters()
    assert reference.macs == network.macs()


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnet19_cifar", 12.63),  # Zhou et al., arXiv:2209.15425, table 2
        ("sew_resnet18", 11.69),  # torchvision's ResNet-18: num_params = 11689512
        ("spikformer_cifar", 9.32),  # Zhou et al., arXiv:2209.15425, table 2: Spikformer-4-384
    ],
)
def test_parameters_are_the_published_ones(name: str, millions: float) -> None:
    assert round(sum(load_network(name).parameters().values()) / 1e6, 2) == millions


def test_products_of_resnet18_are_the_published_ones() -> None:
    macs = sum(load_network("sew_resnet18").macs().values())
    assert round(macs / 1e9, 3) == 1.814  # torchvision's ResNet-18: 1.814 GFLOPS, a product counted once
    assert round(macs / 1e9, 1) == 1.8  # He et al., arXiv:1512.03385, table 1


def windows_of(network: Network) -> tuple[int, ...]:
    """Numbers of windows to try; a loop between layers leaves one: windows of a single step."""
    return (network.time_steps,) if any(layer.feedback for layer in network.layers) else (1, 2, 4)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_network_lowers_without_a_cycle_inside_an_iteration(name: str, platform: str) -> None:
    network, machine = load_network(name), load_platform(platform)
    for windows in windows_of(network):
        graph = lower(network, TrainingSetup(windows=windows), machine)
        inside = nx.DiGraph([(u, v) for u, v, d in graph.edges(data=True) if d.get("distance") == 0])
        assert nx.is_directed_acyclic_graph(inside)
        assert all(set(data["cycles"]) == set(machine.classes) for _, data in graph.nodes(data=True))
        tasks = [(data["kind"], data["layer"], data.get("window")) for _, data in graph.nodes(data=True)]
        assert sorted(layer for kind, layer, _ in tasks if kind == "U") == sorted(network.parameters())
        for layer in network.parameters():
            assert len({window for kind, name, window in tasks if (kind, name) == ("W", layer)}) == min(windows, network.steps(network.layer(layer)))


@pytest.mark.parametrize("name", PLATFORMS)
def test_platform_is_documented(name: str) -> None:
    platform = load_platform(name)
    assert platform.name == name
    assert platform.summary
    assert platform.source
    assert len(platform.with_processors(8).processors) == 8


@pytest.mark.parametrize(("folder", "name"), [("networks", n) for n in NETWORKS] + [("platforms", p) for p in PLATFORMS])
def test_every_size_in_a_library_file_has_a_comment(folder: str, name: str) -> None:
    """Units and sources stand on the line of the value; channel counts and flags need none."""
    text = (files("spikepipe_problems") / folder / f"{name}.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["name"] == name
    bare = [
        line
        for line in text.splitlines()
        if re.match(r"\w+ = [\[\d]", line) and "#" not in line and not line.startswith(("out_channels", "inputs", "feedback"))
    ]
    assert bare == []


def test_time_steps_and_input_shape_can_be_overridden() -> None:
    network = load_network("vgg9", time_steps=3, input_shape=(3, 32, 32))
    assert (network.time_steps, network.input_shape, network.shapes()["flatten"]) == (3, (3, 32, 32), (4096,))
    with pytest.raises(InputError, match="time_steps"):
        load_network("tiny", time_steps=0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vgg", ["'vgg'", "'vgg9'", "'vgg16'", "spikepipe-sched networks"]),
        ("NMNIST_MLP", ["'nmnist_mlp'"]),
        ("zzz", ["known:", "tiny"]),
        ("missing.toml", ["missing.toml", "no such file"]),
        ("model.pt", ["model.pt", ".nir"]),
        ("folder/name", ["folder/name"]),
        ("", ["empty"]),
        ("../platforms/edge8", ["cannot read"]),
    ],
)
def test_unknown_networks_say_what_is_near(name: str, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        load_network(name)
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


def test_unknown_platform_says_what_is_near() -> None:
    with pytest.raises(InputError, match=r"'array32'.*spikepipe-sched platforms"):
        load_platform("array")
    with pytest.raises(InputError, match="cannot read"):
        load_platform("x.nir")
