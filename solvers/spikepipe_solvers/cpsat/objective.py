"""The levels of the lexicographic objective as expressions over some variables."""

from __future__ import annotations

from ortools.sat.python import cp_model

from spikepipe_solvers.cpsat.memory import MemoryModel
from spikepipe_solvers.cpsat.traffic import traffic_expression
from spikepipe_solvers.cpsat.variables import Expression, Variables


class Objective:
    """Builds each level's expression when first asked for; the traffic and memory models are large."""

    def __init__(self, variables: Variables) -> None:
        self.v, self.model = variables, variables.model
        self._levels: dict[str, Expression] = {}
        self._memory: MemoryModel | None = None

    def level(self, name: str) -> Expression:
        """``makespan``, ``delay`` (sum over layers), ``traffic`` or ``memory`` (largest peak)."""
        if name not in self._levels:
            build = {"makespan": self._makespan, "delay": self._delay, "traffic": self._traffic, "memory": self._peak}
            self._levels[name] = build[name]()
        return self._levels[name]

    def limit_memory(self) -> None:
        """Respect every processor's memory."""
        for p, processor in enumerate(self.v.problem.processors):
            if processor.memory_bytes is not None:
                self._lifetimes().limit(p, processor.memory_bytes, processor.memory_bytes)

    def _lifetimes(self) -> MemoryModel:
        if self._memory is None:
            self._memory = MemoryModel(self.v)
        return self._memory

    def _makespan(self) -> Expression:
        makespan = self.model.new_int_var(0, self.v.horizon, "makespan")
        for end in self.v.end:
            self.model.add(makespan >= end)
        return makespan

    def _delay(self) -> Expression:
        return cp_model.LinearExpr.sum([delay.value for delay in self.v.delay.values()])

    def _traffic(self) -> Expression:
        return traffic_expression(self.v)

    def _peak(self) -> Expression:
        total = sum(size for lives in self._lifetimes().lives for _, _, _, size in lives)
        most = total * (self._lifetimes().latest // (self.v.period or self._lifetimes().latest + 1) + 2)
        peak = self.model.new_int_var(0, most, "peak")
        for p in range(len(self.v.problem.processors)):
            self._lifetimes().limit(p, peak, most)
        return peak
