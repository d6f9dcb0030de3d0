"""Substitutes are like what they stand for, and are trained once for equal delays; interrupted training goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import load_network
from spikepipe_sched.network import Network
from spikepipe_sched.study.accuracy import SUBSTITUTES, train_substitutes
from spikepipe_sched.study.experiment import NETWORKS, AccuracySetup
from spikepipe_sched.study.measure import Detail, Measure
from tests.study.made import outcome, trained

SETUP = AccuracySetup(solvers=("spikepipe", "auto"), processors=(2, 4), epochs=1, seeds=2, rate=0.02)
BATCH = 256


def row(delays: tuple[int, ...], network: str = "nmnist_mlp", **changes: object) -> Measure:
    """A schedule with these delays."""
    return Measure(outcome=outcome(network, **changes), detail=Detail(delays=tuple((f"fc{i}", delay) for i, delay in enumerate(delays, 1))))  # pyright: ignore[reportArgumentType]


def kinds(network: Network) -> list[str]:
    """Of the layers with weights."""
    return [network.layer(name).kind for name in network.parameters()]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_substitute_has_as_many_weight_layers_of_the_same_kinds(name: str) -> None:
    assert kinds(load_network(SUBSTITUTES[name])) == kinds(load_network(name))


def test_delays_are_carried_over_and_equal_ones_trained_once(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    rows = [
        row((3, 1, 1), solver="spikepipe"),
        row((3, 1, 1), solver="auto"),
        row((1, 1, 1), solver="auto", processors=2),
        row((9, 9, 9), solver="stages"),  # nobody asked for what follows
        row((9, 9, 9), solver="auto", processors=8),
        row((9, 9, 9), solver="auto", array="16x16"),
        row((9, 9, 9), "another", solver="auto"),
        row((), solver="auto", processors=2),
    ]
    labels: list[str] = []
    found, interrupted = train_substitutes(rows, SETUP, batch=BATCH, folder=tmp_path, observer=lambda news: labels.append(news.label))
    assert not interrupted
    assert [(point.solver, point.processors, point.staleness) for point in found] == [
        ("spikepipe", 4, (2, 0, 0)),
        ("auto", 4, (2, 0, 0)),
        ("auto", 2, (0, 0, 0)),
    ]
    assert {point.missing for point in found} == {0}
    first, second, same = found
    assert (first.delayed, first.verdict) == (second.delayed, second.verdict)
    assert first.synchronous == same.synchronous == same.delayed
    assert first.verdict.differences == pytest.approx([late - plain for late, plain in zip(first.delayed, first.synchronous, strict=True)])
    assert same.verdict.outcome == "no degradation"
    assert len(set(labels)) == 4  # two seeds of two arms
    assert len(list(tmp_path.rglob("*.pt"))) == 4


def test_training_stopped_in_between_says_what_is_missing_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    rows = [row((3, 1, 1), solver="spikepipe"), row((2, 2, 2), solver="auto")]

    def stop(news) -> None:
        if "staleness 1 1 1, seed 1" in news.label:
            raise KeyboardInterrupt

    stopped, interrupted = train_substitutes(rows, SETUP, batch=BATCH, folder=tmp_path, observer=stop)
    assert interrupted
    assert [(len(point.synchronous), len(point.delayed), point.missing) for point in stopped] == [(2, 2, 0), (2, 1, 1)]
    assert (stopped[1].verdict.outcome, stopped[1].keeps(100), stopped[1].loses(0)) == ("inconclusive", False, False)
    done, interrupted = train_substitutes(rows, SETUP, batch=BATCH, folder=tmp_path)
    assert (interrupted, done[0]) == (False, stopped[0])
    assert done[1].delayed[:1] == stopped[1].delayed
    elsewhere, _ = train_substitutes(rows, SETUP, batch=BATCH, folder=tmp_path / "anew")
    assert elsewhere == done


def test_other_epochs_are_other_checkpoints(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    rows = [row((1, 1, 1), solver="spikepipe")]
    train_substitutes(rows, SETUP, batch=BATCH, folder=tmp_path)
    train_substitutes(rows, replace(SETUP, epochs=2), batch=BATCH, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_delays_of_other_layers_than_the_substitute_has_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(InputError, match="'digits_mlp' has 3 layers with weights, 'nmnist_mlp', for which it stands, 2"):
        train_substitutes([row((1, 1), solver="auto")], SETUP, batch=BATCH, folder=tmp_path)


def test_a_loss_is_excluded_or_shown_by_the_interval() -> None:
    near, far = trained(lambda _: -0.9)[0], trained(lambda _: -12.0, lambda _: -11.0)[0]
    assert (near.keeps(1.0), near.keeps(0.9), near.loses(1.0)) == (True, False, False)
    assert (far.keeps(12.5), far.loses(11.0), far.loses(10.9)) == (True, False, True)
