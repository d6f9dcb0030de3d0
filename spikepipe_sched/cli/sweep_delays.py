"""``validate --sweep-delays``: what staleness costs in accuracy, for ``solve --max-staleness``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Group, Parameter

from spikepipe_sched.cli.options import numbers
from spikepipe_sched.cli.output import deliver

if TYPE_CHECKING:
    from spikepipe_sched.result import Result

#: Staleness that is tried unless something else is asked for [updates].
STEPS: Final = "1,2,4,8"


@Parameter(name="*", group=Group("Sweep over delays", sort_key=2))
@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A sweep in place of a validation.

    Parameters
    ----------
    sweep_delays
        Measure accuracy against staleness, of all layers alike, in place of the schedule's own delays;
        the file that --output writes is what solve takes as --max-staleness.
    staleness
        What to try [updates], comma-separated; 1,2,4,8 if not given.
    sweep_layers
        Try each layer alone too, and then what all layers seem to bear together.
    """

    sweep_delays: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    staleness: str | None = None
    sweep_layers: Annotated[bool, Parameter(negative=(), show_default=False)] = False

    def asked(self) -> bool:
        """Whether to sweep; InputError if only its details are given."""
        from spikepipe_sched.errors import require

        require(self.sweep_delays or (self.staleness is None and not self.sweep_layers), "--staleness and --sweep-layers can only go with --sweep-delays")
        return self.sweep_delays


def run_sweep(result: Result, asked: Sweep, options: dict[str, Any], output: Path | None, html: Path | None, *, json: bool) -> int:
    """Measure, write and print; ``options`` are those that `spikepipe_sched.validate` takes too."""
    from spikepipe_sched.cli.training_progress import live_training

    steps = numbers(STEPS if asked.staleness is None else asked.staleness, "--staleness")
    from spikepipe_sched.validate import sweep_delays

    try:
        with live_training() as observer:
            found = sweep_delays(result, steps, single_layers=asked.sweep_layers, observer=observer, **options)
    except KeyboardInterrupt:
        folder = options["checkpoints"]
        print("interrupted" + (f"; --resume goes on from {folder}" if folder is not None else ""), file=sys.stderr)
        return 130
    deliver(found, str(found), output, html, json=json)
    return 0
