"""Item texts as batches for plain language modelling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.item_text import item_text
from lasar_kit.engine.stages.config import TextConfig


class ItemTexts:
    """The texts of all items that have one of two tokens or more, behind the tokenizer's start token."""

    def __init__(self, dataset: Dataset, tokenizer: Any, config: TextConfig) -> None:
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        texts = [text for text in item_text(dataset.items, config.fields) if text]
        rows = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        self.rows = [np.array([start, *row][: config.max_tokens]) for row in rows if row]
        self.pad, self.count = tokenizer.pad_token_id, config.batch_size

    def draw(self, seed: int, update: int) -> list[Int[np.ndarray, " L"]]:
        """The texts of one update of all processes together."""
        rng = np.random.default_rng((seed, update))
        return [self.rows[index] for index in rng.integers(len(self.rows), size=self.count)]

    def padded(self, rows: Sequence[Int[np.ndarray, " L"]]) -> Int[Tensor, "T L"]:
        """Texts left-padded with -1."""
        ids = np.full((len(rows), max(map(len, rows))), -1, dtype=np.int64)
        for place, row in enumerate(rows):
            ids[place, ids.shape[1] - len(row) :] = row
        return torch.from_numpy(ids)
