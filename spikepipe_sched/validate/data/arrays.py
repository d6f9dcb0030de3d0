"""Samples and labels that a user brings as arrays, checked; see `DataSet.from_arrays`."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikepipe_sched.errors import InputError, require, shown
from spikepipe_sched.network import Coding

Array = NDArray[Any] | Tensor
#: Larger labels are no classes, but identifiers.
_MAX_LABEL: Final = 10**6


def labelled(where: str, part: tuple[Array, Array], coding: Coding) -> tuple[Tensor, Tensor]:
    """Samples and labels of a part, copied: (N, T, *shape), float32 or, of spikes, uint8; and (N,) int64.

    Raises
    ------
    InputError
        If they are none, or do not belong together; the message begins with ``where``.
    """
    require(isinstance(part, tuple | list) and len(part) == 2, f"{where} must be a pair (samples, labels), got {_kind(part)}")
    samples, labels = _plain(f"{where}: samples", part[0]), _plain(f"{where}: labels", part[1])
    require(
        samples.ndim > 2,
        f"{where}: samples must have the shape (samples, time steps, and at least one more for what a step brings), got {list(samples.shape)}",
    )
    require(samples.size, f"{where}: samples of shape {list(samples.shape)} hold nothing")
    require(labels.ndim == 1, f"{where}: labels must have the shape (samples,), got {list(labels.shape)}")
    require(len(labels) == len(samples), f"{where}: {len(samples)} samples, but {len(labels)} labels")
    require(labels.dtype.kind in "iu", f"{where}: labels must be whole numbers, got values of type {labels.dtype}")
    _require_all(where, (labels >= 0) & (labels <= _MAX_LABEL), labels, f"label {{}}; classes are counted from 0 and at most {_MAX_LABEL}")
    with np.errstate(over="ignore"):
        values = samples.astype(np.float32)
    _require_all(where, np.isfinite(values), samples, "the value {}, which is no finite number in single precision")
    if coding == "spikes":
        _require_all(where, (values == 0) | (values == 1), samples, "the value {}; spikes are 0 or 1, real values need coding = direct")
        values = values.astype(np.uint8)
    return torch.from_numpy(values), torch.from_numpy(labels.astype(np.int64))


def _plain(what: str, values: Any) -> NDArray[Any]:
    try:
        if isinstance(values, Tensor):
            values = values.detach().cpu()
            array = (values.float() if values.is_floating_point() else values).numpy()  # NumPy has no bfloat16
        else:
            array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{what} must be an array, got {_kind(values)}, which cannot be made one") from None
    require(array.dtype.kind in "biuf", f"{what} must be an array of numbers, got {_kind(values)} of type {array.dtype}")
    return array


def _require_all(where: str, right: NDArray[np.bool_], values: NDArray[Any], told: str) -> None:
    """Raise `InputError` with the first sample that is not all right, and its value."""
    if not right.all():
        place = np.unravel_index(int(right.argmin()), right.shape)
        raise InputError(f"{where}: sample {place[0]} has {told.format(shown(values[place].item()))}")


def _kind(value: object) -> str:
    return type(value).__name__
