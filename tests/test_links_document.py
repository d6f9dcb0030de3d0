"""Transfers in the JSON document: exact round trips, and one clear line for everything damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.platform import Sharing
from spikepipe_sched.problem import MAX_INT
from spikepipe_sched.recheck import recheck
from spikepipe_sched.result import Result
from spikepipe_sched.schema import result_from_json
from spikepipe_sched.transfers import transfers
from tests.helpers import hand_result, pipelined_result
from tests.test_schema import assert_round_trip, damage


def linked_result(sharing: Sharing = "bus") -> Result:
    """The pipelined schedule over shared links, where both transfers can go at once."""
    result = pipelined_result()
    assert result.schedule is not None
    problem = replace(result.problem, interconnect=replace(result.problem.interconnect, sharing=sharing))
    names = [problem.tensors[t] for t, *_ in transfers(problem, result.schedule.processor).rows()]
    starts = {"l0.out": 4, "l0.error": 15}
    return hand_result(problem, replace(result.schedule, transfers=np.array([starts[name] for name in names])))


def test_round_trip_over_shared_links() -> None:
    for sharing in ("bus", "ports", "pairs"):
        assert_round_trip(linked_result(sharing))
        assert recheck(result_from_json(linked_result(sharing).to_json())) == []
    document = json.loads(linked_result().to_json())
    assert document["problem"]["interconnect"]["sharing"] == "bus"
    assert document["schedule"]["transfers"] == [
        {"tensor": "l0.out", "copy": 0, "source": "p0", "target": "p1", "start_cycles": 4, "duration_cycles": 2},
        {"tensor": "l0.error", "copy": 0, "source": "p1", "target": "p0", "start_cycles": 15, "duration_cycles": 2},
    ]
    document["schedule"]["transfers"].reverse()
    assert result_from_json(json.dumps(document)).schedule == linked_result().schedule


def test_links_that_are_not_shared_leave_no_trace_in_the_document() -> None:
    """Files are what they were before links could be shared; a null says the same."""
    document = json.loads(pipelined_result().to_json())
    assert "transfers" not in document["schedule"]
    assert "sharing" not in document["problem"]["interconnect"]
    document["schedule"]["transfers"] = None
    document["problem"]["interconnect"]["sharing"] = "none"
    assert result_from_json(json.dumps(document)).to_json() == pipelined_result().to_json()


@pytest.mark.parametrize(
    ("path", "value", "where", "what"),
    [
        ("schedule.transfers.0.tensor", "q", "$.schedule.transfers[0].tensor", "unknown tensor 'q'"),
        ("schedule.transfers.0.source", "q", "$.schedule.transfers[0].source", "unknown processor 'q'"),
        ("schedule.transfers.0.target", "q", "$.schedule.transfers[0].target", "unknown processor 'q'"),
        ("schedule.transfers.0.target", "p0", "$.schedule.transfers[0]", "nothing sends 'l0.out', copy 0, from 'p0' to 'p0'"),
        ("schedule.transfers.0.copy", 1, "$.schedule.transfers[0]", "nothing sends 'l0.out', copy 1"),
        ("schedule.transfers.0.start_cycles", -1, "$.schedule.transfers[0].start_cycles", ">= 0"),
        ("schedule.transfers.0.start_cycles", 10**40, "$.schedule.transfers[0].start_cycles", str(MAX_INT)),
        ("schedule.transfers.0.start_cycles", 2.5, "$.schedule.transfers[0].start_cycles", "`float`"),
        ("schedule.transfers.0.duration_cycles", 3, "$.schedule.transfers[0].duration_cycles", "3, but 'l0.out' takes 2 cycles"),
        ("schedule.transfers.0.surprise", 1, "$.schedule.transfers[0]", "unknown field `surprise`"),
        ("schedule.transfers.1", ..., "$.schedule.transfers", "'l0.error', copy 0, from 'p1' to 'p0' is missing"),
        ("schedule.transfers", [], "$.schedule.transfers", "is missing (and 1 more)"),
        (
            "schedule.transfers.2",
            {"tensor": "l0.out", "copy": 0, "source": "p0", "target": "p1", "start_cycles": 9, "duration_cycles": 2},
            "$.schedule.transfers[2]",
            "there already",
        ),
        ("schedule.transfers", 4, "$.schedule.transfers", "got `int`"),
        ("problem.interconnect.sharing", "mesh", "$.problem.interconnect.sharing", "'mesh'"),
        ("problem.interconnect.sharing", "none", "$.schedule.transfers", "links are not shared"),
    ],
)
def test_damaged_transfers_are_named_with_their_path(path: str, value: Any, where: str, what: str) -> None:
    with pytest.raises(InputError) as caught:
        result_from_json(damage(path, value, linked_result()))
    assert str(caught.value).startswith(f"{where}: ")
    assert what in str(caught.value)


def test_a_schedule_without_its_transfers_is_read_and_refused_by_the_check() -> None:
    read = result_from_json(damage("schedule.transfers", ..., linked_result()))
    assert [violation.kind for violation in recheck(read)] == ["transfers"]
    late = result_from_json(damage("schedule.transfers.1.start_cycles", 16, linked_result()))
    assert "precedence" in {violation.kind for violation in recheck(late)}
