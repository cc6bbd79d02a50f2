"""The tokens a generative recommender adds to a language model's vocabulary."""

from __future__ import annotations

from string import ascii_lowercase

LATENT_START, LATENT_THOUGHT, LATENT_END = "<|lat_s|>", "<|lat_t|>", "<|lat_e|>"
LATENT_TOKENS = (LATENT_START, LATENT_THOUGHT, LATENT_END)
"""`[prompt] <|lat_s|> <|lat_t|>×N <|lat_e|> [answer]`; the paper's `<s>` would clash with a BOS token."""

THINK, END_THINK = "<think>", "</think>"
"""`[prompt] <think> text </think> [answer]`: around reasoning in words."""

MAX_LEVELS = len(ascii_lowercase)


def sid_token(level: int, code: int) -> str:
    """The token of code `code` at level `level` (both from 0).

    >>> sid_token(1, 203)
    '<b_203>'
    """
    return f"<{ascii_lowercase[level]}_{code}>"


def sid_tokens(sizes: tuple[int, ...]) -> list[str]:
    """All SID tokens of codebooks with `sizes[m]` codes at level m, level by level.

    >>> sid_tokens((2, 1))
    ['<a_0>', '<a_1>', '<b_0>']
    """
    return [sid_token(level, code) for level, size in enumerate(sizes) for code in range(size)]
