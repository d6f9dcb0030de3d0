"""Runs a PyTorch module once and records what it computes from what.

Hooks see the modules, a `torch.overrides.TorchFunctionMode` the functions called between them.
What runs is a copy that shares the weights, so the module, its mode and its states stay as they
are. Against `torch.export` this needs no code that a compiler can follow, and a loop of many time
steps costs no more than running it.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers.torch_graph import Graph, Node
from spikepipe_sched.importers.torch_modules import ADDITIONS, MOVES, POOLS, READOUTS, SCALES, Role, adaptive_detail, base_name, pool_detail, role

#: Elements of a tensor whose rearrangement is followed.
MAX_ELEMENTS: Final = 2**24


@dataclass(slots=True, kw_only=True)
class Calls:
    """All calls of one module: what they read, and the shapes of the tensors of the last one."""

    module: Any
    role: Role
    inputs: list[int] = field(default_factory=list[int])
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()


@dataclass(slots=True, kw_only=True)
class Recording:
    """Modules with weights and neurons, in the order of their first call; the nodes; what the run returned."""

    graph: Graph = field(default_factory=Graph)
    calls: dict[str, Calls] = field(default_factory=dict[str, Calls])
    norms: dict[str, Any] = field(default_factory=dict[str, Any])
    outputs: list[int] = field(default_factory=list[int])
    #: Whether all values of the input are 0 or 1.
    binary: bool = False
    #: Classes of the modules that are operations, such as pools.
    classes: dict[str, str] = field(default_factory=dict[str, str])
    #: Where something is multiplied by a number.
    scaled: set[str] = field(default_factory=set[str])
    #: Modules with parameters of their own that were not called.
    silent: list[str] = field(default_factory=list[str])


def record(module: torch.nn.Module, example: tuple[Any, ...], name: str) -> Recording:
    """Run a copy of ``module`` on ``example``, its first tensor being the input.

    Raises
    ------
    InputError
        If the module cannot be copied, the run fails, or a module's class is not supported.
    """
    first = next(_tensors(example), None)
    if first is None or first.numel() == 0:
        raise InputError(f"module '{name}': example_input holds no tensor, or an empty one; give one sample or more")
    try:
        twin = copy.deepcopy(module, _shared(module)).eval()
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise InputError(f"module '{name}': it cannot be copied ({_line(error)}); reset its states first") from error
    recorder = _Recorder(twin)
    try:
        binary = not first.is_meta and bool(((first == 0) | (first == 1)).all())  # before the run, which may write to it
        with torch.no_grad(), recorder:
            result = recorder.start(example)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"module '{name}': running it on the example failed: {type(error).__name__}: {_line(error)}") from error
    recording = recorder.recording
    recording.binary = binary
    recording.outputs = [recorder.number(tensor) for tensor in _tensors(result)]
    heard = (*recording.calls, *recording.norms)
    root = type(module).__name__
    recording.silent = [
        path
        for path, part in recorder.paths.items()
        if not any(seen in (root, path) or path.startswith(f"{seen}.") for seen in heard) and next(part.parameters(recurse=False), None) is not None
    ]
    return recording


def _shared(module: torch.nn.Module) -> dict[int, Any]:
    """What a copy has in common with the module: parameters, and states without their history, which cannot be copied."""
    memo: dict[int, Any] = {id(parameter): parameter for parameter in module.parameters()}
    for part in module.modules():
        for value in vars(part).values():
            held = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else (value,)
            memo.update({id(tensor): tensor.detach().clone() for tensor in held if isinstance(tensor, torch.Tensor) and not tensor.is_leaf})
    return memo


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _keeps_features(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether the input under another shape still has all of a sample: only one step was chosen, if any."""
    chosen = {(*before[:i], *middle, *before[i + 1 :]) for i in range(len(before)) for middle in ((), (1,))}
    return after in chosen or torch.Size(after).numel() % torch.Size(before).numel() == 0


class _Recorder(TorchFunctionMode):
    """Gives every tensor that is computed from the input its node; all others are constants."""

    def __init__(self, twin: torch.nn.Module) -> None:
        super().__init__()
        self.recording = Recording()
        self.graph = self.recording.graph
        self.constant = self.graph.add(Node("constant"))
        self.known: dict[int, tuple[weakref.ref[torch.Tensor], int]] = {}
        self.twin = twin
        self.paths = {path or type(twin).__name__: part for path, part in twin.named_modules()}
        self.stack: list[str] = []
        self.function = ""  # that runs at present, between modules
        self.leaf: str | None = None  # the module whose inside is of no interest, while it runs

    def start(self, example: tuple[Any, ...]) -> Any:
        """The run itself."""
        first = next(_tensors(example))
        self.tell(first, self.graph.add(Node("input", tuple(first.shape))))
        hooks = []
        for path, part in self.paths.items():
            hooks.append(part.register_forward_pre_hook(lambda module, args, kwargs, path=path: self.enter(path, module, args, kwargs), with_kwargs=True))
            hooks.append(part.register_forward_hook(lambda module, _, output, path=path: self.leave(path, module, output)))
        return self.twin(*example)

    # -- tensors ---------------------------------------------------------------------------------

    def number(self, value: Any) -> int:
        """The node of a tensor; tensors are told apart as objects, while they live."""
        reference, number = self.known.get(id(value), (None, self.constant))
        return number if reference is not None and reference() is value else self.constant

    def tell(self, tensor: torch.Tensor, number: int) -> None:
        self.known[id(tensor)] = (weakref.ref(tensor), number)

    def place(self) -> str:
        """Where the run is: the path of a module, and the function that runs between modules."""
        inside = self.stack[-1] if self.stack and not (self.function and len(self.stack) == 1) else ""
        return f"{inside}.{self.function}".strip(".") if self.function else inside

    def make(self, kind: Any, args: tuple[int, ...], *detail: Any) -> int:
        """A node at the place that runs at present."""
        return self.graph.add(Node(kind, detail, args), self.place())

    # -- modules ---------------------------------------------------------------------------------

    def enter(self, path: str, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.stack.append(path)
        if self.leaf is not None:
            return
        what = role(module, path)
        if what is None:
            return
        self.leaf = path
        source = next(_tensors([*args, *kwargs.values()]), None)
        self.source = self.number(source) if source is not None else self.constant
        self.source_shape = tuple(source.shape) if source is not None else ()

    def leave(self, path: str, module: Any, output: Any) -> None:
        self.stack.pop()
        if self.leaf != path:
            return
        self.leaf = None
        what = role(module, path)
        outputs = list(_tensors(output))
        kind, source, shape = type(module).__name__, self.source, tuple(outputs[0].shape) if outputs else ()
        if what in ("linear", "conv", "neuron"):
            calls = self.recording.calls.setdefault(path, Calls(module=module, role=what))
            for port, tensor in enumerate(outputs):
                self.tell(tensor, self.make("call", (), path, len(calls.inputs), port))
            calls.inputs.append(source)
            calls.input_shape, calls.output_shape = self.source_shape, shape
            return
        if source == self.constant:
            return
        self.stack.append(path)
        self.recording.classes[path] = kind
        if what == "norm":
            self.recording.norms[path] = module
            node = self.make("norm", (source,), path)
        elif what == "relu":
            node = self.make("relu", (source,))
        elif what in ("pool", "adaptive"):
            base = base_name(module)
            if what == "pool":
                detail = pool_detail(base, module.kernel_size, module.stride, module.padding, getattr(module, "dilation", 1), path)
            else:
                detail = adaptive_detail(base, self.source_shape, shape, path)
            node = self.make("pool", (source,), *detail, shape)
        else:
            node = source if what == "pass" else self.make("other", (source,), kind)
        self.stack.pop()
        for tensor in outputs:
            self.tell(tensor, self.input_again(node, tensor))

    def input_again(self, node: int, tensor: torch.Tensor) -> int:
        """The input under another shape is the input still; the shape tells what a sample is."""
        return self.graph.add(Node("input", tuple(tensor.shape))) if self.graph.nodes[node].kind == "input" else node

    # -- functions -------------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if self.leaf is not None:
            return func(*args, **kwargs)
        sources = [(tensor, self.number(tensor)) for tensor in _tensors([*args, *kwargs.values()])]
        shapes = [tuple(tensor.shape) for tensor, _ in sources]
        result = func(*args, **kwargs)
        results = list(_tensors(result))
        name = getattr(func, "__name__", str(func)).removeprefix("_").rstrip("_").removeprefix("_")
        fresh = name.startswith("new_") or name.endswith("_like")  # only the shape is taken from their argument
        if fresh or all(number == self.constant for _, number in sources):
            for tensor in results:  # what was done in place may have made it constant
                self.known.pop(id(tensor), None)
            return result
        self.function = name
        if name == "setitem":
            self.tell(args[0], self.make("other", tuple(number for _, number in sources), name))
        for index, node in enumerate(self.nodes(name, func, args, kwargs, [number for _, number in sources], shapes, results)):
            self.tell(results[index], self.input_again(node, results[index]))
        self.function = ""
        return result

    def nodes(
        self,
        name: str,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        sources: list[int],
        shapes: list[tuple[int, ...]],
        results: list[torch.Tensor],
    ) -> list[int]:
        """What the results of a function are."""
        (first, *rest), rank = sources, len(shapes[0])
        if name in MOVES:
            return self.moved(func, args, kwargs, first, shapes[0], results)
        if name in ADDITIONS and len(args) >= 2:
            if not rest:
                rest = [] if any(isinstance(term, int | float) and term == 0 for term in args[:2]) else [self.constant]
            node = self.make("add", (first, *rest)) if rest else first
        elif name in ("cat", "concat", "concatenate", "stack"):
            axis = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))
            dimensions = rank + (name == "stack")
            axis = axis - dimensions if axis >= 0 else axis
            if axis == -dimensions:  # the first: time
                node = self.make("steps", tuple(sources))
            else:
                node = self.make("other", tuple(sources), name) if name == "stack" else self.make("concat", tuple(sources), axis)
        elif name == "relu":
            node = self.make("relu", (first,))
        elif name in POOLS:
            given = dict(zip(("input", "kernel_size", "stride", "padding"), args, strict=False)) | kwargs
            detail = pool_detail(name, given["kernel_size"], given.get("stride"), given.get("padding", 0), given.get("dilation", 1), self.stack[-1])
            node = self.make("pool", (first,), *detail, tuple(results[0].shape))
        elif name in ("adaptive_avg_pool1d", "adaptive_avg_pool2d"):
            node = self.make("pool", (first,), *adaptive_detail(name, shapes[0], tuple(results[0].shape), self.stack[-1]), tuple(results[0].shape))
        elif name in SCALES and not rest and any(isinstance(factor, int | float) for factor in args):
            node = first
            self.recording.scaled.add(self.place())
        elif "dropout" in name:
            node = first
        elif name in READOUTS:
            given = kwargs.get("dim", args[1] if len(args) > 1 else None)
            listed = given if isinstance(given, tuple | list) else (given,)
            axes = tuple(sorted(axis - rank if axis >= 0 else axis for axis in listed if isinstance(axis, int)))
            if axes == (-rank,):  # over time, or over the batch
                node = self.make("readout", tuple(sources), name)
            else:
                node = self.make("mean", (first,), *axes) if name == "mean" and axes in ((-2, -1), (-2,)) else self.make("other", tuple(sources), name)
        else:
            node = self.make("other", tuple(sources), name)
        return [node] * len(results)

    def moved(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], source: int, shape: tuple[int, ...], results: list[torch.Tensor]) -> list[int]:
        """Follows every element through a rearrangement, by doing it once more with their numbers."""
        count = torch.Size(shape).numel()
        if self.graph.nodes[source].kind == "input":
            return [source if _keeps_features(shape, tuple(tensor.shape)) else self.make("other", (source,), "part of the input") for tensor in results]
        if count > MAX_ELEMENTS:
            return [self.make("other", (source,), "rearrangement of a large tensor")] * len(results)
        numbers = torch.arange(count).reshape(shape)
        replaced = [numbers, *args[1:]] if isinstance(args[0], torch.Tensor) else list(args)
        return [self.order(source, numbers, order) for order in _tensors(func(*replaced, **kwargs))]

    def order(self, source: int, numbers: torch.Tensor, order: torch.Tensor) -> int:
        """The node that has the elements of ``source`` in this order."""
        flat, whole, count = order.reshape(-1), numbers.reshape(-1), numbers.numel()
        if order.dtype != torch.int64:  # a conversion, of numbers in their order
            flat = flat.long()
        if flat.numel() % count == 0 and bool((flat.reshape(-1, count) == whole).all()):
            return source  # as it was, or repeated for every time step
        if numbers.ndim >= 2 and bool(flat.numel() == count) and bool((flat == numbers.transpose(-1, -2).reshape(-1)).all()):
            return self.make("turned", (source,), *numbers.shape[-2:])
        part = flat.numel()
        if part and part * numbers.shape[0] == count and bool((flat == whole[int(flat[0]) : int(flat[0]) + part]).all()) and int(flat[0]) % part == 0:
            return self.make("step", (source,), int(flat[0]) // part)
        return self.make("other", (source,), "rearrangement")
