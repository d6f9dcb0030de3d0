"""Small files in every format, and what reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spikepipe_sched import Problem, load_problem

STG = """\
          4
          0          0          0
          1          3          1          0
          2          5          1          0   # waits for the start alone
          3          2          2          1          2
          4          4          1          2
          5          0          2          3          4
# Standard Task Graph Set Project
#   Tasks             : 4 (+dummy tasks : 2)
"""

PROTOTYPE = """\
     3     2
     1     3     0
     2     5     0
     3     2     2     1     2
     4     0     1     3
"""

DOT = """\
// as the tools of the field write it
strict digraph "fork#1" {
	graph [GraphType=Fork,
		Modes="first li\\
ne",
		TargetSystem="Homogeneous-3"
	];
	0	["Finish time"=4,
		Weight=4];
	"b c"	[Weight=6, label=<<b>6</b>>];
	0 -> "b c"	[Weight=30];
	d [Weight=2.0];
	0 -> d [Weight=0]; /* free
	of charge */
}
"""

PIPELINE = """\
stages = 2
micro_batches = 3
transfer = 1
activations = [2, 1]

[pair]
F = [1, 2]
B = [2, 3]
W = [1, 1]
"""


def graphml(nodes: Mapping[str, str], edges: Sequence[tuple[str, str, int, int]]) -> str:
    """A graph as HatScheT writes it: {name: resource}, and (source, target, distance, delay)."""
    ids = {name: str(i) for i, name in enumerate(nodes, 1)}
    body = [f'<node id="{ids[n]}"><data key="name">{n}</data><data key="uses_resource">{r}</data></node>' for n, r in nodes.items()]
    body += [
        f'<edge id="{ids[u]}_{ids[v]}" source="{ids[u]}" target="{ids[v]}"><data key="distance">{distance}</data><data key="delay">{delay}</data></edge>'
        for u, v, distance, delay in edges
    ]
    inside = "\n    ".join(body)
    return f'<?xml version="1.0" encoding="UTF-8"?><graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n  <graph edgedefault="directed">\n    {inside}\n  </graph>\n</graphml>\n'


def resources(units: Mapping[str, tuple[int | str, int, int]]) -> str:
    """A resource file as HatScheT writes it: {name: (limit, latency, blocking time)}."""
    rows = [
        f'<Resource blockingTime="{blocking}" latency="{latency}" limit="{limit}" name="{name}" physicalDelay="0.0"><Cost demand="1" name="LUT"/></Resource>'
        for name, (limit, latency, blocking) in units.items()
    ]
    inside = "\n    ".join(rows)
    return f'<?xml version="1.0" encoding="UTF-8"?><ModelInformation Version="1.0">\n  <Resources>\n    {inside}\n  </Resources>\n</ModelInformation>\n'


GRAPHML = graphml({"in": "port", "mul1": "mul", "add1": "add", "add2": "add"}, [("in", "mul1", 0, 0), ("mul1", "add1", 0, 0), ("add1", "add2", 1, 2)])
RESOURCES = resources({"mul": (2, 5, 1), "add": (1, 3, 2), "port": (-1, 0, 0), "spare": ("inf", 1, 1)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A file, the options it is loaded with, and a file that belongs to it."""

    name: str
    text: str
    options: Mapping[str, Any] = field(default_factory=dict)
    beside: tuple[str, str] | None = None

    def load(self, folder: Path, content: bytes | None = None) -> Problem:
        """Write the files, the first with other content if it is given, and load the problem."""
        path, options = folder / self.name, dict(self.options)
        path.write_bytes(self.text.encode() if content is None else content)
        if self.beside is not None:
            (folder / self.beside[0]).write_text(self.beside[1], encoding="utf-8")
            options["resources"] = folder / self.beside[0]
        return load_problem(path, **options)


SAMPLES = (
    Sample(name="small.stg", text=STG, options={"processors": 2}),
    Sample(name="prototype.stg", text=PROTOTYPE),
    Sample(name="fork.dot", text=DOT),
    Sample(name="loop.graphml", text=GRAPHML, beside=("loop_RM.xml", RESOURCES)),
    Sample(name="pair.toml", text=PIPELINE),
)


def shape(problem: Problem) -> tuple[dict[str, list[int]], dict[tuple[str, str], tuple[int, int, int]]]:
    """Cycles of every task, by class; distance, lag and bytes of every edge."""
    names, edges = problem.tasks.names, problem.edges
    sizes = [int(problem.tensor_bytes[edges.tensor[a:b]].sum()) for a, b in zip(edges.tensor_ptr[:-1], edges.tensor_ptr[1:], strict=True)]
    ends = [(names[u], names[v]) for u, v in zip(edges.source.tolist(), edges.target.tolist(), strict=True)]
    values = zip(edges.distance.tolist(), edges.lag.tolist(), sizes, strict=True)
    return dict(zip(names, problem.tasks.cycles.tolist(), strict=True)), dict(zip(ends, values, strict=True))
