"""Validations as JSON: exact round trips, and one clear line for what is damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched.errors import InputError
from spikepipe_sched.validation import SYNCHRONOUS, Validation, ValidationSetup, Verdict
from spikepipe_sched.validation_document import ValidationDocument, validation_schema
from tests.helpers import hand_result
from tests.validations import made, trained

SHARES = st.floats(0, 1)


def damaged(*path: Any, value: Any) -> str:
    document = json.loads(made().to_json())
    part = document
    for step in path[:-1]:
        part = part[step]
    if value is None and path[-1] == "runtime_s":
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return json.dumps(document)


@given(st.lists(st.lists(SHARES, min_size=1, max_size=4), max_size=3), st.text(st.characters(codec="utf-8"), max_size=8), st.booleans())
@settings(max_examples=40)
def test_what_is_written_is_read_back(curves, name, same):
    verdict = Verdict(outcome="inconclusive", reason=name, differences=())
    runs = tuple(trained(SYNCHRONOUS, seed, *curve, diverged=same) for seed, curve in enumerate(curves))
    validation = made(network=name, runs=runs, verdict=verdict, same=same, interrupted=not same, tuning=(), setup=ValidationSetup(rate=1e-5))
    again = Validation.from_json(validation.to_json())
    assert again == validation
    assert again.to_json() == validation.to_json()


def test_a_file_is_written_and_read(tmp_path):
    path = tmp_path / "v.json"
    validation = made()
    path.write_text("old")
    validation.to_json(path)
    assert Validation.from_json(path) == validation
    assert Validation.from_json(path.read_bytes()) == validation


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("schema",), "spikepipe-sched/result/1", r"\$\.schema: .*a file is needed such as validate -o writes"),
        (("runs", 1, "accuracies"), [], r"\$\.runs\[1\]\.accuracies: Expected `array` of length >= 1"),
        (("runs", 0, "accuracies", 0), 1.5, r"\$\.runs\[0\]\.accuracies\[\.\.\.\]|\$\.runs\[0\]\.accuracies\[0\]"),
        (("runs", 0, "arm"), "late", r"\$\.runs\[0\]\.arm: Invalid enum value 'late'"),
        (("tuning", 0, "arm"), "late", r"\$\.tuning\[0\]\.arm: Invalid enum value 'late'"),
        (("setup", "warmup"), 10**10, r"\$\.setup: validation: warmup must be at most 1000000000, got 10000000000"),
        (("setup", "margin"), 0, r"\$\.setup\.margin: Expected `float` > 0"),
        (("setup", "loss"), "hinge", r"\$\.setup\.loss: Invalid enum value 'hinge'"),
        (("delays", 1, "layer"), "fc1", r"\$\.delays: weight delays: a layer is named twice"),
        (("verdict", "outcome"), "splendid", r"\$\.verdict\.outcome: Invalid enum value"),
        (("runtime_s",), None, r"\$: Object missing required field `runtime_s`"),
        (("extra",), 1, r"\$: Object contains unknown field `extra`"),
    ],
)
def test_damage_is_named_with_its_path(path, value, message):
    with pytest.raises(InputError, match=message) as caught:
        Validation.from_json(damaged(*path, value=value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", "[" * 100_000, b"\xff"])
def test_what_is_no_document_at_all_says_what_is_needed(text):
    with pytest.raises(InputError, match=r"a file is needed such as validate -o writes"):
        Validation.from_json(text)


def test_a_schedule_is_no_validation():
    with pytest.raises(InputError, match=r"a file is needed such as validate -o writes"):
        Validation.from_json(hand_result().to_json())


def test_a_file_that_is_damaged_is_named(tmp_path):
    (tmp_path / "v.json").write_text("{")
    with pytest.raises(InputError, match=r"v\.json: \$"):
        Validation.from_json(tmp_path / "v.json")


def test_names_that_are_no_text_are_refused():
    with pytest.raises(InputError, match="not Unicode text"):
        made(network="\ud800").to_json()


def test_the_schema_describes_every_field():
    schema = validation_schema()
    assert schema["$id"] == "urn:spikepipe-sched:validation:1"
    assert set(schema["$defs"]["ValidationDocument"]["properties"]) == set(ValidationDocument.__struct_fields__)
    for name, part in schema["$defs"].items():
        assert part["description"], name
        for field, content in part["properties"].items():
            assert "description" in content or "$ref" in content, f"{name}.{field}"


def test_numbers_are_written_alike_whatever_their_type():
    assert json.loads(made(setup=replace(made().setup, margin=2)).to_json())["setup"]["margin"] == 2.0
    assert msgspec.json.decode(made().to_json(), type=ValidationDocument).same is False
