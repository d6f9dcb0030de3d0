"""Time cut into windows: each layer's own, and which of them meet."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from spikepipe_sched.errors import require
from spikepipe_sched.layer import Layer
from spikepipe_sched.network import Network
from spikepipe_sched.training import TrainingSetup


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The steps first .. last - 1 of a layer with T_l steps; it lasts from first/T_l to last/T_l of the sequence."""

    index: int
    first: int
    last: int

    @property
    def steps(self) -> int:
        """Number of time steps."""
        return self.last - self.first


def cut_time(steps: int, windows: int) -> tuple[Window, ...]:
    """Borders floor(w * T_l / windows); a window without a step is left out."""
    borders = [w * steps // windows for w in range(windows + 1)]
    return tuple(Window(index=w, first=borders[w], last=borders[w + 1]) for w in range(windows) if borders[w] < borders[w + 1])


def meeting(ours: tuple[Window, ...], theirs: tuple[Window, ...], shift: int = 0) -> dict[int, tuple[Window, ...]]:
    """For each of our windows (by index) those of theirs that overlap it in time.

    Of T steps of ours and T' of theirs, ours are moved by ``shift`` / (T T') of the sequence first:
    one of our own steps is T' of these units, one of theirs T.
    """
    total, other = ours[-1].last, theirs[-1].last

    def overlapping(window: Window) -> tuple[Window, ...]:
        begin = bisect_right(theirs, window.first * other + shift, key=lambda w: w.last * total)
        return theirs[begin : bisect_left(theirs, window.last * other + shift, key=lambda w: w.first * total)]

    return {window.index: overlapping(window) for window in ours}


def segments(network: Network, setup: TrainingSetup, layer: Layer, windows: tuple[Window, ...]) -> dict[int, int]:
    """Number of the segment of truncated back-propagation that each window lies in.

    Raises
    ------
    InputError
        If a window reaches over the border of a segment.
    """
    if setup.bptt_steps is None:
        return {window.index: 0 for window in windows}
    steps, length = network.steps(layer), setup.bptt_steps

    def segment(step: int) -> int:
        return step * network.time_steps // (steps * length)

    enough = network.time_steps if network.time_steps % length else network.time_steps // length
    advice = f"choose windows whose borders include every multiple of {length}, such as windows={enough}"
    if steps != network.time_steps:
        advice = f"its {steps} time steps of its own must be cut there as well as the network's {network.time_steps}"
    for window in windows:
        require(
            segment(window.first) == segment(window.last - 1),
            f"training: bptt_steps={length} cuts through window {window.index} of layer '{layer.name}' (steps {window.first}..{window.last - 1} of {steps}); {advice}",
        )
    return {window.index: segment(window.first) for window in windows}
