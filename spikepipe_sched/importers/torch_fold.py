"""A recorded run, folded over time: what every module reads, and how many read what it gives."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from spikepipe_sched.errors import require
from spikepipe_sched.importers.torch_modules import takes_sequences
from spikepipe_sched.network import Shape

if TYPE_CHECKING:
    from spikepipe_sched.importers.torch_record import Recording


class Folded:
    """Calls as layers: `views` is what each module reads at its own step, `steps` how many steps it makes."""

    def __init__(self, recording: Recording, title: str) -> None:
        self.graph, self.calls, self.title = recording.graph, recording.calls, title
        self.recording = recording
        self.counts = {path: len(calls.inputs) for path, calls in self.calls.items()}
        require(any(calls.role != "neuron" for calls in self.calls.values()), f"module '{title}': it called no layer with weights")
        self.repairs: list[str] = []
        self.mended: set[str] = set()
        self.sequence, self.batch = self.time_and_batch()
        self.steps = {path: self.steps_of(path) for path in self.calls}
        self.time_steps = max(self.steps.values())
        self.views = {path: self.view(path) for path in self.calls}
        self.uses = Counter[int]()
        self.roots = self.output_roots()
        self.count_uses()
        for place in sorted(recording.scaled):
            self.repair(f"function '{place}': one factor for all costs nothing here; it is taken as part of the weights next to it")
        for path in recording.silent:
            self.repair(f"module '{path}': its own parameters belong to no layer that was called; they are left out")

    def repair(self, message: str) -> None:
        """Note what is read otherwise than it is written."""
        self.repairs.append(message)

    def where(self, path: str) -> str:
        """How messages name a module."""
        return f"module '{path}' ({type(self.calls[path].module).__name__})"

    def place(self, number: int) -> str:
        """How messages name an operation: by its module, or as a function in one."""
        place = self.graph.where[number]
        kind = self.recording.classes.get(place)
        return f"function '{place}'" if kind is None else f"module '{place}' ({kind})"

    # -- time ------------------------------------------------------------------------------------

    def time_and_batch(self) -> tuple[int | None, int]:
        """T, where tensors of shape (T, batch, ...) are to be expected, and the batch."""
        whole = {path: calls for path, calls in self.calls.items() if takes_sequences(calls.module)}
        for path, calls in whole.items():
            require(len(calls.input_shape) >= 3, f"{self.where(path)}: takes (time, batch, ...), got shape {list(calls.input_shape)}")
        lengths = {calls.input_shape[0] for calls in whole.values()}
        require(len(lengths) <= 1, f"module '{self.title}': its layers take sequences of unlike lengths {sorted(lengths)}")
        if whole:
            first = next(iter(whole.values()))
            return first.input_shape[0], first.input_shape[1]
        path, first = next((path, calls) for path, calls in self.calls.items())
        least = 2 + (len(first.module.kernel_size) if first.role == "conv" else 0)
        require(len(first.input_shape) >= least, f"{self.where(path)}: got shape {list(first.input_shape)}; give an example with a batch dimension")
        # The steps of a loop may be put together for a layer behind it; where T is the batch too, nobody can tell.
        batch, looped = first.input_shape[0], max(self.counts.values())
        return looped if looped not in (1, batch) else None, batch

    def lead(self, shape: Shape) -> int:
        """How many dimensions stand in front of those of a sample."""
        return 2 if shape[:2] == (self.sequence, self.batch) and len(shape) > 2 else 1

    def image_rank(self, path: str) -> int:
        """Dimensions of what a convolution reads, for one sample; 0 for other layers."""
        calls = self.calls[path]
        return len(calls.module.kernel_size) + 1 if calls.role == "conv" else 0

    def steps_of(self, path: str) -> int:
        """Time steps of a layer: its calls, times the steps that each call takes."""
        calls = self.calls[path]
        if calls.role == "neuron":
            return self.counts[path] * (calls.input_shape[0] if takes_sequences(calls.module) else 1)
        rank = self.image_rank(path)
        lead = len(calls.input_shape) - rank if rank else self.lead(calls.input_shape)
        size = math.prod(calls.input_shape[:lead])
        require(lead >= 1 and size % self.batch == 0, f"{self.where(path)}: shape {list(calls.input_shape)} does not hold a batch of {self.batch}")
        return self.counts[path] * size // self.batch

    def view(self, path: str) -> int:
        """What a module reads, seen from the step that reads it; the same at every step."""
        inputs, steps = self.calls[path].inputs, self.steps[path]
        require(steps in (1, self.time_steps), f"{self.where(path)}: makes {steps} steps where others make {self.time_steps}; a layer makes all, or one")
        last = self.graph.seen_from(inputs[-1], len(inputs) - 1, self.counts)
        delays = self.graph.delays(last)
        self.refuse_unknown(last)
        require(delays <= {0, 1}, f"{self.where(path)}: reads other steps than its own and the one before, which is not supported")
        views = [self.graph.seen_from(source, call, self.counts) for call, source in enumerate(inputs)]
        alike = all(view == last or (call == 0 and self.graph.begins(view, last)) for call, view in enumerate(views))
        require(
            alike, f"{self.where(path)}: its calls read different things; weights shared between layers, or a graph that changes over time, are not supported"
        )
        return self.settled(last)

    def refuse_unknown(self, number: int) -> None:
        """Raise InputError if what a layer reads is computed by something that is no layer."""
        for below in self.graph.below(number):
            kind = self.graph.nodes[below].kind
            require(kind not in ("readout", "step", "steps"), f"{self.place(below)}: a choice, sum or mean of time steps is not supported between layers")
            known = "add, cat, relu, pooling, mean, flatten and other views"
            require(kind != "other", f"{self.place(below)}: is not supported between layers; known there: {known}")

    # -- who reads what --------------------------------------------------------------------------

    def key(self, number: int) -> tuple[int, int]:
        """A node at its own step, and how many steps before its reader that is."""
        delay = min(self.graph.delays(number), default=0)
        return self.graph.earlier(number, delay), delay

    def output_roots(self) -> list[int]:
        """What the module returns, without read-outs over time and what else belongs to the loss."""
        last = max(self.counts.values()) - 1
        waiting = [self.graph.seen_from(number, last, self.counts) for number in self.recording.outputs]
        roots, dropped, seen = list[int](), dict[str, None](), set[int]()
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            node, delays = self.graph.nodes[number], self.graph.delays(number)
            if node.kind == "other" and node.detail not in (("stack",), ("setitem",)):
                dropped[str(node.detail[0])] = None
            summed = node.kind == "add" and delays != {0}  # a sum over time
            if summed or node.kind in ("other", "step", "steps", "readout", "turned"):
                waiting += node.args
            elif 0 in delays and not (node.kind == "reads" and node.detail[2] != 0):
                self.refuse_unknown(number)
                roots.append(self.settled(number))
        if dropped:
            self.repair(f"module '{self.title}': what follows the last layer ({', '.join(dropped)}) counts as part of the loss and is left out")
        return roots

    def settled(self, number: int) -> int:
        """A node without the constants in its sums."""
        new, dropped = self.graph.without_constants(number)
        for place in sorted(dropped - self.mended):
            self.repair(f"function '{place}': adding a constant is left out")
        self.mended |= dropped
        return new

    def count_uses(self) -> None:
        """How many readers every output has."""
        waiting, seen = [*self.views.values(), *self.roots], set[int]()
        while waiting:
            number, _ = self.key(waiting.pop())
            self.uses[number] += 1
            if number not in seen:
                seen.add(number)
                waiting += self.graph.nodes[number].args

    # -- shapes ----------------------------------------------------------------------------------

    def own_steps(self, paths: set[str]) -> int | None:
        """What a layer that computes from these modules says of its time steps: only what the network does not."""
        steps = {self.steps[path] for path in paths}
        return 1 if steps == {1} and self.time_steps > 1 else None

    def sample(self, shape: Shape) -> Shape:
        """A tensor's shape without time and batch."""
        return shape[self.lead(shape) :]

    def image(self, path: str, shape: Shape) -> Shape:
        """What a convolution reads or gives, for one sample; one-dimensional images have height 1."""
        sample = shape[-self.image_rank(path) :]
        return (sample[0], 1, sample[1]) if len(sample) == 2 else sample

    def output_shape(self, path: str) -> Shape:
        """Output of a layer with weights for one sample and step, from the run."""
        calls = self.calls[path]
        return self.image(path, calls.output_shape) if calls.role == "conv" else (*self.sample(calls.input_shape)[:-1], calls.output_shape[-1])

    def input_shape(self) -> Shape:
        """Shape of a sample of the input at one step, as those that read it take it."""
        found = dict[Shape, None]()
        for path, view in self.views.items():
            for number in self.graph.below(view):
                node = self.graph.nodes[number]
                if node.kind == "input":
                    shape = tuple(int(str(size)) for size in node.detail)
                    direct = self.calls[path].role == "conv" and view == number
                    found[self.image(path, shape) if direct else self.sample(shape)] = None
        require(found, f"module '{self.title}': nothing it computes depends on the input")
        first = max(found, key=len)
        alike = all(shape in (first, (math.prod(first),)) for shape in found)
        require(alike, f"module '{self.title}': reads its input as shapes {[list(shape) for shape in found]}; one is supported")
        return first
