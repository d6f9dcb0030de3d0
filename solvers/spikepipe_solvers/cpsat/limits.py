"""Which limits contradict each other: a smallest set that no schedule can respect.

Limits are left out as long as the rest stays infeasible (deletion filtering, Chinneck and Dravnieks 1991,
doi:10.1287/ijoc.3.2.157), halves of them first. What is left cannot be thinned out: without any one of it
there is a schedule, unless time ran out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from spikepipe_sched.problem import Limits, Problem

#: Whether a problem is proven infeasible; None if that stays open.
Verdict = Callable[[Problem], bool | None]
_WHOLE = ("period_cycles", "makespan_cycles", "delay", "traffic_bytes", "span_cycles")


def limit_names(problem: Problem) -> tuple[str, ...]:
    """Names of all limits of a problem, memories by processor class where several have one."""
    limits = problem.limits
    names = [name for name in _WHOLE if getattr(limits, name) is not None]
    names += [_of_layer(layer) for layer in dict.fromkeys(layer for layer, _ in limits.layer_delay)]
    return (*names, *_memories(problem).values())


def _of_layer(layer: str) -> str:
    return f"delay of layer '{layer}'"


def _memories(problem: Problem) -> dict[int, str]:
    """Class index -> name of its memory limit."""
    kinds = sorted({p.kind for p in problem.processors if p.memory_bytes is not None})
    return {kind: "memory_bytes" if len(kinds) == 1 else f"memory_bytes of class '{problem.classes[kind]}'" for kind in kinds}


def limit_values(problem: Problem) -> dict[str, int]:
    """What every limit demands; of a class's memories the largest."""
    limits = problem.limits
    values: dict[str, int] = {name: getattr(limits, name) for name in _WHOLE if getattr(limits, name) is not None}
    for layer, value in limits.layer_delay:
        values[_of_layer(layer)] = min(value, values.get(_of_layer(layer), value))
    for kind, name in _memories(problem).items():
        values[name] = max(p.memory_bytes for p in problem.processors if p.kind == kind and p.memory_bytes is not None)
    return values


def only(problem: Problem, names: tuple[str, ...]) -> Problem:
    """The problem with the limits of these names and no others."""
    kept, memories = set(names), _memories(problem)
    limits = Limits(
        layer_delay=tuple((layer, value) for layer, value in problem.limits.layer_delay if _of_layer(layer) in kept),
        **{name: getattr(problem.limits, name) for name in _WHOLE if name in kept},
    )
    processors = tuple(p if p.memory_bytes is None or memories[p.kind] in kept else replace(p, memory_bytes=None) for p in problem.processors)
    return replace(problem, limits=limits, processors=processors)


def contradiction(problem: Problem, infeasible: Verdict) -> tuple[tuple[str, ...], bool]:
    """Limits of a proven infeasible problem that suffice for that, and whether none of them can be spared.

    A limit that cannot be spared from many cannot be spared from fewer, so each is tried alone once.
    """
    kept, certain = limit_names(problem), True
    size = len(kept) // 2 if len(kept) > 3 else 1
    while size >= 1:
        begin = 0
        while begin < len(kept):
            rest = kept[:begin] + kept[begin + size :]
            verdict = infeasible(only(problem, rest)) if rest else False
            if verdict:
                kept = rest
            else:
                begin += size
                certain &= size > 1 or verdict is False
        size //= 2
    return kept, certain
