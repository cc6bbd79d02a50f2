"""A saboteur for each check: a component that breaks that law and, as far as may be, no other.

They are the proof that a check can fail, and they show what each of them is against.
"""

from __future__ import annotations

from lasar_kit.testing.broken import (
    abilities,
    backbone,
    data,
    hooks,
    items,
    learning,
    ranking,
    rl,
    shared,
    texts,
    thinking,
)
from lasar_kit.testing.broken.saboteurs import Saboteurs
from lasar_kit.testing.contract import Subject

__all__ = ["saboteurs"]

_MODULES = (items, backbone, thinking, abilities, learning, data, texts, ranking, rl, hooks)


def saboteurs() -> dict[tuple[str, str], Subject]:
    """A broken component by the kind and the name of the check that must catch it."""
    made: Saboteurs = dict(shared.saboteurs())
    for module in _MODULES:
        made |= module.BROKEN
    return made
