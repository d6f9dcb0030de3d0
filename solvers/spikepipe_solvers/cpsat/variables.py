"""The decision variables of both models; they own every literal and interval.

A copy v runs on exactly one processor: x[v][p]. Its start is s_v. In the periodic model at a fixed
period L, s_v = k_v * L + r_v with phase r_v in [0, L).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ortools.sat.python import cp_model

from spikepipe_sched.problem import Problem

#: What starts, ends and sums are: an expression over variables, or a constant.
Expression = cp_model.LinearExpr | int


@dataclass(slots=True)
class Variables:
    """Placement, starts and delays.

    Attributes
    ----------
    period
        Fixed period L [cycles]; None in the finite model.
    horizon
        Largest end of any copy [cycles].
    place
        place[v][p]: literal "copy v runs on p"; None where it cannot.
    start, end
        Expressions [cycles]; ``duration[v]`` is constant on like processors.
    phase, stage
        Periodic: start = stage * period + phase.
    delay, backward_delay
        Per layer index, iterations.
    """

    model: cp_model.CpModel
    problem: Problem
    horizon: int
    period: int | None
    place: list[list[cp_model.IntVar | None]] = field(default_factory=list)
    start: list[Expression] = field(default_factory=list)
    duration: list[Expression] = field(default_factory=list)
    end: list[Expression] = field(default_factory=list)
    phase: list[cp_model.IntVar] = field(default_factory=list)
    stage: list[cp_model.IntVar] = field(default_factory=list)
    delay: dict[int, cp_model.IntVar] = field(default_factory=dict)
    backward_delay: dict[int, cp_model.IntVar] = field(default_factory=dict)
    _apart: dict[tuple[int, int], cp_model.IntVar] = field(default_factory=dict)

    def on(self, v: int) -> list[tuple[int, cp_model.IntVar]]:
        """Processors that can run copy v, with their literals."""
        return [(p, literal) for p, literal in enumerate(self.place[v]) if literal is not None]

    def together(self, u: int, v: int) -> bool:
        """Whether two copies always share a processor (micro-batches of one task)."""
        task = self.problem.instance.task
        return int(task[u]) == int(task[v])

    def apart(self, u: int, v: int) -> cp_model.IntVar | int:
        """A literal that is true if u and v lie on different processors (it may be true otherwise too)."""
        if self.together(u, v):
            return 0
        task = self.problem.instance.task
        key = (int(task[u]), int(task[v])) if self.period is None else (u, v)
        key = key if key[0] < key[1] else (key[1], key[0])
        if key not in self._apart:
            literal = self.model.new_bool_var(f"apart_{key[0]}_{key[1]}")
            for p, here in self.on(u):
                there = self.place[v][p]
                self.model.add_bool_or([here.negated(), literal] if there is None else [here.negated(), there, literal])
            self._apart[key] = literal
        return self._apart[key]


def make_variables(problem: Problem, model: cp_model.CpModel, *, period: int | None, horizon: int) -> Variables:
    """Create all variables; in the finite model the micro-batches of a task share their placement."""
    instance, count = problem.instance, len(problem.processors)
    made = Variables(model=model, problem=problem, horizon=horizon, period=period)
    shared: dict[int, list[cp_model.IntVar | None]] = {}
    for v in range(instance.size):
        task = int(instance.task[v])
        cycles = instance.duration[v].tolist()
        if period is None and task in shared:
            literals = shared[task]
        else:
            literals = [model.new_bool_var(f"x_{v}_{p}") if cycles[p] >= 0 else None for p in range(count)]
            model.add_exactly_one(literal for literal in literals if literal is not None)
            shared[task] = literals
        made.place.append(literals)
        able = {c for c in cycles if c >= 0}
        duration: Expression = able.pop() if len(able) == 1 else sum(cycles[p] * x for p, x in enumerate(literals) if x is not None)
        made.duration.append(duration)
        if period is None:
            start: Expression = model.new_int_var(0, horizon, f"s_{v}")
        else:
            phase = model.new_int_var(0, period - 1, f"r_{v}")
            stage = model.new_int_var(0, max(0, horizon // period), f"k_{v}")
            made.phase.append(phase)
            made.stage.append(stage)
            start = stage * period + phase
        made.start.append(start)
        made.end.append(start + duration)
    if period is not None:
        most = horizon // period + 2
        limits = problem.delay_limits.tolist()
        for layer in sorted({int(x) for x in instance.delay_layer}):
            made.delay[layer] = model.new_int_var(1, min(most, limits[layer]), f"D_{layer}")
            made.backward_delay[layer] = made.delay[layer] if problem.weights == "stash" else model.new_int_var(1, most, f"DB_{layer}")
    return made
