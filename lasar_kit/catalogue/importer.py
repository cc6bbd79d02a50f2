"""Importing what a registry names, with one clear line where that cannot be. Imports no torch."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lasar_kit.catalogue.discovery import registry_in
from lasar_kit.catalogue.one_file import is_one_file
from lasar_kit.catalogue.registry import Entry
from lasar_kit.errors import UserError


class Importer:
    """Imports by entry; `folders` are the origins that are plain folders, or single files."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.folders = folders

    def registry_folder(self, origin: str) -> Path | None:
        """Where the registry of a plugin lies that is a plain folder; a plugin that is one file itself; None
        for one that is installed."""
        if origin in self.folders and is_one_file(self.folders[origin]):
            return self.folders[origin]
        registry = registry_in(self.folders[origin]) if origin in self.folders else None
        return registry.parent if registry else None

    def module_file(self, entry: Entry, module: str) -> Path:
        """The source file of a module that an entry names."""
        self.reach(entry.origin)
        try:
            spec = importlib.util.find_spec(module)
        except ImportError as error:
            raise import_failure(entry, module, error) from error
        if spec is None or spec.origin is None:
            raise UserError(f"{label(entry)}: there is no module {module!r}")
        return Path(spec.origin)

    def reach(self, origin: str) -> None:
        """Make an unpackaged plugin importable; last, so that it hides nothing installed."""
        folder = self.folders.get(origin)
        if folder is not None and not is_one_file(folder) and str(folder) not in sys.path:
            sys.path.append(str(folder))
            importlib.invalidate_caches()

    def member(self, entry: Entry, target: str) -> Any:
        """What `module:name` names; `UserError` if it cannot be imported, or is hidden by another."""
        module_name, _, attribute = target.partition(":")
        self.reach(entry.origin)
        try:
            module = importlib.import_module(module_name)
            member = getattr(module, attribute)
        except Exception as error:  # whatever a plugin's code raises when imported
            raise import_failure(entry, target, error) from error
        folder, file = self.folders.get(entry.origin), getattr(module, "__file__", None)
        if folder is not None and file and not Path(file).resolve().is_relative_to(folder):
            raise UserError(f"{label(entry)}: another {module_name!r} hides the one of the plugin: {file}")
        return member


def label(entry: Entry) -> str:
    """What messages call an entry."""
    return f"{entry.kind} {entry.name!r} of {entry.origin}"


def import_failure(entry: Entry, target: str, error: Exception) -> UserError:
    """One line on why a component cannot be had, with the command that mends it if that is known."""
    why = str(error).partition("For further information visit")[0]  # pydantic's, which ends in an address
    text = f"{label(entry)}: cannot import {target}: {type(error).__name__}: {why}"
    own = target.partition(".")[0]
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if entry.requires and missing and missing.partition(".")[0] != own:
        text += f"; {entry.requires}"
    return UserError(" ".join(text.split()))
