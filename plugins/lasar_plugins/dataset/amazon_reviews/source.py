"""The Amazon review dumps: 2014 (McAuley et al.), 2018 (Ni et al.), 2023 (Hou et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.sources import text_files
from lasar_kit.core.sources.interactions import InteractionLog, histories
from lasar_kit.core.sources.items import ItemText, dataset, names, plain, price
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.dataset.amazon_reviews.config import AmazonReviewsConfig
from lasar_plugins.dataset.amazon_reviews.records import (
    Fields,
    Record,
    fields_of,
    identity,
    quantity,
    records,
)


class AmazonReviewsSource:
    """Two streaming passes: reviews become numbers as they are read, then the text of surviving items."""

    def __init__(self, config: AmazonReviewsConfig, env: Env) -> None:
        self.config = config

    def files(self) -> Sequence[Path]:
        paths = [self.config.reviews, self.config.metadata]
        return [text_files.require_file(path) for path in paths if path is not None]

    def load(self) -> Dataset:
        self.files()
        log, fields = self._reviews()
        kept = histories(log.interactions(), self.config, str(self.config.reviews))
        del log
        text = (
            {}
            if self.config.metadata is None
            else read_metadata(self.config.metadata, fields.metadata_item, set(kept.items))
        )
        return dataset(kept, text)

    def _reviews(self) -> tuple[InteractionLog, Fields]:
        """All reviews with enough stars, and the names of their fields."""
        path, least = self.config.reviews, self.config.min_rating
        log, fields = InteractionLog(), None
        for number, record in records(path):
            fields = fields or fields_of(path, record, self.config.release)
            user = identity(path, number, record, fields.user)
            item = identity(path, number, record, fields.item)
            time = quantity(path, number, record, fields.time)
            if least is None or quantity(path, number, record, fields.rating) >= least:
                log.add(user, item, time)
        assert fields is not None, "records() raises on a file without any"
        return log, fields


def read_metadata(path: Path, field: str, wanted: set[str]) -> dict[str, ItemText]:
    """Text of the `wanted` items; of records of the same item the first counts, absent ones are tolerated."""
    text: dict[str, ItemText] = {}
    for number, record in records(path):
        item = identity(path, number, record, field)
        if item in wanted and item not in text:
            text[item] = item_text(record)
    if not text:
        raise UserError(
            f"{path}: holds none of the {len(wanted)} items of the reviews, such as {min(wanted)!r}"
        )
    return text


def item_text(record: Record) -> ItemText:
    """The text of a record of any release.

    Categories: 2014 a list of paths, 2018 a list under `category`, 2023 a list. Brand: `brand`, in 2023
    `store` or else `details.Brand`.
    """
    details = record.get("details")
    detailed = details.get("Brand") if isinstance(details, dict) else None
    return ItemText(
        title=plain(record.get("title")),
        brand=plain(record.get("brand")) or plain(record.get("store")) or plain(detailed),
        categories=names(record.get("categories") or record.get("category")),
        description=plain(record.get("description")),
        price=price(record.get("price")),
    )
