"""``--max-staleness``: limits on delays, as a number or from what a sweep has measured."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from spikepipe_sched.cli.options import Job

if TYPE_CHECKING:
    from spikepipe_sched.network import Network
    from spikepipe_sched.training import TrainingSetup


def staleness_limits(job: Job, network: Network, training: TrainingSetup) -> tuple[tuple[str, int], ...]:
    """The largest delay of every layer that ``--max-staleness`` allows; a note on stderr says what a measurement rests on.

    Raises
    ------
    InputError
        If the measurement is of another training, or the options do not go together.
    """
    from spikepipe_sched.errors import InputError, require

    text = job.max_staleness
    number = text is not None and text.isascii() and text.isdecimal() and len(text) <= 9
    alone = [option for option, value in (("--tolerance", job.tolerance), ("--profile", job.profile)) if value is not None]
    require(
        not alone or not (text is None or number), f"{' and '.join(alone)} can only go with --max-staleness FILE, a file that validate --sweep-delays wrote"
    )
    if text is None:
        return ()
    if number:
        return tuple((layer, int(text) + 1) for layer in network.parameters())
    from spikepipe_sched.export.staleness import limits_note
    from spikepipe_sched.staleness import Staleness, mismatch
    from spikepipe_sched.staleness_limits import delay_limits, loosest

    require(Path(text).exists(), f"--max-staleness takes a whole number, or a file that validate --sweep-delays wrote; there is no file '{text}'")
    measured = Staleness.from_json(Path(text))
    other = mismatch(measured, network, training, job.weights)
    if other is not None:
        raise InputError(f"{text}: measured with {other[0]}, not {other[1]}; measure again, or give limits with --max-staleness NUMBER or --max-layer-delay")
    tolerance = 1.0 if job.tolerance is None else job.tolerance
    point = loosest(measured, tolerance, job.profile)
    print(f"note: {limits_note(measured, tolerance, point)}", file=sys.stderr)
    return delay_limits(measured, tolerance, job.profile)
