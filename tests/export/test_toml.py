"""Networks written as TOML come back equal."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from spikepipe_sched.export.toml import save_network
from spikepipe_sched.importers import list_networks, load_network
from spikepipe_sched.layer import Layer
from spikepipe_sched.network import Network
from tests.lower.test_dependencies import jobs


@pytest.mark.parametrize("name", [entry.name for entry in list_networks()])
def test_library_networks_come_back_equal(tmp_path: Path, name: str) -> None:
    network = load_network(name)
    save_network(network, tmp_path / "net.toml")
    assert load_network(tmp_path / "net.toml") == network


@settings(max_examples=60, deadline=None, derandomize=True)
@given(job=jobs())
def test_random_networks_come_back_equal(tmp_path_factory: pytest.TempPathFactory, job: tuple[Network, object]) -> None:
    path = tmp_path_factory.mktemp("written") / "net.toml"
    save_network(job[0], path)
    assert load_network(path) == job[0]


def test_names_and_texts_are_quoted(tmp_path: Path) -> None:
    pool = Layer(name="p", kind="maxpool2d", inputs=('q"uote\\',), kernel=(2, 3), stride=(2, 3))
    conv = Layer(name='q"uote\\', kind="conv2d", inputs=("input",), out_channels=2, spike_rate=0.25, norm="batch")
    network = Network(name="né 😀", summary='a "b"\n', input_shape=(1, 6, 6), time_steps=3, layers=(conv, pool), coding="direct")
    save_network(network, tmp_path / "net.toml")
    assert load_network(tmp_path / "net.toml") == network
