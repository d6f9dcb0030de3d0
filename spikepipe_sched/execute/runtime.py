"""PyTorch's pipeline runtime: the one place where parts of torch that are not public are used.

``_PipelineScheduleRuntime`` of torch.distributed.pipelining.schedules, with its method ``_load_csv``, is
what executes a schedule file; there is no public way to it. It is as PyTorch 2.13 has it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.pipelining import PipelineStage
from torch.nn.functional import cross_entropy

from spikepipe_sched.execute.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from spikepipe_sched.execute.plan import Plan
    from spikepipe_sched.layer import Shape


class Clock:
    """When every action of a row begins and ends, and how long it is made to take.

    Parameters
    ----------
    times
        (rows, actions, 2) Start and end [s] of `time.monotonic`, which all processes of a machine share;
        a file that all of them see.
    seconds_per_cycle
        What a cycle is emulated by; 0: nothing is.
    """

    def __init__(self, plan: Plan, row: int, times: NDArray[np.float64], seconds_per_cycle: float) -> None:
        self._times, self._row, self._scale, self._costs = times, row, seconds_per_cycle, plan.costs[row]
        self._place = {(action.stage, action.kind, action.chunk): place for place, action in enumerate(plan.rows.rows[row])}

    def run(self, stage: int, kind: str, chunk: int, work: Callable[[], Any]) -> Any:
        """Do an action's work: once its inputs would have arrived, and for as long as its cycles last."""
        place = self._place[stage, kind, chunk]
        cost = self._costs[place]
        if self._scale:
            for row, other, transfer in cost.waits:
                _sleep_until(self._times[row, other, 1] + transfer * self._scale)
        start = time.monotonic()
        done = work()
        _sleep_until(start + cost.cycles * self._scale)
        self._times[self._row, place] = start, time.monotonic()
        return done


def _sleep_until(moment: float) -> None:
    left = moment - time.monotonic()
    if left > 0:
        time.sleep(left)


class TimedStage(PipelineStage):
    """A stage that tells its module which chunk comes, and a clock what it does."""

    def __init__(self, module: Stage, index: int, stages: int, *, ends: tuple[Tensor, Tensor]) -> None:
        super().__init__(module, index, stages, torch.device("cpu"), input_args=ends[0], output_args=ends[1])
        self.module, self.clock = module, None

    clock: Clock | None

    def forward_one_chunk(self, fwd_chunk_id: int, *args: Any, **kwargs: Any) -> Any:
        """F."""
        self.module.chunk = fwd_chunk_id
        return self._timed("F", fwd_chunk_id, lambda: PipelineStage.forward_one_chunk(self, fwd_chunk_id, *args, **kwargs))

    def backward_one_chunk(self, bwd_chunk_id: int, loss: Any = None, full_backward: bool = True, last_backward: bool = False) -> None:
        """I, or B if it is ``full_backward``."""
        kind = "B" if full_backward else "I"
        self._timed(kind, bwd_chunk_id, lambda: PipelineStage.backward_one_chunk(self, bwd_chunk_id, loss, full_backward, last_backward))
        if bwd_chunk_id in self.bwd_cache:  # what is sent must lie in one piece, which the gradient of a convolution does not
            self.bwd_cache[bwd_chunk_id] = tuple(None if gradient is None else gradient.contiguous() for gradient in self.bwd_cache[bwd_chunk_id])

    def backward_weight_one_chunk(self, bwd_chunk_id: int, last_backward: bool = False) -> None:
        """W."""
        self._timed("W", bwd_chunk_id, lambda: PipelineStage.backward_weight_one_chunk(self, bwd_chunk_id, last_backward))

    def _timed(self, kind: str, chunk: int, work: Callable[[], Any]) -> Any:
        return work() if self.clock is None else self.clock.run(self.stage_index, kind, chunk, work)


def build_runtime(plan: Plan, modules: dict[int, Stage], schedule: Path) -> tuple[Any, list[TimedStage]]:
    """The runtime of a process and its stages.

    Parameters
    ----------
    modules
        By stage.
    schedule
        The CSV file.
    """
    from torch.distributed.pipelining.schedules import _PipelineScheduleRuntime

    stages = [TimedStage(module, index, len(plan.stages), ends=_ends(plan, index)) for index, module in sorted(modules.items())]
    values = plan.steps(-1) * plan.samples * plan.rows.micro_batches

    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        """The share of a chunk in the loss ``step``, a mean over all steps and samples."""
        return cross_entropy(outputs.flatten(0, 1), labels.repeat(len(outputs)), reduction="sum") / values

    runtime = _PipelineScheduleRuntime(stages, plan.rows.chunks, loss_fn=loss, scale_grads=False)
    runtime._load_csv(str(schedule), "compute_only")  # noqa: SLF001
    return runtime, stages


def _ends(plan: Plan, stage: int) -> tuple[Tensor, Tensor]:
    """Tensors like a chunk of a stage's inputs and outputs, which torch then need not infer by a trial run."""
    network, shapes = plan.network, plan.network.shapes()

    def chunk(steps: int, shape: Shape, *, learns: bool) -> Tensor:
        return torch.empty(steps // plan.rows.windows, plan.samples, *shape, dtype=torch.float64, requires_grad=learns)

    last = plan.stages[stage][-1]
    outputs = chunk(plan.steps(stage), shapes[last.name], learns=True)
    if stage == 0:
        return chunk(network.time_steps, network.input_shape, learns=False), outputs
    before = plan.stages[stage - 1][-1]
    return chunk(plan.steps(stage - 1), shapes[before.name], learns=True), outputs
