"""Log-probabilities of catalogue items, token by token, for training."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.scoring import Score, candidate_logp
from lasar_kit.core.taken import normalised, tempered
from lasar_kit.core.token_logp import in_parts, token_logp
from lasar_kit.core.trie import Alphabet, Trie, candidates
from lasar_kit.core.values import SidTable

TRIE_MEGABYTES = 256
"""Memory for dense tables of the trie; levels beyond it are searched sparsely."""


class AnswerScorer:
    """Scores answers against all tokens (`vocabulary`) or those the catalogue allows behind them (`trie`).

    For `trie` only the logits of a level's own tokens are computed. `tokens` are the catalogue's, where it
    scores.
    """

    def __init__(self, table: SidTable, score: Score, device: str) -> None:
        self.score: Score = score
        self.tokens = table.tokens.to(device)
        if score == "trie":
            self.alphabet = Alphabet(table, device)
            self.trie = Trie.of(self.alphabet.rank_table(table), TRIE_MEGABYTES, device)

    def logp(
        self,
        backbone: Backbone,
        states: Float[Tensor, "n m D"],
        tokens: Int[Tensor, "n m"],
        temperature: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n m"]:
        """Log-probability of each of the first m tokens of n items, from the states that predict them, in
        float32; logits are divided by `temperature` first, one for each item.

        Logits that are too many at once are made a part of the items, or of their tokens, at a time
        (`in_parts`).
        """
        heats = () if temperature is None else (temperature,)
        if self.score == "vocabulary":
            each = [heat.repeat_interleave(tokens.shape[1]) for heat in heats]
            return token_logp(backbone, states.flatten(0, 1), tokens.flatten(), None, *each).view(
                tokens.shape
            )
        if tokens.shape[1] == 1:  # all tokens of the first level are allowed
            first, rank = self.alphabet.levels[0], self.alphabet.ranks(tokens)[:, 0]
            return token_logp(backbone, states[:, 0], rank, first, *heats)[:, None]
        return in_parts(
            partial(self._by_levels, backbone), self.width(backbone, tokens), states, tokens, *heats
        )

    def _by_levels(
        self,
        backbone: Backbone,
        states: Float[Tensor, "n m D"],
        tokens: Int[Tensor, "n m"],
        temperature: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n m"]:
        """`logp` among what the trie allows, all items at once."""
        steps = self.distributions(backbone, states, tokens)
        if temperature is not None:
            steps = ((tempered(logp, temperature), index) for logp, index in steps)
        return torch.stack([logp.gather(-1, index)[:, 0] for logp, index in steps], dim=-1)

    def width(self, backbone: Backbone, tokens: Int[Tensor, "n m"]) -> int:
        """Most logits at once, for each item, that `distributions` makes."""
        if self.score == "vocabulary":
            return tokens.shape[1] * len(backbone.tokenizer)
        return max(len(level) for level in self.alphabet.levels)

    def distributions(
        self, backbone: Backbone, states: Float[Tensor, "n m D"], tokens: Int[Tensor, "n m"]
    ) -> Iterator[tuple[Float[Tensor, "n C"], Int[Tensor, "n 1"]]]:
        """Level by level, the log-distribution over what competes there (-inf where the trie forbids it), and
        which of it each item's token is."""
        if self.score == "vocabulary":
            logp = backbone.logits(states).float().log_softmax(-1)
            yield from ((logp[:, depth], tokens[:, depth, None]) for depth in range(tokens.shape[1]))
            return
        node = torch.zeros_like(tokens[:, 0])
        ranks = self.alphabet.ranks(tokens)
        levels = list(zip(self.trie.levels, self.alphabet.levels, strict=True))[: tokens.shape[1]]
        for depth, (level, spelled) in enumerate(levels):
            logits = backbone.logits(states[:, depth], spelled)
            if depth == 0:  # all of the level's tokens are allowed, in the order of their ranks
                node = ranks[:, 0]
                yield normalised(logits), node[:, None]
                continue
            child, allowed, picked = candidates(level, node, logits)
            index = level.taken(torch.where(allowed, child, -1), ranks[:, depth])[:, None]
            yield candidate_logp(logits, picked, allowed, self.score), index
            node = child.gather(-1, index)[:, 0].long()
