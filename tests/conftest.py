"""Fixtures that all tests share: one thread each, repeatable draws, and where the real data are."""

from __future__ import annotations

import os

# Before torch is imported: two threads on shared cores spin against each other, and what the tests know by
# heart (golden curves, equal bits) is of the CPU. Those of a GPU: LASAR_TEST_DEVICE=cuda pytest tests/cuda
os.environ["OMP_NUM_THREADS"] = "1"
if os.environ.get("LASAR_TEST_DEVICE") != "cuda":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
# Processes that tests begin in other folders find there what hypothesis has read of the kit's sources.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(ROOT / ".hypothesis"))

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets are not beside this checkout (../shared/data)")
    return folder
