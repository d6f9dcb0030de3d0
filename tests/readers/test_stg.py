"""Standard Task Graphs: what is in them, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spikepipe_sched import InputError, Problem, load_problem, solve
from tests.readers.samples import PROTOTYPE, STG, shape


def read(folder: Path, text: str, processors: int = 2, **options: Any) -> Problem:
    path = folder / "x.stg"
    path.write_text(text, encoding="utf-8", newline="")
    return load_problem(path, processors=processors, **options)


def test_tasks_dummies_and_edges_are_read_as_they_stand(tmp_path):
    problem = read(tmp_path, STG)
    tasks, edges = shape(problem)
    assert tasks == {"0": [0], "1": [3], "2": [5], "3": [2], "4": [4], "5": [0]}
    waits = [("0", "1"), ("0", "2"), ("1", "3"), ("2", "3"), ("2", "4"), ("3", "5"), ("4", "5")]
    assert edges == dict.fromkeys(waits, (0, 0, 0))
    assert (problem.name, problem.mode, problem.micro_batches, len(problem.processors), problem.objective) == ("x", "finite", 1, 2, ("makespan",))


def test_the_optimum_is_that_of_the_tasks_without_the_dummies(tmp_path):
    """Tasks 2 and 4 in a row take 9 cycles; 1 and 3 fit beside them on the second processor."""
    assert [solve(read(tmp_path, STG, processors=p), "cpsat", deterministic_limit=2.0, workers=1).objective for p in (1, 2)] == [14, 9]


def test_a_file_of_the_prototype_set_brings_its_processors(tmp_path):
    path = tmp_path / "proto.stg"
    path.write_text(PROTOTYPE)
    problem = load_problem(path)
    assert len(problem.processors) == 2
    assert shape(problem)[0] == {"1": [3], "2": [5], "3": [2], "4": [0]}
    assert len(load_problem(path, processors=7).processors) == 7


def test_the_graph_may_run_several_times(tmp_path):
    assert read(tmp_path, STG, micro_batches=3).instance.size == 18


@pytest.mark.parametrize("text", [STG.replace("\n", "\r\n"), "\ufeff" + STG, STG.rstrip("\n"), "\n# first\n" + STG])
def test_line_ends_marks_and_blank_lines_make_no_difference(tmp_path, text):
    assert shape(read(tmp_path, text)) == shape(read(tmp_path, STG))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ": it is empty"),
        ("two\n", ":1: the number of tasks must be a whole number"),
        ("1 2 3\n", ":1: expected the number of tasks alone"),
        ("1 5000\n1 1 0\n2 0 1 1\n", ":1: the number of processors must be at most 4096"),
        ("1\n0 0 0\n1 5\n2 0 1 1\n", ":3: expected a task's number"),
        ("1\n0 0 0\n1 5.5 1 0\n2 0 1 1\n", ":3: its cycles must be a whole number from 0 to 2^42, got '5.5'"),
        ("1\n0 0 0\n1 -5 1 0\n2 0 1 1\n", ":3: its cycles must be"),
        ("1\n0 0 0\n1 99999999999999 1 0\n2 0 1 1\n", ":3: its cycles must be"),
        ("1\n0 0 0\n1 5 2 0\n2 0 1 1\n", ":3: task 1 waits for 2 tasks, but 1 numbers follow"),
        ("1\n0 0 0\n1 5 1 0\n2 0 1 7\n", ":4: task 2 waits for 7, which is no task: they are numbered 0 to 2"),
        ("1\n0 0 0\n1 5 1 1\n2 0 1 1\n", ":3: task 1 waits for itself"),
        ("1\n0 0 0\n1 5 2 0 0\n2 0 1 1\n", ":3: task 1 waits for the same task twice"),
        ("1\n0 0 0\n1 5 1 0\n1 5 1 0\n", ":4: task 1 stands twice"),
        ("1\n0 0 0\n1 5 1 0\n3 0 1 1\n", ":4: there is no task 3"),
        ("1\n0 0 0\n1 5 1 0\n", ":3: the file ends after 2 tasks; 3 were announced"),
        ("1 2\n1 5 0\n", ":2: the file ends after 1 tasks; 2 were announced: 1, and the one that ends the graph"),
        ("1\n0 0 0\n1 5 1 2\n2 0 1 1\n", ": tasks wait for each other in a circle: "),
        ("1\n0 0 0\n1 5 1 0 4\n2 0 1 1 0\n", ":3: 2 numbers follow for 1 tasks: graphs with costs of communication are not read"),
    ],
)
def test_damage_is_one_line_with_file_and_line(tmp_path, text, says):
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'x.stg'}{says}")
    assert "\n" not in str(caught.value)


def test_the_number_of_processors_has_to_be_given(tmp_path):
    path = tmp_path / "x.stg"
    path.write_text(STG)
    with pytest.raises(InputError, match=r"x\.stg: the file does not say on how many processors"):
        load_problem(path)
