"""What every drawing shares: the bars of a schedule, and how kinds of task look."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from spikepipe_sched.check import durations
from spikepipe_sched.errors import InputError

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result
    from spikepipe_sched.schedule import Schedule


#: Okabe and Ito's, told apart by colour-blind readers.
PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = PALETTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Colour and text cell of a kind of task."""

    label: str
    colour: str
    cell: str


OTHER: Final = ""
#: In the order of the legend; kinds of users' own graphs that are not listed look like `OTHER`.
LOOKS: Final[Mapping[str, Look]] = {
    "F": Look(label="F forward", colour=BLUE, cell="█"),
    "E": Look(label="E error", colour=PURPLE, cell="▚"),
    "B": Look(label="B activation gradient", colour=ORANGE, cell="▓"),
    "W": Look(label="W weight gradient", colour=GREEN, cell="▒"),
    "U": Look(label="U weight update", colour=VERMILION, cell="░"),
    OTHER: Look(label="task", colour=SKY, cell="■"),
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


def length_cycles(result: Result) -> int:
    """The period, or the end of a finite run; at least 1."""
    problem, schedule = drawable(result)
    return schedule.period if schedule.period is not None else max(1, int((schedule.start + durations(problem, schedule)).max()))


def window(result: Result, length: int) -> list[Bar]:
    """The runs that touch the first ``length`` cycles: of steady state, or of a finite run.

    Steady state begins with the first period by which everything has started; its first cycle is
    cycle 0 here, so that what runs into it starts below 0.
    """
    _, schedule = drawable(result)
    period = schedule.period
    if period is None:
        return [bar for bar in bars(result) if bar.start < length]
    steady = int(schedule.start.max()) // period + 1
    found: list[Bar] = []
    for bar in bars(result):
        stage, phase = divmod(bar.start, period)
        for q in range(-1, -(-(length - phase) // period)):  # no run is longer than a period
            begin = phase + q * period
            end = begin + bar.end - bar.start
            if begin >= 0 or end > 0:
                found.append(replace(bar, iteration=bar.iteration + (steady + q - stage) * result.problem.unroll, start=begin, end=end))
    return found


def clipped(some: Iterable[Bar], length: int) -> list[Bar]:
    """What of the bars lies in [0, length)."""
    return [replace(bar, start=max(0, bar.start), end=min(length, bar.end)) for bar in some]


def drawn_cycles(results: Iterable[Result], most: int) -> int:
    """How many cycles of some schedules to draw on one axis: as many as the longest has, fewer where they hold more than ``most`` bars."""
    some = list(results)

    def count(length: int) -> int:
        """Bars that `window` makes of all."""
        total = 0
        for result in some:
            problem, schedule = drawable(result)
            period = schedule.period
            if period is None:
                total += int((schedule.start < length).sum())
            else:
                phase = schedule.start % period
                total += int(np.maximum(0, -(-(length - phase) // period)).sum()) + int((phase + durations(problem, schedule) > period).sum())
        return total

    longest = max(length_cycles(result) for result in some)
    return max(1, bisect_right(range(1, longest + 1), most, key=count))


def processor_labels(problem: Problem) -> list[str]:
    """What each processor is called in a drawing: with its class, where they are not all of one."""
    classes = [problem.classes[p.kind] for p in problem.processors]
    several = len(set(classes)) > 1
    return [f"{p.name} {kind}" if several and kind != p.name else p.name for p, kind in zip(problem.processors, classes, strict=True)]


def iteration_word(problem: Problem) -> str:
    """What an iteration is called in this mode."""
    return "iteration" if problem.mode == "periodic" else "micro-batch"


def contrast(one: str, other: str) -> float:
    """How far apart two colours (#rrggbb) are in luminance, from 1 to 21 (Web Content Accessibility Guidelines 2.2, contrast ratio)."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def text_colour(ground: str) -> str:
    """Black or white, whichever is easier to read on ``ground``."""
    return max("#000000", "#ffffff", key=lambda ink: contrast(ink, ground))


def plain(text: str) -> str:
    """``text`` without characters that could steer a terminal or break a line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
