"""Which PyTorch can execute schedules; imports nothing that another one may lack."""

from __future__ import annotations

from typing import Final

import torch

from spikepipe_sched.errors import InputError

SUPPORTED: Final = "2.13"


def require_runtime() -> None:
    """Refuse a PyTorch whose runtime may be another one.

    Raises
    ------
    InputError
        If it is not of the version that is known, or was built without gloo.
    """
    version = str(torch.__version__)
    if not version.startswith(f"{SUPPORTED}."):
        raise InputError(
            f"run-torch: PyTorch {version} is installed, but its pipeline runtime is private, and known as of {SUPPORTED}: pip install 'torch=={SUPPORTED}.*'"
        )
    if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
        raise InputError("run-torch: this PyTorch was built without torch.distributed or gloo, which its processes talk over; install it from PyPI")
