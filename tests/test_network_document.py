"""A result carries the network and the training set-up that it was lowered from."""

from __future__ import annotations

import json

import msgspec
import networkx as nx
import pytest

from spikepipe_sched import InputError, Problem, Result, TrainingSetup, list_networks, load_network, load_platform, lower, solve
from spikepipe_sched.network_document import NetworkDocument, TrainingDocument, network_document, network_of, training_document, training_of

SETUP = TrainingSetup(batch=4, windows=2, loss="step", bptt_steps=2, spike_rate=0.25)


def tiny_result() -> Result:
    platform = load_platform("array32")
    return solve(Problem.from_graph(lower(load_network("tiny"), SETUP, platform), platform), solver="modulo", deterministic_limit=1, workers=1)


@pytest.mark.parametrize("name", [found.name for found in list_networks()])
def test_every_library_network_comes_back_from_json(name: str) -> None:
    network = load_network(name)
    text = msgspec.json.encode(network_document(network))
    assert network_of(msgspec.json.decode(text, type=NetworkDocument)) == network


def test_a_training_setup_comes_back_from_json() -> None:
    text = msgspec.json.encode(training_document(SETUP))
    assert training_of(msgspec.json.decode(text, type=TrainingDocument)) == SETUP


def test_a_result_carries_what_was_lowered() -> None:
    problem = Result.from_json(tiny_result().to_json()).problem
    assert problem.network == load_network("tiny")
    assert problem.training == SETUP


def test_a_graph_of_the_users_own_has_no_network() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("a", cycles=3)
    graph.graph["network"] = "the user's own attribute"
    problem = Problem.from_graph(graph)
    assert problem.network is None
    assert problem.training is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"kind": "linear2"}, r"problem\.network\.layers\[0\]\.kind"),
        ({"inputs": ["nowhere"]}, r"\$\.problem\.network: layer 'fc1': its input 'nowhere'"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_damaged_network_is_refused_with_its_place(damage: dict[str, object], message: str) -> None:
    document = json.loads(tiny_result().to_json())
    document["problem"]["network"]["layers"][0].update(damage)
    with pytest.raises(InputError, match=message):
        Result.from_json(json.dumps(document))


def test_a_damaged_training_setup_is_refused_with_its_place() -> None:
    document = json.loads(tiny_result().to_json())
    document["problem"]["training"]["loss"] = "none"
    with pytest.raises(InputError, match=r"problem\.training\.loss"):
        Result.from_json(json.dumps(document))
