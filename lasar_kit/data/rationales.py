"""Written reasoning of training prompts, as token ids between prompt and answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from lasar_kit.core.words import Ids, Words
from lasar_kit.data.anchor_store import TEXTS, Place


class Rationales:
    """The texts of an anchors stage by the place of the item they lead to, at most `longest` tokens each."""

    def __init__(self, folder: Path, users: Sequence[str], words: Words, longest: int) -> None:
        index = {user: place for place, user in enumerate(users)}
        with (folder / TEXTS).open(encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        rows = words.tokens([line["text"] for line in lines])
        self.rows: dict[Place, Ids] = {
            (index[line["user"]], line["end"]): row[:longest] for line, row in zip(lines, rows, strict=True)
        }

    def batch(self, places: Sequence[Sequence[Place]], branches: int) -> Int[Tensor, "B R W"]:
        """Token ids of each row's places, -1 past the end and where there is no text."""
        texts = [[self.rows.get(place) for place in row] for row in places]
        longest = max((len(ids) for row in texts for ids in row if ids is not None), default=0)
        batch = np.full((len(places), branches, longest), -1, dtype=np.int64)
        for b, row in enumerate(texts):
            for r, ids in enumerate(row):
                if ids is not None:
                    batch[b, r, : len(ids)] = ids
        return torch.from_numpy(batch)
