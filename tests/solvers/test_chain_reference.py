"""`auto` against published schedules with the same placement and memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikepipe_sched import solve
from spikepipe_sched.readers.pipeline import Pipeline
from tests.benchmarks.pipelines import SHORTEST, costs_of, peer_problems

pytestmark = pytest.mark.reference


def test_no_published_schedule_of_eight_micro_batches_and_equal_stages_is_shorter(reference_data: Path) -> None:
    """All placements and memories, but for V-Half without transfers, which takes more than the few seconds of a test."""
    for name, problem, peer in peer_problems(reference_data, (8,)):
        if name.startswith("bal") and not name.endswith("transfer 0 v            3.0 activations"):
            result = solve(problem, "auto", deterministic_limit=2.0)
            assert result.objective is not None, name
            assert result.objective <= peer, name


@pytest.mark.parametrize(
    ("stages", "micro_batches", "transfer", "memory", "best"),
    [(4, 8, 1, 4, 39), (4, 16, 1, 8, 54), (8, 8, 1, 8, 45), (8, 16, 1, 8, 83)],
)
def test_memory_limited_optima_are_proven(reference_data: Path, stages: int, micro_batches: int, transfer: int, memory: int, best: int) -> None:
    """Published: 41, 56, 45 and 89."""
    costs = [part * (stages // 4) for part in costs_of(reference_data, "bal_p4")]
    pipeline = Pipeline.of_stages("equal", *costs, micro_batches=micro_batches, transfer_cycles=transfer, memory=memory)
    result = solve(pipeline.problem(objective=SHORTEST), "auto", deterministic_limit=4.0)
    assert (result.status, result.objective) == ("optimal", best)


@pytest.mark.parametrize(("transfer", "published"), [(0, 515), (1, 517)])
def test_layers_placed_freely_beat_the_best_cut_of_the_literature(reference_data: Path, transfer: int, published: int) -> None:
    """Sixteen layers in quarters of a stage: at least 8 % less."""
    costs = costs_of(reference_data, "unb_p4")
    pipeline = Pipeline.of_stages("free", *costs, micro_batches=8, transfer_cycles=transfer, placement="free", chunks=4)
    result = solve(pipeline.problem(objective=SHORTEST), "auto", deterministic_limit=4.0)
    assert result.objective is not None
    assert result.objective < 0.92 * published
