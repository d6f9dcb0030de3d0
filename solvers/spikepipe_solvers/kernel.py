"""Functions on arrays that run as plain Python, or compiled by numba where the work is worth it.

Importing numba takes half a second and the first compilation of a machine some seconds more, so a
solver chooses by the size of its problem: ``kernel(...)`` is plain Python, ``kernel.compiled(...)``
the same function compiled (and cached on disk beside its source, or in the user's cache folder).

numba looks at a file's time and size to see whether cached code is out of date, and at the caller's
file only: code of a changed callee, or of another release with equal time stamps, would live
on. The name under which a kernel is cached therefore carries a digest of its source, its
constants and its callees.
"""

from __future__ import annotations

import hashlib
import inspect
import signal
import textwrap
import threading
from collections.abc import Callable
from functools import cached_property, update_wrapper
from pathlib import Path
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


class Kernel(Generic[P, R]):
    """Decorator; the function may use numbers and other kernels of its module, NumPy, and its arguments."""

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = cast("FunctionType", function)
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run as plain Python."""
        return self.function(*args, **kwargs)

    def pick(self, *, fast: bool) -> Callable[P, R]:
        """The compiled function, or the plain one."""
        return self.compiled if fast else cast("Callable[P, R]", self.function)

    @cached_property
    def _used(self) -> dict[str, Any]:
        """Global names the function uses."""
        names, space = self.function.__code__.co_names, self.function.__globals__
        return {name: space[name] for name in names if name in space}

    @cached_property
    def digest(self) -> str:
        """Of all that the compiled code depends on."""
        parts = [textwrap.dedent(inspect.getsource(self.function))]
        for name, value in sorted(self._used.items()):
            if isinstance(value, Kernel):
                parts.append(value.digest)
            elif isinstance(value, int | float):
                parts.append(f"{name}={value!r}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    @property
    def ready(self) -> bool:
        """Whether compiled code is loaded, or cached on disk, so that it need not be compiled any more."""
        compiled: Any = self.compiled
        return bool(compiled.signatures) or any(Path(compiled.stats.cache_path).glob(f"*{self.digest}*.nbi"))

    @cached_property
    def compiled(self) -> Callable[P, R]:
        """Compiled on first use; integer overflow wraps around and indices are not checked, as in C."""
        return self._twin(cache=True, no_cfunc_wrapper=True)

    @cached_property
    def callee(self) -> Callable[P, R]:
        """The same for callers that are compiled: without what calls from Python need, a third of the time to compile."""
        return self._twin(no_cfunc_wrapper=True, no_cpython_wrapper=True)

    def _twin(self, **options: Any) -> Callable[P, R]:
        import numba

        space = {name: value.callee if isinstance(value, Kernel) else value for name, value in self._used.items()}
        twin = FunctionType(self.function.__code__, {**self.function.__globals__, **space}, self.function.__name__)
        twin.__qualname__ = f"{self.function.__qualname__}_{self.digest}"
        twin.__module__ = self.function.__module__
        compiled: Any = numba.njit(**options)(twin)
        compiled._compile_for_args = _undisturbed(compiled._compile_for_args)  # noqa: SLF001 - what a call of new types goes through
        return cast("Callable[P, R]", compiled)


def _undisturbed(compile_for: Callable[..., Any]) -> Callable[..., Any]:
    """Compile, and only then hear Ctrl-C: raised within a callback of LLVM it would be printed and lost."""

    def compile_undisturbed(*args: Any, **kwargs: Any) -> Any:
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            return compile_for(*args, **kwargs)
        heard: list[tuple[Any, ...]] = []
        signal.signal(signal.SIGINT, lambda *what: heard.append(what))
        try:
            return compile_for(*args, **kwargs)
        finally:
            signal.signal(signal.SIGINT, before)
            if heard:
                before(*heard[0])

    return compile_undisturbed
