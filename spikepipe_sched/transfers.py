"""Transfers over shared links: which there are, what each holds, and when the data are there.

A transfer is what crosses once (see `spikepipe_sched.traffic`): one tensor of one iteration from one
processor to another, for all who read it there. It may start when every task that the sender
contributes to it has its result there (a sum is sent after the last share), holds its links for
ceil(bytes / bandwidth) cycles, and is there ``latency_cycles`` later. What is 0 bytes long is not
sent.

The order of an edge's ends is never looser than without sharing: the tensors of an edge go over the
same links, one after the other, each at its own ceil(bytes / bandwidth) cycles. So a schedule that
respects shared links also respects the problem without them, with no larger delays, traffic or
memory there: every lower bound of the problem without sharing holds with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.errors import require
from spikepipe_sched.rows import distinct
from spikepipe_sched.traffic import Flows, flows

if TYPE_CHECKING:
    from spikepipe_sched.platform import Sharing
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.schedule import Schedule

Ints = NDArray[np.int64]


def shared(problem: Problem) -> bool:
    """Whether the platform declares shared links."""
    return problem.interconnect.sharing != "none"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transfers:
    """All transfers of a placement, t of them, sorted by tensor, copy, sender and receiver.

    ``tensor``, ``copy``, ``sender``, ``receiver`` (t,); ``cycles`` (t,) how long each holds its
    links; ``flow`` what is sent to whom, ``carrier`` (f,) the transfer of each row of it,
    -1 where nothing is sent.
    """

    tensor: Ints
    copy: Ints
    sender: Ints
    receiver: Ints
    cycles: Ints
    flow: Flows
    carrier: Ints

    @property
    def size(self) -> int:
        """Number t of transfers."""
        return len(self.tensor)

    def rows(self) -> list[tuple[int, int, int, int]]:
        """Tensor, copy, sender and receiver of each."""
        return list(zip(self.tensor.tolist(), self.copy.tolist(), self.sender.tolist(), self.receiver.tolist(), strict=True))

    def releases(self, end: Ints) -> Ints:
        """(t,) Earliest starts: the last result of a task that it carries, given the ends of all copies (N,)."""
        earliest = np.full(self.size, np.iinfo(np.int64).min)
        sent = self.carrier >= 0
        np.maximum.at(earliest, self.carrier[sent], end[self.flow.source[sent]] + self.flow.lag[sent])
        return earliest


def transfers(problem: Problem, processor: Ints, flow: Flows | None = None) -> Transfers:
    """The transfers of a placement (N,).

    Parameters
    ----------
    flow
        Data movements under the delays of a schedule; not needed without unrolling, where delays
        do not decide which copy reads.
    """
    if flow is None:
        require(problem.unroll == 1, "which copies of a tensor are sent depends on the delays: shared links need unroll=1")
        none = np.zeros(len(problem.layers), dtype=np.int64)
        flow = flows(problem, none, none)
    sender, receiver = processor[flow.source], processor[flow.target]
    sent = (sender != receiver) & (problem.tensor_bytes[flow.tensor] > 0)
    keys, inverse = distinct(flow.tensor[sent], flow.copy[sent], sender[sent], receiver[sent])
    carrier = np.full(len(flow.tensor), -1, dtype=np.int64)
    carrier[sent] = inverse
    cycles = problem.interconnect.holding_cycles(problem.tensor_bytes[keys[0]])
    return Transfers(tensor=keys[0], copy=keys[1], sender=keys[2], receiver=keys[3], cycles=cycles, flow=flow, carrier=carrier)


def links(sharing: Sharing, processors: int, sent: Transfers) -> Ints:
    """(t, 1 or 2) The links that every transfer holds, by number; see `link_name`."""
    if sharing == "bus":
        return np.zeros((sent.size, 1), dtype=np.int64)
    if sharing == "pairs":
        return (sent.sender * processors + sent.receiver)[:, None]
    return np.stack([sent.sender, processors + sent.receiver], axis=1)


def link_name(problem: Problem, sharing: Sharing, link: int) -> str:
    """What a link is called."""
    names, count = [p.name for p in problem.processors], len(problem.processors)
    if sharing == "bus":
        return "the bus"
    if sharing == "pairs":
        return f"the link {names[link // count]} to {names[link % count]}"
    return f"the sending port of {names[link]}" if link < count else f"the receiving port of {names[link - count]}"


def arrivals(problem: Problem, schedule: Schedule) -> Ints:
    """(x,) When the data of every row of `Dependences` are there, over shared links; of the producing iteration.

    The end of the source and the lag, and where its ends lie apart, the arrival of all its tensors.
    """
    sent = transfers(problem, schedule.processor)
    instance = problem.instance
    end = schedule.start + instance.duration[np.arange(instance.size), schedule.processor]
    there = end[np.concatenate([instance.source, instance.delay_source])] + np.concatenate([instance.lag, instance.delay_lag])
    if schedule.transfers is not None:
        done = schedule.transfers + sent.cycles + problem.interconnect.latency_cycles
        carried = sent.carrier >= 0
        np.maximum.at(there, sent.flow.dependence[carried], done[sent.carrier[carried]])
    return there
