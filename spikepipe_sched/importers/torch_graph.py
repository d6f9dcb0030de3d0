"""What a recorded run of a PyTorch module computes, and its folding over time.

Every value is a node: the input, a constant, what one call of a module with weights or of a neuron
gave, or an operation on other nodes. Equal operations on equal nodes are one node. A loop over
time steps calls each module once per step; seen from its own step, every call of a module then
reads the same things, some of them from the step before.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

NodeKind = Literal["input", "constant", "call", "reads", "relu", "add", "concat", "pool", "mean", "norm", "turned", "step", "steps", "readout", "other"]


@dataclass(frozen=True, slots=True)
class Node:
    """A value: its kind, what sets it apart, and the nodes it is computed from.

    ``detail`` of an ``input``: the shape of the tensor; of a ``call``: path of the module, number
    of the call, and which of its outputs; of ``reads``, a call seen from its reader: path, delay
    in steps, output; of an ``other``: the name of the function or class.
    """

    kind: NodeKind
    detail: tuple[Hashable, ...] = ()
    args: tuple[int, ...] = ()


@dataclass(slots=True)
class Graph:
    """Nodes by number, arguments before what is computed from them; ``where`` is the module an operation stands in."""

    nodes: list[Node] = field(default_factory=list[Node])
    where: list[str] = field(default_factory=list[str])
    numbers: dict[Node, int] = field(default_factory=dict[Node, int])

    def add(self, node: Node, where: str = "") -> int:
        """The number of a node, which is new or there already."""
        number = self.numbers.setdefault(node, len(self.nodes))
        if number == len(self.nodes):
            self.nodes.append(node)
            self.where.append(where)
        return number

    def below(self, number: int) -> list[int]:
        """The nodes a node is computed from, itself included, arguments first."""
        seen, waiting = {number}, [number]
        while waiting:
            for argument in self.nodes[waiting.pop()].args:
                if argument not in seen:
                    seen.add(argument)
                    waiting.append(argument)
        return sorted(seen)

    def seen_from(self, number: int, step: int, counts: dict[str, int]) -> int:
        """A node as a call of number ``step`` sees it: calls become delays.

        ``counts`` are the calls of every module. One called once gives the same to all steps.
        """
        new: dict[int, int] = {}
        for old in self.below(number):
            node = self.nodes[old]
            if node.kind == "call":
                path, call, port = node.detail
                delay = 0 if counts[str(path)] == 1 else step - int(str(call))
                new[old] = self.add(Node("reads", (path, delay, port)))
            elif node.kind == "step" and node.detail == (step,):
                new[old] = new[node.args[0]]
            elif node.kind == "steps":
                views = {self.seen_from(argument, index, counts) for index, argument in enumerate(node.args)}
                new[old] = views.pop() if len(views) == 1 else self.add(Node("other", ("stack",), tuple(new[a] for a in node.args)), self.where[old])
            else:
                new[old] = self.add(Node(node.kind, node.detail, tuple(new[a] for a in node.args)), self.where[old])
        return new[number]

    def delays(self, number: int) -> set[int]:
        """Delays of what a node, seen from its reader, is computed from; the input comes without any."""
        below = [self.nodes[n] for n in self.below(number)]
        return {0 if node.kind == "input" else int(str(node.detail[1])) for node in below if node.kind in ("input", "reads")}

    def earlier(self, number: int, delay: int) -> int:
        """A node as it is seen ``delay`` steps before."""
        if delay == 0:
            return number
        new: dict[int, int] = {}
        for old in self.below(number):
            node = self.nodes[old]
            detail = (node.detail[0], int(str(node.detail[1])) - delay, node.detail[2]) if node.kind == "reads" else node.detail
            new[old] = self.add(Node(node.kind, detail, tuple(new[a] for a in node.args)), self.where[old])
        return new[number]

    def paths(self, number: int) -> set[str]:
        """The modules that a node, seen from its reader, is computed from."""
        return {str(self.nodes[n].detail[0]) for n in self.below(number) if self.nodes[n].kind == "reads"}

    def without_constants(self, number: int) -> tuple[int, set[str]]:
        """A node whose sums have no constants in them, and where there were any."""
        new: dict[int, int] = {}
        places = set[str]()
        for old in self.below(number):
            node = self.nodes[old]
            args = tuple(new[a] for a in node.args)
            if node.kind == "add":
                real = tuple(a for a in args if self.nodes[a].kind != "constant")
                if len(real) < len(args):
                    places.add(self.where[old])
                args = real or args[:1]
            new[old] = args[0] if node.kind == "add" and len(args) == 1 else self.add(Node(node.kind, node.detail, args), self.where[old])
        return new[number], places

    def begins(self, first: int, later: int) -> bool:
        """Whether ``first`` is ``later`` at the first step, when constants stand where later something is fed back."""
        one, other = self.nodes[first], self.nodes[later]
        if min(self.delays(later), default=0) > 0:
            return one.kind == "constant"
        if (one.kind, one.detail, len(one.args)) == (other.kind, other.detail, len(other.args)):
            return all(self.begins(a, b) for a, b in zip(one.args, other.args, strict=True))
        rest = [argument for argument in other.args if min(self.delays(argument), default=0) == 0]
        return other.kind == "add" and len(rest) == 1 and self.begins(first, rest[0])  # zero plus what is there
