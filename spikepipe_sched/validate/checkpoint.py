"""Checkpoints: one file per run, replaced as a whole after every epoch.

A file holds what the next epoch needs and no more: the trainer's state and the curves so far. Batches
and noise are drawn from (seed, epoch), so no generator has a state between epochs. Of a finished run it
holds the trained weights instead.

Its ``identity`` states all that the run depends on, as plain values: a checkpoint goes on only what it
was made for, and a difference has a name.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
import zipfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.files import write_atomically

if TYPE_CHECKING:
    from spikepipe_sched.validate.data import DataSet
    from spikepipe_sched.validate.run import Experiment, Job

FORMAT: Final = "spikepipe-sched/checkpoint/1"
_PROBES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A folder of checkpoints.

    Parameters
    ----------
    folder
        Where they lie.
    common
        What all runs of the experiment depend on, by name.
    """

    folder: Path
    common: dict[str, Any]

    @staticmethod
    def open(folder: Path, common: dict[str, Any], *, resume: bool) -> Store:
        """The folder, made if need be.

        Raises
        ------
        InputError
            If it cannot be made or written to, or holds checkpoints and nobody asked to resume.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            raise InputError(f"{folder}: the folder for checkpoints cannot be made: {getattr(error, 'strerror', None) or error}") from None
        require(os.access(folder, os.W_OK), f"{folder}: the folder for checkpoints cannot be written to")
        if not resume:
            here = sorted(folder.glob("*.pt"))
            require(not here, f"{folder}: holds checkpoints of an earlier run ({len(here)} files); resume it, delete them, or name another folder")
        return Store(folder=folder, common=common)

    def load(self, job: Job) -> dict[str, Any] | None:
        """What a job has reached; None: nothing yet.

        Raises
        ------
        InputError
            If the file is damaged, or of another experiment.
        """
        path = self._path(job)
        if not path.exists():
            return None
        try:
            with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path) as archive:
                sound = archive.testzip() is None  # torch does not compare the checksums that it writes
                content = torch.load(path, map_location="cpu", weights_only=True) if sound else None
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
        except Exception:  # noqa: BLE001  (a damaged file may raise anything)
            content = None
        if not isinstance(content, dict) or content.get("format") != FORMAT or not all(isinstance(content.get(part), dict) for part in ("identity", "course")):
            raise InputError(f"{path}: is damaged, or no checkpoint; delete it, and the run starts anew")
        there, here = content["identity"], self._identity(job)
        for name in here:
            if there.get(name) != here[name]:
                values = "" if len(f"{there.get(name)}{here[name]}") > 60 else f" ({there.get(name)} there, {here[name]} now)"
                raise InputError(f"{path}: was made with other {name.replace('_', ' ')}{values}; delete it, or name another folder for checkpoints")
        return content

    def save(self, job: Job, content: dict[str, Any]) -> None:
        """Replace what was there; killed at any moment, the file is the old one or the new one.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        buffer = io.BytesIO()
        torch.save({"format": FORMAT, "identity": self._identity(job), **content}, buffer)
        write_atomically(self._path(job), buffer.getvalue())

    def _path(self, job: Job) -> Path:
        return self.folder / f"{job.name}.pt"

    def _identity(self, job: Job) -> dict[str, Any]:
        return self.common | {
            "delays": [list(job.delays.forward), list(job.delays.backward)],
            "policy": job.policy,
            "rate": job.rate,
            "seed": job.seed,
        }


def identity(experiment: Experiment) -> dict[str, Any]:
    """What every run of an experiment depends on, as plain values by name."""
    network, data = experiment.network, experiment.data
    ignored = ("seeds", "margin", "tune", "policy", "rate")  # of the experiment, or stated by every job
    plain = {name: value for name, value in asdict(experiment.setup).items() if name not in ignored}
    if any(layer.norm == "batch" for layer in network.layers):  # it takes its statistics of each
        plain |= {"windows": experiment.windows, "micro_batches": experiment.micro_batches}
    return {
        "network": _digest(repr(replace(network, summary="", source="")).encode()),
        "data": f"{data.name} {data_digest(data)}",
        "bptt_steps": experiment.bptt_steps,
        "device": experiment.device,
        "torch_version": str(torch.__version__),
        **plain,
    }


def data_digest(data: DataSet) -> str:
    """A digest of all labels and of some samples of both parts: enough to tell data sets apart, at no cost."""
    hashed = hashlib.sha256()
    for part in (data.train, data.test):
        hashed.update(part.labels.numpy().tobytes())
        chosen = torch.linspace(0, len(part) - 1, min(_PROBES, len(part))).long()
        hashed.update(part.batch(chosen, torch.Generator().manual_seed(0)).numpy().tobytes())
    return hashed.hexdigest()[:16]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
