"""The category of warnings an importer gives when it mends a file."""

from __future__ import annotations


class RepairWarning(UserWarning):
    """A file was read otherwise than it is written, because real exporters write it so."""
