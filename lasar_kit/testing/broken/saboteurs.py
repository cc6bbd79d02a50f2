"""How saboteurs are listed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lasar_kit.testing.contract import Subject

Saboteurs = dict[tuple[str, str], Subject]
Component = TypeVar("Component", bound=type)


def breaks(found: Saboteurs, kind: str, check: str) -> Callable[[Component], Component]:
    """Decorator of a class that breaks the law of `check`."""

    def add(component: Component) -> Component:
        assert (kind, check) not in found
        found[kind, check] = Subject(kind, component.__name__, lambda env: component(None, env))
        return component

    return add
