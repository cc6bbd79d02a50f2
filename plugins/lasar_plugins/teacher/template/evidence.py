"""Evidence in a history, read off without a model: kinds, brands and prices of its items."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from lasar_kit.core.item_text import clean
from lasar_kit.core.reasoning import ReasoningItem

_NO_BRAND = frozenset({"unknown", "generic", "none", "n/a", "na", "nan", "null", "unbranded"})
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")


@dataclass(frozen=True)
class Purchase:
    """An item as the sentences speak of it: `group` is where the categories of a history part, `kind` the
    last of them; a price of None is unknown."""

    title: str
    brand: str
    group: str
    kind: str
    price: float | None

    @property
    def name(self) -> str:
        """Return the name that a sentence calls it by."""
        return f"“{self.title}”" if self.title else self.kind


@dataclass(frozen=True)
class Evidence:
    """The purchases of a history that have a title or a category, oldest first."""

    purchases: tuple[Purchase, ...]

    @classmethod
    def of(cls, history: Iterable[ReasoningItem]) -> Evidence:
        items = [item for item in history if clean(item.title) or _path(item)]
        paths = [_path(item) for item in items]
        known = [path for path in paths if path]
        # Categories that all share say nothing, but each path keeps its last one.
        shared = _shared_length(known)
        return cls(tuple(_purchase(item, path, shared) for item, path in zip(items, paths, strict=True)))

    @cached_property
    def kinds(self) -> Counter[str]:
        return _counted(purchase.kind for purchase in self.purchases)

    @cached_property
    def groups(self) -> Counter[str]:
        return _counted(purchase.group for purchase in self.purchases)

    @cached_property
    def brands(self) -> Counter[str]:
        return _counted(purchase.brand for purchase in self.purchases)

    @cached_property
    def prices(self) -> list[float]:
        """Known prices, oldest purchase first."""
        return [purchase.price for purchase in self.purchases if purchase.price is not None]

    @cached_property
    def latest_groups(self) -> list[str]:
        """Groups of the purchases that have one, oldest first."""
        return [purchase.group for purchase in self.purchases if purchase.group]


def _path(item: ReasoningItem) -> list[str]:
    return [part for part in (clean(part) for part in item.categories.split(",")) if part]


def _shared_length(paths: list[list[str]]) -> int:
    """How many leading categories all paths share, at least one of each path left over."""
    columns = zip(*(path[:-1] for path in paths), strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def _purchase(item: ReasoningItem, path: list[str], shared: int) -> Purchase:
    brand = clean(item.brand)
    number = _NUMBER.search(item.price)
    return Purchase(
        title=_shortened(clean(item.title)),
        brand="" if brand.lower() in _NO_BRAND else brand,
        group=path[shared] if path else "",
        kind=path[-1] if path else "",
        price=float(number[0].replace(",", "")) if number else None,
    )


def _shortened(title: str, words: int = 10) -> str:
    parts = title.split()
    return " ".join(parts[:words]).rstrip(",;:-") if len(parts) > words else title


def _counted(values: Iterable[str]) -> Counter[str]:
    """Non-empty values with their counts, the most frequent first, ties as they first came."""
    return Counter(dict(Counter(value for value in values if value).most_common()))
