"""A plugin in one file: a module that declares its components itself, by `lasar_kit.spec.declare`."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from lasar_kit.catalogue.api_version import mismatch
from lasar_kit.catalogue.registry import Entry, Registry, entry_mistakes
from lasar_kit.errors import UserError

if TYPE_CHECKING:
    from lasar_kit.spec.declare import Declared

HOOK = "lasar_kit_impl"
"""Attribute by which pluggy marks an implementation."""


def is_one_file(path: Path) -> bool:
    """Whether a path is a plugin in one file."""
    return path.suffix == ".py" and path.is_file()


def read_file(path: Path, origin: str) -> Registry:
    """Import a file and read what it declares; `UserError` in one line where that is nothing, or fails."""
    from lasar_kit.spec.declare import declared

    module = _imported(path, origin)
    classes = declared(module)
    hooks = any(hasattr(value, HOOK) for value in vars(module).values())
    if not classes and not hooks:
        raise UserError(
            f"--plugin {origin}: declares no component; put @declare(KIND, NAME, CONFIG), of lasar_kit.spec, "
            "on a class"
        )
    entries = [_entry(one, module.__name__, origin) for one in classes]
    if mistakes := [line for entry in entries for line in entry_mistakes(entry)]:
        raise UserError(*(f"--plugin {origin}: {line}" for line in mistakes))
    api = getattr(module, "LASAR_API", None)
    refused = mismatch(str(api)) if api is not None else None
    return Registry(tuple(entries), (module.__name__,) if hooks else (), refused=refused)


def _entry(one: Declared, module: str, origin: str) -> Entry:
    """As it would stand in a registry.toml."""
    summary = one.summary or (one.build.__doc__ or "").strip().split("\n")[0]
    config, build = f"{module}:{one.config.__name__}", f"{module}:{one.build.__name__}"
    return Entry(one.kind, one.name, summary, origin, config, build, one.paper)


def _imported(path: Path, origin: str) -> ModuleType:
    """The file as the module of its name; nothing beside it becomes importable."""
    name = path.stem
    if not name.isidentifier():
        raise UserError(f"--plugin {origin}: {name!r} is no name of a module; rename the file")
    if _taken(name, path):
        raise UserError(f"--plugin {origin}: another module is called {name!r}; rename the file")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a plugin's code raises when imported
        sys.modules.pop(name)
        if before is not None:
            sys.modules[name] = before
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"--plugin {origin}{_line(error, path)}: cannot be imported: {text}") from error
    return module


def _taken(name: str, path: Path) -> bool:
    """Whether a module that is not this file has its name."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return name in sys.modules
    return spec is not None and (spec.origin is None or Path(spec.origin).resolve() != path)


def _line(error: Exception, path: Path) -> str:
    """Where in the file an error was raised, as `:12`."""
    if isinstance(error, SyntaxError):
        return f":{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f":{frames[-1].lineno}" if frames else ""
