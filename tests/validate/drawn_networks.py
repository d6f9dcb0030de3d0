"""Small networks of all kinds of layers, drawn at random from a seed; one output, a list of classes.

Hypothesis draws the seeds alone: drawing every choice would let it dwell on few kinds of layers.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import strategies as st

from spikepipe_sched.layer import PARALLEL, STATEFUL, Layer, Shape
from spikepipe_sched.network import Network

NEURONS = (*sorted(STATEFUL), *sorted(PARALLEL), "relu", "none")


def networks(**options: Any) -> st.SearchStrategy[Network]:
    """`drawn_network` of every seed."""
    return st.integers(0, 2**20).map(lambda seed: drawn_network(seed, **options))


def drawn_network(seed: int, *, neurons: tuple[str, ...] = NEURONS) -> Network:
    """A chain of layers of which some read an earlier one as well."""
    random = Random(seed)

    def coin() -> bool:
        return random.random() < 0.5

    steps = random.randint(1, 4)
    shape: Shape = random.choice([(3,), (2, 4), (2, 4, 3), (4, 3, 3), (2, 3, 4)])
    layers = list[Layer]()
    shapes: dict[str, Shape] = {"input": shape}
    last = "input"

    def norm() -> str:
        """At most one in a network: of silent neurons each would amplify the rounding errors behind it."""
        return random.choice(["none", "batch"]) if all(layer.norm == "none" for layer in layers) else "none"

    def place(kind: str, inputs: tuple[str, ...] = (), *, own: bool = True, **fields: Any) -> None:
        nonlocal last
        if own:
            fields.setdefault("neuron", random.choice(neurons))
            fields["time_steps"] = random.choice([None, None, 1, 2, 3])
        layer = Layer(name=f"l{len(layers)}", kind=kind, inputs=inputs or (last,), **fields)  # pyright: ignore[reportArgumentType]
        shapes[layer.name] = layer.output_shape([shapes[name] for name in layer.inputs])
        layers.append(layer)
        last = layer.name

    def linear(width: int) -> None:
        neuron = random.choice(neurons)
        recurrence = random.choice(["none", "full", "self"]) if neuron in STATEFUL else "none"
        place("linear", out_features=width, neuron=neuron, recurrence=recurrence, norm=norm(), bias=coin())

    def image() -> None:
        channels, height, width = shapes[last]
        kernel = (random.randint(1, min(2, height)), random.randint(1, min(3, width)))
        stride, padding = (random.randint(1, 2), 1), (0, kernel[1] // 2)
        if random.choice([True, True, False]):
            groups = random.choice([g for g in (1, 2, channels) if channels % g == 0])
            neuron = random.choice(neurons)
            place(
                "conv2d",
                out_channels=groups * random.randint(1, 2),
                kernel=kernel,
                stride=stride,
                padding=(1, kernel[1] // 2),
                dilation=(random.randint(1, 2), 1),
                groups=groups,
                neuron=neuron,
                norm=norm(),
                recurrence=random.choice(["none", "self"]) if neuron in STATEFUL else "none",
                bias=coin(),
            )
        else:
            place(random.choice(["avgpool2d", "sumpool2d", "maxpool2d"]), own=False, kernel=kernel, stride=stride, padding=padding)

    def attention() -> None:
        source, features = last, shapes[last][1]
        heads = random.choice([h for h in (1, 2) if features % h == 0])
        place("matmul", (source, source_of_keys(source)), heads=heads, transpose=True)
        place("matmul", (last, source), heads=heads)

    def source_of_keys(source: str) -> str:
        linear(shapes[source][1])
        return last

    def merge() -> None:
        """Add or append an earlier output, behind a linear layer that brings the last one to its width where it can."""
        alike = [name for name in shapes if name != last and len(shapes[name]) == len(shapes[last]) and shapes[name][1:-1] == shapes[last][1:-1]]
        if coin():
            if len(shapes[last]) == 1 and alike:
                linear(shapes[random.choice(alike)][0])
            alike = [name for name in alike if shapes[name] == shapes[last] and name != last]
            if alike and last != "input":
                place("add", (random.choice(alike), last))
        else:
            alike = [name for name in alike if shapes[name][1:] == shapes[last][1:]]
            if alike and last != "input":
                place("concat", (random.choice(alike), last))

    for _ in range(random.randint(2, 4)):
        rank = len(shapes[last])
        choices = {
            1: ("linear", "merge", "merge", "neuron"),
            2: ("linear", "merge", "attention", "mean"),
            3: (*["image"] * 5, "merge", "merge", "tokens", "flatten"),
        }[rank]
        match random.choice(choices):
            case "linear":
                linear(random.randint(1, 4))
            case "image":
                image()
            case "attention":
                attention()
            case "merge":
                merge()
            case "neuron":
                place("neuron", neuron=random.choice([n for n in neurons if n != "none"]))
            case kind:
                place(kind, own=False)
    if len(shapes[last]) > 1:
        place("flatten", own=False)
    linear(random.randint(2, 3))
    return Network(name="drawn", input_shape=shape, time_steps=steps, layers=tuple(layers), coding="direct")
