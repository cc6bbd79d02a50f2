"""A question to a teacher: the items of one history, as the item table has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReasoningItem:
    """An item's text as it stands in the item table; an absent value is the empty string."""

    title: str = ""
    brand: str = ""
    categories: str = ""
    price: str = ""


@dataclass(frozen=True)
class ReasoningRequest:
    """A history to reason about, oldest item first.

    `user` is the raw user id and `end` the place, counted from 0, in that user's sequence of the item
    that comes after the history; together they name the request. `target` is that item, given to
    teachers alone that ask for it (`Teacher.wants_target`).
    """

    user: str
    end: int
    history: tuple[ReasoningItem, ...]
    target: ReasoningItem | None = None
