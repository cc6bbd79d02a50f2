"""Options that several data sources share. Imports neither torch nor polars, so that configs may use it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lasar_kit.spec import ComponentConfig


class InteractionOptions(ComponentConfig):
    """How interactions are filtered, in this order: repeats, k-core, number of users."""

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
    item: str = Field("item", description="Column of item ids, in both tables.")
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
    missing_items: Literal["error", "empty"] = Field(
        "error",
        description="What an interaction with an item that the item table lacks is: a mistake, "
        "or an item without text.",
    )
