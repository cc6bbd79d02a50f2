"""Texts as token ids that can spell no answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

Ids = Int[np.ndarray, " L"]


class Words:
    """Tokenises texts.

    Tokens that mean something to the model (SIDs, latent and special ones) are taken out: what a shop or a
    teacher writes must not be able to spell an answer.
    """

    def __init__(self, tokenizer: Any, vocabulary: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        meant = [*tokenizer.convert_tokens_to_ids(list(vocabulary)), *tokenizer.all_special_ids]
        self.meant = np.array(meant, dtype=np.int64)

    def tokens(self, texts: Sequence[str]) -> list[Ids]:
        """Token ids of each text; none of the empty one."""
        rows = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
        ids = [np.array(row, dtype=np.int64) for row in rows]
        return [row[~np.isin(row, self.meant)] for row in ids]
