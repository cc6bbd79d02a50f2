"""Options of the `csv` data set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lasar_kit.core.sources.options import TableOptions
from lasar_kit.spec import SpecPath


class CsvConfig(TableOptions):
    """Interactions, and items if there is a file of them, as CSV, TSV or Parquet, each by its own suffix."""

    use: str = Field("csv", description="Name of the component.")
    interactions: SpecPath = Field(description="File with one interaction a row (.parquet, .tsv, .csv, .gz).")
    items: SpecPath | None = Field(None, description="File with one item a row; absent, items have no text.")
    separator: Literal[",", "\t", ";", "|"] | None = Field(
        None, description="What separates cells of a text file; absent, a tab in .tsv files, else a comma."
    )
