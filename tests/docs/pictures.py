"""``python -m tests.docs.pictures``: the pictures of README and pages, drawn anew into ``notebooks/pictures``.

Each is one SVG without scripts that is light or dark as the reader prefers. Whatever is solved for them is
solved by deterministic heuristics, so that the same tree draws the same pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from math import log2
from typing import Final

import networkx as nx

from spikepipe_sched import Problem, Result, TrainingSetup, load_network, load_platform, solve
from spikepipe_sched.export.bars import LOOKS, text_colour
from spikepipe_sched.export.svg import svg_picture
from spikepipe_sched.lower import lower
from tests.docs.command_lines import ROOT

FOLDER: Final = ROOT / "notebooks" / "pictures"
NETWORK: Final = "dvs_gesture_conv"
PROCESSORS: Final = (1, 2, 4, 8, 16)
#: Solvers of the speed-up picture, with a colour each on light and on dark ground.
LINES: Final = {"modulo": ("#0f62fe", "#6ea8fe"), "spikepipe": ("#d9480f", "#ff8a4c"), "layerpipe": ("#8a3ffc", "#c29bff"), "stages": ("#6f7782", "#a0a8b3")}
_STYLE: Final = (
    "svg{color:#1f2328;background:#fff;font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}"
    + "".join(f".{solver}{{--line:{light}}}" for solver, (light, _) in LINES.items())
    + "@media(prefers-color-scheme:dark){svg{color:#e6edf3;background:#0d1117}"
    + "".join(f".{solver}{{--line:{dark}}}" for solver, (_, dark) in LINES.items())
    + "}"
)


def solved(processors: int, solver: str, work: float = 0.5) -> Result:
    """The example of the README by a heuristic, with one worker and a limit of work, not of time."""
    platform = load_platform("array32").with_processors(processors)
    graph = lower(load_network(NETWORK), TrainingSetup(windows=4), platform)
    return solve(Problem.from_graph(graph, platform), solver, deterministic_limit=work)


def schedule() -> str:
    """One period on four arrays."""
    result = solved(4, "modulo", 2.0)
    assert result.objective is not None
    return svg_picture(result, title=f"{NETWORK} on four arrays: a period of {result.objective:,} cycles in steady state")


def flow() -> str:
    """What becomes of a network: the steps, and a small network's tasks."""
    steps = {
        "network": ("TOML, NIR,", "ONNX, PyTorch"),
        "task graph": ("F, B, W, U tasks", "with cycles, bytes"),
        "problem": ("processors, limits,", "objectives"),
        "schedule": ("where and when", "each task runs"),
        "check": ("recomputes all;", "knows no solver"),
        "result": ("figures, bounds,", "gaps, charts"),
        "validation": ("accuracy with", "these delays"),
    }
    links = ("lower", "compile", "solve", "check", "conclude", "validate")
    parts: list[str] = []
    for i, (name, lines) in enumerate(steps.items()):
        x = 1 + i * 131
        parts.append(f'<rect x="{x}" y="26" width="110" height="62" rx="6" fill="none" stroke="currentColor" stroke-opacity="0.5"/>')
        parts.append(_text(x + 55, 46, name, anchor="middle", extra='font-weight="600"'))
        parts += [_text(x + 55, 63 + 14 * j, line, anchor="middle", extra='font-size="11" opacity="0.8"') for j, line in enumerate(lines)]
        if i < len(links):
            parts.append(f'<path d="M{x + 112} 57h13m-5 -4l5 4l-5 4" fill="none" stroke="currentColor"/>')
            parts.append(_text(x + 120, 16, links[i], anchor="middle", extra='font-size="11" font-style="italic" opacity="0.8"'))
    graph = lower(load_network("tiny"), TrainingSetup(windows=1), load_platform("array32"))
    return _svg(900, 292, "From a network to a checked schedule", "".join(parts) + f'<g transform="translate(0 112)">{_tasks(graph)}</g>')


def _tasks(graph: nx.DiGraph[str]) -> str:
    """The tasks of one iteration: a column per step along the dependences, a row per layer."""
    inside = nx.DiGraph([(u, v) for u, v, data in graph.edges(data=True) if data.get("distance") == 0])
    later = [(u, v) for u, v, data in graph.edges(data=True) if data.get("distance") != 0]
    depth = {task: i for i, generation in enumerate(nx.topological_generations(inside)) for task in generation}
    layers = list(dict.fromkeys(graph.nodes[task]["layer"] for task in depth))
    place: dict[str, tuple[float, float]] = {}
    for task, column in depth.items():
        place[task] = (112 + column * 118, 34 + 52 * layers.index(graph.nodes[task]["layer"]))
    for task, (x, y) in sorted(place.items()):  # two tasks of a layer in one column stand above each other
        if [other for other in place if other < task and place[other] == (x, y)]:
            place[task] = (x, y + 24)
    parts = [_text(4, 10, "The tasks of one iteration of a small network (tiny: two layers, one window):", extra='font-size="11" opacity="0.8"')]
    parts += [_text(4, 39 + 52 * i, layer) for i, layer in enumerate(layers)]
    for u, v in inside.edges:
        (x, y), (left, top) = place[u], place[v]
        parts.append(f'<path d="M{x + 39} {y}C{x + 60} {y} {left - 60} {top} {left - 41} {top}" fill="none" stroke="currentColor" stroke-opacity="0.55"/>')
    for task, (x, y) in place.items():
        kind = graph.nodes[task]["kind"]
        parts.append(f'<rect x="{x - 39}" y="{y - 10}" width="78" height="20" rx="4" fill="{LOOKS[kind].colour}"/>')
        parts.append(_text(x, y + 4, task, anchor="middle", extra=f'font-size="11" fill="{text_colour(LOOKS[kind].colour)}"'))
    note = (
        f"and {len(later)} dependences between iterations: an F uses the weights of an earlier iteration's U; how many iterations earlier is the layer's delay."
    )
    parts.append(_text(4, 160, note, extra='font-size="11" opacity="0.8"'))
    x = 4.0
    for kind in dict.fromkeys(graph.nodes[task]["kind"] for task in depth):
        parts.append(f'<rect x="{x:.0f}" y="168" width="11" height="11" rx="2" fill="{LOOKS[kind].colour}"/>' + _text(x + 16, 178, LOOKS[kind].label))
        x += 36 + 6.6 * len(LOOKS[kind].label)
    return "".join(parts)


def speedup() -> str:
    """Throughput over that of one array, for one to sixteen of them, both axes in powers of two."""
    one = solved(1, "stages").objective
    assert one is not None
    bounds = {count: one / result.bound for count in PROCESSORS if (result := solved(count, "stages")).bound}
    parts = [_text(0, 14, f"Speed-up of training {NETWORK} over one 32 x 32 array", extra='font-size="15" font-weight="600"')]
    for power in PROCESSORS:
        x, y = _at(power, power)
        parts.append(f'<path d="M50 {y}H690" stroke="currentColor" stroke-opacity="0.15"/>' + _text(42, y + 4, f"{power}x", anchor="end"))
        parts.append(_text(x, 346, f"{power} array{'s' if power > 1 else ''}", anchor="middle"))
    parts.append(f'<polyline points="{_points(bounds)}" fill="none" stroke="currentColor" stroke-width="1.5" stroke-dasharray="3 4"/>')
    labels = [(bounds[PROCESSORS[-1]], "the bound: none is faster")]
    for solver in LINES:
        results = {count: solved(count, solver) for count in PROCESSORS if solver != "layerpipe" or count > 2}  # a processor for each pass
        curve = {count: one / result.objective for count, result in results.items() if result.objective}
        dots = "".join(f'<circle cx="{x}" cy="{y}" r="3.5" fill="var(--line)"/>' for x, y in (_at(*point) for point in curve.items()))
        parts.append(f'<g class="{solver}"><polyline fill="none" stroke="var(--line)" stroke-width="2.5" points="{_points(curve)}"/>{dots}</g>')
        delays = results[PROCESSORS[-1]].objectives[1].value
        labels.append((curve[PROCESSORS[-1]], f"{solver}: {curve[PROCESSORS[-1]]:.1f}x, delays {delays}"))
    last = 0.0
    for ratio, label in sorted(labels, reverse=True):
        last = max(_at(1, ratio)[1] + 4, last + 16)  # labels keep apart
        parts.append(_text(702, last, label))
    return _svg(900, 356, f"Speed-up on {PROCESSORS[-1]} arrays: {'; '.join(label for _, label in labels)}", "".join(parts))


def _at(count: float, ratio: float) -> tuple[float, float]:
    """Where a speed-up stands in its picture."""
    return round(64 + 152 * log2(count), 1), round(318 - 70 * log2(ratio), 1)


def _points(curve: Mapping[int, float]) -> str:
    return " ".join(f"{x},{y}" for x, y in (_at(*point) for point in curve.items()))


def _text(x: float, y: float, text: str, *, anchor: str = "start", extra: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" {extra}>{escape(text)}</text>'


def _svg(width: int, height: int, said: str, body: str) -> str:
    start = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 -8 {width + 16} {height + 16}" width="{width + 16}" height="{height + 16}" role="img"'
    return f'{start} fill="currentColor"><title>{escape(said)}</title><style>{_STYLE}</style>{body}</svg>'


PICTURES: Final[Mapping[str, Callable[[], str]]] = {"schedule": schedule, "flow": flow, "speedup": speedup}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(draw() + "\n", encoding="utf-8")
        print(f"written to {FOLDER / name}.svg")
