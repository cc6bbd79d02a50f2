"""A registry.toml: the components and hook modules that one plugin declares."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lasar_kit.catalogue.api_version import mismatch
from lasar_kit.errors import nearest
from lasar_kit.kinds import KINDS

_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_REQUIRED, _OPTIONAL = ("summary", "config", "build"), ("paper", "requires")


@dataclass(frozen=True)
class Entry:
    """One component of the catalogue.

    `config` and `build` are import targets, `package.module:Class`; `origin` names the plugin that
    declares it; `paper` is the equation or title it comes from; `requires` the command that installs
    what it needs beyond lasar-kit itself.
    """

    kind: str
    name: str
    summary: str
    origin: str
    config: str
    build: str
    paper: str | None = None
    requires: str | None = None


def entry_mistakes(entry: Entry) -> list[str]:
    """List what is wrong with an entry, each line without its origin; empty when nothing is."""
    place = f"[{entry.kind}.{entry.name}]"
    if entry.kind not in KINDS:
        return [f"{place}: unknown kind {entry.kind!r}; {nearest(entry.kind, KINDS)}"]
    values = {field.name: getattr(entry, field.name) for field in fields(Entry)}
    lines = [
        f"{place}: {key} must be a text (got {value!r})"
        for key, value in values.items()
        if not (isinstance(value, str) and value) and not (key in _OPTIONAL and value is None)
    ]
    return lines or [
        f"{place}: {key} must read 'package.module:Class' (got {values[key]!r})"
        for key in ("config", "build")
        if not _TARGET.fullmatch(values[key])
    ]


@dataclass(frozen=True)
class Registry:
    """The declarations of a registry.toml, and one line for each part of it that cannot be used.

    `refused` tells why nothing of it can be used: it was written for another API.
    """

    entries: tuple[Entry, ...] = ()
    hook_modules: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    refused: str | None = None


def _read_entry(kind: str, name: str, table: Any, origin: str) -> Entry | str:
    place = f"[{kind}.{name}]"
    if not isinstance(table, dict):
        return f"{place}: must be a table with summary, config and build (got {table!r})"
    for key in table:
        if key not in _REQUIRED + _OPTIONAL:
            return f"{place}: unknown key {key!r}; {nearest(key, _REQUIRED + _OPTIONAL)}"
    missing = [key for key in _REQUIRED if key not in table]
    if missing:
        return f"{place}: lacks {', '.join(missing)}"
    entry = Entry(kind=kind, name=name, origin=origin, **table)
    return "; ".join(entry_mistakes(entry)) or entry


def _read_hooks(table: Any) -> tuple[str, ...] | str:
    modules = table.get("modules") if isinstance(table, dict) and set(table) == {"modules"} else None
    if not isinstance(modules, list) or not all(isinstance(module, str) for module in modules):
        return f'[hooks]: must hold modules = ["package.module", …] and nothing else (got {table!r})'
    return tuple(modules)


def _read_lasar(table: Any) -> str | None:
    """Why the table `[lasar]`, which names the API that a plugin was written for, rules the plugin out."""
    api = table.get("api") if isinstance(table, dict) and set(table) == {"api"} else None
    if not isinstance(api, str):
        return f"[lasar]: must hold api = '>=1,<2' or the like and nothing else (got {table!r})"
    return mismatch(api)


def read_registry(path: Path, origin: str) -> Registry:
    """Read a registry.toml; what is sound in it is kept, the rest is told in `problems`."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return Registry(problems=(f"{path}: cannot be read: {error}",))
    entries: list[Entry] = []
    problems: list[str] = []
    hooks = _read_hooks(tables.pop("hooks")) if "hooks" in tables else ()
    if isinstance(hooks, str):
        problems.append(f"{path}: {hooks}")
        hooks = ()
    refused = _read_lasar(tables.pop("lasar")) if "lasar" in tables else None
    if refused:
        problems.append(f"{path}: {refused}")
    for kind, group in tables.items():
        if kind not in KINDS or not isinstance(group, dict):
            problems.append(f"{path}: [{kind}]: unknown kind {kind!r}; {nearest(kind, KINDS)}")
            continue
        for name, table in group.items():
            entry = _read_entry(kind, name, table, origin)
            if isinstance(entry, Entry):
                entries.append(entry)
            else:
                problems.append(f"{path}: {entry}")
    return Registry(tuple(entries), hooks, tuple(problems), refused)
