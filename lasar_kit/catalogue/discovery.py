"""Where plugins are: packages that declare themselves by an entry point, located and not imported."""

from __future__ import annotations

import importlib.util
from importlib.metadata import entry_points
from pathlib import Path

GROUP = "lasar_kit"
BUILTIN = {"lasar-kit:builtin": "lasar_plugins"}
INSTALLED = ("site-packages", "dist-packages")


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
        if parent.name in INSTALLED:
            break
        if (parent / "pyproject.toml").is_file():
            if (parent / "registry.toml").is_file():
                return parent / "registry.toml"
            break
    return f"package {package!r} holds no registry.toml"


def registry_in(folder: Path) -> Path | None:
    """The registry.toml of a folder, or of the one package in it that has one (a project not installed)."""
    registries = [folder / "registry.toml"] if (folder / "registry.toml").is_file() else []
    registries = registries or sorted(folder.glob("*/registry.toml"))
    return registries[0] if len(registries) == 1 else None


def installed_packages() -> dict[str, str]:
    """Origin to package of all installed plugins; those of lasar-kit even where it runs uninstalled."""
    packages = dict(BUILTIN)
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        distribution = point.dist.name if point.dist else "unknown"
        packages[f"{distribution}:{point.name}"] = point.value
    return packages
