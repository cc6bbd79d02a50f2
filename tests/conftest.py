"""Fixtures that all tests share: one thread each, repeatable draws, and where the real data are."""

from __future__ import annotations

import os

# Before torch is imported: two threads on shared cores spin against each other, and what the tests know by
# heart (golden curves, equal bits) is of the CPU. Those of a GPU: LASAR_TEST_DEVICE=cuda pytest tests/cuda
os.environ["OMP_NUM_THREADS"] = "1"
if os.environ.get("LASAR_TEST_DEVICE") != "cuda":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import gc
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings

from tests.modules import MODULE, Start, paths, start
from tests.preloaded import serving

ROOT = Path(__file__).resolve().parents[1]
# Processes that tests begin in other folders find there what hypothesis has read of the kit's sources.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(ROOT / ".hypothesis"))

# What is imported and collected stays to the end: no search for garbage is to go through it, again and again.
gc.disable()

FIRST = ("test_house.py", "test_tutorial_pages.py")
"""Files that take minutes: begun last, one of them would have the other process wait."""

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the files that take longest before all others."""
    items.sort(key=lambda item: item.path.name not in FIRST)


def pytest_collection_finish() -> None:
    """Have garbage searched for in what tests make alone."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets are not beside this checkout (../shared/data)")
    return folder


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Runs a module by its name, or a script, in a process that has torch already, as have those that it
    launches; sets are in another order there than in this process."""
    folder = tmp_path_factory.mktemp("preloaded")
    (folder / "module.py").write_text(MODULE)
    variables = os.environ | paths() | {"PYTHONHASHSEED": "1"}
    with serving(sys.executable, folder / "module.py", folder / "run", variables):
        yield partial(start, folder / "run")
