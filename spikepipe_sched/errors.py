"""What can be wrong with what a user hands in."""

from __future__ import annotations

from collections.abc import Callable, Collection
from numbers import Integral, Real
from typing import Any, cast


class SpikepipeError(Exception):
    """A failure whose message is meant for the user: what, where, and what to do."""


class InputError(SpikepipeError, ValueError):
    """Bad input: a file, an option or a graph that cannot be used as it is (exit code 2)."""


class Unsupported(InputError):
    """A solver cannot take a problem that another one may take."""


def require(condition: object, message: str) -> None:
    """Raise `InputError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise InputError(message)


def is_whole(value: object) -> bool:
    """Whether ``value`` is a whole number of any integer type; yes and no are none."""
    return isinstance(value, Integral) and value is not True and value is not False


def is_number(value: object) -> bool:
    """Whether ``value`` is a real number of any type; yes and no are none."""
    return isinstance(value, Real) and value is not True and value is not False


def is_tuple_of(value: object, fits: Callable[[object], bool]) -> bool:
    """Whether ``value`` is a tuple, all items of which fit."""
    return isinstance(value, tuple) and all(map(fits, cast("tuple[object, ...]", value)))


def require_whole(where: str, field: str, value: Any, low: int) -> int:
    """Return ``value`` as an `int`, or raise `InputError` unless it is a whole number of at least ``low``.

    Fields keep what is returned: integers of NumPy overflow.
    """
    if type(value) is int and value >= low:  # nearly always, and nothing is formatted for it
        return value
    require(is_whole(value), f"{where}: {field} must be a whole number, got {shown(value)}")
    require(value >= low, f"{where}: {field} must {f'be at least {low}' if low else 'not be negative'}, got {value}")
    return int(value)


def require_share(where: str, field: str, value: Any) -> None:
    """Raise `InputError` unless ``value`` is a number between 0 and 1."""
    number = is_number(value)
    require(number and 0 <= value <= 1, f"{where}: {field} must be {'' if number else 'a number '}between 0 and 1, got {shown(value)}")


def require_one_of(where: str, field: str, value: object, allowed: Collection[str]) -> None:
    """Raise `InputError` unless ``value`` is one of the words ``allowed``."""
    require(isinstance(value, str) and value in allowed, f"{where}: {field} must be one of {', '.join(allowed)}, got {shown(value)}")


def shown(value: object) -> str:
    """A value on one line, shortened."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
