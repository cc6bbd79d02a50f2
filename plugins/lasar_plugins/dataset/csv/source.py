"""Interactions and items from CSV, TSV and Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.sources import tables, text_files
from lasar_kit.core.sources.layout import Layout, Row, Table, delimited
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.dataset.csv.config import CsvConfig


class CsvSource:
    """Text files are read row by row; of a Parquet file only the columns in use."""

    def __init__(self, config: CsvConfig, env: Env) -> None:
        self.config, self.seed = config, env.seed

    def files(self) -> Sequence[Path]:
        paths = [self.config.interactions, self.config.items]
        return [text_files.require_file(path) for path in paths if path is not None]

    def load(self) -> Dataset:
        self.files()
        config = self.config
        interactions = self._table(config.interactions, config.columns, "columns")
        items = (
            None if config.items is None else self._table(config.items, config.item_columns, "item_columns")
        )
        return tables.load(interactions, items, config, self.seed)

    def _table(self, path: Path, columns: tuple[str, ...] | None, option: str) -> Table:
        suffixes = path.suffixes
        if suffixes and suffixes[-1] == ".parquet":
            return parquet(path)
        separator = self.config.separator or ("\t" if ".tsv" in suffixes else ",")
        layout = Layout(separator, True, self.config.encoding, columns, columns_option=option)
        return delimited(path, layout)


def parquet(path: Path) -> Table:
    """A Parquet file as a table of texts; rows count from 1, times are seconds since 1970."""
    try:
        schema = pl.scan_parquet(path, glob=False).collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{path}: is not a complete Parquet file ({_first_line(error)})") from None
    names = list(schema)

    def rows(columns: Sequence[int]) -> Iterator[Row]:
        texts: list[pl.Expr] = []
        for name in (names[column] for column in columns):
            moment = isinstance(schema[name], pl.Datetime | pl.Date)
            column = pl.col(name).dt.epoch("us") / 1e6 if moment else pl.col(name)
            if isinstance(schema[name], pl.List):
                column = column.cast(pl.List(pl.String)).list.join(", ")
            texts.append(column.cast(pl.String).fill_null("").alias(f"column_{len(texts)}"))
        try:
            frame = pl.scan_parquet(path, glob=False).select(texts).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise UserError(f"{path}: cannot be read as text ({_first_line(error)})") from None
        yield from enumerate(frame.iter_rows(), start=1)

    return Table(path, names, rows, binary=True)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
