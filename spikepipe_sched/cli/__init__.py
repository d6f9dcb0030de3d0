"""The command line: `main` finds the command and turns errors into one line and an exit code.

One file per command; only the command that runs is imported, and what it needs only when it
needs it, so that ``--help`` costs no more than the parser.

Exit codes: 0; 1 nothing feasible, a gap above ``--require-gap``, a schedule with violations, a loss
of accuracy under ``--fail-on-degraded``, a target that no plan reaches, a failed row of a sweep, a run
that was not as scheduled, or a failure; 2 bad input; 130 interrupted before there was anything to show, or in the
middle of a comparison, a validation, a sweep or a study; 141 the reader of the output went away.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cyclopts import App

#: Every command with its one-line summary: the first line of its docstring, stated here so that
#: ``--help`` imports none of them (a test compares the two).
COMMANDS: Final = {
    "solve": "Schedule the training of a network.",
    "show": "Draw a schedule file in the terminal.",
    "check": "Verify a schedule file against the problem it embeds, without any solver.",
    "simulate": "Replay a schedule file with jitter and link contention.",
    "compare": "Compare solvers over numbers of processors.",
    "validate": "Train with a schedule's delays and without: do they cost accuracy?",
    "run-torch": "Execute a synchronous schedule with real layers on torch.distributed.pipelining.",
    "pareto": "Trade the period against gradient delay or traffic.",
    "sweep": "Run solvers over networks, platforms, processors and windows; results go to a store.",
    "study": "Reproduce a paper's experiment, and say which of its claims hold.",
    "plot": "Plot any figure in a store of sweeps over another.",
    "plan": "Choose how many arrays of which size, with a schedule.",
    "cost": "List cycles, traffic and energy of every layer and pass on one array.",
    "export": "Write a schedule file as a Chrome trace, an HTML page or a schedule for PyTorch.",
    "networks": "List the networks of the library with their sizes.",
    "platforms": "List the platforms of the library.",
    "datasets": "List the data sets that validate trains on.",
    "solvers": "List the installed solvers.",
    "schema": "Print the JSON Schema of schedule, validation, network, platform or sweep files.",
}


#: What the user typed: values alone do not tell whether an option was given.
TYPED: Final[ContextVar[tuple[str, ...]]] = ContextVar("TYPED", default=())


def build_app(tokens: Sequence[str] = ()) -> App:
    """The cyclopts application; the command that ``tokens`` name keeps its own full help text."""
    from cyclopts import App

    from spikepipe_sched.version import __version__

    app = App(
        name="spikepipe-sched",
        help="Schedule the pipelined training of spiking neural networks on systolic arrays.",
        help_format="markdown" if tokens and tokens[0] in COMMANDS else "plaintext",  # markdown costs its import
        version=__version__,
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for place, (name, summary) in enumerate(COMMANDS.items()):
        module = name.replace("-", "_")
        app.command(f"spikepipe_sched.cli.{module}:{module}", name=name, sort_key=place, help=None if name in tokens[:1] else summary)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    from spikepipe_sched.errors import InputError, SpikepipeError

    tokens = list(sys.argv[1:] if arguments is None else arguments)
    _reopen_streams()
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            code = _run(tokens)
            sys.stdout.flush()
        except InputError as error:
            return complain(error, 2)
        except SpikepipeError as error:
            return complain(error, 1)
        except MemoryError:
            return complain("out of memory; use fewer processors, windows or micro-batches", 1)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush complains
            return 141
        except OSError as error:
            return complain(f"{error.filename}: {error.strerror}" if error.filename else error, 2)
        except KeyboardInterrupt:
            return complain("interrupted", 130)
        except ImportError as error:
            if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):  # a compiled module was being loaded
                return complain("interrupted", 130)
            raise
    return code


def _reopen_streams() -> None:
    """Whoever closes stdout or stderr wants nothing on it, and no file opened later in its place."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "w")  # noqa: PTH123, SIM115  (as long as the process lives)
            os.dup2(stream.fileno(), descriptor)
            os.set_inheritable(descriptor, True)  # by the processes it starts
            setattr(sys, name, stream)


def _run(tokens: list[str]) -> int:
    from cyclopts import CycloptsError

    TYPED.set(tuple(tokens))
    try:
        code = build_app(tokens)(tokens or ["--help"])
    except CycloptsError as error:
        return complain(error, 2)
    return code if isinstance(code, int) else 0


def complain(message: object, code: int) -> int:
    """One line on stderr, without characters that could steer the terminal (files have any names); returns ``code``."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(str(message).split()))
    print(f"error: {text}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)
