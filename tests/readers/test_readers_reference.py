"""The field's own instances, with their published sizes and optimal lengths."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from spikepipe_sched import Problem, load_problem, solve

pytestmark = pytest.mark.reference


def rows(data: Path, folder: str) -> Iterator[tuple[Problem, dict[str, str]]]:
    """Every published optimum and its problem."""
    with (data / folder / "optima.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield load_problem(data / folder / row["file"], processors=int(row["processors"])), row


def test_dot_graphs_have_their_published_sizes_and_processors(reference_data):
    found = 0
    for problem, row in rows(reference_data, "sinnen"):
        sizes = len(problem.tasks.names), len(problem.edges.source)
        assert sizes == (int(row["tasks"]), int(row["edges"])), row["file"]
        assert len(load_problem(reference_data / "sinnen" / row["file"]).processors) == int(row["processors"]), row["file"]
        found += 1
    assert found == len(list((reference_data / "sinnen").glob("*.dot")))


def test_standard_task_graphs_have_the_sizes_that_their_comments_state(reference_data):
    for path in sorted((reference_data / "stg").glob("*.stg")):
        text, problem = path.read_text(encoding="utf-8"), load_problem(path, processors=2)
        tasks = re.search(r"Tasks +: (\d+) \(\+dummy tasks : (\d+)\)", text)
        edges = re.search(r"Edges +: (\d+) / \d+ \(\+dummy edges : (\d+)\)", text)
        assert tasks is not None
        assert len(problem.tasks.names) == int(tasks[1]) + int(tasks[2]), path.name
        if edges is not None:
            assert len(problem.edges.source) == int(edges[1]) + int(edges[2]), path.name
        length = re.search(r"CP Length +: (\d+)", text)
        assert length is not None
        unlimited = load_problem(path, processors=len(problem.tasks.names))
        assert solve(unlimited, "list").objective == int(length[1]), path.name


@pytest.mark.parametrize("folder", ["stg", "sinnen"])
def test_no_list_schedule_is_shorter_than_the_published_optimum(reference_data, folder):
    for problem, row in rows(reference_data, folder):
        result = solve(problem, "list")
        assert result.objective is not None
        assert result.objective >= int(row["optimal_length"]), row["file"]


@pytest.mark.parametrize(
    ("folder", "file", "processors"),
    [
        ("stg", "rand0009.stg", 2),
        ("sinnen", "Join_Nodes_10_CCR_10.02_WeightType_Random_2_Homogeneous-2.dot", 2),
        ("sinnen", "Stencil_Nodes_10_CCR_9.98_WeightType_Random_GB_Homogeneous-4.dot", 4),
    ],
)
def test_auto_finds_the_published_optimum(reference_data, folder, file, processors):
    (problem, row) = next((problem, row) for problem, row in rows(reference_data, folder) if (row["file"], int(row["processors"])) == (file, processors))
    assert solve(problem, "auto", deterministic_limit=10.0, workers=1).objective == int(row["optimal_length"])
