"""A slow replay of many iterations one by one: delays, traffic and memory from the definitions alone.

It shares no code with the checker: every iteration of every task is written out with its own start,
and whatever the steady state is worth is read off in the middle.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule

#: Iterations replayed; what happens in the middle third is the steady state.
ITERATIONS = 60


@dataclass(frozen=True)
class Movement:
    """One iteration's tensor going from a producer to a reader."""

    tensor: int
    produced_in: int
    producer: tuple[int, int]
    reader: tuple[int, int]
    arrival: int  # from the producer's end to the arrival of all that its edge carries
    summed: bool


class Replay:
    """All iterations of a schedule; a run of a task is (task, iteration)."""

    def __init__(self, problem: Problem, schedule: Schedule) -> None:
        self.problem, self.schedule = problem, schedule
        self.periodic = problem.mode == "periodic"
        self.copies = problem.unroll if self.periodic else problem.micro_batches
        self.iterations = ITERATIONS if self.periodic else problem.micro_batches
        self.middle = ITERATIONS // 3 // self.copies * self.copies
        self._sent: dict[tuple[int, int, int, int], tuple[int, int]] | None = None

    def single(self, task: int) -> bool:
        """Whether all micro-batches share one run of the task."""
        return not self.periodic and self.problem.tasks.kinds[task] == "U"

    def _row(self, run: tuple[int, int]) -> int:
        task, iteration = run
        return int(self.problem.instance.copies(task)[0 if self.single(task) else iteration % self.copies])

    def processor(self, run: tuple[int, int]) -> int:
        """Where it runs."""
        return int(self.schedule.processor[self._row(run)])

    def start(self, run: tuple[int, int]) -> int:
        """When it starts."""
        turn = run[1] // self.copies if self.periodic else 0
        return int(self.schedule.start[self._row(run)]) + turn * (self.schedule.period or 0)

    def end(self, run: tuple[int, int]) -> int:
        """When it ends."""
        return self.start(run) + int(self.problem.tasks.cycles[run[0], self.problem.processors[self.processor(run)].kind])

    def transfer(self, edge: int) -> int:
        """Cycles to send what the edge carries."""
        size, link = sum(int(self.problem.tensor_bytes[t]) for t in self.tensors(edge)), self.problem.interconnect
        if not size:
            return link.signal_latency_cycles
        return link.latency_cycles + (-(-size // link.bandwidth_bytes_per_cycle) if link.bandwidth_bytes_per_cycle else 0)

    def tensors(self, edge: int) -> list[int]:
        """What the edge carries."""
        edges = self.problem.edges
        return edges.tensor[edges.tensor_ptr[edge] : edges.tensor_ptr[edge + 1]].tolist()

    def ready(self, edge: int, producer: tuple[int, int], reader: tuple[int, int]) -> int:
        """When what the edge carries is there."""
        there = self.end(producer) + int(self.problem.edges.lag[edge])
        if self.processor(producer) == self.processor(reader):
            return there
        if self.problem.interconnect.sharing == "none":
            return there + self.transfer(edge)
        return max([there, *(self._arrival(tensor, producer, reader) for tensor in self.tensors(edge) if self.problem.tensor_bytes[tensor])])

    def _arrival(self, tensor: int, producer: tuple[int, int], reader: tuple[int, int]) -> int:
        """When the shared link has brought a tensor."""
        start, cycles = self._sending(tensor, producer, reader)
        return start + cycles + self.problem.interconnect.latency_cycles

    def _sending(self, tensor: int, producer: tuple[int, int], reader: tuple[int, int]) -> tuple[int, int]:
        """Start and cycles of the transfer."""
        made = 0 if self.single(reader[0]) else producer[1]
        ends = self.processor(producer), self.processor(reader)
        if not self.periodic:
            return self.sent()[tensor, made, *ends]
        start, cycles = self.sent()[tensor, 0, *ends]
        return start + made * (self.schedule.period or 0), cycles

    def sent(self) -> dict[tuple[int, int, int, int], tuple[int, int]]:
        """Start and cycles of everything that crosses, by tensor, iteration that makes it (periodic: the first), sender and receiver."""
        if self._sent is None:
            edges, crossing = self.problem.edges, set[tuple[int, int, int, int]]()
            for e in range(len(edges.source)):
                for producer, reader in self._pairs(e):
                    here, there = self.processor(producer), self.processor(reader)
                    made = 0 if self.periodic or self.single(reader[0]) else producer[1]
                    crossing |= {(t, made, here, there) for t in self.tensors(e) if self.problem.tensor_bytes[t] and here != there}
            planned = [] if self.schedule.transfers is None else self.schedule.transfers.tolist()
            bandwidth = self.problem.interconnect.bandwidth_bytes_per_cycle
            assert bandwidth is not None  # shared links have one
            self._sent = {key: (start, -(-int(self.problem.tensor_bytes[key[0]]) // bandwidth)) for key, start in zip(sorted(crossing), planned, strict=True)}
        return self._sent

    def _pairs(self, edge: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Producing and reading runs of an edge in all iterations; delayed readers one iteration later."""
        edges = self.problem.edges
        u, v, delayed = int(edges.source[edge]), int(edges.target[edge]), int(edges.delay_layer[edge]) >= 0
        distance = 1 if delayed else int(edges.distance[edge])
        if not self.periodic and (delayed or (distance > 0 and (self.single(u) or self.single(v)))):
            return []
        if self.single(u):
            return [((u, 0), (v, 0))]
        if self.single(v):
            return [((u, j), (v, 0)) for j in range(self.iterations)]
        return [((u, j), (v, j + distance)) for j in range(self.iterations) if self.periodic or j + distance < self.iterations]

    def link_faults(self) -> set[str]:
        """What is wrong with the transfers, cycle by cycle: links held twice, sent too early, read too early."""
        edges, found = self.problem.edges, set[str]()
        busy: dict[tuple[object, int], object] = {}
        for (tensor, made, here, there), (first, cycles) in self.sent().items():
            held = {"bus": ["bus"], "ports": [("out", here), ("in", there)], "pairs": [(here, there)]}[self.problem.interconnect.sharing]
            for j in range(self.iterations if self.periodic else 1):
                start = first + j * (self.schedule.period or 0)
                for time in range(start, start + cycles):
                    for link in held:
                        if busy.setdefault((link, time), (tensor, made, here, there, j)) != (tensor, made, here, there, j):
                            found.add("link")
        for e in range(len(edges.source)):
            for producer, reader in self._pairs(e):
                if int(edges.delay_layer[e]) < 0 and self.start(reader) < self.ready(e, producer, reader):
                    found.add("precedence")
                for tensor in self.tensors(e):
                    crosses = self.problem.tensor_bytes[tensor] and self.processor(producer) != self.processor(reader)
                    if crosses and self._sending(tensor, producer, reader)[0] < self.end(producer) + int(edges.lag[e]):
                        found.add("transfer")
        return found

    def delays(self) -> tuple[dict[int, int], dict[int, int]]:
        """Forward and backward delay by layer: the least D so that iteration j never waits for the update of j - D."""
        edges, kinds = self.problem.edges, self.problem.tasks.kinds
        by_layer: dict[int, list[int]] = {}
        for e in range(len(edges.source)):
            if int(edges.delay_layer[e]) >= 0:
                by_layer.setdefault(int(edges.delay_layer[e]), []).append(e)
        forward: dict[int, int] = {}
        backward: dict[int, int] = {}
        for layer, mine in by_layer.items():
            into_forward = [e for e in mine if kinds[int(edges.target[e])] == "F"]
            others = [e for e in mine if e not in into_forward]
            if self.problem.weights == "stash":
                forward[layer] = backward[layer] = self._least(mine)
            else:
                forward[layer] = self._least(into_forward)
                backward[layer] = self._least(others) if others else forward[layer]
        return forward, backward

    def _least(self, edges: list[int]) -> int:
        columns = self.problem.edges
        delay = 1
        while True:
            late = False
            for j in range(self.middle * 2, self.middle * 2 + self.copies):
                for e in edges:
                    update, reader = (int(columns.source[e]), j - delay), (int(columns.target[e]), j)
                    late |= self.start(reader) < self.ready(e, update, reader)
            if not late:
                return delay
            delay += 1

    def movements(self) -> list[Movement]:
        """Everything that goes from a run to another."""
        edges, kinds = self.problem.edges, self.problem.tasks.kinds
        forward, backward = self.delays() if self.periodic else ({}, {})
        producers: dict[int, set[int]] = {}
        for e in range(len(edges.source)):
            for tensor in self.tensors(e):
                producers.setdefault(tensor, set()).add(int(edges.source[e]))
        found: list[Movement] = []
        for e in range(len(edges.source)):
            u, v, layer, distance = int(edges.source[e]), int(edges.target[e]), int(edges.delay_layer[e]), int(edges.distance[e])
            if layer >= 0:
                if not self.periodic:
                    continue
                distance = (forward if kinds[v] == "F" else backward)[layer]
            for j in range(self.iterations):
                if self.single(u) and (distance > 0 or j > 0):
                    continue  # the only update of the run comes after all micro-batches
                if self.single(v):
                    if distance > 0:
                        continue
                    reader = (v, 0)
                else:
                    reader = (v, j + distance)
                if not self.periodic and reader[1] >= self.iterations:
                    continue
                shared = self.problem.interconnect.sharing != "none" and self.processor((u, j)) != self.processor(reader)
                arrival = max(0, self.ready(e, (u, j), reader) - self.end((u, j)) if shared else int(edges.lag[e]) + self.transfer(e))
                for tensor in self.tensors(e):
                    summed = self.single(v) or len(producers[tensor]) > 1
                    found.append(Movement(tensor, 0 if self.single(v) else j, (u, j), reader, arrival, summed))
        return found

    def traffic(self) -> int:
        """Bytes that cross, in ``unroll`` iterations of the steady state or in the finite run."""
        return sum(self.sent_bytes().values())

    def sent_bytes(self) -> dict[tuple[int, int], int]:
        """The same by sending and receiving processor."""
        crossing = set[tuple[int, int, int, int]]()
        for m in self.movements():
            inside = not self.periodic or self.middle <= m.produced_in < self.middle + self.copies
            if inside and self.processor(m.producer) != self.processor(m.reader):
                crossing.add((m.tensor, m.produced_in, self.processor(m.producer), self.processor(m.reader)))
        sent = Counter[tuple[int, int]]()
        for tensor, _, here, there in crossing:
            sent[here, there] += int(self.problem.tensor_bytes[tensor])
        return {link: size for link, size in sent.items() if size}

    def lives(self) -> list[tuple[int, int, int, int]]:
        """(processor, begin, end, bytes) of everything in a memory."""
        kept: dict[tuple[int, ...], list[Movement]] = {}
        received: dict[tuple[int, ...], list[Movement]] = {}
        for m in self.movements():
            here, there = self.processor(m.producer), self.processor(m.reader)
            kept.setdefault((m.tensor, m.produced_in, here), []).append(m)
            if here != there:
                received.setdefault((m.tensor, m.produced_in, here, there), []).append(m)
        lives: list[tuple[int, int, int, int]] = []
        for (tensor, _, here), moves in kept.items():
            until = [self.end(m.reader) if m.summed or self.processor(m.reader) == here else self.end(m.producer) + m.arrival for m in moves]
            lives.append((here, min(self.start(m.producer) for m in moves), max(until), int(self.problem.tensor_bytes[tensor])))
        for (tensor, _, _, there), moves in received.items():
            since, until = max(self.end(m.producer) for m in moves), max(self.end(m.reader) for m in moves)
            lives.append((there, since, until, int(self.problem.tensor_bytes[tensor])))
        return lives if self.periodic else lives + self._resident()

    def _resident(self) -> list[tuple[int, int, int, int]]:
        edges, problem = self.problem.edges, self.problem
        last = max(self.end((t, j)) for t in range(len(problem.tasks.names)) for j in range(self.iterations))
        until: dict[tuple[int, int], int] = {}
        for e in range(len(edges.source)):
            u, v = int(edges.source[e]), int(edges.target[e])
            for tensor in self.tensors(e) if self.single(u) else ():
                until[tensor, self.processor((u, 0))] = last
                for j in range(self.iterations) if u != v else ():
                    place = tensor, self.processor((v, j))
                    until[place] = max(until.get(place, 0), self.end((v, j)))
        return [(p, 0, end, int(problem.tensor_bytes[tensor])) for (tensor, p), end in until.items()]

    def held(self, processor: int, time: int) -> int:
        """Bytes that lie on a processor at a time of the period that `peaks` looks at, or of the finite run."""
        begin = 0
        if self.schedule.period is not None:
            begin = -(-(self.middle // self.copies * self.schedule.period + int(self.schedule.start.max())) // self.schedule.period) * self.schedule.period
        return sum(size for p, a, b, size in self.lives() if p == processor and a <= begin + time < b)

    def peaks(self) -> tuple[int, ...]:
        """Most bytes at any time of the steady state, or of the finite run, on every processor."""
        lives, peaks = self.lives(), list[int]()
        begin = self.middle // self.copies * (self.schedule.period or 0) + int(self.schedule.start.max())
        window = range(begin, begin + self.schedule.period) if self.schedule.period is not None else range(1 + max((u for _, _, u, _ in lives), default=0))
        for p in range(len(self.problem.processors)):
            mine = [(a, b, size) for q, a, b, size in lives if q == p]
            moments = [window.start, *(a for a, _, _ in mine if a in window)]
            peaks.append(max(sum(size for a, b, size in mine if a <= t < b) for t in moments))
        return tuple(peaks)
