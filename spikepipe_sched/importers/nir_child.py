"""Opens HDF5 files in a process of its own, with limits.

On a damaged file the HDF5 library may crash, work for hours or ask for all memory there is; none
of it can be stopped from within the process. So the parent, `read_limited_graph`, starts a Python
of its own, gives it the parent's module path, and takes back one JSON document of limited size,
checked field by field; `main` is the child. Where there is no `resource` module (Windows) the
limit on wall-clock time alone holds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Final

import msgspec

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.importers.nir_file import NirGraph, read_structure

#: Processor time [seconds]: a file of 10,000 nodes, the most that is read, takes about 10.
CPU_SECONDS: Final = 30
#: Wall-clock time [seconds], for what waits and does not work: a disk that is gone, a stopped process.
WALL_SECONDS: Final = 120
#: Address space [bytes]; Python with numpy and h5py maps 0.15 GiB, and weights are not read.
MEMORY_BYTES: Final = 2 * 2**30
#: Length of the answer [bytes]; 10,000 nodes with 100,000 edges take about 3 MiB, and names may be longer.
REPLY_BYTES: Final = 64 * 2**20
#: What the child runs; it takes the path, the processor time and the address space as arguments.
PROGRAM: Final = "from spikepipe_sched.importers.nir_child import main; main()"


class Reply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the child says: the graph, or why there is none."""

    graph: NirGraph | None = None
    error: str = ""


def read_limited_graph(path: str | os.PathLike[str]) -> NirGraph:
    """The structure of a NIR file, read in a child process.

    Raises
    ------
    InputError
        If it is no NIR file, or the child crashes, hangs or asks for more than the limits allow.
    """
    require(sys.executable, "NIR files are read in a process of their own, and this program does not know its Python interpreter (sys.executable)")
    # The parent's own module path, by value: -I keeps the environment's and the folder's modules out.
    program = f"import sys\nsys.path[:] = {[entry for entry in sys.path if isinstance(entry, str)]!r}\n{PROGRAM}"
    command = [sys.executable, "-I", "-W", "ignore", "-c", program, os.fspath(path), str(CPU_SECONDS), str(MEMORY_BYTES)]
    # One thread: numpy's linear algebra would reserve address space for one per core.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    late = threading.Event()
    with tempfile.TemporaryFile() as log:
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=environment)  # noqa: S603
        except OSError as error:
            raise InputError(f"NIR files are read in a process of their own, which does not start: {error}") from None
        with child:
            timer = threading.Timer(WALL_SECONDS, lambda: (late.set(), child.kill()))
            timer.start()
            try:
                assert child.stdout is not None
                answer = child.stdout.read(REPLY_BYTES + 1)
                if len(answer) <= REPLY_BYTES:
                    child.wait()
            finally:
                timer.cancel()
                child.kill()
        log.seek(0)
        words = log.read(4096).decode(errors="replace").split("\n")
    require(len(answer) <= REPLY_BYTES, f"its structure takes more than {REPLY_BYTES} bytes; the file is damaged")
    require(not late.is_set(), f"reading it took more than {WALL_SECONDS} s; the file is damaged, or its disk does not answer")
    require(child.returncode == 0, _reason(child.returncode, next((line for line in reversed(words) if line.strip()), "")))
    try:
        reply = msgspec.json.decode(answer, type=Reply)
    except msgspec.MsgspecError as error:
        raise InputError(f"the process that read it gave no valid answer ({' '.join(str(error).split())}); the file is damaged") from None
    if reply.graph is None:
        raise InputError(reply.error or "the process that read it gave an empty answer")
    return reply.graph


def _reason(code: int, last_words: str) -> str:
    """Why a child ended without an answer."""
    if code == -getattr(signal, "SIGXCPU", 0):
        return f"the HDF5 library worked on it for more than {CPU_SECONDS} s of processor time; the file is damaged"
    name = f"exit code {code}"
    if code < 0:
        with contextlib.suppress(ValueError):  # a signal without a name
            name = signal.Signals(-code).name
    if last_words:
        return f"the process that read it failed ({name}): {last_words.strip()}"
    return f"the process that read it died ({name}); the file is damaged, or memory ran out"


def main() -> None:
    """In the child: read the file that the first argument names, within the limits of the others."""
    path, seconds, memory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _limit(seconds, memory)
    try:
        answer = msgspec.json.encode(Reply(graph=read_structure(path)))
    except InputError as error:
        answer = msgspec.json.encode(Reply(error=str(error)))
    except MemoryError:
        answer = msgspec.json.encode(Reply(error=f"reading it takes more than {memory // 2**20} MiB of memory; the file is damaged"))
    sys.stdout.buffer.write(answer)
    sys.stdout.flush()
    os._exit(0)  # without the HDF5 library's clean-up, which can fail on what it has read


def _limit(seconds: int, memory: int) -> None:
    """Limit this process, as far as the platform can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    # No core file: it would lie in the user's folder.
    for what, value in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0)):
        _, most = resource.getrlimit(what)
        ceiling = value if most == resource.RLIM_INFINITY else min(value, most)
        with contextlib.suppress(ValueError, OSError):  # macOS knows no limit on the address space
            resource.setrlimit(what, (ceiling, most))
