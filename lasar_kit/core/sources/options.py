"""Options that several data sources share. Imports neither torch nor polars, so that configs may use it."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lasar_kit.spec import ComponentConfig


def _check_encoding(name: str) -> str:
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        raise ValueError("must be the name of an encoding, such as latin-1, cp1252 or utf-16") from None
    if not getattr(codec, "_is_text_encoding", True):
        raise ValueError("must be an encoding of text, such as latin-1, cp1252 or utf-16")
    return name


def _check_separator(mark: str) -> str:
    if any(sign in mark for sign in '\r\n"'):
        raise ValueError("must hold no quote and no line end")
    return mark


Separator = Annotated[str, Field(min_length=1), AfterValidator(_check_separator)]
"""The separator between cells."""

Encoding = Annotated[str, AfterValidator(_check_encoding)]
"""The name of an encoding of text."""

ENCODING = "How the text files are encoded, such as latin-1, cp1252 or utf-16."
"""The description of options of this type."""


class CopyOptions(ComponentConfig):
    """Options for exact copies of an interaction."""

    copies: Literal["keep", "drop"] = Field(
        "keep",
        description="Whether exact copies stay: the same user, item and time, or, where no times are read, "
        "the same item twice in a row.",
    )


class InteractionOptions(CopyOptions):
    """How interactions are filtered, in this order: copies, repeats, k-core, number of users."""

    ties: Literal["file", "random"] = Field(
        "file",
        description="How a user's interactions at the same time are ordered: as in the file, or at random by "
        "the seed, whatever the file's order.",
    )
    k_core: int = Field(
        0, ge=0, description="Keep users and items with this many interactions, to a fixed point; 0 is off."
    )
    repeats: Literal["first", "last", "all"] = Field(
        "all", description="Which interactions of the same user and item to keep, by time."
    )
    max_users: int | None = Field(
        None, ge=1, description="Keep the first so many users by raw id, for a quick trial."
    )


class TableOptions(InteractionOptions):
    """Columns of an interaction table and of an item table."""

    user: str = Field("user", description="Column of user ids.")
    item: str = Field("item", description="Column of item ids.")
    item_in_items: str | None = Field(
        None, description="Column of item ids in the item table; absent, that of the interactions."
    )
    time: str | None = Field(
        "time", description="Column of times, numbers or ISO 8601; null takes rows as oldest first."
    )
    title: str | None = Field(None, description="Column of titles; absent, 'title' if there is one.")
    brand: str | None = Field(None, description="Column of brands; absent, 'brand' if there is one.")
    categories: str | None = Field(
        None, description="Column of categories; absent, 'categories' if there is one."
    )
    description: str | None = Field(
        None, description="Column of descriptions; absent, 'description' if there is one."
    )
    price: str | None = Field(None, description="Column of prices; absent, 'price' if there is one.")
    features: str | None = Field(None, description="Column of features; absent, 'features' if there is one.")
    missing_items: Literal["error", "empty"] = Field(
        "error",
        description="What an interaction with an item that the item table lacks is: a mistake, "
        "or an item without text.",
    )
    encoding: Encoding = Field("utf-8", description=ENCODING)

    @property
    def own_separator(self) -> str | None:
        """The separator of cells that its options name; None where a file's suffix tells it."""
        return None
