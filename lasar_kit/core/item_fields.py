"""The text fields of an item; imports nothing, so that component options can name them."""

from __future__ import annotations

from typing import Literal

ItemField = Literal["title", "brand", "categories", "description", "price", "features"]
"""The columns of an item table that hold text, all of `ITEM_COLUMNS` but the id."""

DEFAULT_FIELDS: tuple[ItemField, ...] = ("title", "brand", "categories")
