"""Modules run as commands, from processes of which each loads its libraries itself or has them already."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.preloaded import serving

ROOT = Path(__file__).parents[2]
MODULE = """\
import runpy
import sys

del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
Start = Callable[..., subprocess.CompletedProcess[str]]


def start(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which must come."""
    return subprocess.run(
        list(map(str, command)),
        env=os.environ | paths() | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def paths() -> dict[str, str]:
    """Have a process find the code of this checkout."""
    return {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])}


@pytest.fixture(scope="session")
def python() -> Start:
    """Runs a module by its name, in a new interpreter."""
    return partial(start, sys.executable, "-m")


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Runs a module by its name, in a process that has torch already, as have those that it launches."""
    folder = tmp_path_factory.mktemp("preloaded")
    (folder / "module.py").write_text(MODULE)
    with serving(sys.executable, folder / "module.py", folder / "run", dict(os.environ | paths())):
        yield partial(start, folder / "run")
