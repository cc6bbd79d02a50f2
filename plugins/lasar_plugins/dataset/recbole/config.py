"""Options of the `recbole` data set."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.core.sources.options import Separator, TableOptions
from lasar_kit.spec import SpecPath


class RecBoleConfig(TableOptions):
    """Atomic files: columns are named without their type, `user_id` for `user_id:token`."""

    use: str = Field("recbole", description="Name of the component.")
    path: SpecPath = Field(
        description="An .inter file or a folder with one; an .item file beside it is read."
    )
    user: str = Field("user_id", description="Column of user ids.")
    item: str = Field("item_id", description="Column of item ids.")
    time: str | None = Field("timestamp", description="Column of times; null takes rows as oldest first.")
    field_separator: Separator = Field("\t", description="What separates the cells of a line, of any length.")
    seq_separator: str = Field(
        " ", min_length=1, description="What separates the values of a cell of type token_seq."
    )
