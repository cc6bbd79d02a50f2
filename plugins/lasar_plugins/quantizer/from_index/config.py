"""Options of codes read from an index file."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lasar_kit.spec import QuantizerConfig, SpecPath


class FromIndexConfig(QuantizerConfig):
    """Options of `from_index`."""

    encodes_later: ClassVar[bool] = False
    checked_with: ClassVar[tuple[str, ...]] = ("path",)

    path: SpecPath | None = Field(
        None,
        description='JSON file of the form {"raw item id": ["<a_114>", "<b_32>", …], …} with an entry for '
        "each item; absent: items whose raw ids are their codes, such as `<a_114><b_32>`.",
    )
    codes: int | None = Field(
        None, ge=1, description="Codes a level; absent: one more than the largest of that level."
    )
