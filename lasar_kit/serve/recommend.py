"""Recommends items from a finished run: loaded once, asked for any number of histories."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from accelerate import Accelerator
from jaxtyping import Float, Int
from rich import box
from rich.table import Table
from rich.text import Text
from torch import Tensor

from lasar_kit.core.allowed import Limit
from lasar_kit.core.dataset import Dataset
from lasar_kit.data.sids import Sids
from lasar_kit.errors import UserError, one_line
from lasar_kit.model.ranking import Ranking, rank_among, whole_lists, without
from lasar_kit.model.recommender import Recommender
from lasar_kit.process.environment import check_environment
from lasar_kit.process.matmul import choose_kernels
from lasar_kit.process.screen import Screen, quiet_libraries
from lasar_kit.serve.live.catalogue import LiveCatalogue
from lasar_kit.serve.stock import Origin, Recommended, Stock, find, of_origin
from lasar_kit.store.layout import MODEL
from lasar_kit.store.run_folder import reading_run

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue

BATCH = 64
"""Histories that are decoded at once."""


class LoadedRun(Stock):
    """The last model of a finished run, in memory; `lasar_kit.load_run` makes one."""

    def __init__(
        self,
        dataset: Dataset,
        sids: Sids,
        recommender: Recommender,
        width: int,
        accelerator: Accelerator,
        origin: Origin | None = None,
    ) -> None:
        super().__init__(dataset, sids, origin)
        self.recommender, self.width, self._accelerator = recommender, width, accelerator

    @classmethod
    def load(cls, run: Path, catalogue: Catalogue) -> LoadedRun:
        """With the items that it was trained among, and none that came later. `UserError` where the folder
        holds no finished model, or the environment would change scores."""
        check_environment()
        choose_kernels()
        origin = find(run, catalogue)
        decoder, accelerator = origin.loaded.spec.decoder, Accelerator()
        with reading_run(run):
            dataset, sids = of_origin(origin)
            env = replace(
                origin.env, device=str(accelerator.device), items=dataset.items, train=dataset.train
            )
            recommender = Recommender.load(run / MODEL, catalogue, decoder, sids, env)
            own = replace(origin, env=env)
            return cls(dataset, sids, recommender.eval(), decoder.width, accelerator, own)

    @classmethod
    def current(cls, run: Path, catalogue: Catalogue) -> LoadedRun:
        """With the items that came since, and without those that were withdrawn."""
        return LiveCatalogue.of(cls.load(run, catalogue)).model

    def grow(self, items: pl.DataFrame, codes: Int[Tensor, "n M"]) -> None:
        """Take in items, which histories may then hold and lists too; between two searches."""
        tokenizer = self.recommender.backbone.tokenizer
        self.recommender.extend(Sids(codes, self.sids.sizes).table(tokenizer).tokens)
        super().grow(items, codes)

    def rank(
        self,
        histories: Sequence[Sequence[str]],
        k: int = 10,
        exclude_history: bool = False,
        users: Sequence[str] | None = None,
        shared: bool = True,
    ) -> list[list[Recommended]]:
        """The best items behind each history of raw ids, oldest first: at most `k`, best first.

        Lists are those of `evaluate`: with `exclude_history`, of a search among all items but those of the
        history. `users` are the raw ids of who asks, for a model that reads them; one that the run does not
        know is as good as none. All processes share in the histories, unless `shared` is false: then this one
        ranks for itself. Raises `UserError` for items that the run's catalogue does not have, and for
        arguments of another form.
        """
        histories = _as_asked(histories, k, users)
        rows = [self.rows(history) for history in histories]
        if not rows:
            return []
        limits = without(rows) if exclude_history else None
        if len(self.withdrawn):
            barred = rows if exclude_history else [self.withdrawn[:0] for _ in rows]
            limits = without([np.concatenate([own, self.withdrawn]) for own in barred])
        known = None if users is None else self._known(users)
        (found,) = self.rank_rows(rows, [limits], max(k, self.width), shared=shared, users=known)
        pairs = zip(found.items, found.scores, strict=True)
        return [self.named(items[:k], scores[:k]) for items, scores in pairs]

    def rank_rows(
        self,
        histories: Sequence[Int[np.ndarray, " L"]],
        limits: Sequence[Sequence[Limit] | None] = (None,),
        width: int | None = None,
        batch_size: int = BATCH,
        shared: bool = False,
        users: Int[np.ndarray, " U"] | None = None,
    ) -> list[Ranking]:
        """Lists behind each history of rows, one for each of `limits`, as wide as the decoder unless told;
        decoded by this process alone, unless `shared`."""
        found = rank_among(
            self.recommender,
            histories,
            limits,
            width or self.width,
            batch_size,
            self._accelerator,
            shared=shared,
            users=users,
        )
        table = self.recommender.prompts.table
        return [whole_lists(ranking, table, own) for ranking, own in zip(found, limits, strict=True)]

    def item_vectors(self) -> Float[np.ndarray, "I E"]:
        """Return the input embeddings of each item's tokens, side by side."""
        vectors: Float[np.ndarray, "I E"] = self.recommender.item_vectors()
        return vectors

    def _known(self, users: Sequence[str]) -> Int[np.ndarray, " U"]:
        """Rows of raw ids of users in the data set, -1 for one unknown."""
        row = {user: place for place, user in enumerate(self.dataset.users)}
        return np.array([row.get(user, -1) for user in users], dtype=np.int64)


def _as_asked(histories: Sequence[Sequence[str]], k: int, users: Sequence[str] | None) -> list[Sequence[str]]:
    """The histories, each a list: a text is a list of letters to Python, and these may be ids too."""
    if isinstance(histories, str) or not isinstance(histories, Iterable):
        raise UserError(f"histories: expected a list of lists of ids, got {histories!r}")
    asked = list(histories)
    told = [
        f"histories[{number}]: expected a list of ids, got {history!r}"
        for number, history in enumerate(asked)
        if isinstance(history, str) or not isinstance(history, Iterable)
    ]
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        told.append(f"k: expected a whole number, 1 or more, got {k!r}")
    if users is not None and len(users) != len(asked):
        told.append(f"users: {len(users):,} of them for {len(asked):,} histories")
    if told:
        raise UserError(*told)
    return asked


def recommend(
    run: Path,
    asked: Sequence[tuple[str, list[str]]],
    k: int,
    catalogue: Catalogue,
    exclude_history: bool = False,
    as_json: bool = False,
    refuse_unknown: bool = False,
) -> None:
    """Print the k best items behind each history: a table each, or a line of JSON each.

    A history of raw item ids, oldest first, comes with the place that it was given in. One with an unknown id
    is named on stderr and gets no list (in JSON an empty one, so that lines keep their places); where
    there is no other, or with `refuse_unknown`, that is a `UserError`.
    """
    quiet_libraries()
    model = LoadedRun.current(run, catalogue)
    unknown: dict[int, list[str]] = {}
    for number, (place, history) in enumerate(asked):
        try:
            model.rows(history)
        except UserError as error:
            unknown[number] = [f"{place}: {line}" for line in error.lines]
    lines = [line for told in unknown.values() for line in told]
    if lines and (refuse_unknown or len(unknown) == len(asked)):
        raise UserError(*lines)
    for line in lines:
        print(one_line(line), file=sys.stderr)
    known = [history for number, (_, history) in enumerate(asked) if number not in unknown]
    ranked = iter(model.rank(known, k, exclude_history))
    for number, (place, history) in enumerate(asked):
        items = [] if number in unknown else next(ranked)
        if as_json:
            print(
                json.dumps({"history": history, "items": [asdict(one) for one in items]}, ensure_ascii=False)
            )
        elif number not in unknown:
            Screen().print(_table(items, "" if len(asked) == 1 else place))


def _table(items: Sequence[Recommended], title: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), title=Text(title) if title else None)
    table.add_column("rank", justify="right")
    table.add_column("item", no_wrap=True)
    table.add_column("title")
    table.add_column("log-probability", justify="right")
    for rank, one in enumerate(items, start=1):
        # As texts: what data hold is no markup.
        table.add_row(str(rank), Text(one_line(one.item)), Text(one_line(one.title)), f"{one.score:.3f}")
    return table
