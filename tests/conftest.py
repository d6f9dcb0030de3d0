"""What all tests share: a deterministic hypothesis profile and the optional reference data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("deterministic", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("deterministic")


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder of reference files too large or too foreign to commit; tests that need it are skipped without it."""
    folder = os.environ.get("SPIKEPIPE_DATA")
    if not folder:
        pytest.skip("SPIKEPIPE_DATA does not name the folder of reference data")
    return Path(folder)
