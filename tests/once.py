"""What is made once for all processes of a test run: whoever comes first makes it, the others wait."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name` of this test run, filled by `make`; not to be changed by any test."""
    root = factory.getbasetemp()
    # Each process of xdist has its folder beside those of the others.
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder, made = shared / name, shared / f"{name}.made"
    with FileLock(shared / f"{name}.lock"):
        if not made.exists():
            folder.mkdir()
            make(folder)
            made.touch()
    return folder
