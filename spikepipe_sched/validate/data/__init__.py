"""The data sets a network can be trained on: real ones, offline, and a generated one.

`data_names` lists them and needs neither PyTorch nor files; `load_data` loads one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spikepipe_sched.validate.data.registry import data_names, load_data

if TYPE_CHECKING:
    from spikepipe_sched.validate.data.dataset import DataSet, Samples

__all__ = ["DataSet", "Samples", "data_names", "load_data"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from spikepipe_sched.validate import require_torch

    require_torch()
    from spikepipe_sched.validate.data import dataset

    return getattr(dataset, name)
