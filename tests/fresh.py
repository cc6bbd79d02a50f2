"""An environment outside the checkout: the kit from its wheel, all libraries from this environment.

No network is used; pip builds and installs with what is here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from hatchling.builders.wheel import WheelBuilder

from tests import preloaded

ROOT = Path(__file__).resolve().parents[1]
_SETTINGS = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # pip takes it for the value of build isolation
    "PIP_NO_COMPILE": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "COLUMNS": "200",
    # Among the libraries may be an editable install of the kit, whose shim pytest finds imported already.
    "PYTEST_ADDOPTS": "-W 'ignore:Module already imported so cannot be rewritten'",
}


class Fresh:
    """A virtual environment; `run` runs a command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.EnvBuilder(symlinks=True).create(folder)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = folder / "lib" / version / "site-packages"
        # By a path that tells they are installed: of all else, hypothesis reads the source, for constants.
        (packages / "libraries").mkdir()
        found = [path for path in sys.path if next(Path(path).glob("*.dist-info"), None)]
        links = [packages / "libraries" / str(number) for number in range(len(found))]
        for link, path in zip(links, found, strict=True):
            link.symlink_to(path)
        (packages / "libraries.pth").write_text("".join(f"{link}\n" for link in links))
        self.install(wheel(ROOT, folder / "wheels"))

    @contextmanager
    def preloaded(self) -> Iterator[Self]:
        """Begin each `lasar-kit` in a process that has loaded torch before, for as long as this lasts."""
        script, python = self.folder / "bin" / "lasar-kit", self.folder / "bin" / "python"
        own = script.rename(script.with_name("lasar-kit.own"))
        with preloaded.serving(python, own, script, self._variables()):
            yield self
        own.replace(script)

    def install(self, *what: Path) -> None:
        """Install wheels, or folders that pip builds."""
        done = self.run(["python", "-m", "pip", "install", "--quiet", *map(str, what)], self.folder)
        assert done.returncode == 0, done.stderr

    def run(self, command: list[str] | str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a command, a text in a shell, in a folder; it finds this environment first."""
        return subprocess.run(
            command, cwd=folder, env=self._variables(), shell=isinstance(command, str),
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def _variables(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        path = {"PATH": f"{self.folder / 'bin'}:{inherited.get('PATH', '/usr/bin:/bin')}"}
        return inherited | _SETTINGS | path


def wheel(project: Path, folder: Path) -> Path:
    """Build the wheel of a project."""
    return Path(next(WheelBuilder(str(project)).build(directory=str(folder), versions=["standard"])))
