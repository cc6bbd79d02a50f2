"""A loaded run whose catalogue follows its log, and may be added to and withdrawn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
import polars as pl
import torch
from jaxtyping import Float

from lasar_kit.core.dataset import ITEM_COLUMNS
from lasar_kit.errors import UserError, one_line
from lasar_kit.serve.live.ledger import Added, Change, Ledger
from lasar_kit.serve.stock import Stock
from lasar_kit.stages.tokenize.newcomers import Newcomers, Taken
from lasar_kit.store.layout import ITEMS

MOST_LINES = 1000
"""Changes that a log holds before it is put together, or as many as it has items where these are more."""
Kept = TypeVar("Kept", bound=Stock)


@dataclass(frozen=True)
class Embedded:
    """Items that are to come, with their vectors: what takes long of adding them, and changes nothing."""

    items: pl.DataFrame
    vectors: Float[np.ndarray, "n E"]


class LiveCatalogue(Generic[Kept]):
    """The catalogue of a run as its log has it: of a loaded model, or of its items alone.

    Items that come are rows behind those that are there, and none moves; those that are withdrawn stay in
    histories, keep their semantic ID and are listed no more.
    """

    def __init__(self, model: Kept, ledger: Ledger, newcomers: Callable[[], Newcomers]) -> None:
        self.model, self.ledger, self._make = model, ledger, newcomers
        self._making = Lock()
        self._newcomers: Newcomers | None = None
        self._taken: Taken | None = None
        self.trained = model.dataset.items.height
        """Items that the model was trained among."""
        self.follow()

    @classmethod
    def of(cls, model: Kept) -> LiveCatalogue[Kept]:
        """That of a run that was loaded from its folder; `UserError` where its log cannot be read."""
        origin, dataset, sizes = model.origin, model.dataset, model.sids.sizes
        assert origin is not None, "loaded from a folder"
        env = replace(origin.env, items=dataset.items, train=dataset.train)
        ledger = Ledger(origin.run / ITEMS, model.digest)
        return cls(model, ledger, lambda: Newcomers.load(origin.sids, origin.stage, sizes, env))

    def stale(self) -> bool:
        """Whether others may have changed the catalogue since; costs a look at the folder."""
        return self.ledger.stale()

    def follow(self) -> None:
        """Take in what others changed since."""
        self.ledger.read()
        self._apply()

    def embed(self, items: pl.DataFrame) -> Embedded:
        """Embed items that are to be added. `UserError` where this run has no codes for later items, for an
        id that is given twice, or for what cannot be embedded."""
        ids = items["id"].to_list()
        twice = sorted({name for name in ids if ids.count(name) > 1}) if len(set(ids)) < len(ids) else []
        if twice:
            raise UserError(*(f"item {one_line(name)!r}: is given twice" for name in twice))
        if all(name in self.model.row_of for name in ids):  # they only come back
            return Embedded(items, np.zeros((len(ids), 0), dtype=np.float32))
        return Embedded(items, self._ready().embed(items))

    def add(self, embedded: Embedded) -> list[int]:
        """Add items, all or none; return their rows. One that was withdrawn comes back as it was.

        `UserError` for those that are there, or find no semantic ID; `Unwritable` as of `Ledger`.
        """
        ids = embedded.items["id"].to_list()
        with self.ledger.writing():
            self._apply()
            there = [name for name in ids if name in self.model.row_of and self._listed(name)]
            if there:
                raise UserError(*(f"item {one_line(name)!r}: is in the catalogue already" for name in there))
            back = [name for name in ids if name in self.model.row_of]
            self._write(Change(self._with_codes(embedded), restored=back))
        return [self.model.row_of[name] for name in ids]

    def _with_codes(self, embedded: Embedded) -> list[Added]:
        """Those that were never there."""
        ids = embedded.items["id"].to_list()
        new = np.array([name not in self.model.row_of for name in ids], dtype=bool)
        if not new.any():
            return []
        items = embedded.items.filter(pl.Series(new))
        codes = self._ready().codes(items["id"].to_list(), embedded.vectors[new], self._in_use())
        rows = zip(items.iter_rows(named=True), codes.tolist(), strict=True)
        return [Added({name: text for name, text in row.items() if text}, tuple(own)) for row, own in rows]

    def withdraw(self, ids: Sequence[str]) -> None:
        """List these items no more; one that is withdrawn already stays so. `UserError` for those unknown."""
        with self.ledger.writing():
            self._apply()
            self.model.rows(ids)
            listed = [name for name in dict.fromkeys(ids) if self._listed(name)]
            if listed:
                self._write(Change(withdrawn=listed))

    def _listed(self, name: str) -> bool:
        return name not in self.ledger.state.withdrawn

    def _write(self, change: Change) -> None:
        self.ledger.append(change)
        self.ledger.put_together(max(MOST_LINES, len(self.ledger.state.added)))
        self._apply()

    def _apply(self) -> None:
        """Let the model have what the log says."""
        state, have = self.ledger.state, self.model.dataset.items.height - self.trained
        if new := state.added[have:]:
            texts = {column: [one.fields.get(column, "") for one in new] for column in ITEM_COLUMNS}
            codes = torch.tensor([one.codes for one in new], dtype=torch.int64)
            self.model.grow(pl.DataFrame(texts, schema=dict.fromkeys(ITEM_COLUMNS, pl.String)), codes)
            if self._taken is not None:
                self._taken.add(codes.numpy())
        self.model.withdraw([name for name in state.withdrawn if name in self.model.row_of])

    def _ready(self) -> Newcomers:
        """What gives semantic IDs, read from the run when it is first asked for."""
        with self._making:
            if self._newcomers is None:
                self._newcomers = self._make()
        return self._newcomers

    def _in_use(self) -> Taken:
        if self._taken is None:
            self._taken = Taken(self.model.sids.codes.numpy())
        return self._taken
