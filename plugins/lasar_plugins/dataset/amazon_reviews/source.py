"""The Amazon review dumps: 2014 (McAuley et al.), 2018 (Ni et al.), 2023 (Hou et al.)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.reading import Reading
from lasar_kit.core.sources import text_files
from lasar_kit.core.sources.interactions import InteractionLog, histories
from lasar_kit.core.sources.items import ItemText, dataset, names, plain, price
from lasar_kit.core.sources.times import one_unit
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.dataset.amazon_reviews.config import AmazonReviewsConfig
from lasar_plugins.dataset.amazon_reviews.records import (
    Record,
    fields_of,
    identity,
    quantity,
    records,
)

_READ = ("title", "brand", "store", "categories", "category", "description", "price", "features", "feature")
"""Fields of metadata that make the text, besides `details.Brand`."""

Review = tuple[int, str, str, float, bool]
"""The line of a review, its user, item and time, and whether it has stars enough."""


class AmazonReviewsSource:
    """Two streaming passes: reviews become numbers as they are read, then the text of surviving items."""

    def __init__(self, config: AmazonReviewsConfig, env: Env) -> None:
        self.config, self.seed = config, env.seed

    def files(self) -> Sequence[Path]:
        paths = [self.config.reviews, self.config.metadata]
        return [text_files.require_file(path) for path in paths if path is not None]

    def load(self) -> Dataset:
        self.files()
        path = self.config.reviews
        log = InteractionLog()
        log.extend(self._taken(log))
        interactions = log.interactions()
        remarks = one_unit(interactions.time, lambda row: f"{path}:{self._line(row)}")
        kept = histories(interactions, self.config, str(path), self.seed)
        del log, interactions
        if self.config.metadata is None:
            return dataset(kept, {}, Reading(remarks=remarks))
        _, first = next(records(path, self.config.encoding))
        field = fields_of(path, first, self.config.release).metadata_item
        text, reading = read_metadata(self.config.metadata, field, set(kept.items), self.config.encoding)
        return dataset(kept, text, replace(reading, remarks=remarks))

    def _reviews(self) -> Iterator[Review]:
        """All reviews, in the order of the file."""
        path, least, fields = self.config.reviews, self.config.min_rating, None
        for number, record in records(path, self.config.encoding):
            fields = fields or fields_of(path, record, self.config.release)
            user = identity(path, number, record, fields.user)
            item = identity(path, number, record, fields.item)
            time = quantity(path, number, record, fields.time)
            taken = least is None or quantity(path, number, record, fields.rating) >= least
            yield number, user, item, time, taken

    def _taken(self, log: InteractionLog) -> Iterator[tuple[str, str, float]]:
        """User, item and time of the reviews that are taken; the log counts the others."""
        for _, user, item, time, taken in self._reviews():
            if taken:
                yield user, item, time
            else:
                log.pass_over(user, item)

    def _line(self, row: int) -> int:
        """The line of a review that was taken, counted from 0."""
        taken = (number for number, *_, taken in self._reviews() if taken)
        return next(islice(taken, row, None))


def read_metadata(
    path: Path, field: str, wanted: set[str], encoding: str
) -> tuple[dict[str, ItemText], Reading]:
    """Text of the `wanted` items, and what else the file holds; of records of the same item the first counts,
    absent ones are tolerated."""
    text: dict[str, ItemText] = {}
    others, names_read, columns = set[str](), {field, *_READ}, dict[str, None]()
    for number, record in records(path, encoding):
        item = identity(path, number, record, field)
        if item not in wanted:
            others.add(item)
        elif item not in text:
            text[item] = item_text(record)
            columns |= dict.fromkeys(key for key, value in record.items() if value not in (None, "", [], {}))
    if not text:
        raise UserError(
            f"{path}: holds none of the {len(wanted)} items of the reviews, such as {min(wanted)!r}"
        )
    reading = Reading(
        item_file=path.name,
        unused=tuple(name for name in columns if name not in names_read),
        without_row=len(wanted) - len(text),
        rows_of_no_item=len(others),
    )
    return text, reading


def item_text(record: Record) -> ItemText:
    """The text of a record of any release.

    Categories: 2014 a list of paths, 2018 a list under `category`, 2023 a list. Brand: `brand`, in 2023
    `store` or else `details.Brand`. Features: 2018 a list under `feature`, 2023 under `features`.
    """
    details = record.get("details")
    detailed = details.get("Brand") if isinstance(details, dict) else None
    return ItemText(
        title=plain(record.get("title")),
        brand=plain(record.get("brand")) or plain(record.get("store")) or plain(detailed),
        categories=names(record.get("categories") or record.get("category")),
        description=plain(record.get("description")),
        price=price(record.get("price")),
        features=plain(record.get("features") or record.get("feature")),
    )
