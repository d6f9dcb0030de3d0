"""``spikepipe-sched export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from spikepipe_sched.cli.output import require_writable, warn_if_wrong
from spikepipe_sched.errors import require


def export(file: Path, /, *, format: Literal["chrome", "html", "torch-pipelining"], output: Annotated[Path | None, Parameter(alias="-o")] = None) -> int:  # noqa: A002 (the option's name)
    """Write a schedule file as a Chrome trace, an HTML page or a schedule for PyTorch.

    Parameters
    ----------
    file
        Schedule file written by solve.
    format
        chrome: a trace (JSON) for Perfetto or chrome://tracing; html: a self-contained page with
        an interactive Gantt chart; torch-pipelining: the CSV that the runtime of
        torch.distributed.pipelining loads (format compute_only), a stage for every layer, window w of
        micro-batch m as its micro-batch m * windows + w. That runtime takes the loss chunk by chunk,
        so what it trains with is a sum over windows (the loss step). What it cannot run, or would run
        wrongly, is refused.
    output
        File to write; stdout if not given.
    """
    from spikepipe_sched.schema import load_result, write_atomically

    require_writable(output)
    result = load_result(file)
    warn_if_wrong(file, result)
    require(result.schedule is not None, f"{file}: there is no schedule in it to export ({result.status})")
    if format == "chrome":
        from spikepipe_sched.export.chrome import chrome_trace as render
    elif format == "html":
        from spikepipe_sched.export.html import html_page as render
    else:
        from spikepipe_sched.export.torch_pipelining import torch_csv as render
    text = render(result)
    if output is None:
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        write_atomically(output, text)
        print(f"written to {output}")
    return 0
