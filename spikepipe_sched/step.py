"""Lets a step of the API share its name with the module it lives in.

`spikepipe_sched.lower` is the function users call and the module it is written in; importing the
module would otherwise replace the function on the package. A callable module serves both uses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def callable_module(name: str, function: Callable[..., Any]) -> None:
    """Make the module ``name`` callable: calling it calls ``function``."""

    class Step(ModuleType):
        __call__ = staticmethod(function)

    sys.modules[name].__class__ = Step
