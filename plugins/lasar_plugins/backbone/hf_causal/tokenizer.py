"""The tokens added to a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase


def add_vocabulary(tokenizer: PreTrainedTokenizerBase, vocabulary: Sequence[str]) -> list[int]:
    """Add the tokens that are not there yet; returns the ids of those added."""
    known = tokenizer.get_vocab()
    missing = [token for token in vocabulary if token not in known]
    # Not special, so that decoding shows them; not normalised, so that they match as written.
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in missing])
    ids = tokenizer.convert_tokens_to_ids(missing)
    assert isinstance(ids, list)
    return ids
