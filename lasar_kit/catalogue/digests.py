"""The code of a component or a hook as a digest, which an edit changes and a comment does not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from lasar_kit.catalogue.discovery import BUILTIN, INSTALLED, package_folder
from lasar_kit.catalogue.imports import Sources, read

CHECKS = "lasar_kit.testing"
"""The package that a plugin's tests import, and no stage runs."""


def kit_packages() -> dict[str, Path]:
    """The packages whose code is known by its imports, and their folders: lasar-kit and its components."""
    packages = {"lasar_kit": Path(__file__).parents[1]}
    return packages | {name: folder for name in BUILTIN.values() if (folder := package_folder(name))}


class Digests:
    """Digests of code, each file of the kit as it was when it was first looked at."""

    def __init__(self) -> None:
        self._packages = kit_packages()
        self.kit = Sources(self._packages)

    def is_kit(self, module: str) -> bool:
        """Whether a module is of the kit's packages, there or not."""
        return module.partition(".")[0] in self._packages

    def of(self, modules: Iterable[str], files: Iterable[Path] = (), folder: Path | None = None) -> str:
        """SHA-256 of all that modules of the kit and files of a plugin run.

        Of the kit these are the modules that they import, and those that these import. A plugin counts whole,
        since nobody knows what it imports by name: all files of the outermost package that one stands in, or
        beside it where it is in none, those in the `folder` of the plugin, and what they import of the kit.
        """
        digest, modules = hashlib.sha256(), list(modules)
        for path, name in sorted(_plugin_sources(files, folder).items(), key=lambda one: one[1].as_posix()):
            source = read(path.read_bytes())
            digest.update(f"{name.as_posix()} {source.digest}\n".encode())
            modules += [one for one in self.kit.imported(source) if not f"{one}.".startswith(f"{CHECKS}.")]
        for module, code in self.kit.closure(modules).items():
            digest.update(f"{module} {code}\n".encode())
        return digest.hexdigest()


def _plugin_sources(files: Iterable[Path], folder: Path | None) -> dict[Path, Path]:
    """The files that a plugin counts by, each with its name within it."""
    if folder is not None and folder.is_file():  # a plugin in one file
        return {folder: Path(folder.name)}
    roots = [] if folder is None else [folder]
    found: dict[Path, Path] = {}
    for file in files:
        package = file.parent
        while (package.parent / "__init__.py").is_file():
            package = package.parent
        if (package / "__init__.py").is_file():
            roots.insert(0, package)
        elif folder is None:
            alone = package.name in INSTALLED  # among what has nothing to do with it
            found |= {path: Path(path.name) for path in ([file] if alone else package.glob("*.py"))}
    return found | {path: path.relative_to(root) for root in roots for path in _all_in(root)}


def _all_in(folder: Path) -> Iterator[Path]:
    """All Python files below a folder, but for environments and what is hidden."""
    for place, inside, files in os.walk(folder):
        inside[:] = [
            name
            for name in inside
            if not name.startswith(".") and not Path(place, name, "pyvenv.cfg").is_file()
        ]
        yield from (Path(place, name) for name in files if name.endswith(".py"))
