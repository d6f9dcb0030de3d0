"""The SpikePipe experiment, reconstructed from abstracts: its grid of cells, and all that is assumed.

Sanjeet, Sahoo and Parhi, SpikePipe, IEEE Transactions on Circuits and Systems for Artificial Intelligence
2024, first version arXiv:2406.06879. Its abstracts were at hand, its tables were not: networks, data
sets, sizes of arrays, numbers of processors and cycle formulas are this file's choice (`ASSUMPTIONS`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import Final

from spikepipe_sched.errors import require, require_one_of, require_whole
from spikepipe_sched.importers import load_network, load_platform
from spikepipe_sched.platform import array_size
from spikepipe_sched.solver import MAX_SEED, load_solver
from spikepipe_sched.study.cell import Cell
from spikepipe_sched.training import TrainingSetup

#: Speed-ups are over this solver; this one is the paper's, reconstructed; this one is what can be reached.
BASELINE: Final = "stages"
PAPER: Final = "spikepipe"
BEST: Final = "auto"

#: In place of the paper's networks, which the abstract of arXiv:2406.06879 (version 1) counts as three and that of the journal as four.
FIRST_NETWORKS: Final = ("nmnist_mlp", "dvs_gesture_conv", "vgg9")
NETWORKS: Final = (*FIRST_NETWORKS, "mnist_iir")
#: Those of `NETWORKS` that are large, in the sense of the abstract's "small" and "large" networks.
LARGE_NETWORKS: Final = ("vgg9",)
PROCESSORS: Final = (1, 2, 4, 8, 16)
ARRAYS: Final = ("16x16", "32x32", "64x64")
SOLVERS: Final = (BASELINE, "pipedream", "layerpipe", PAPER, BEST)
#: In which tables name them: those that the claims are about first, then what they are over.
SHOWN: Final = (PAPER, BEST, "layerpipe", "pipedream", BASELINE)
PLATFORM: Final = "array32"

#: What cannot be read in the abstracts, and what is taken instead: subject and assumption.
ASSUMPTIONS: Final = {
    "networks": (
        "N-MNIST's MLP, a convolutional network for DVS Gesture and a VGG for CIFAR10-DVS, as this library holds them with their sources (nmnist_mlp, "
        "dvs_gesture_conv, vgg9). The journal version has a fourth network; mnist_iir stands for it, after the same authors' earlier IIR-filter network on "
        "MNIST; the widths of its layers are assumed. vgg9 is a reconstruction without batch normalisation, which its substitute in training has. It counts as "
        "the large network, the others as small ones."
    ),
    "arrays": (
        "16x16, 32x32 and 64x64 elements, 1 to 16 arrays, otherwise as the library's platform array32; cycles as SCALE-Sim's code counts them, the cheapest "
        "dataflow for each task."
    ),
    "training": (
        "Batches of 16; one task for each layer and pass, all time steps together (windows = 1); weights are stashed. A period holds one iteration, so that every "
        "task is placed once (unroll = 1); the bounds shown are those of such schedules. Where the longest task is the bound, periods of several iterations can "
        "be shorter per iteration than every bound shown."
    ),
    "standard pipelining": (
        "The solver stages: contiguous layers on each processor, the backward pass of a stage as one block, the best such cut. On like arrays that is "
        "PipeDream without replication: the rows of pipedream are the same."
    ),
    "SpikePipe": "The solver spikepipe, a reconstruction: every task is placed by itself, balanced, near what it exchanges, and retimed.",
    "LayerPipe": (
        "The solver layerpipe, a reconstruction, with whole tasks. It needs a processor for each of the passes F, B and W: at least 3. Its paper measured other "
        "networks."
    ),
    "speed-up": (
        "The period of stages over that of the schedule, on as many arrays of the same size. Which average the paper means, and over which cells, is unknown: "
        "arithmetic and geometric means are shown, for each number of processors, over all from 2 on, and over those without more arrays than layers, as stages "
        "leaves the others idle. Rules take the arithmetic mean over all from 2 on, and hold in part if that over cells without more arrays than layers falls short."
    ),
    "communication overhead": (
        "Bytes between processors beyond those of stages, as a share of the total training communication, which the abstract does not define. Three readings "
        "stand beside each other, as none can be ruled out: all bytes that the tasks of an iteration read and write, each tensor once a task, which is what this "
        "package calls overhead elsewhere; all bytes between the arrays and their buffers, where every fold of a product reads its operands again, as its cost "
        "model counts them; the bytes between processors alone. A claim holds if it does by all of them, and in part if by some."
    ),
    "accuracy": (
        "The paper's data sets cannot be had here. Networks with as many weight layers, of the same kinds, are trained on scikit-learn's digits with the delays of "
        "the schedules on 32x32 arrays, carried over layer by layer, and compared with the same training without delays; a loss of 1 point counts, and less than "
        "10 % is read as less than 10 points. Neurons are LIF, convolutional substitutes have batch normalisation. The rate is one for all and not tuned; its "
        "cosine schedule ends near 0, where weights hardly move and delays are forgiven. That can speak against a claim, and never confirms the paper's own figures."
    ),
    "search": (
        "auto is this package's portfolio: the best schedule found within the time limit of a cell, on one core; where the limit ends it, results may differ from "
        "machine to machine."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracySetup:
    """Which schedules' delays are trained with, and for how long.

    Parameters
    ----------
    solvers, processors, array
        Whose schedules.
    epochs, seeds, rate, margin
        See `spikepipe_sched.learning.ValidationSetup`; the optimizer is Adam with a cosine schedule.
    """

    solvers: tuple[str, ...] = (PAPER, BEST)
    processors: tuple[int, ...] = (2, 4, 8, 16)
    array: str = "32x32"
    epochs: int = 10
    seeds: int = 5
    rate: float = 1e-3
    margin: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySetup:
    """The grid: every network on every array with every number of processors, by every solver.

    Parameters
    ----------
    arrays
        Sizes, such as ``32x32``.
    batch
        Samples of an iteration, and of an update when accuracy is measured.
    time_limit_s
        Of each cell, for solvers that search.
    accuracy
        None: it is not measured.

    Raises
    ------
    InputError
        If a size, number or name is none, or comes twice.
    """

    networks: tuple[str, ...] = NETWORKS
    processors: tuple[int, ...] = PROCESSORS
    arrays: tuple[str, ...] = ARRAYS
    solvers: tuple[str, ...] = SOLVERS
    batch: int = 16
    time_limit_s: float = 10.0
    seed: int = 0
    accuracy: AccuracySetup | None = field(default_factory=AccuracySetup)

    def __post_init__(self) -> None:
        for name in ("networks", "processors", "arrays", "solvers"):
            values = getattr(self, name)
            require(values, f"study: name at least one of the {name}")
            require(len(set(values)) == len(values), f"study: one of the {name} comes twice: {', '.join(map(str, values))}")
        for count in self.processors:
            require_whole("study", "processors", count, 1)
        for array in self.arrays:
            array_size(array, "study: an array")
        require_one_of("study", "baseline", BASELINE, self.solvers)
        require_whole("study", "batch", self.batch, 1)
        require(0 <= self.seed <= MAX_SEED, f"study: seed must be between 0 and {MAX_SEED}, got {self.seed}")
        for solver in self.solvers:
            load_solver(solver)

    def cells(self) -> tuple[Cell, ...]:
        """All questions; those about one problem stand together.

        Raises
        ------
        InputError
            If a network is unknown, or a number is out of range.
        """
        base, setup = load_platform(PLATFORM), TrainingSetup(batch=self.batch, windows=1)
        networks = [load_network(name) for name in self.networks]
        platforms = [base.with_array(*array_size(array, "study: an array")).with_processors(count) for array, count in product(self.arrays, self.processors)]
        return tuple(
            Cell(network=network, platform=platform, setup=setup, solver=solver, time_limit_s=self.time_limit_s, seed=self.seed)
            for network, platform, solver in product(networks, platforms, self.solvers)
        )


def quick(setup: StudySetup) -> StudySetup:
    """A small part of the same, to see whether all works; it decides no claim."""
    accuracy = setup.accuracy and replace(setup.accuracy, solvers=(PAPER,), processors=(2, 4), epochs=2, seeds=2)
    return replace(setup, networks=NETWORKS[:2], processors=(2, 4), arrays=("32x32",), time_limit_s=1.0, accuracy=accuracy)
