"""RecBole's atomic files (https://recbole.io/docs/user_guide/data/atomic_files.html)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.sources import tables, text_files
from lasar_kit.core.sources.layout import Layout, Table, delimited
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.dataset.recbole.config import RecBoleConfig

TYPES = ("token", "token_seq", "float", "float_seq")


class RecBoleSource:
    """An .inter file and the .item file of the same name, if there is one."""

    def __init__(self, config: RecBoleConfig, env: Env) -> None:
        self.config, self.seed = config, env.seed

    @cached_property
    def _interactions(self) -> Path:
        path = self.config.path
        with text_files.readable(path):
            folder = path.is_dir()
        return text_files.only_file(path, "*.inter") if folder else text_files.require_file(path)

    def files(self) -> Sequence[Path]:
        items = self._interactions.with_suffix(".item")
        return [self._interactions] + ([items] if items.is_file() else [])

    def load(self) -> Dataset:
        files = [self._atomic(path) for path in self.files()]
        interactions, items = files[0][0], files[1][0] if len(files) > 1 else None
        types = files[-1][1]

        def categories(cell: str) -> str:
            if types.get(self.config.categories or "categories") != "token_seq":
                return cell
            parts = (part.strip() for part in cell.split(self.config.seq_separator))
            return ", ".join(part for part in parts if part)

        return tables.load(interactions, items, self.config, self.seed, categories)

    def _atomic(self, path: Path) -> tuple[Table, dict[str, str]]:
        """A file whose columns have lost their types, and the type of each column."""
        config = self.config
        layout = Layout(config.field_separator, False, config.encoding, separator_option="field_separator")
        table = delimited(path, layout)
        if table.doubt:
            raise UserError(f"{path}:1: {table.doubt}")
        types = {}
        for column in table.columns:
            name, colon, kind = column.rpartition(":")
            if not colon or kind not in TYPES:
                raise UserError(
                    f"{path}:1: expected columns as name:type, type one of {', '.join(TYPES)}, got {column!r}"
                )
            types[name] = kind
        return replace(table, columns=list(types)), types
