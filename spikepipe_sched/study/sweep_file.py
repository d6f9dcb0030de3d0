"""A sweep file: networks x platforms x arrays x processors x windows x solvers x seeds.

::

    name = "array sizes"
    networks = ["nmnist_mlp", "mine.toml"]   # library names, or files beside this one
    platforms = ["array32"]
    arrays = ["16x16", "32x32"]              # in place of the platforms' own arrays
    processors = [2, 4, 8]                   # left out: as many as each platform has
    windows = [1, 4]                         # left out: 4, or what the network allows
    solvers = ["baselines", "list:heft", "cpsat"]
    seeds = [0]
    batch = 16
    time_steps = 32                          # in place of the networks' own; NIR files have none
    mode = "periodic"                        # or finite, with micro_batches
    objective = ["period", "delay"]
    time_limit_s = 10                        # of each solver; or deterministic_limit

    [training]                               # fields of `TrainingSetup`
    bptt_steps = 100

    [costing]                                # fields of `CostModel`
    stalls = true

    [limits]                                 # fields of `Limits`
    delay = 8

    [[splits]]                               # fields of `Split`
    kind = "W"
    axis = "k"
    parts = 2

Everything but networks, platforms and solvers may be left out. All names are looked up before
anything runs; whether each network can be lowered so, the sweep finds out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from spikepipe_sched.comparison import GROUPS, choose
from spikepipe_sched.cost import CostModel, Sparsity, Timing
from spikepipe_sched.errors import InputError, SpikepipeError, require
from spikepipe_sched.importers import load_network, load_platform
from spikepipe_sched.importers.toml import converted, read_toml
from spikepipe_sched.importers.toml_errors import printable
from spikepipe_sched.importers.toml_fields import Count, Name, Natural, Size
from spikepipe_sched.lower import Split
from spikepipe_sched.network import Network
from spikepipe_sched.platform import MAX_PROCESSORS, Platform, array_size
from spikepipe_sched.problem import Limits
from spikepipe_sched.solver import MAX_SEED
from spikepipe_sched.study.cell import Cell
from spikepipe_sched.training import InputGradient, Loss, Membrane, TrainingSetup, default_windows

#: More cells than this are a mistake: at a second each they would take eleven days.
MAX_CELLS: Final = 1_000_000
#: Micro-batches of a finite schedule unless something else is said.
MICRO_BATCHES: Final = 8

Names = Annotated[list[Name], Meta(min_length=1, max_length=1000)]
Share = Annotated[float, Meta(ge=0, le=1)]
Bits = Annotated[int, Meta(ge=1, le=1024)]
Seconds = Annotated[float, Meta(gt=0, le=1e9)]
Seed = Annotated[int, Meta(ge=0, le=MAX_SEED)]

T = TypeVar("T")


class _Table(Struct, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; fields have the names of the core's."""

    def given(self) -> dict[str, Any]:
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}


class TrainingTable(_Table):
    """See `TrainingSetup`; batch and windows stand at the top of the file."""

    loss: Loss | None = None
    dgrad: InputGradient | None = None
    membrane: Membrane | None = None
    bptt_steps: Size | None = None
    weight_bits: Bits | None = None
    gradient_bits: Bits | None = None
    membrane_bits: Bits | None = None
    activation_bits: Bits | None = None
    spike_bits: Bits | None = None
    spike_rate: Share | None = None
    error_density: Share | None = None
    optimizer_ops: Natural | None = None
    optimizer_state: Natural | None = None
    loss_ops: Natural | None = None


class CostingTable(_Table):
    """See `CostModel`."""

    timing: Timing | None = None
    vector: bool | None = None
    stalls: bool | None = None
    sparsity: Sparsity | None = None
    time_batching: bool | None = None


class LayerDelayTable(_Table):
    """The largest delay of one layer."""

    layer: Name
    delay: Count


class LimitsTable(_Table):
    """See `Limits`."""

    period_cycles: Count | None = None
    makespan_cycles: Count | None = None
    delay: Count | None = None
    layer_delay: list[LayerDelayTable] = []
    traffic_bytes: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    span_cycles: Count | None = None

    def core(self) -> Limits:
        """The limits of the core model."""
        fields = self.given()
        fields["layer_delay"] = tuple((limit.layer, limit.delay) for limit in self.layer_delay)
        return Limits(**fields)


class SplitTable(_Table):
    """See `Split`."""

    kind: Literal["F", "B", "W"]
    axis: Literal["m", "k", "n"]
    parts: Annotated[int, Meta(ge=2, le=4096)]
    layer: Name | None = None


class SweepFile(_Table):
    """A sweep file."""

    networks: Names
    platforms: Names
    solvers: Names
    name: Name | None = None
    arrays: Names | None = None
    processors: Annotated[list[Annotated[int, Meta(ge=1, le=MAX_PROCESSORS)]], Meta(min_length=1, max_length=MAX_PROCESSORS)] | None = None
    windows: Annotated[list[Size], Meta(min_length=1, max_length=1000)] | None = None
    seeds: Annotated[list[Seed], Meta(min_length=1, max_length=100_000)] | None = None
    batch: Size = 16
    time_steps: Size | None = None
    mode: Literal["periodic", "finite"] = "periodic"
    micro_batches: Size | None = None
    weights: Literal["stash", "latest"] = "stash"
    unroll: Size = 1
    objective: Names | None = None
    time_limit_s: Seconds | None = None
    deterministic_limit: Seconds | None = None
    training: TrainingTable = msgspec.field(default_factory=TrainingTable)
    costing: CostingTable = msgspec.field(default_factory=CostingTable)
    limits: LimitsTable = msgspec.field(default_factory=LimitsTable)
    splits: list[SplitTable] = []


def sweep_schema() -> dict[str, Any]:
    """JSON Schema of sweep files, as TOML is read."""
    return msgspec.json.schema(SweepFile)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A name, and cells in the order of the file: solvers of one problem stand together."""

    name: str
    cells: tuple[Cell, ...]


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file; nothing is lowered yet.

    Its name is that of the file without its suffix if it states none. Cells of equal content are one.

    Raises
    ------
    InputError
        With the file and the JSON path of what is wrong: an unknown field, network, platform, solver,
        preset, objective or layer, a value out of range, or too many cells.

    Warns
    -----
    UserWarning
        If networks, or platforms, have the same name and are not the same: rows do not tell them apart.
    """
    spec = converted(path, read_toml(path), SweepFile)
    name = spec.name or _stem(path)
    require(spec.time_limit_s is None or spec.deterministic_limit is None, f"{path}: give either time_limit_s or deterministic_limit, not both")
    with _at(path, "$"):
        shared = _shared(spec)
    solvers = list(dict.fromkeys(name for names in _each(path, "solvers", spec.solvers, lambda name: _solvers(name, spec.mode)) for name in names))
    seeds = spec.seeds or [0]
    lists = (spec.networks, spec.platforms, spec.arrays or [0], spec.processors or [0], spec.windows or [0], solvers, seeds)
    count = prod(map(len, lists))
    require(count <= MAX_CELLS, f"{path}: it has {count:,} cells, more than {MAX_CELLS:,}; make several sweeps of it")
    networks = list(_each(path, "networks", spec.networks, lambda name: load_network(_beside(path, name), time_steps=spec.time_steps)))
    _tell_namesakes(path, "networks", networks)
    platforms = list(_platforms(path, spec))
    _require_layers(path, spec, networks)
    cells: dict[str, Cell] = {}
    for network in networks:
        windows = [default_windows(network)] if spec.windows is None else spec.windows
        with _at(path, "$.training"):
            setups = [TrainingSetup(batch=spec.batch, windows=each, **spec.training.given()) for each in windows]
        for platform, setup, solver, seed in product(platforms, setups, solvers, seeds):
            with _at(path, "$"):
                cell = Cell(network=network, platform=platform, setup=setup, solver=solver, seed=seed, **shared)
            cells[cell.key] = cell
    return Sweep(name=name, cells=tuple(cells.values()))


def _shared(spec: SweepFile) -> dict[str, Any]:
    """What all cells have in common."""
    finite = spec.mode == "finite"
    require(finite or spec.micro_batches is None, 'micro_batches belong to mode = "finite"')
    require(finite or spec.limits.makespan_cycles is None, 'limits.makespan_cycles belongs to mode = "finite"; limit period_cycles or span_cycles')
    require(not finite or spec.limits.period_cycles is None, 'limits.period_cycles belongs to mode = "periodic"; limit makespan_cycles')
    shared: dict[str, Any] = {
        "cost": CostModel(**spec.costing.given()),
        "splits": tuple(Split(**split.given()) for split in spec.splits),
        "limits": spec.limits.core(),
        "mode": spec.mode,
        "micro_batches": (spec.micro_batches or MICRO_BATCHES) if finite else 1,
        "weights": spec.weights,
        "unroll": spec.unroll,
        "objective": None if spec.objective is None else tuple(spec.objective),
        "deterministic_limit": spec.deterministic_limit,
    }
    return shared if spec.time_limit_s is None else shared | {"time_limit_s": spec.time_limit_s}


def _platforms(path: Path, spec: SweepFile) -> Generator[Platform]:
    """Every platform with every kind of array and number of processors."""
    sizes = [None] if spec.arrays is None else list(_each(path, "arrays", spec.arrays, lambda text: array_size(text, "an array")))
    platforms = list(_each(path, "platforms", spec.platforms, lambda name: load_platform(_beside(path, name))))
    _tell_namesakes(path, "platforms", platforms)
    for platform in platforms:
        for size, count in product(sizes, spec.processors or [None]):
            machine = platform if size is None else platform.with_array(*size)
            yield machine if count is None else machine.with_processors(count)


def _solvers(name: str, mode: str) -> list[str]:
    """The solver of that name, or those of a group that know the mode."""
    return [each for each, solver in choose([name])[0].items() if name not in GROUPS or mode in solver.spec.modes]


def _require_layers(path: Path, spec: SweepFile, networks: list[Network]) -> None:
    """Layers that limits and splits name are in every network, and a limit names each of them once."""
    named = [(f"$.limits.layer_delay[{i}].layer", limit.layer) for i, limit in enumerate(spec.limits.layer_delay)]
    named += [(f"$.splits[{i}].layer", split.layer) for i, split in enumerate(spec.splits) if split.layer is not None]
    for (where, layer), network in product(named, networks):
        known = [other.name for other in network.layers]
        require(layer in known, f"{path}: {where}: network '{network.name}' has no layer '{printable(layer)}'")
    limited = [limit.layer for limit in spec.limits.layer_delay]
    twice = sorted({printable(layer) for layer in limited if limited.count(layer) > 1})
    require(not twice, f"{path}: $.limits.layer_delay: layer {', '.join(twice)} is named more than once")


def _tell_namesakes(path: Path, field: str, items: Sequence[Network] | Sequence[Platform]) -> None:
    """Warn of those that only their content tells apart."""
    first: dict[str, int] = {}
    for i, item in enumerate(items):
        before = first.setdefault(item.name, i)
        if item != items[before]:
            text = f"{path}: {field}[{before}] and {field}[{i}] are both called '{item.name}', and rows do not tell them apart; rename one of them"
            warnings.warn(printable(text), stacklevel=3)


def _stem(path: Path) -> str:
    """The file's name without its suffix, if that may be the name of a sweep."""
    try:
        path.stem.encode()
        return msgspec.convert(path.stem, Name)
    except (msgspec.ValidationError, UnicodeEncodeError):
        raise InputError(printable(f"{path}: $: a sweep cannot have the name of this file; state another: name = ...")) from None


def _beside(path: Path, name: str) -> str | Path:
    """A name of the library, or a file named relative to the sweep's."""
    return path.parent / name if Path(name).suffix else name


def _each(path: Path, field: str, items: Iterable[str], read: Callable[[str], T]) -> Generator[T]:
    """Each item of a list, read; an error names where it stands."""
    for i, item in enumerate(items):
        with _at(path, f"$.{field}[{i}]"):
            found = read(item)
        yield found


@contextmanager
def _at(path: Path, where: str) -> Generator[None]:
    try:
        yield
    except SpikepipeError as error:
        raise InputError(printable(f"{path}: {where}: {error}")) from None
