"""Rows of the experiment made by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from spikepipe_sched.study.accuracy import SUBSTITUTES, Trained
from spikepipe_sched.study.experiment import ARRAYS, BASELINE, NETWORKS, PROCESSORS, SOLVERS, AccuracySetup
from spikepipe_sched.study.measure import Detail, Measure, measures
from spikepipe_sched.study.outcome import Outcome
from spikepipe_sched.validation import Outcome as Said
from spikepipe_sched.validation import Verdict

LENGTH, TRAFFIC, BOUND, BUFFERS = 12_000, 1_000_000, 4_000, 100_000_000


def outcome(network: str = "vgg9", array: str = "32x32", processors: int = 4, solver: str = BASELINE, **changes: object) -> Outcome:
    """A row of a schedule; its problem's key follows from network, array and processors."""
    problem = f"{network} {array} {processors}"
    given: dict[str, object] = {
        "key": f"{problem} {solver}",
        "problem_key": problem,
        "network_key": f"network {network}",
        "network": network,
        "platform": "array32",
        "array": array,
        "processors": processors,
        "pes": 1024 * processors,
        "clock_hz": 500_000_000,
        "mode": "periodic",
        "windows": 1,
        "batch": 16,
        "micro_batches": 1,
        "unroll": 1,
        "weights": "stash",
        "solver": solver,
        "seed": 0,
        "status": "feasible",
        "objectives": 1,
        "objective": "period",
        "value": LENGTH,
        "bound": BOUND,
        "bound_source": "area",
        "gap": LENGTH / BOUND - 1,
        "length_cycles": LENGTH,
        "cycles_per_sample": LENGTH / 16,
        "total_delay": 3,
        "max_staleness": 1,
        "traffic_bytes": TRAFFIC,
        "overhead": 0.0,
        "memory_bytes": 10,
        "utilisation": 0.5,
        "samples_per_s": 1.0,
        "seconds": 0.1,
    }
    return Outcome(**(given | changes))  # pyright: ignore[reportArgumentType]


def grid(
    speedup: Callable[[Outcome], float] = lambda _: 1.0, overhead: Callable[[Outcome], float] = lambda _: 0.0, bound: int = BOUND, layers: int = 16
) -> tuple[Measure, ...]:
    """All rows of the full grid: ``speedup`` of every solver but the baseline, ``overhead`` as a share of ten times the baseline's traffic."""
    delays = tuple((f"fc{layer}", 1 + (layer == 1)) for layer in range(1, layers + 1))
    rows: list[Outcome] = []
    for network, array, processors, solver in product(NETWORKS, ARRAYS, PROCESSORS, SOLVERS):
        row = outcome(network, array, processors, solver, bound=bound)
        if solver != BASELINE:
            more = overhead(row)
            row = outcome(
                network,
                array,
                processors,
                solver,
                bound=bound,
                length_cycles=round(LENGTH / speedup(row)),
                overhead=more,
                traffic_bytes=round(TRAFFIC * (1 + 10 * more)),
            )
        rows.append(row)
    details = {row.key: Detail(delays=delays, crossing=(("errors", row.traffic_bytes or 0),), buffer_bytes=BUFFERS) for row in rows}
    return measures(rows, details)


def trained(low: Callable[[str], float] = lambda _: -0.4, high: Callable[[str], float] = lambda _: 0.3, said: Said = "no degradation") -> tuple[Trained, ...]:
    """All schedules of the full grid that are trained with; the interval of each network."""
    asked = AccuracySetup()
    return tuple(
        Trained(
            network=network,
            solver=solver,
            processors=processors,
            substitute=SUBSTITUTES[network],
            staleness=(1, 0),
            synchronous=(97.0, 98.0),
            delayed=(97.0, 97.9),
            verdict=Verdict(
                outcome=said, reason="made", differences=(0.0, -0.1), mean=(low(network) + high(network)) / 2, low=low(network), high=high(network)
            ),
        )
        for network, solver, processors in product(NETWORKS, asked.solvers, asked.processors)
    )
