"""Options of the `csv` data set."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from lasar_kit.core.sources.options import Separator, TableOptions
from lasar_kit.spec import SpecPath


def _check_names(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    twice = next((name for name in names or () if (names or ()).count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"names {twice!r} twice")
    return names


Columns = Annotated[tuple[str, ...] | None, Field(min_length=1), AfterValidator(_check_names)]


class CsvConfig(TableOptions):
    """Interactions, and items if there is a file of them, as CSV, TSV or Parquet, each by its own suffix."""

    use: str = Field("csv", description="Name of the component.")
    interactions: SpecPath = Field(description="File with one interaction a row (.parquet, .tsv, .csv, .gz).")
    items: SpecPath | None = Field(None, description="File with one item a row; absent, items have no text.")
    separator: Separator | None = Field(
        None,
        description="What separates cells of a text file, of any length (cells are quoted only where it is "
        "one character); absent, a tab in .tsv files, else a comma.",
    )
    columns: Columns = Field(
        None, description="Columns of a file of interactions without a header line, all of them, in order."
    )
    item_columns: Columns = Field(
        None, description="Columns of a file of items without a header line, all of them, in order."
    )

    @property
    def own_separator(self) -> str | None:
        return self.separator
