"""A byte-level BPE tokenizer trained on the spot, and the tokens added to any tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from lasar_plugins.backbone.qwen3.config import SPECIAL_TOKENS


def train_tokenizer(corpus: Iterable[str], size: int, max_length: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most `size` tokens; with no text, the 256 bytes and the special tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        show_progress=False,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    bpe.train_from_iterator(corpus, trainer)
    pad, bos, eos = SPECIAL_TOKENS
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        padding_side="left",
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )


def add_vocabulary(tokenizer: PreTrainedTokenizerBase, vocabulary: Sequence[str]) -> list[int]:
    """Add the tokens that are not there yet; returns the ids of those added."""
    known = tokenizer.get_vocab()
    missing = [token for token in vocabulary if token not in known]
    # Not special, so that decoding shows them; not normalised, so that they match as written.
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in missing])
    ids = tokenizer.convert_tokens_to_ids(missing)
    assert isinstance(ids, list)
    return ids
