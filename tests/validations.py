"""Validations as they could come out of training, made without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from spikepipe_sched.validation import DELAYED, SYNCHRONOUS, DataSummary, TrainedRun, TuningPoint, Validation, ValidationSetup, Verdict
from spikepipe_sched.versions import WeightDelays


def trained(arm: str, seed: int, *accuracies: float, diverged: bool = False) -> TrainedRun:
    losses = tuple(1 / (epoch + 1) for epoch in range(len(accuracies) - diverged))
    return TrainedRun(
        arm=arm,
        seed=seed,
        rate=0.002,
        losses=losses,
        accuracies=accuracies,
        diverged_epoch=len(accuracies) if diverged else None,
        samples=1000,
        seconds=0.5,
    )


def made(**changed: Any) -> Validation:
    """Two seeds, three epochs, tuned; two points lost."""
    verdict = Verdict(
        outcome="degraded", reason="by 2.00 points (1.50 to 2.50), more than 1", differences=(-1.5, -2.5), mean=-2.0, std=0.7, low=-2.5, high=-1.5
    )
    runs = (
        trained(SYNCHRONOUS, 0, 0.5, 0.8, 0.9),
        trained(DELAYED, 0, 0.4, 0.7, 0.885),
        trained(SYNCHRONOUS, 1, 0.55, 0.85, 0.92),
        trained(DELAYED, 1, 0.3, 0.7, 0.895),
    )
    tuning = (
        TuningPoint(arm=DELAYED, rate=0.002, accuracies=(0.9, 0.8), diverged=0, chosen=True),
        TuningPoint(arm=DELAYED, rate=0.006, accuracies=(0.1, 0.1), diverged=2, chosen=False),
    )
    whole = Validation(
        problem="net on four",
        network="net",
        data=DataSummary(name="digits", source="UCI", coding="direct", classes=10, train_samples=1438, test_samples=359, chance=0.103),
        delays=WeightDelays(layers=("fc1", "fc2"), forward=(4, 1), backward=(2, 1)),
        setup=ValidationSetup(epochs=3, seeds=2, policy="latest", batch=16, tune=True),
        updates=267,
        same=False,
        runs=runs,
        tuning=tuning,
        verdict=verdict,
        notes=("mind the gap",),
        version="1.0",
        torch_version="2.13.0",
        runtime_s=12.345,
    )
    return replace(whole, **changed)
