"""The house rules that tools can hold: lint, formatting of types, and who may import whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "ruff": ["-m", "ruff", "check", "--quiet", "--no-cache", "."],
    "mypy": ["-m", "mypy", "--no-error-summary"],
    "import-linter": ["-c", "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"],
}


@pytest.mark.parametrize("tool", sorted(COMMANDS))
def test_house_rules(tool: str) -> None:
    done = subprocess.run(
        [sys.executable, *COMMANDS[tool]],
        cwd=ROOT, env={"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
