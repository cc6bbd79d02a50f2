"""Where plugins are: packages that declare themselves by an entry point, located and not imported."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

GROUP = "lasar_kit"
_BUILTIN = {"lasar-kit:builtin": "lasar_plugins"}
_INSTALLED = ("site-packages", "dist-packages")


def package_folder(name: str) -> Path | None:
    """The folder of a package, found without importing it or its parents."""
    top, _, rest = name.partition(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location, *rest.split(".")) if rest else Path(location)
        if folder.is_dir():
            return folder
    return None


def registry_of(package: str) -> Path | str:
    """The registry.toml of a package, or why there is none."""
    folder = package_folder(package)
    if folder is None:
        return f"package {package!r} is not installed"
    if (folder / "registry.toml").is_file():
        return folder / "registry.toml"
    for parent in folder.parents:
        if parent.name in _INSTALLED:
            break
        if (parent / "pyproject.toml").is_file():
            if (parent / "registry.toml").is_file():
                return parent / "registry.toml"
            break
    return f"package {package!r} holds no registry.toml"


def registry_in(folder: Path) -> Path | None:
    """The registry.toml of a folder, or of the one package in it that has one (a project not installed)."""
    found = [folder / "registry.toml"] if (folder / "registry.toml").is_file() else []
    found = found or sorted(folder.glob("*/registry.toml"))
    return found[0] if len(found) == 1 else None


def code_of(file: Path, folder: Path | None = None) -> str:
    """SHA-256 of the sources that a module stands among: all of its outermost package, or of the modules
    beside it where it is in none; and of all in the `folder` of the plugin that it belongs to."""
    package = file.parent
    while (package.parent / "__init__.py").is_file():
        package = package.parent
    roots = [package] if (package / "__init__.py").is_file() else []
    if folder is not None:
        roots.append(folder)
    sources = {path: path.relative_to(root) for root in roots for path in _sources(root)}
    if not roots:
        alone = package.name in _INSTALLED  # among what has nothing to do with it
        sources = {path: Path(path.name) for path in ([file] if alone else package.glob("*.py"))}
    digest = hashlib.sha256()
    for path, name in sorted(sources.items(), key=lambda item: item[1].as_posix()):
        digest.update(name.as_posix().encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    """All Python files below a folder, but for environments and what is hidden."""
    for place, inside, files in os.walk(folder):
        inside[:] = [
            name
            for name in inside
            if not name.startswith(".") and not Path(place, name, "pyvenv.cfg").is_file()
        ]
        yield from (Path(place, name) for name in files if name.endswith(".py"))


def installed_packages() -> dict[str, str]:
    """Origin to package of all installed plugins; those of lasar-kit even where it runs uninstalled."""
    found = dict(_BUILTIN)
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        distribution = point.dist.name if point.dist else "unknown"
        found[f"{distribution}:{point.name}"] = point.value
    return found
