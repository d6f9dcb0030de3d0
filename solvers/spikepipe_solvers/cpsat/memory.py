"""Peak memory as constraints: every lifetime of `spikepipe_sched.memory`, as intervals.

For a tensor on a processor, begin and end are bounded by its producers and readers there, if it is
there at all. In the periodic model a lifetime of length q * L + rest keeps q copies alive all the
time and one more during ``rest``: the q part lowers the capacity, the rest is an interval modulo L.
Begins and ends are only bounded on the side that shortens lifetimes wrongly, so the model's
memory is never below the checker's and can be made equal.
"""

from __future__ import annotations

from ortools.sat.python import cp_model

from spikepipe_solvers.cpsat.traffic import Move, moves
from spikepipe_solvers.cpsat.variables import Expression, Variables

Bool = cp_model.IntVar


class MemoryModel:
    """Builds the lifetimes once; `limit` then bounds the peaks."""

    def __init__(self, variables: Variables) -> None:
        self.v, self.model, self.problem = variables, variables.model, variables.problem
        # A reader may run as many periods later as its edge's distance, or the largest delay, says.
        period, distances = variables.period or 0, variables.problem.instance.distance
        later = max(int(distances.max(initial=0)), variables.horizon // period + 4 if period else 0)
        self.latest = variables.horizon + (later + 1) * period
        self.lives: list[list[tuple[Bool, Expression, Expression, int]]] = [[] for _ in self.problem.processors]
        self._tensors()
        if variables.period is None:
            self._resident()

    def _life(self, p: int, size: int) -> tuple[Bool, cp_model.IntVar, cp_model.IntVar]:
        present = self.model.new_bool_var("")
        begin = self.model.new_int_var(0, self.latest, "")
        end = self.model.new_int_var(0, self.latest, "")
        self.lives[p].append((present, begin, end, size))
        return present, begin, end

    def _tensors(self) -> None:
        v, model = self.v, self.model
        groups: dict[tuple[int, int], list[Move]] = {}
        for move in moves(v):
            groups.setdefault((move.tensor, move.copy), []).append(move)
        for (tensor, _), rows in groups.items():
            size, summed = int(self.problem.tensor_bytes[tensor]), rows[0].summed
            for p in range(len(self.problem.processors)):
                producers = sorted({move.source for move in rows if v.place[move.source][p] is not None})
                if not producers:
                    continue
                present, begin, end = self._life(p, size)
                away = {q: self._life(q, size) for q in range(len(self.problem.processors)) if q != p}
                for u in producers:
                    here = v.place[u][p]
                    assert here is not None
                    model.add_implication(here, present)
                    model.add(begin <= v.start[u]).only_enforce_if(here)
                for move in rows:
                    u, w = move.source, move.target
                    here = v.place[u][p]
                    if here is None:
                        continue
                    until = v.end[w] + move.turns * (v.period or 0)
                    for q, there in v.on(w):
                        both = [here, there, *move.when]
                        if q == p:
                            model.add(end >= until).only_enforce_if(both)
                            continue
                        model.add(end >= (until if summed else v.end[u] + move.arrival)).only_enforce_if(both)
                        far, since, last = away[q]
                        model.add_bool_or([*(x.negated() for x in both), far])
                        # A received sum begins with the last producer that sends: any later begin is wrong.
                        if not summed:
                            model.add(since <= v.end[u]).only_enforce_if(both)
                        model.add(last >= until).only_enforce_if(both)
                if summed:
                    for q, (far, since, _) in away.items():
                        self._received_sum(p, q, rows, since, far)

    def _received_sum(self, p: int, q: int, rows: list[Move], since: cp_model.IntVar, far: Bool) -> None:
        """Begin of a received sum: at or before the end of the last producer on p that sends to q."""
        v, model = self.v, self.model
        choices: list[Bool] = []
        for u, w, when in {(move.source, move.target, tuple(x.index for x in move.when)): (move.source, move.target, move.when) for move in rows}.values():
            here, there = v.place[u][p], v.place[w][q]
            if here is None or there is None:
                continue
            last = model.new_bool_var("")
            for literal in (here, there, *when):
                model.add_implication(last, literal)
            model.add(since <= v.end[u]).only_enforce_if(last)
            choices.append(last)
        if choices:
            model.add_bool_or([*choices, far.negated()])
        else:
            model.add(far == 0)

    def _resident(self) -> None:
        """Weights and optimizer state of a finite run."""
        v, model, edges, instance = self.v, self.model, self.problem.edges, self.problem.instance
        kinds = self.problem.tasks.kinds
        makespan = model.new_int_var(0, v.horizon, "resident_until")
        for end in v.end:
            model.add(makespan >= end)
        homes: dict[tuple[int, int], list[int]] = {}
        for e in range(len(edges.source)):
            if kinds[int(edges.source[e])] != "U":
                continue
            update = int(instance.copies(int(edges.source[e]))[0])
            for tensor in edges.tensor[edges.tensor_ptr[e] : edges.tensor_ptr[e + 1]].tolist():
                readers = homes.setdefault((tensor, update), [])
                if int(edges.source[e]) != int(edges.target[e]):
                    readers.extend(int(w) for w in instance.copies(int(edges.target[e])))
        for (tensor, update), readers in homes.items():
            size = int(self.problem.tensor_bytes[tensor])
            for p in range(len(self.problem.processors)):
                present, begin, end = self._life(p, size)
                model.add(begin == 0)
                here = v.place[update][p]
                if here is not None:
                    model.add_implication(here, present)
                    model.add(end >= makespan).only_enforce_if(here)
                for w in readers:
                    there = v.place[w][p]
                    if there is not None:
                        model.add_implication(there, present)
                        model.add(end >= v.end[w]).only_enforce_if(there)

    def limit(self, p: int, capacity: Expression, most: int) -> None:
        """Live bytes on processor p never exceed ``capacity`` (an expression of at most ``most``)."""
        model, period = self.model, self.v.period
        intervals: list[cp_model.IntervalVar] = []
        demands: list[int] = []
        whole: list[Expression] = []
        for present, begin, end, size in self.lives[p]:
            length = model.new_int_var(0, self.latest, "")
            model.add(length >= end - begin).only_enforce_if(present)
            model.add(length == 0).only_enforce_if(present.negated())
            if period is None:
                stop = model.new_int_var(0, 2 * self.latest, "")
                intervals.append(model.new_optional_interval_var(begin, length, stop, present, ""))
                demands.append(size)
                continue
            count = model.new_int_var(0, self.latest // period + 1, "")
            rest = model.new_int_var(0, period - 1, "")
            turn = model.new_int_var(0, self.latest // period + 1, "")
            phase = model.new_int_var(0, period - 1, "")
            model.add(length == count * period + rest)
            model.add(begin == turn * period + phase)
            whole.append(size * count)
            for shift in (0, period):
                stop = model.new_int_var(0, 3 * period, "")
                intervals.append(model.new_optional_interval_var(phase + shift, rest, stop, present, ""))
                demands.append(size)
        if not self.lives[p]:
            return
        free = model.new_int_var(0, most, "")
        model.add(cp_model.LinearExpr.sum(whole) + free <= capacity)
        model.add_cumulative(intervals, demands, free)
