"""The problem library: every network loads, lowers everywhere, and names its source."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files

import networkx as nx
import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import list_networks, list_platforms, load_network, load_platform
from spikepipe_sched.lower import lower
from spikepipe_sched.training import TrainingSetup

#: Weights of each network, counted by hand from the layer sizes of its source.
PARAMETERS = {
    "braille_rnn": 12 * 38 + 38 * 38 + 38 + 38 * 7 + 7,
    "dvs_gesture_conv": 2 * 16 * 25 + 16 * 32 * 9 + 2048 * 512 + 512 * 11,
    "dvs_gesture_plif": 2 * 128 * 9 + 4 * 128 * 128 * 9 + 2048 * 512 + 512 * 110,
    "mnist_iir": 784 * 500 + 500 * 500 + 500 * 10,
    "nmnist_cnn": 39_890,
    "nmnist_mlp": 2312 * 512 + 512 * 512 + 512 * 10,
    "sew_resnet18": 11_689_512 - 9_600,  # torchvision's ResNet-18 without batch normalisation
    "shd_recurrent": 700 * 256 + 256 * 256 + 256 * 256 + 256 * 256 + 256 * 20,
    "tiny": 16 * 8 + 8 * 4,
    "vgg16": 14_710_464 - 576 + 512 * 4096 + 4096 * 4096 + 4096 * 10,  # 13 convolutions; 2 input channels, not 3
    "vgg9": 9 * (2 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 2 * 256 * 256) + 9216 * 1024 + 1024 * 10,
}
NETWORKS = [entry.name for entry in list_networks()]
PLATFORMS = [entry.name for entry in list_platforms()]


def test_the_library_holds_what_is_pinned_here() -> None:
    assert sorted(PARAMETERS) == NETWORKS
    assert len(NETWORKS) >= 9
    assert {"edge8", "array32", "unlike"} <= set(PLATFORMS)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_documented_and_its_parameters_are_pinned(name: str) -> None:
    network = load_network(name)
    assert network.name == name
    assert network.summary
    assert re.search(r"doi:10\.|arXiv:\d|github\.com/|reconstruction|made up", network.source)
    assert network.time_steps >= 4  # the default number of windows
    assert sum(network.parameters().values()) == PARAMETERS[name]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_network_lowers_without_a_cycle_inside_an_iteration(name: str, platform: str) -> None:
    network, machine = load_network(name), load_platform(platform)
    for windows in (1, 2, 4):
        graph = lower(network, TrainingSetup(windows=windows), machine)
        inside = nx.DiGraph([(u, v) for u, v, d in graph.edges(data=True) if d.get("distance") == 0])
        assert nx.is_directed_acyclic_graph(inside)
        trainable = len(network.parameters())
        count = {kind: sum(data["kind"] == kind for _, data in graph.nodes(data=True)) for kind in "FBWU"}
        assert count["W"] == trainable * windows
        assert count["U"] == trainable
        assert all(set(data["cycles"]) == set(machine.classes) for _, data in graph.nodes(data=True))


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
    bare = [line for line in text.splitlines() if re.match(r"\w+ = [\[\d]", line) and "#" not in line and not line.startswith(("out_channels", "inputs"))]
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
