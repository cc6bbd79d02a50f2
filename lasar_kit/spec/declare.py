"""How a plugin that lives in one file says which components it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

from lasar_kit.spec.component import ComponentConfig

Built = TypeVar("Built", bound=type)
MARK = "__lasar_components__"
"""Attribute of a class that was declared."""


@dataclass(frozen=True)
class Declared:
    """A component: its kind and name, its options, and the class it is built from."""

    kind: str
    name: str
    config: type[ComponentConfig]
    build: Any
    summary: str = ""
    paper: str | None = None


def declare(
    kind: str, name: str, config: type[ComponentConfig], *, summary: str = "", paper: str | None = None
) -> Callable[[Built], Built]:
    """Declare a class a component, as an entry of registry.toml does (`--plugin my_file.py`).

    Without a `summary` it is the first line of the class's docstring. `paper` is the equation or title it
    comes from. Declared twice, a class is two components.
    """

    def mark(built: Built) -> Built:
        config.model_rebuild()  # which is put off until it is needed: what is wrong with it is told here
        earlier: tuple[Declared, ...] = vars(built).get(MARK, ())
        setattr(built, MARK, (*earlier, Declared(kind, name, config, built, summary, paper)))
        return built

    return mark


def declared(module: ModuleType) -> list[Declared]:
    """List the classes that a module declares: its own, and not those it imports."""
    return [
        one
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
        for one in vars(value).get(MARK, ())
    ]
