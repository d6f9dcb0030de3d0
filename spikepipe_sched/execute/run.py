"""Executes schedules and compares: gradients with the network in one piece, order and times with the schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spikepipe_sched.check import durations
from spikepipe_sched.errors import require
from spikepipe_sched.execute.execution import FLOOR, Execution, Gradients, Ran
from spikepipe_sched.execute.plan import Plan
from spikepipe_sched.execute.session import Session, arranged
from spikepipe_sched.validate.data import load_data
from spikepipe_sched.validate.losses import loss
from spikepipe_sched.validate.model import Model
from spikepipe_sched.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spikepipe_sched.execute.rank import Done
    from spikepipe_sched.result import Result
    from spikepipe_sched.validate.parameters import Weights


def run_all(
    results: Sequence[Result], plans: Sequence[Plan], *, emulate_s: float | None, runs: int, data: str | None, data_path: Path | None, timeout_s: float
) -> list[Execution]:
    """See `spikepipe_sched.execute.execute_many`."""
    longest = max(_last(plan.earliest()) for plan in plans)
    require(emulate_s is None or longest, "run-torch: all tasks take 0 cycles, and there is no time to emulate; leave out --emulate")
    scale = 0.0 if emulate_s is None else emulate_s / longest
    wanted = [_in_one_piece(plan, data, data_path) for plan in plans]  # which finds out what does not fit before a process is started
    found: list[Execution] = []
    with Session(len(plans[0].rows.rows), timeout_s=timeout_s) as session:
        for result, plan, (inputs, labels, reference, weights) in zip(results, plans, wanted, strict=True):
            done = session.run(plan, *arranged(plan, inputs, labels), runs=runs, seconds_per_cycle=scale)
            found.append(_execution(result, plan, done, _compared(done, reference, weights), scale))
    return found


def _in_one_piece(plan: Plan, data: str | None, data_path: Path | None) -> tuple[NDArray[Any], NDArray[Any], float, Weights]:
    """Inputs (T, samples, *shape), labels, the loss, and the weights with their gradients."""
    rows, network = plan.rows, plan.network
    model = Model(network, plan.neurons, bptt_steps=plan.bptt_steps, windows=rows.windows, micro_batches=rows.micro_batches, dtype=torch.float64)
    samples = plan.samples * rows.micro_batches
    inputs, labels = _drawn(plan, samples, model.classes) if data is None else _loaded(plan, samples, model.classes, data, data_path)
    weights = model.initial(plan.seed)
    for values in weights.values():
        for value in values.values():
            value.requires_grad_()
    found = loss("step", model.forward(inputs, weights, training=True), labels)
    found.backward()
    return inputs.numpy(), labels.numpy(), found.item(), weights


def _drawn(plan: Plan, samples: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Every other spike, or real values from 0 to 1, and any classes."""
    generator = torch.Generator().manual_seed(plan.seed)
    inputs = torch.rand((plan.network.time_steps, samples, *plan.network.input_shape), generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (samples,), generator=generator)
    return (inputs.round() if plan.network.coding == "spikes" else inputs), labels


def _loaded(plan: Plan, samples: int, classes: int, name: str, path: Path | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The first training samples of a data set."""
    require(not plan.stand_in, f"run-torch: there is no network to show the data '{name}' to; leave out --data")
    network = plan.network
    data = load_data(name, path=path, time_steps=network.time_steps, shape=network.input_shape)
    require(data.classes == classes, f"run-torch: network '{network.name}' has {classes} outputs, data '{name}' have {data.classes} classes")
    require(
        len(data.train) >= samples,
        f"run-torch: data '{name}' have {len(data.train)} training samples, the schedule takes {samples}; solve with a smaller batch",
    )
    chosen = torch.arange(samples)
    inputs = data.train.batch(chosen, torch.Generator().manual_seed(plan.seed)).to(torch.float64)
    return inputs, data.train.labels[chosen]


def _compared(done: Sequence[Done], reference_loss: float, weights: Weights) -> Gradients:
    found = {(layer, key): value for each in done for layer, values in each.gradients.items() for key, value in values.items()}
    wanted = {layer: {key: value.grad.numpy() for key, value in values.items() if value.grad is not None} for layer, values in weights.items()}
    scales = {layer: max((float(np.abs(value).max()) for value in values.values()), default=0.0) for layer, values in wanted.items()}
    errors = {layer: max((_apart(found[layer, key], value) for key, value in values.items()), default=0.0) for layer, values in wanted.items()}
    largest = float(np.max(list(scales.values())))
    least = float(np.fmax(FLOOR * largest, np.finfo(np.float64).tiny))
    (sent,) = (each.loss for each in done if each.loss is not None)
    return Gradients(
        loss=sent,
        reference_loss=reference_loss,
        largest=largest,
        error=max(errors.values()),
        relative_error=max(error if np.isinf(error) else error / max(scales[layer], least) for layer, error in errors.items()),
        silent=tuple(layer for layer, scale in scales.items() if not scale and not errors[layer]),
    )


def _apart(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Largest difference; infinite if it, or what is compared, is no number."""
    return float(np.abs(one - other).max()) if np.isfinite(one).all() and np.isfinite(other).all() else np.inf


def _execution(result: Result, plan: Plan, done: Sequence[Done], gradients: Gradients, scale: float) -> Execution:
    problem, schedule, rows = result.problem, result.schedule, plan.rows
    assert schedule is not None
    runs = len(done[0].times)
    origins = [min(each.times[run, :, 0].min() for each in done) for run in range(runs)]
    ends = [max(each.times[run, :, 1].max() for each in done) for run in range(runs)]
    earliest = plan.earliest()
    passes = [v for row in rows.rows for action in row for v in action.copies]
    return Execution(
        problem=problem.name,
        network=plan.network.name,
        stand_in=plan.stand_in,
        processors=tuple(problem.processors[p].name for p in rows.processors),
        windows=rows.windows,
        micro_batches=rows.micro_batches,
        samples=plan.samples,
        seed=plan.seed,
        schedule_cycles=int((schedule.start + durations(problem, schedule))[passes].max()),
        order_cycles=_last(earliest),
        moved=rows.moved,
        seconds_per_cycle=scale,
        runs_s=tuple(float(end - origin) for origin, end in zip(origins, ends, strict=True)),
        in_order=all(_in_order(plan, [each.times[run] for each in done]) for run in range(runs)),
        gradients=gradients,
        actions=tuple(
            Ran(
                row=row,
                name=str(action),
                layer=rows.layers[action.stage],
                start_cycles=earliest[row][place][0],
                end_cycles=earliest[row][place][1],
                starts_s=tuple(float(done[row].times[run, place, 0] - origins[run]) for run in range(runs)),
                ends_s=tuple(float(done[row].times[run, place, 1] - origins[run]) for run in range(runs)),
            )
            for row, actions in enumerate(rows.rows)
            for place, action in enumerate(actions)
        ),
        torch_version=str(torch.__version__),
        version=__version__,
    )


def _last(earliest: list[list[tuple[int, int]]]) -> int:
    return max(end for row in earliest for _, end in row)


def _in_order(plan: Plan, times: Sequence[NDArray[np.float64]]) -> bool:
    """Whether what was recorded keeps the rows, and what waits for another row."""
    within = all((row[:, 0] > 0).all() and (row[1:, 0] >= row[:-1, 1]).all() for row in times)
    return within and all(
        times[row][place, 0] >= times[other][before, 1]
        for row, costs in enumerate(plan.costs)
        for place, cost in enumerate(costs)
        for other, before, _ in cost.waits
    )
