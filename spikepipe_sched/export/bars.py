"""What every drawing shares: the bars of a schedule, and how kinds of task look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spikepipe_sched.check import durations
from spikepipe_sched.errors import InputError

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result
    from spikepipe_sched.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Colour (Okabe and Ito's palette, told apart by colour-blind readers) and text cell of a kind of task."""

    label: str
    colour: str
    cell: str


OTHER: Final = ""
#: In the order of the legend; kinds of users' own graphs that are not listed look like `OTHER`.
LOOKS: Final[Mapping[str, Look]] = {
    "F": Look(label="F forward", colour="#0072B2", cell="█"),
    "E": Look(label="E error", colour="#CC79A7", cell="▚"),
    "B": Look(label="B activation gradient", colour="#E69F00", cell="▓"),
    "W": Look(label="W weight gradient", colour="#009E73", cell="▒"),
    "U": Look(label="U weight update", colour="#D55E00", cell="░"),
    OTHER: Look(label="task", colour="#56B4E9", cell="■"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One run of one task: iteration, processor (index), start and end [cycles]."""

    task: int
    copy: int
    iteration: int
    processor: int
    kind: str
    start: int
    end: int


def drawable(result: Result) -> tuple[Problem, Schedule]:
    """Problem and schedule of a result.

    Raises
    ------
    InputError
        If it has no schedule.
    """
    if result.schedule is None:
        raise InputError(f"the result has no schedule to draw (status: {result.status})")
    return result.problem, result.schedule


def kinds_present(problem: Problem) -> tuple[str, ...]:
    """Kinds of task in the problem, in the order of the legend."""
    kinds = {kind if kind in LOOKS else OTHER for kind in problem.tasks.kinds}
    return tuple(kind for kind in LOOKS if kind in kinds)


def bars(result: Result, periods: int = 1) -> list[Bar]:
    """The runs of all copies in the first ``periods`` periods; all of them in finite mode."""
    problem, schedule = drawable(result)
    instance, cycles = problem.instance, durations(problem, schedule).tolist()
    rows = list(zip(instance.task.tolist(), instance.copy.tolist(), schedule.processor.tolist(), schedule.start.tolist(), cycles, strict=True))
    drawn: list[Bar] = []
    for q in range(periods if schedule.period is not None else 1):
        shift = q * (schedule.period or 0)
        for task, copy, processor, start, duration in rows:
            kind = problem.tasks.kinds[task]
            drawn.append(
                Bar(
                    task=task,
                    copy=copy,
                    iteration=q * problem.unroll + copy,
                    processor=processor,
                    kind=kind if kind in LOOKS else OTHER,
                    start=start + shift,
                    end=start + shift + duration,
                )
            )
    return drawn


def folded(result: Result) -> list[Bar]:
    """The bars of one steady-state period [0, period); what crosses its end is cut in two.

    In finite mode all bars as they are.
    """
    _, schedule = drawable(result)
    period = schedule.period
    if period is None:
        return bars(result)
    pieces: list[Bar] = []
    for bar in bars(result):
        begin = bar.start % period
        end = begin + bar.end - bar.start
        spans = [(begin, min(end, period))] + ([(0, end - period)] if end > period else [])
        for first, last in spans:
            pieces.append(Bar(task=bar.task, copy=bar.copy, iteration=bar.iteration, processor=bar.processor, kind=bar.kind, start=first, end=last))
    return pieces


def iteration_word(problem: Problem) -> str:
    """What an iteration is called in this mode."""
    return "iteration" if problem.mode == "periodic" else "micro-batch"


def plain(text: str) -> str:
    """``text`` without characters that could steer a terminal or break a line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
