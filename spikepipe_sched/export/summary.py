"""What a result says in a few lines."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from spikepipe_sched.cut import contiguous_cut, units
from spikepipe_sched.export.bars import iteration_word, plain
from spikepipe_sched.traffic import moved_bytes

if TYPE_CHECKING:
    from spikepipe_sched.check import Metrics
    from spikepipe_sched.cut import Cut
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result

UNITS: Final = {"period": "cycles", "makespan": "cycles", "delay": "iterations", "traffic": "bytes", "memory": "bytes"}
_LAYERS_SHOWN: Final = 24
#: The command line's options for limits, where it has one.
OPTIONS: Final = {
    "period_cycles": "--max-period",
    "makespan_cycles": "--max-makespan",
    "delay": "--max-delay",
    "traffic_bytes": "--max-traffic",
    "span_cycles": "--max-span",
    "memory_bytes": "--max-memory",
}


def summary_lines(result: Result) -> list[str]:
    """`summary_rows` as aligned lines of text."""
    rows = summary_rows(result)
    margin = max(len(label) for label, _ in rows)
    return [f"{label:<{margin}}  {text}" for label, text in rows]


def summary_rows(result: Result) -> list[tuple[str, str]]:
    """Label and text of every line of the summary.

    What a task graph cannot have is left out: multiply-accumulates where no task has any, traffic
    and memory where nothing is moved or kept, stages where there are no layers.
    """
    problem, figures = result.problem, result.metrics
    rows = [
        ("problem", f"{plain(problem.name)}: {_count(len(problem.tasks.names), 'task')} on {_count(len(problem.processors), 'processor')}, {_mode(problem)}")
    ]
    took = f"{result.provenance.runtime_s:.1f} s" + (", interrupted" if result.provenance.interrupted else "")
    winner = f" (schedule by {plain(result.provenance.winner)})" if result.provenance.winner else ""
    rows.append(("status", f"{result.status}; solver {plain(result.provenance.solver)}{winner}, seed {result.provenance.seed}, {took}"))
    if figures is None:
        return rows + _why_not(result)
    rows += _costs(problem)
    layered = bool((problem.tasks.layer >= 0).all())
    cut = contiguous_cut(problem) if layered else None
    rows.append(_length(problem, figures))
    rows += _objectives(result)
    rows += [_delays(figures)] if figures.delays else []
    rows += [_traffic(problem, figures, cut, layered)] if problem.tensor_bytes.any() else []
    rows.append(_utilisation(problem, figures))
    rows += [_memory(problem, figures)] if figures.memory_bytes else []
    rows += _over_stages(problem, figures, cut) if layered else _over_one(problem, figures)
    return rows + _warnings(figures)


def iterations_in(problem: Problem) -> int:
    """Iterations in one period, or in a finite run."""
    return problem.unroll if problem.mode == "periodic" else problem.micro_batches


def samples_per_second(problem: Problem, length_cycles: int) -> float | None:
    """Throughput at the platform's clock; None if the clock or the samples are unknown."""
    if problem.clock_hz is None or problem.samples_per_iteration is None or not length_cycles:
        return None
    return float(Fraction(problem.samples_per_iteration * iterations_in(problem) * problem.clock_hz, length_cycles))


def overhead(problem: Problem, traffic_bytes: int, cut: Cut | None) -> float | None:
    """(traffic - traffic of the contiguous stages) / bytes the tasks read and write, per iteration."""
    moved = moved_bytes(problem)
    if cut is None or not moved:
        return None
    # Both traffics are for iterations_in(problem), except that a cut knows no unrolling.
    base = Fraction(cut.traffic_bytes, problem.micro_batches)
    return float((Fraction(traffic_bytes, iterations_in(problem)) - base) / moved)


def speedup(problem: Problem, length_cycles: int, cut: Cut | None) -> float | None:
    """Largest load of the contiguous stages over the cycles per iteration (or the makespan)."""
    if cut is None or not length_cycles:
        return None
    return float(Fraction(cut.load_cycles * problem.unroll, length_cycles))


def percent(value: float | None) -> str:
    """A gap for people: two significant digits below one percent; above 1,000 % its size tells nothing but that the bound is weak. None is infinite."""
    if value is None:
        return "infinite"
    if value > 10:
        return "over 1,000 %"
    return f"{100 * value:.2g} %" if 0 < value < 0.01 else f"{100 * value:,.2f} %"


def signed_percent(value: float) -> str:
    """A difference, such as ``+1.20 %``; 0 has a plus."""
    return f"{100 * value:+z,.2f} %"


def points_text(value: float) -> str:
    """Of accuracy: ``1 point``, ``0.5 points``."""
    return f"{value:g} point{'' if value == 1 else 's'}"


def _mode(problem: Problem) -> str:
    if problem.mode == "periodic":
        unrolled = f", {problem.unroll} iterations per period" if problem.unroll > 1 else ""
        return f"periodic{unrolled}"
    return f"finite, {problem.micro_batches} micro-batch{'es' if problem.micro_batches > 1 else ''}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _why_not(result: Result) -> list[tuple[str, str]]:
    if result.infeasibility is None:
        return []
    why = result.infeasibility
    rows = [("demanded", plain(why.demanded)), ("bound", plain(why.bound))]
    rows += [("gap", percent(why.gap))] if why.gap is not None else []
    loosen = [f"{name} ({option})" if (option := _option(name)) else name for name in why.loosen]
    return rows + ([("loosen", plain(", ".join(loosen)))] if loosen else [])


def _option(limit: str) -> str | None:
    """The command line's option for a limit, if it has one."""
    return "--max-layer-delay or --max-staleness" if limit.startswith("delay of layer") else OPTIONS.get(limit)


def _costs(problem: Problem) -> list[tuple[str, str]]:
    """What the cycles are made of."""
    shares = ", ".join(f"{plain(term.name)} {100 * term.share:.1f} %" for term in problem.cost_terms)
    return [("cost model", shares)] if shares else []


def _length(problem: Problem, figures: Metrics) -> tuple[str, str]:
    label = "period" if problem.mode == "periodic" else "makespan"
    text = f"{figures.length_cycles:,} cycles"
    if problem.mode == "periodic" and problem.unroll > 1:
        text += f" for {problem.unroll} iterations ({figures.length_cycles / problem.unroll:,.1f} each)"
    rate = samples_per_second(problem, figures.length_cycles)
    if rate is not None and problem.clock_hz is not None:
        text += f"; {rate:,.1f} samples/s at {problem.clock_hz / 1e6:,.6g} MHz"
    return label, text


def _objectives(result: Result) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for level in result.objectives:
        given = "" if level is result.objectives[0] else ", given the objectives above"
        proof = "optimal" if level.proven else f"gap {percent(level.gap)}"
        text = f"{level.value:,} {UNITS[level.name]}, bound {level.bound:,} ({plain(level.bound_source)}): {proof}{given}"
        rows.append((f"objective {level.name}", text))
    return rows


def _delays(figures: Metrics) -> tuple[str, str]:
    backward = dict(figures.backward_delays)
    each = [f"{plain(layer)} {d}" + (f" (B {backward[layer]})" if backward.get(layer, d) != d else "") for layer, d in figures.delays]
    more = f", ... ({len(each) - _LAYERS_SHOWN} more)" if len(each) > _LAYERS_SHOWN else ""
    return "delay per layer", f"{', '.join(each[:_LAYERS_SHOWN])}{more} (sum {figures.total_delay}) iterations"


def _traffic(problem: Problem, figures: Metrics, cut: Cut | None, layered: bool) -> tuple[str, str]:
    share = Fraction(figures.traffic_bytes, iterations_in(problem))
    text = _count(int(share), "byte") if share.denominator == 1 else f"{float(share):,.1f} bytes"
    if problem.mode == "periodic" or problem.micro_batches > 1:
        text += f" per {iteration_word(problem)}"
    if layered:
        added = overhead(problem, figures.traffic_bytes, cut)
        text += f"; overhead {'n/a' if added is None else f'{100 * added:+.2f} %'} over contiguous stages"
    return "traffic", text


def _utilisation(problem: Problem, figures: Metrics) -> tuple[str, str]:
    text = f"{100 * figures.utilisation:.1f} % of cycles busy"
    if problem.tasks.macs.any():
        text += f"; {figures.mac_utilisation:.3f} multiply-accumulates per processing element and cycle"
    return "utilisation", text


def _memory(problem: Problem, figures: Metrics) -> tuple[str, str]:
    fullest = figures.peak_memory_bytes.index(figures.memory_bytes)
    return "peak memory", f"{_count(figures.memory_bytes, 'byte')} on {plain(problem.processors[fullest].name)}"


def _over_stages(problem: Problem, figures: Metrics, cut: Cut | None) -> list[tuple[str, str]]:
    """The speed-up over contiguous stages: of a finite run a bound, for pipelines also fill and drain, and none below 1, which would say nothing."""
    factor = speedup(problem, figures.length_cycles, cut)
    if cut is None or factor is None:
        return [("speed-up", "n/a (no contiguous stages to compare with)")]
    if problem.mode == "finite" and factor < 1:
        return []
    allowed = min(len(problem.processors), units(problem)[0])
    least = "" if problem.mode == "periodic" else "at least "
    text = f"{least}{factor:.2f}x over contiguous stages on {_count(allowed, 'processor')} ({cut.stages} used; largest load {cut.load_cycles:,} cycles)"
    return [("speed-up", text)]


def _over_one(problem: Problem, figures: Metrics) -> list[tuple[str, str]]:
    """The speed-up over the fastest processor that can run every task; no line if there is none."""
    duration = problem.instance.duration
    able = (duration >= 0).all(axis=0)
    if not able.any() or not figures.length_cycles:
        return []
    alone = int(duration[:, able].sum(axis=0, dtype=np.int64).min())
    return [("speed-up", f"{alone / figures.length_cycles:.2f}x over one processor ({alone:,} cycles of work)")]


def _warnings(figures: Metrics) -> list[tuple[str, str]]:
    full = [(load, source, target) for source, target, load in figures.link_loads if load > 1]
    if not full:
        return []
    load, source, target = max(full)
    return [("warning", f"{_count(len(full), 'link')} cannot carry the traffic: {plain(source)} to {plain(target)} would need {load:.2f} of the time")]
