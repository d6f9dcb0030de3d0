"""The pipelines against makespans and memories that the published schedulers' own orders give."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path

import pytest

from spikepipe_sched import Problem, solve
from spikepipe_sched.readers.pipeline import Pipeline, Placement

#: Solver: the tool and variant whose order it is, or whose limit on activations it respects.
FIXED = {
    "gpipe": ("torch-2.13", "GPipe"),
    "1f1b": ("zero-bubble", "1f1b"),
    "interleaved": ("torch-2.13", "Interleaved1F1B"),
    "interleaved-zb": ("torch-2.13", "InterleavedZeroBubble"),
    "dualpipev": ("torch-2.13", "DualPipeV"),
}
GREEDY = {
    "zb-h1": ("zero-bubble", "zb_h1(mem=1F1B)"),
    "zb-h2": ("zero-bubble", "zb_h2(mem=2x)"),
    "zb-v": ("zero-bubble", "zbv"),
}
#: The published heuristic stops with an error on these, whose memory is twice that of 1F1B.
WITHOUT = {("zb-h2", "unb_p4_m8_c0"), ("zb-h2", "unb_p4_m8_c1")}
PLACEMENT: dict[str, Placement] = {"interleaved": "interleaved", "interleaved-zb": "interleaved", "dualpipev": "v", "zb-v": "v"}
NAMES = [(stages, m, transfer) for stages in ("bal_p4", "unb_p4") for m in (8, 16, 32) for transfer in (0, 1)]

pytestmark = pytest.mark.reference


def published(folder: Path, name: str, tool: str, variant: str) -> tuple[int, float, float] | None:
    """Chunks, makespan and peak activations, in cycles and activations of whole stages."""
    with (folder / "pipelines.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["problem"], row["tool"], row["variant"]) == (name, tool, variant)]
    return (int(rows[0]["chunks_per_stage"]), float(rows[0]["makespan"]), float(rows[0]["peak_activations"])) if rows else None


def problem(folder: Path, stages: str, m: int, transfer: int, solver: str) -> Problem:
    """As the scheduler has it: chunks of half a stage where it has two."""
    costs = tomllib.loads((folder / "pipelines.toml").read_text())[stages]
    placement: Placement = PLACEMENT.get(solver, "stages")
    chunks = 1 if placement == "stages" else 2
    columns = [tuple(costs[kind]) for kind in "FBW"]
    return Pipeline.of_stages(stages, *columns, micro_batches=m, transfer_cycles=transfer, placement=placement, chunks=chunks).problem()


@pytest.mark.parametrize(("stages", "m", "transfer"), NAMES)
@pytest.mark.parametrize("solver", FIXED)
def test_a_fixed_order_has_the_published_length_and_memory(reference_data: Path, solver: str, stages: str, m: int, transfer: int) -> None:
    """To the cycle, and to the activation."""
    found = solve(problem(reference_data, stages, m, transfer, solver), solver)
    expected = published(reference_data, f"{stages}_m{m}_c{transfer}", *FIXED[solver])
    assert found.objective is not None
    assert found.metrics is not None
    assert expected is not None
    chunks, makespan, peak = expected
    assert (found.objective, max(found.metrics.peak_memory_bytes)) == (makespan * chunks, peak * chunks)


@pytest.mark.parametrize(("stages", "m", "transfer"), NAMES)
@pytest.mark.parametrize("solver", GREEDY)
def test_zero_bubble_is_never_worse_than_published(reference_data: Path, solver: str, stages: str, m: int, transfer: int) -> None:
    """With no more activations: those of the published heuristic lose half their weight after B, here none."""
    name = f"{stages}_m{m}_c{transfer}"
    found = solve(problem(reference_data, stages, m, transfer, solver), solver)
    expected = published(reference_data, name, *GREEDY[solver])
    assert found.objective is not None
    assert found.metrics is not None
    if expected is None:
        assert (solver, name) in WITHOUT
        assert found.gap == 0
        return
    chunks, makespan, peak = expected
    assert found.objective <= makespan * chunks
    assert max(found.metrics.peak_memory_bytes) <= peak * chunks


@pytest.mark.parametrize(
    ("solver", "m", "best"),
    [("zb-h1", 8, 39), ("zb-h1", 16, 71), ("zb-h2", 8, 30), ("zb-h2", 16, 54)],
)
def test_zero_bubble_meets_the_proven_optimum(reference_data: Path, solver: str, m: int, best: int) -> None:
    """Equal stages and a transfer of a cycle, with 4 and 7 activations: the published heuristic has 41, 71, 30 and 57."""
    assert solve(problem(reference_data, "bal_p4", m, 1, solver), solver).objective == best
