"""Embeddings that were computed elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.sources import text_files
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError, nearest
from lasar_plugins.text_encoder.precomputed.config import PrecomputedConfig

_NUMBER = re.compile(r"\D*([0-9]{1,18})")


class PrecomputedEncoder:
    """Rows of a file, put in the order of the catalogue."""

    def __init__(self, config: PrecomputedConfig, env: Env) -> None:
        self.config = config
        rows = {"order_of_items_does_not_matter": "without 'ids', the rows are those of the items in order"}
        self.contract_exceptions = rows if config.ids is None else {}
        self.embeds_later = config.ids is not None
        """Where rows are found by id, the file may hold those of items that come later."""

    def encode(self, items: pl.DataFrame, train: Sequences) -> Float[np.ndarray, "I E"]:
        """One row an item; `UserError` on a file that does not give exactly that."""
        return self.embed(items)

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing: the file stays where it is."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing."""

    def embed(self, items: pl.DataFrame) -> Float[np.ndarray, "I E"]:
        """The same, of a file that is read anew."""
        path = self.config.path
        rows = _read(path, self.config.tensor)
        if rows.ndim != 2 or rows.shape[1] == 0 or rows.dtype.kind not in "fiu":
            raise UserError(f"{path}: expected a matrix of numbers, got {rows.dtype} of shape {rows.shape}")
        rows = rows.astype(np.float32)
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any():
            raise UserError(
                f"{path}: {bad.sum()} rows are not finite as float32, the first is row {bad.argmax()}"
            )
        rows = rows[self._order(items["id"].to_list(), len(rows))]
        if self.config.normalize:
            norm = np.linalg.norm(rows, axis=1, keepdims=True)
            rows = np.divide(rows, norm, out=np.zeros_like(rows), where=norm > 0)
        return rows

    def _order(self, item_ids: list[str], count: int) -> list[int]:
        """Row of each item."""
        path, ids_path = self.config.path, self.config.ids
        if ids_path is None:
            if count != len(item_ids):
                raise UserError(f"{path}: {count} rows, but the catalogue has {len(item_ids)} items")
            if (row := _counted(item_ids)) is not None:
                raise UserError(
                    "text_encoder precomputed: 'ids' is missing: the catalogue orders items its own way, its "
                    f"row {row} being item {item_ids[row]!r}; give a text file with the raw item id of each "
                    f"row of {path}"
                )
            return list(range(count))
        ids = [line.rstrip("\r\n") for _, line in text_files.lines(ids_path)]
        if len(ids) != count:
            raise UserError(f"{ids_path}: {len(ids)} ids, but {path} has {count} rows")
        row_of: dict[str, int] = {}
        for row, raw in enumerate(ids):
            if row_of.setdefault(raw, row) != row:
                raise UserError(
                    f"{ids_path}:{row + 1}: item {raw!r} stands on line {row_of[raw] + 1} already"
                )
        missing = [raw for raw in item_ids if raw not in row_of]
        if missing:
            raise UserError(
                f"{ids_path}: {len(missing)} of {len(item_ids)} items of the catalogue have no row, "
                f"the first is {missing[0]!r}"
            )
        return [row_of[raw] for raw in item_ids]


def _read(path: Path, tensor: str | None) -> np.ndarray:
    """The array of a .npy or .safetensors file."""
    if not path.is_file():
        raise UserError(f"{path}: no such file (embeddings of text_encoder precomputed)")
    if path.suffix not in (".npy", ".safetensors"):
        raise UserError(f"{path}: expected a .npy or a .safetensors file")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path, tensor)
        array = np.load(path, allow_pickle=False)
        assert isinstance(array, np.ndarray)
        return array
    except (OSError, ValueError, EOFError, TypeError, AssertionError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def _read_safetensors(path: Path, tensor: str | None) -> np.ndarray:
    # Through torch, since numpy has no bfloat16.
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        if tensor is None and len(names) != 1:
            raise UserError(
                f"{path}: holds {len(names)} tensors; set 'tensor' to one: {', '.join(sorted(names))}"
            )
        name = names[0] if tensor is None else tensor
        if name not in names:
            raise UserError(f"{path}: no tensor {name!r}; {nearest(name, names)}")
        values = file.get_tensor(name)
    array: np.ndarray = (values.float() if values.is_floating_point() else values).numpy()
    return array


def _counted(item_ids: list[str]) -> int | None:
    """The first row whose item's id, but for what stands before the number, is not the row's number."""
    for row, raw in enumerate(item_ids):
        number = _NUMBER.fullmatch(raw)
        if number is None or int(number[1]) != row:
            return row
    return None
