"""Histories to reason about."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lasar_kit.core.reasoning import ReasoningItem, ReasoningRequest

POLISHES = "Beauty, Makeup, Nails, Nail Polish"


@pytest.fixture(scope="session")
def history() -> Callable[..., ReasoningRequest]:
    """`history(*items)` is a request; an item is (title, brand, categories, price), or begins so."""

    def build(*items: tuple[str, ...], user: str = "ann", target: str | None = None) -> ReasoningRequest:
        wanted = None if target is None else ReasoningItem(target)
        return ReasoningRequest(user, len(items), tuple(ReasoningItem(*item) for item in items), wanted)

    return build


@pytest.fixture(scope="session")
def shopper(history: Callable[..., ReasoningRequest]) -> ReasoningRequest:
    """Six purchases that give ground for all eight steps."""
    return history(
        ("Red Shatter", "OPI", POLISHES, "3.00"),
        ("Sea Glass &amp; Sand", "OPI", POLISHES, "$4.00"),
        ("Hair Dryer", "Unknown", "Beauty, Hair Care, Dryers", "40"),
        ("Red Shatter", "OPI", POLISHES, "3.00"),
        ("Base Coat", "OPI", "Beauty, Makeup, Nails, Base Coats", "8.00"),
        ("Lip Gloss", "NYX", "Beauty, Makeup, Lips, Lip Glosses", "12.00"),
    )
