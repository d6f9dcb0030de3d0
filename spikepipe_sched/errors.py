"""What can be wrong with what a user hands in."""

from __future__ import annotations

from numbers import Integral


class SpikepipeError(Exception):
    """A failure whose message is meant for the user: what, where, and what to do."""


class InputError(SpikepipeError, ValueError):
    """Bad input: a file, an option or a graph that cannot be used as it is (exit code 2)."""


def require(condition: object, message: str) -> None:
    """Raise `InputError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise InputError(message)


def is_whole(value: object) -> bool:
    """Whether ``value`` is a whole number of any integer type; yes and no are none."""
    return isinstance(value, Integral) and value is not True and value is not False
