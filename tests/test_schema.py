"""The JSON border: exact round trips, and one clear line for everything damaged."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings

from spikepipe_sched.cost import CostTerm
from spikepipe_sched.documents import ResultDocument
from spikepipe_sched.errors import InputError
from spikepipe_sched.files import MAX_BYTES, read_limited, write_atomically
from spikepipe_sched.problem import MAX_INT, Limits, Problem
from spikepipe_sched.result import Infeasibility, Provenance, Result, Status, conclude
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.schema import json_schema, load_result, result_from_json, result_to_json
from tests.helpers import HAND, hand_result, in_turn, pipelined_result, platform, problems, training_graph, training_problem


def assert_same_problem(a: Problem, b: Problem) -> None:
    for name in ("name", "mode", "layers", "tensors", "classes", "processors", "interconnect", "unroll", "micro_batches", "weights"):
        assert getattr(a, name) == getattr(b, name)
    for name in ("objective", "limits", "clock_hz", "samples_per_iteration", "cost_terms"):
        assert getattr(a, name) == getattr(b, name)
    np.testing.assert_array_equal(a.tensor_bytes, b.tensor_bytes)
    for part in ("tasks", "edges", "instance"):
        first, second = getattr(a, part), getattr(b, part)
        for column in first.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(first, column), getattr(second, column), err_msg=column)


def assert_round_trip(result: Result) -> None:
    text = result_to_json(result)
    again = result_from_json(text)
    assert result_to_json(again) == text
    assert_same_problem(again.problem, result.problem)
    for name in ("status", "schedule", "metrics", "objectives", "provenance", "infeasibility"):
        assert getattr(again, name) == getattr(result, name)
    assert result_to_json(result_from_json(text.encode())) == text


def test_round_trip_of_training_problems() -> None:
    assert_round_trip(pipelined_result())
    assert_round_trip(hand_result(training_problem(3, 2, mode="finite", micro_batches=2)))
    assert_round_trip(hand_result(training_problem(2, 2, unroll=3, weights="latest")))
    limits = Limits(period_cycles=10**6, delay=9, layer_delay=(("l0", 7), ("l0", 8)), traffic_bytes=0, span_cycles=10**6)
    assert_round_trip(hand_result(training_problem(limits=limits, objective=("delay", "period"))))


@settings(max_examples=100, deadline=None)
@given(problems())
def test_round_trip_of_any_problem(problem: Problem) -> None:
    assert_round_trip(conclude(problem, None, provenance=HAND))
    schedule = in_turn(problem)
    result = hand_result(problem, None) if all(p.memory_bytes is None for p in problem.processors) else conclude(problem, None, provenance=HAND)
    assert_round_trip(result)
    assert schedule.normalised() == schedule


def test_round_trip_without_a_schedule() -> None:
    why = Infeasibility(demanded="period <= 3", bound="11 cycles", gap=2.5, loosen=("limits.period_cycles",))
    provenance = Provenance(
        solver="x", version="1", seed=-5, deterministic_limit=2, interrupted=True, cost_terms=(CostTerm(name="gemm", share=1),), winner="list"
    )
    assert_round_trip(conclude(training_problem(), None, provenance=provenance, infeasibility=why, proven_infeasible=True))
    assert_round_trip(conclude(training_problem(), None, provenance=provenance))


def test_numpy_numbers_are_written_as_numbers() -> None:
    schedule = in_turn(training_problem())
    assert schedule.period is not None
    odd = Schedule(processor=schedule.processor, start=schedule.start, period=np.int64(schedule.period))  # pyright: ignore[reportArgumentType]
    assert result_to_json(hand_result(schedule=odd)) == result_to_json(hand_result())


def test_names_of_every_alphabet_survive() -> None:
    names = ("</script><b>", "层\n\u2028", '"\\')
    assert_round_trip(hand_result(Problem.from_graph(training_graph(names=names), platform())))
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("\ud800", cycles=1)
    with pytest.raises(InputError, match="not Unicode"):
        result_to_json(hand_result(Problem.from_graph(graph)))


def test_the_document_repeats_the_first_objective() -> None:
    result = pipelined_result()
    over_nothing = replace(result.objectives[2], bound=0, gap=None)
    document = json.loads(replace(result, objectives=(*result.objectives[:2], over_nothing)).to_json())
    assert list(document)[:5] == ["schema", "status", "objective", "bound", "gap"]
    assert (document["objective"], document["bound"], document["gap"]) == (13, result.bound, result.gap)
    assert document["objectives"][2]["gap"] is None
    assert document["schedule"]["tasks"][0] == {"task": "F(l0)", "copy": 0, "processor": "p0", "start_cycles": 0, "duration_cycles": 4}


def damage(path: str, value: Any, result: Result | None = None) -> str:
    """The document of `pipelined_result`, or of another, with the value at a dotted path replaced, or removed if it is ``...``."""
    document = json.loads((result or pipelined_result()).to_json())
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    here: Any = document
    for key in parents:
        here = here[key]
    if value is ...:
        del here[last]
    elif last == len(here):
        here.append(value)
    else:
        here[last] = value
    return json.dumps(document)


FIRST = {"task": "F(l0)", "copy": 0, "processor": "p0", "start_cycles": 0, "duration_cycles": 4}


@pytest.mark.parametrize(
    ("path", "value", "where", "what"),
    [
        ("schema", "spikepipe-sched/result/2", "$.schema", "spikepipe-sched/result/1"),
        ("schema", 1, "$.schema", "got `int`"),
        ("problem.schema", "other", "$.problem.schema", "other"),
        ("surprise", 1, "$", "unknown field `surprise`"),
        ("schedule.tasks.2.surprise", 1, "$.schedule.tasks[2]", "unknown field `surprise`"),
        ("schedule", ..., "$", "missing required field `schedule`"),
        ("schedule.tasks.3", ..., "$.schedule.tasks", "task 'F(l1)', copy 0, is missing"),
        ("schedule.tasks.7", FIRST, "$.schedule.tasks[7]", "is there already"),
        ("schedule.tasks.3.task", "G", "$.schedule.tasks[3].task", "unknown task 'G'"),
        ("schedule.tasks.3.copy", 1, "$.schedule.tasks[3].copy", "no copy 1"),
        ("schedule.tasks.3.processor", "p9", "$.schedule.tasks[3].processor", "unknown processor 'p9'"),
        ("schedule.tasks.3.start_cycles", -1, "$.schedule.tasks[3].start_cycles", ">= 0"),
        ("schedule.tasks.3.start_cycles", 1.5, "$.schedule.tasks[3].start_cycles", "`float`"),
        ("schedule.tasks.3.start_cycles", "1", "$.schedule.tasks[3].start_cycles", "`str`"),
        ("schedule.tasks.3.start_cycles", MAX_INT + 1, "$.schedule.tasks[3].start_cycles", str(MAX_INT)),
        ("schedule.tasks.3.start_cycles", 10**40, "$.schedule.tasks[3].start_cycles", str(MAX_INT)),
        ("schedule.tasks.3.duration_cycles", 5, "$.schedule.tasks[3].duration_cycles", "takes 4 cycles"),
        ("schedule.period_cycles", -13, "$.schedule.period_cycles", ">= 1"),
        ("schedule.period_cycles", 0, "$.schedule.period_cycles", ">= 1"),
        ("schedule.period_cycles", None, "$.schedule.period_cycles", "needs a period"),
        ("schedule", None, "$.metrics", "no schedule"),
        ("metrics", None, "$.metrics", "no metrics"),
        ("objectives", [], "$.objectives", "no objectives"),
        ("status", "infeasible", "$.status", "there is a schedule"),
        ("status", "fine", "$.status", "'fine'"),
        ("objective", 12, "$.objective", "has 13"),
        ("bound", None, "$.bound", f"has {pipelined_result().bound}"),
        ("gap", 0.5, "$.gap", "0.5"),
        ("objectives.1.name", "period", "$.objectives[1].name", "is there already"),
        ("metrics.processors.1.processor", "p0", "$.metrics.processors", "in their order"),
        ("metrics.processors.1.processor", "q", "$.metrics.processors[1].processor", "unknown processor"),
        ("metrics.delays.0.layer", "q", "$.metrics.delays[0].layer", "unknown layer"),
        ("metrics.delays.0.layer", "l1", "$.metrics.delays[1].layer", "is there already"),
        ("metrics.link_loads.0.target", "q", "$.metrics.link_loads[0].target", "unknown processor"),
        ("problem.unroll", 10**9, "$.problem.unroll", "task copies"),
        ("problem.micro_batches", 10**9, "$.problem.micro_batches", "task copies"),
        ("problem.mode", "finite", "$.problem", "not an objective of finite mode"),
        ("problem.mode", "sometimes", "$.problem.mode", "sometimes"),
        ("problem.objective", ["makespan"], "$.problem", "not an objective of periodic mode"),
        ("problem.layers.1", "l0", "$.problem.layers[1]", "is there already"),
        ("problem.tasks.1.name", "F(l0)", "$.problem.tasks[1].name", "is there already"),
        ("problem.tasks.1.layer", "q", "$.problem.tasks[1].layer", "unknown layer"),
        ("problem.tasks.1.cycles", {"q": 1}, "$.problem.tasks[1].cycles", "unknown class 'q'"),
        ("problem.tasks.1.cycles", {"array": -1}, "$.problem.tasks[1].cycles[...]", ">= 0"),
        ("problem.tasks.1.cycles", {}, "$.problem", "no processor can run task 'W(l0)'"),
        ("problem.tasks", [], "$.problem.edges[0].source", "unknown task"),
        ("problem.edges.0.source", "q", "$.problem.edges[0].source", "unknown task 'q'"),
        ("problem.edges.3.delay_layer", "q", "$.problem.edges[3].delay_layer", "unknown layer"),
        ("problem.edges.0.tensors", ["q"], "$.problem.edges[0].tensors[0]", "unknown tensor"),
        ("problem.edges.3.distance", 3, "$.problem.edges[3]", "either a distance or a delay_layer"),
        ("problem.cost_terms.1.name", "gemm", "$.problem.cost_terms[1].name", "is there already"),
        ("problem.cost_terms.0", {"name": "gemm", "share": "all"}, "$.problem.cost_terms[0].share", "`str`"),
        ("provenance.cost_terms", [{"name": "gemm", "share": 1}] * 2, "$.provenance.cost_terms[1].name", "is there already"),
        ("problem.tensors.1.name", "l0.out", "$.problem.tensors[1].name", ""),
        ("problem.processors.0.class", "q", "$.problem.processors[0].class", "unknown class"),
        ("problem.processors.0.name", "p1", "$.problem", "same name"),
        ("problem.processors.0.memory_bytes", 0, "$.problem.processors[0].memory_bytes", ">= 1"),
        ("problem.interconnect.bandwidth_bytes_per_cycle", 0, "$.problem.interconnect.bandwidth_bytes_per_cycle", ">= 1"),
        ("problem.limits.layer_delay", [{"layer": "q", "delay": 1}], "$.problem", "no layer 'q'"),
    ],
)
def test_damage_is_named_with_its_path(path: str, value: Any, where: str, what: str) -> None:
    if path == "problem.tensors.1.name":
        value = json.loads(pipelined_result().to_json())["problem"]["tensors"][0]["name"]
    with pytest.raises(InputError) as caught:
        result_from_json(damage(path, value))
    message = str(caught.value)
    assert message.startswith(f"{where}: ")
    assert what in message
    assert "\n" not in message


def test_a_name_cannot_break_the_line() -> None:
    with pytest.raises(InputError) as caught:
        result_from_json(damage("schedule.tasks.3.task", "a\nb\x1b[31m"))
    assert str(caught.value) == r"$.schedule.tasks[3].task: unknown task 'a\nb\x1b[31m'"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        "hello.json",
        pytest.param("[" * 10**6, id="nested lists"),
        pytest.param('{"schema": "spikepipe-sched/result/1", "problem": ' + '{"a":' * 10**6, id="nested objects"),
        pytest.param('{"objectives": ' + "[" * 10**6, id="nested in a field"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b'{"schema": "\xff"}', id="not UTF-8 inside"),
        pytest.param("\ud800", id="surrogate"),
    ],
)
def test_what_is_no_result_is_one_clear_line(text: str | bytes) -> None:
    with pytest.raises(InputError) as caught:
        result_from_json(text)
    assert str(caught.value).startswith("$")
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_does_not_know(number: str) -> None:
    text = pipelined_result().to_json()
    assert '"runtime_s": 0.25' in text
    with pytest.raises(InputError, match=r"^\$"):
        result_from_json(text.replace('"runtime_s": 0.25', f'"runtime_s": {number}'))


def test_every_truncation_is_refused() -> None:
    text = pipelined_result().to_json()
    for end in range(0, len(text) - 1, 97):
        with pytest.raises(InputError, match=r"^\$: "):
            result_from_json(text[:end])


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    text = pipelined_result().to_json(path)
    assert path.read_text(encoding="utf-8") == text + "\n"
    assert load_result(path).to_json() == text == Result.from_json(path).to_json()
    path.write_text(damage("surprise", 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"r\.json: \$: .*`surprise`"):
        load_result(path)
    for missing in (tmp_path / "none.json", tmp_path, Path("a\0b")):
        with pytest.raises(InputError, match="cannot read"):
            load_result(missing)


def test_gigabytes_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "giant.json"
    with path.open("wb") as file:
        file.truncate(50 * 2**30)  # sparse: it takes no space
    with pytest.raises(InputError, match="53687091200 bytes or more; at most 268435456"):
        load_result(path)
    with pytest.raises(InputError, match="11 bytes or more; at most 10"):
        read_limited("/dev/zero", limit=10)  # claims to be empty
    assert MAX_BYTES == 268435456


def test_writing_replaces_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, link = tmp_path / "r.json", tmp_path / "link.json"
    write_atomically(path, "old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_atomically(link, "new\n")
    assert link.is_symlink()
    assert path.read_text(encoding="utf-8") == "new\n"
    assert path.stat().st_mode & 0o777 == 0o640

    def broken(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(InputError, match=r"cannot write .*No space left"):
        write_atomically(path, "half")
    assert path.read_text(encoding="utf-8") == "new\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.json", "r.json"]
    with pytest.raises(InputError, match="cannot write"):
        write_atomically(tmp_path / "no" / "such" / "folder", "x")


def test_times_too_large_for_the_format_are_not_written() -> None:
    graph: nx.DiGraph[str] = nx.path_graph(3, create_using=nx.DiGraph)
    for node in graph:
        graph.nodes[node]["cycles"] = MAX_INT // 2 + 1
    with pytest.raises(InputError, match="too long to be written"):
        hand_result(Problem.from_graph(graph, 1)).to_json()


UNITS = "cycles", "bytes", "bytes/cycle", "iterations", "count", "Hz", "samples", "seconds", "ratio", "no unit", "its unit", "index from 0"
UNITS += "the objective's unit", "the solver's own units"


def numeric_fields(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for title, definition in schema["$defs"].items():
        for name, body in definition.get("properties", {}).items():
            values = [body, *body.get("anyOf", ()), body.get("additionalProperties") or {}]
            if any(value.get("type") in ("integer", "number") for value in values):
                found.append((f"{title}.{name}", body))
    return found


def test_every_number_has_a_unit() -> None:
    numeric = numeric_fields(json_schema())
    assert len(numeric) > 40
    for name, body in numeric:
        assert any(f"[{unit}]" in body.get("description", "") for unit in UNITS), name


def test_the_json_schema_accepts_what_is_written_and_refuses_damage() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json_schema()
    assert schema["$id"] == "urn:spikepipe-sched:result:1"
    validator = jsonschema.Draft202012Validator(schema)
    for result in (pipelined_result(), conclude(training_problem(), None, provenance=HAND)):
        validator.validate(json.loads(result.to_json()))
    assert not validator.is_valid(json.loads(damage("surprise", 1)))
    assert not validator.is_valid(json.loads(damage("schedule.tasks.3.start_cycles", -1)))


def test_documents_refuse_unknown_fields_everywhere() -> None:
    assert msgspec.json.schema(ResultDocument)["$defs"]
    for title, definition in json_schema()["$defs"].items():
        assert definition["additionalProperties"] is False, title


def test_status_follows_from_text() -> None:
    assert result_from_json(pipelined_result().to_json()).status is Status.FEASIBLE
