"""From what a request says to what a model is asked, and back."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import polars as pl
from jaxtyping import Int

from lasar_kit.core.allowed import Limit
from lasar_kit.core.dataset import ITEM_COLUMNS
from lasar_kit.errors import UserError, one_line
from lasar_kit.serve.engine import ALL, Answer, Asked, Told, answers
from lasar_kit.serve.filters import FieldIs, matching
from lasar_kit.serve.http.bodies import Condition, Item, List, Listed, Mistake, Named, NewItems, RecommendBody
from lasar_kit.serve.live.catalogue import LiveCatalogue
from lasar_kit.serve.recommend import LoadedRun

MOST_TOLD = 20
"""Mistakes of a request that are told of."""
FILTERS_KEPT = 32
"""Filters whose items are remembered: up to 4 bytes an item each."""
SHARED_FROM = 1024
"""Items of a set that is kept once for all rows of a batch; a smaller one costs a row little."""
Rows = Int[np.ndarray, " n"]
NONE: Rows = np.zeros(0, dtype=np.int64)


class Wrong(Exception):
    """Fields of a request that cannot be what they are."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__(mistakes)
        self.mistakes = list(mistakes)[:MOST_TOLD]


class Service:
    """A loaded run, asked in the words of a request; its catalogue follows that of `live`, where there is
    one, and may be changed where it is `editable`."""

    def __init__(
        self, model: LoadedRun, name: str, live: LiveCatalogue[LoadedRun] | None = None, editable: bool = True
    ) -> None:
        self.model, self.name, self.live = model, name, live
        self.editable = editable and live is not None
        self.support: tuple[int, ...] = model.recommender.depth_policy.support
        self._filtered, self._filtering = lru_cache(FILTERS_KEPT)(self._matching), threading.Lock()
        try:
            model.recommender.prompts.prompts([NONE])
            self.takes_newcomers = True
        except UserError:
            self.takes_newcomers = False
        self.simple = Asked(np.zeros(1, dtype=np.int64), 1, model.width)
        """What any model of a run answers that answers at all: behind the first item."""

    def answer(self, asked: Sequence[Asked]) -> list[Answer]:
        """One batch."""
        return answers(self.model.recommender, asked)

    def asked(self, body: RecommendBody) -> tuple[list[Asked], list[list[str]], list[str]]:
        """What the model is asked, a history each; the ids of each history that are skipped, and those of
        `allow` and `deny`. `Wrong` names every field that is."""
        skips = body.unknown == "skip"
        wrong = list(self._mistakes(body, skips))
        if wrong:
            raise Wrong(wrong)
        histories = [self._rows(history) for history in body.histories]
        base, barred = self._allowed(body), np.concatenate([self._rows(body.deny), self.model.withdrawn])
        width = max(body.k, self.model.width)
        asked = [
            Asked(
                history,
                body.k,
                width,
                _limit(base, [barred, history] if body.exclude_history else [barred]),
                None if body.depth == "auto" else body.depth,
                body.thoughts,
            )
            for history in histories
        ]
        unknown = [self._unknown(one) for one in body.histories]
        return asked, unknown, self._unknown([*(body.allow or ()), *body.deny])

    def told(self, answer: Answer, unknown: list[str], thoughts: bool) -> List:
        """An answer in words."""
        between = [self._listed(told) for told in answer.thoughts] if thoughts else None
        return List(items=self._listed(answer.best), depth=answer.depth, unknown=unknown, thoughts=between)

    def item(self, name: str) -> Item | None:
        """An item by its raw id."""
        row = self.model.row_of.get(name)
        if row is None:
            return None
        fields = self.model.dataset.items.row(row, named=True)
        return Item(
            id=name,
            sid=self.model.sid(row),
            fields={field: text for field, text in fields.items() if field != "id" and text},
            withdrawn=bool((self.model.withdrawn == row).any()),
        )

    def table(self, new: NewItems) -> pl.DataFrame:
        """Items to come as an item table."""
        columns = {column: [getattr(one, column) for one in new.items] for column in ITEM_COLUMNS}
        return pl.DataFrame(columns, schema=dict.fromkeys(ITEM_COLUMNS, pl.String))

    def search(self, text: str, most: int) -> list[Named]:
        """Items whose titles hold a text, case aside, those first that begin with it."""
        titles = self.model.dataset.items["title"].str.to_lowercase()
        place = titles.str.find(text.lower(), literal=True)
        rows = np.flatnonzero(place.is_not_null().to_numpy())
        rows = rows[~np.isin(rows, self.model.withdrawn)]
        first = place.gather(rows).to_numpy() == 0
        chosen = rows[np.argsort(~first, kind="stable")][:most]
        named = self.model.named(chosen, np.zeros(len(chosen)))
        return [Named(item=one.item, title=one.title) for one in named]

    @property
    def listed(self) -> int:
        """How many items may be listed."""
        return self.model.dataset.items.height - len(self.model.withdrawn)

    def _mistakes(self, body: RecommendBody, skips: bool) -> Iterator[Mistake]:
        named = {f"histories[{place}]": history for place, history in enumerate(body.histories)}
        named |= {"allow": body.allow or [], "deny": body.deny}
        for field, ids in named.items():
            unknown = [] if skips else [n for n, item in enumerate(ids) if item not in self.model.row_of]
            for place in unknown:
                yield Mistake(
                    field=f"{field}[{place}]", message=f"no item {one_line(ids[place])!r} in this run"
                )
            left = any(item in self.model.row_of for item in ids)
            if not self.takes_newcomers and field.startswith("histories") and not left and not unknown:
                yield Mistake(field=field, message="holds no item of this run, and this model needs one")
        if body.depth != "auto" and body.depth not in self.support:
            told = ", ".join(map(str, self.support))
            yield Mistake(field="depth", message=f"this model's depth policy has {told}")

    def _allowed(self, body: RecommendBody) -> Rows | None:
        """The rows that `allow` and `filter` leave, each once; None for all."""
        base = None if body.allow is None else np.unique(self._rows(body.allow))
        if body.filter:
            conditions = tuple((field, _condition(one)) for field, one in sorted(body.filter.items()))
            with self._filtering:  # who asks for the same meanwhile waits for the one set
                found = self._filtered(conditions, self.model.dataset.items.height)
            base = found if base is None else np.intersect1d(base, found, assume_unique=True)
        return base

    def _matching(self, conditions: tuple[tuple[str, FieldIs], ...], height: int) -> Rows:
        """Rows of which all conditions hold; `height` is that of the item table, which only grows."""
        return np.flatnonzero(matching(self.model.dataset.items, dict(conditions))).astype(np.int32)

    def _rows(self, ids: Sequence[str]) -> Rows:
        found = (self.model.row_of.get(item) for item in ids)
        return np.array([row for row in found if row is not None], dtype=np.int64)

    def _unknown(self, ids: Sequence[str]) -> list[str]:
        return [item for item in ids if item not in self.model.row_of]

    def _listed(self, told: Told) -> list[Listed]:
        items = self.model.named(told.items, told.scores)
        return [Listed(item=one.item, title=one.title, score=one.score) for one in items]


def _condition(condition: Condition) -> FieldIs:
    """As something that can be remembered."""
    is_, has = (None if one is None else tuple(one) for one in (condition.is_, condition.has))
    return FieldIs(is_, has, condition.min, condition.max)


def _limit(base: Rows | None, barred: Sequence[Rows]) -> Limit:
    """`base` alone, or all items, and of these none that is barred."""
    named = np.concatenate(barred)
    if base is None:
        return Limit(named) if len(named) else ALL
    if len(base) < SHARED_FROM:
        return Limit(np.setdiff1d(base, named) if len(named) else base, only=True)
    return Limit.within(base, named)
