"""Sweeps as JSON: read back equal, and refused with the place where they are wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from spikepipe_sched import InputError, TrainingSetup
from spikepipe_sched.staleness import Staleness, mismatch
from spikepipe_sched.staleness_document import staleness_schema
from tests.sweeps import chain, measured, point

LOWS = {(1, 1): -0.4, (2, 2): -1.6, (4, 0): -0.3, (0, 4): -2.5, (4, 2): -0.9, (2, 1): 0.1}


@pytest.fixture
def sweep() -> Staleness:
    return measured(LOWS, bptt_steps=2)


def test_reading_gives_back_what_was_written(sweep, tmp_path):
    file = tmp_path / "staleness.json"
    text = sweep.to_json(file)
    assert Staleness.from_json(text) == Staleness.from_json(text.encode()) == Staleness.from_json(file) == sweep
    assert Staleness.from_json(text).to_json() == text


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("schema",), "spikepipe-sched/result/1", "$.schema: "),
        (("points", 0, "kind"), "some", "$.points[0].kind: "),
        (("points", 0, "low"), 0.2, "$.points[0]: uniform staleness 1, 1: the mean must lie in its interval"),
        (("points", 0, "staleness"), [1, 2], "$.points[0]: uniform staleness 1, 2: this profile is not of that kind"),
        (("points", 0, "staleness"), [0, 0], "$.points[0]: uniform staleness 0, 0: nothing is stale"),
        (("points", 0, "staleness"), [1], "$: staleness of 'chain', points[0]: 1 values for 2 layers (a, b)"),
        (("points", 0, "staleness"), [2, 2], "$: staleness of 'chain', points[1]: this profile is there already"),
        (("points", 0, "staleness"), [1, -1], "$.points[0].staleness[1]: "),
        (("points", 0, "diverged"), 3, "$.points[0]: uniform staleness 1, 1: 3 of 2 runs diverged"),
        (("points", 0, "accuracies"), [90.0], "$: staleness of 'chain', points[0]: 2 seeds, but 1 accuracies"),
        (("points", 0, "accuracies"), [90.0, 101.0], "$.points[0].accuracies[1]: "),
        (("points", 0, "accuracies"), [90.0, 90.0], "$: staleness of 'chain', points[0]: the mean is 0.100000, but the accuracies give -1.000000"),
        (("points", 5, "staleness"), [2, 3], "$: staleness of 'chain': a joint profile is staler than the one tried before it"),
        (("synchronous",), [90.0], "$: staleness of 'chain': 2 seeds, but 1 accuracies of the synchronous arm"),
        (("setup", "batch"), None, "$: staleness of 'chain': its setup must name batch and policy"),
        (("setup", "margin"), 0, "$.setup.margin: "),
        (("windows",), 0, "$.windows: "),
        (("micro_batches",), 1.5, "$.micro_batches: "),
        (("network", "layers", 0, "inputs"), ["z"], "$.network: layer 'a': its input 'z'"),
        (("more",), 1, "$: "),
    ],
)
def test_what_is_wrong_is_named_with_its_place(sweep, tmp_path, path, value, says):
    content = json.loads(sweep.to_json())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file = tmp_path / "staleness.json"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        Staleness.from_json(file)
    assert str(error.value).startswith(f"{file}: {says}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "3", "[]", "{", '{"schema": "spikepipe-sched/result/1"}', b"\xff"])
def test_a_file_of_another_kind_says_what_is_wanted(text):
    with pytest.raises(InputError, match="validate --sweep-delays writes"):
        Staleness.from_json(text)


def test_the_schema_describes_every_field():
    schema = staleness_schema()
    assert schema["$id"] == "urn:spikepipe-sched:staleness:1"
    bare = [
        f"{name}.{field}" for name, part in schema["$defs"].items() for field, about in part["properties"].items() if not {"description", "$ref"} & set(about)
    ]
    assert bare == []


def test_profiles_in_words(sweep):
    assert [sweep.named(profile) for profile in ((3, 3), (0, 0), (4, 0), (4, 1))] == ["3", "0", "a 4", "a 4, b 1"]


def test_the_same_training_has_no_mismatch_whatever_its_names_and_spike_rates(sweep):
    network = chain(2)
    renamed = replace(network, name="other", source="elsewhere", layers=tuple(replace(layer, spike_rate=0.25) for layer in network.layers))
    assert mismatch(sweep, renamed, TrainingSetup(batch=16, bptt_steps=2, windows=1), "stash") is None


@pytest.mark.parametrize(
    ("changed", "setup", "weights", "says"),
    [
        ({"time_steps": 5}, {}, "stash", ("time_steps 4", "5")),
        ({"input_shape": (7,)}, {}, "stash", ("input shape [6]", "[7]")),
        ({"layers": chain(3).layers}, {}, "stash", ("layers a, b", "a, b, c")),
        ({"layers": (replace(chain(2).layers[0], out_features=5), chain(2).layers[1])}, {}, "stash", ("layer 'a' of out_features 4", "5")),
        ({}, {"batch": 8}, "stash", ("batch 16", "8")),
        ({}, {"bptt_steps": None}, "stash", ("bptt_steps 2", "None")),
        ({}, {}, "latest", ("weights stash", "latest")),
    ],
)
def test_another_training_is_told_apart(sweep, changed, setup, weights, says):
    options = {"batch": 16, "bptt_steps": 2, "windows": 1} | setup
    assert mismatch(sweep, replace(chain(2), **changed), TrainingSetup(**options), weights) == says


@pytest.mark.parametrize(
    ("swept", "windows", "says"),
    [({}, 2, ("windows 1", "2")), ({"windows": 2}, 2, None), ({"micro_batches": 4}, 1, ("micro_batches 4", "1"))],
)
def test_windows_and_micro_batches_matter_to_batch_normalisation_alone(swept, windows, says):
    plain = chain(2)
    normal = replace(plain, layers=(plain.layers[0], replace(plain.layers[1], norm="batch")))
    training = TrainingSetup(batch=16, windows=windows)
    assert mismatch(measured(LOWS, **swept), plain, training, "stash") is None
    assert mismatch(measured(LOWS, network=normal, **swept), normal, training, "stash") == says


@pytest.mark.parametrize("field", ["windows", "micro_batches", "updates"])
def test_what_is_counted_is_at_least_one(field):
    with pytest.raises(InputError, match=f"staleness of 'chain': {field} must be at least 1, got 0"):
        measured(LOWS, **{field: 0})


def test_a_sweep_whose_backward_passes_read_the_newest_weights_fits_schedules_made_for_that(sweep):
    latest = replace(sweep, weights="latest")
    training = TrainingSetup(batch=16, bptt_steps=2, windows=1)
    assert mismatch(latest, chain(2), training, "latest") is None
    assert mismatch(latest, chain(2), training, "stash") == ("weights latest", "stash")


def test_a_point_says_how_it_was_compared():
    assert point((1, 1), -0.4, 0.5).keeps_accuracy(1.0)
    assert not point((1, 1), -0.4, 0.6).keeps_accuracy(1.0)
    assert not point((1, 1), 2.0, 0.5, diverged=1).keeps_accuracy(1.0)
    assert point((1, 1), 2.0, 0.5, diverged=1).loses_accuracy(1.0)
    assert point((1, 1), -1.6, 0.5).loses_accuracy(1.0)
    assert not point((1, 1), -1.4, 0.5).loses_accuracy(1.0)
