"""The decision variables of both models; they own every literal and interval.

A copy v runs on exactly one processor: x[v][p]. Its start is s_v. In the periodic model at a fixed
period L, s_v = k_v * L + r_v with phase r_v in [0, L). With K = ``unroll`` copies of each task the
delay of a layer is D = K * q + rho: its residue rho says which copy of the update feeds which copy
of a reader, and is a literal; its quotient q counts periods.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ortools.sat.python import cp_model

from spikepipe_sched.problem import Problem

#: What starts, ends and sums are: an expression over variables, or a constant.
Expression = cp_model.LinearExpr | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """D_l of one layer: ``value`` = K * ``turns`` + rho, ``residues[rho]`` true; no literals where K = 1."""

    value: cp_model.IntVar
    turns: cp_model.IntVar
    residues: list[cp_model.IntVar]

    def cases(self) -> list[tuple[int, list[cp_model.IntVar]]]:
        """Every residue, with what must be true for it to hold."""
        return [(rho, [literal]) for rho, literal in enumerate(self.residues)] or [(0, [])]


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
        By layer index, in iterations; the same object under ``weights="stash"``.
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
    delay: dict[int, Delay] = field(default_factory=dict)
    backward_delay: dict[int, Delay] = field(default_factory=dict)
    _apart: dict[tuple[int, int], cp_model.IntVar] = field(default_factory=dict)
    _exact: set[tuple[int, int]] = field(default_factory=set)

    def on(self, v: int) -> list[tuple[int, cp_model.IntVar]]:
        """Processors that can run copy v, with their literals."""
        return [(p, literal) for p, literal in enumerate(self.place[v]) if literal is not None]

    def together(self, u: int, v: int) -> bool:
        """Whether two copies always share a processor: one and the same, or micro-batches of one task."""
        task = self.problem.instance.task
        return u == v or (self.period is None and int(task[u]) == int(task[v]))

    def apart(self, u: int, v: int, *, exact: bool = False) -> cp_model.IntVar | int:
        """A literal that is true if u and v lie on different processors, and, only if ``exact``, false otherwise."""
        if self.together(u, v):
            return 0
        task = self.problem.instance.task
        key = (int(task[u]), int(task[v])) if self.period is None else (u, v)
        key = key if key[0] < key[1] else (key[1], key[0])
        if key not in self._apart:
            literal = self.model.new_bool_var("")
            for p, here in self.on(u):
                there = self.place[v][p]
                self.model.add_bool_or([here.negated(), literal] if there is None else [here.negated(), there, literal])
            self._apart[key] = literal
        if exact and key not in self._exact:
            self._exact.add(key)
            for p, here in self.on(u):
                if (there := self.place[v][p]) is not None:
                    self.model.add_bool_or([here.negated(), there.negated(), self._apart[key].negated()])
        return self._apart[key]

    def delay_of(self, reader: int, layer: int) -> Delay:
        """The delay that a reading task (an index of the problem's tasks) sees."""
        return self.delay[layer] if self.problem.tasks.kinds[reader] == "F" else self.backward_delay[layer]


def make_variables(problem: Problem, model: cp_model.CpModel, *, period: int | None, horizon: int) -> Variables:
    """Create all variables; in the finite model the micro-batches of a task share their placement."""
    instance, count = problem.instance, len(problem.processors)
    made = Variables(model=model, problem=problem, horizon=horizon, period=period)
    shared: dict[int, list[cp_model.IntVar | None]] = {}
    tasks: list[int] = instance.task.tolist()
    for v, (task, cycles) in enumerate(zip(tasks, instance.duration.tolist(), strict=True)):
        if period is None and task in shared:
            literals = shared[task]
        else:
            literals = [model.new_bool_var("") if cycles[p] >= 0 else None for p in range(count)]
            model.add_exactly_one(literal for literal in literals if literal is not None)
            shared[task] = literals
        made.place.append(literals)
        able = {c for c in cycles if c >= 0}
        duration: Expression = (
            able.pop()
            if len(able) == 1
            else cp_model.LinearExpr.weighted_sum([x for x in literals if x is not None], [cycles[p] for p, x in enumerate(literals) if x is not None])
        )
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
        most = (horizon // period + 2) * problem.unroll
        limits = problem.delay_limits.tolist()
        for layer in sorted({int(x) for x in instance.delay_layer}):
            made.delay[layer] = _delay(model, problem.unroll, min(most, limits[layer]), f"D_{layer}")
            made.backward_delay[layer] = made.delay[layer] if problem.weights == "stash" else _delay(model, problem.unroll, most, f"DB_{layer}")
    return made


def _delay(model: cp_model.CpModel, copies: int, most: int, name: str) -> Delay:
    value = model.new_int_var(1, most, name)
    if copies == 1:
        return Delay(value=value, turns=value, residues=[])
    turns = model.new_int_var(0, most // copies, f"q_{name}")
    residues = [model.new_bool_var(f"{name}_{rho}") for rho in range(copies)]
    model.add_exactly_one(residues)
    model.add(value == copies * turns + cp_model.LinearExpr.weighted_sum(residues, list(range(copies))))
    return Delay(value=value, turns=turns, residues=residues)
