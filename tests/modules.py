"""Modules and scripts run as commands: each loads its libraries itself, or begins with them loaded."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULE = """\
import runpy
import sys

del sys.argv[0]
if sys.argv[0].endswith(".py"):
    runpy.run_path(sys.argv[0], run_name="__main__")
else:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""A script that runs the module, or the file, that its first argument names."""

Start = Callable[..., subprocess.CompletedProcess[str]]


def start(
    *command: str | Path, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command from a folder to its end, which must come."""
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=os.environ | paths() | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def paths() -> dict[str, str]:
    """Have a process find the code of this checkout."""
    return {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])}
