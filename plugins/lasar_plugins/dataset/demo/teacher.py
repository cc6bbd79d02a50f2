"""A teacher who has read the shop's leaflet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lasar_kit.core.reasoning import ReasoningItem, ReasoningRequest
from lasar_kit.core.values import Env
from lasar_plugins.dataset.demo.config import DemoTeacherConfig
from lasar_plugins.dataset.demo.projects import ADD_ONS, leaflet
from lasar_plugins.dataset.demo.shop import DEPARTMENTS

_PLACES = {department.name: place for place, department in enumerate(DEPARTMENTS)}


class DemoTeacher:
    """Writes which kind of product each add-on of a project leads to; nothing about other histories.

    It sees the history alone, and names kinds, no item: where the last step leads is what follows from the
    history, whatever the customer bought then.
    """

    wants_target = False

    def __init__(self, config: DemoTeacherConfig, env: Env) -> None:
        self.table, self.otherwise = leaflet(config.seed), config.otherwise

    def write(self, requests: Sequence[ReasoningRequest]) -> Iterator[tuple[int, str | None]]:
        """A text for each history that ends in a product behind add-ons, and for others what there is for
        these."""
        for index, request in enumerate(requests):
            yield index, self._text(request.history) or self.otherwise

    def _text(self, history: Sequence[ReasoningItem]) -> str | None:
        """The steps, the add-on bought last first."""
        *before, product = history
        name, _, kind = product.categories.partition(", ")
        department = _PLACES.get(name)
        if department is None or kind not in DEPARTMENTS[department].steps:
            return None
        kinds = DEPARTMENTS[department].steps
        step, texts = kinds.index(kind), list[str]()
        for item in reversed(before):
            group, _, add_on = item.categories.partition(", ")
            if group != "Add-ons" or add_on not in ADD_ONS:
                break
            step = self.table[department][ADD_ONS.index(add_on)][step]
            texts.append(f"Step {len(texts) + 1}: {name}, {kinds[step]}")
        return "\n".join(texts) or None
