"""The grammar of DOT (https://graphviz.org/doc/info/lang.html): nodes, edges and their attributes.

Directed graphs only. Subgraphs group nodes and set defaults inside them, and are gone in what is
read. Ports are passed over. A node that is named twice has the attributes of both places; an edge
may stand twice in a ``strict`` graph alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from spikepipe_sched.errors import InputError, shown
from spikepipe_sched.readers.dot_tokens import Token, tokens
from spikepipe_sched.readers.text import Line

#: Deepest nesting of subgraphs.
MAX_DEPTH: Final = 64
#: Most edges, repeated ones included: two groups of nodes, joined by one arrow, have as many as the product of their sizes.
MAX_EDGES: Final = 10**6

#: Attributes with the lines of their values.
Attributes = dict[str, tuple[str, Line]]


@dataclass(frozen=True, slots=True)
class Element:
    """A node or an edge: where it was first named, and its attributes."""

    line: Line
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class DotGraph:
    """What a DOT file holds."""

    nodes: dict[str, Element] = field(default_factory=dict)
    edges: dict[tuple[str, str], Element] = field(default_factory=dict)
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Scope:
    """The defaults in force inside a pair of braces, and the nodes named there."""

    depth: int
    node: Attributes = field(default_factory=dict)
    edge: Attributes = field(default_factory=dict)
    graph: Attributes = field(default_factory=dict)
    named: dict[str, None] = field(default_factory=dict)

    def inner(self) -> _Scope:
        """The scope of a subgraph: it starts with these defaults, and keeps its own to itself."""
        return _Scope(self.depth + 1, dict(self.node), dict(self.edge))


def read_dot_graph(path: Path) -> DotGraph:
    """Parse a file.

    Raises
    ------
    InputError
        With the line of the defect.
    """
    return _Parser(path).graph()


class _Parser:
    """Recursive descent with one token of look-ahead."""

    def __init__(self, path: Path) -> None:
        self.stream = tokens(path)
        self.token = next(self.stream)
        self.found = DotGraph()
        self.strict = False
        self.edges = 0

    def take(self) -> Token:
        """The current token; the next one becomes current."""
        taken = self.token
        if taken.kind != "end":
            self.token = next(self.stream)
        return taken

    def sign(self, *texts: str) -> bool:
        """Take the current token if it is one of these signs."""
        if self.token.kind != "sign" or self.token.text not in texts:
            return False
        self.take()
        return True

    def word(self, *texts: str) -> bool:
        """Take the current token if it is one of these keywords, in any case; quoted names are none."""
        if self.token.kind != "name" or self.token.text.lower() not in texts:
            return False
        self.take()
        return True

    def expect(self, sign: str, where: str) -> None:
        """Take a sign that has to be there."""
        if not self.sign(sign):
            raise self.wrong(f"expected '{sign}' {where}")

    def wrong(self, expected: str) -> InputError:
        """The error that something else stands here."""
        return self.token.line.error(f"{expected}, got {shown(self.token.text)}" if self.token.kind != "end" else f"{expected}, but the file ends here")

    def name(self, what: str) -> str:
        """A name; quoted pieces are joined by ``+``."""
        if self.token.kind not in ("name", "quoted"):
            raise self.wrong(f"expected {what}")
        taken = self.take()
        text = taken.text
        while taken.kind == "quoted" and self.sign("+"):
            if self.token.kind != "quoted":
                raise self.wrong("expected quoted text after '+'")
            text += self.take().text
        return text

    def graph(self) -> DotGraph:
        """The file: one ``digraph``."""
        self.strict = self.word("strict")
        if self.token.kind == "name" and self.token.text.lower() == "graph":
            raise self.token.line.error("an undirected graph; tasks need the directions of a digraph")
        if not self.word("digraph"):
            raise self.wrong("expected 'digraph'")
        if self.token.kind != "sign":
            self.name("the graph's name")
        self.expect("{", "before the graph's statements")
        scope = _Scope(0, graph=self.found.attributes)
        self.statements(scope)
        if self.token.kind != "end":
            raise self.wrong("expected nothing after the graph; a file holds one")
        return self.found

    def statements(self, scope: _Scope) -> None:
        """Everything up to the closing brace."""
        while not self.sign("}"):
            if not self.sign(";", ","):
                self.statement(scope)

    def statement(self, scope: _Scope) -> None:
        """Defaults, an attribute of the graph, a node, a subgraph, or a chain of edges."""
        for kind, defaults in (("graph", scope.graph), ("node", scope.node), ("edge", scope.edge)):
            if self.word(kind):
                self.attributes(defaults)
                return
        start = self.token
        grouped = self.at_subgraph()
        ends = [self.operand(scope)]
        if not grouped and self.sign("="):
            value = self.token.line
            scope.graph[start.text] = (self.name("a value"), value)
            return
        lines: list[Line] = []
        while self.token.kind == "sign" and self.token.text in ("->", "--"):
            arrow = self.take()
            if arrow.text == "--":
                raise arrow.line.error("an edge without a direction (--); tasks need a -> b")
            lines.append(arrow.line)
            ends.append(self.operand(scope))
        own: Attributes = {}
        if not grouped or lines:
            self.attributes(own)
        if not lines:
            for name in ends[0] if not grouped else ():
                self.node(scope, name, start.line).attributes.update(own)
            return
        for operand in ends:
            for name in operand:
                self.node(scope, name, start.line)
        for line, sources, targets in zip(lines, ends, ends[1:], strict=False):
            for source in sources:
                for target in targets:
                    self.edge(source, target, line, scope.edge | own)

    def at_subgraph(self) -> bool:
        """Whether a subgraph starts here."""
        return (self.token.kind == "sign" and self.token.text == "{") or (self.token.kind == "name" and self.token.text.lower() == "subgraph")

    def operand(self, scope: _Scope) -> list[str]:
        """The nodes at one end of an edge: one with its port, or all of a subgraph."""
        if not self.at_subgraph():
            name = self.name("a node")
            while self.sign(":"):
                self.name("a port")
            return [name]
        line = self.token.line
        if self.word("subgraph") and self.token.kind != "sign":
            self.name("the subgraph's name")
        self.expect("{", "before the subgraph's statements")
        inner = scope.inner()
        if inner.depth > MAX_DEPTH:
            raise line.error(f"subgraphs are nested more than {MAX_DEPTH} deep")
        self.statements(inner)
        scope.named.update(inner.named)
        return list(inner.named)

    def node(self, scope: _Scope, name: str, line: Line) -> Element:
        """The node, made here with the defaults if it is new."""
        scope.named[name] = None
        if name not in self.found.nodes:
            self.found.nodes[name] = Element(line, dict(scope.node))
        return self.found.nodes[name]

    def edge(self, source: str, target: str, line: Line, attributes: Attributes) -> None:
        """Add an edge."""
        self.edges += 1
        if self.edges > MAX_EDGES:
            raise line.error(f"more than {MAX_EDGES} edges")
        known = self.found.edges.get((source, target))
        if known is None:
            self.found.edges[source, target] = Element(line, attributes)
        elif self.strict:
            known.attributes.update(attributes)
        else:
            raise line.error(
                f"the edge {shown(source)} -> {shown(target)} stands twice, first in line {known.line.number}; add their transfers up, or say strict digraph"
            )

    def attributes(self, into: Attributes) -> None:
        """Lists of ``name=value`` in brackets."""
        while self.sign("["):
            while not self.sign("]"):
                name = self.name("an attribute or ']'")
                self.expect("=", f"after the attribute {shown(name)}")
                line = self.token.line
                into[name] = (self.name("a value"), line)
                self.sign(",", ";")
