"""Counts of letters as embeddings."""

from string import ascii_lowercase

import numpy as np
import polars as pl
from jaxtyping import Float

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env
from lasar_letters.config import LettersConfig


class Letters:
    """A coordinate a letter, and one that is always 1."""

    def __init__(self, config: LettersConfig, env: Env) -> None:
        self.damping = config.damping

    def encode(self, items: pl.DataFrame, train: Sequences) -> Float[np.ndarray, "I 27"]:
        """Damped counts of the letters of the titles."""
        counts = [[title.lower().count(letter) for letter in ascii_lowercase] for title in items["title"]]
        rows = np.array(counts, dtype=np.float32) ** self.damping
        return np.hstack([rows, np.ones((len(rows), 1), dtype=np.float32)])
