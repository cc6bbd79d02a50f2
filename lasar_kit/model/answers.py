"""Log-probabilities of catalogue items, token by token, for training."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.scoring import Score, candidate_logp
from lasar_kit.core.trie import Alphabet, Trie, candidates
from lasar_kit.core.values import SidTable
from lasar_kit.model.taken import normalised, taken, tempered

TRIE_MEGABYTES = 256
"""Memory for dense tables of the trie; levels beyond it are searched sparsely."""


CELLS = 2**28
"""Most logits of a level at once, a GiB of float32."""


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

        Where the trie's levels have so many tokens that the logits of all n are more than `CELLS`, it scores
        a part of the items at a time, and keeps no logits for the backward pass, which computes them again.
        """
        widest = 1 if self.score == "vocabulary" else max(len(tokens) for tokens in self.alphabet.levels)
        rows = max(1, CELLS // widest)
        if len(tokens) <= rows:
            return self._logp(backbone, states, tokens, temperature)
        shares = [torch.split(states, rows), torch.split(tokens, rows)]
        if temperature is not None:
            shares.append(torch.split(temperature, rows))
        score = partial(checkpoint, self._logp, backbone, use_reentrant=False, preserve_rng_state=False)
        return torch.cat([score(*share) for share in zip(*shares, strict=True)])

    def _logp(
        self,
        backbone: Backbone,
        states: Float[Tensor, "n m D"],
        tokens: Int[Tensor, "n m"],
        temperature: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n m"]:
        """`logp`, all at once."""
        if self.score == "trie" and tokens.shape[1] == 1:  # all tokens of the first level are allowed
            first = self.alphabet.levels[0]
            return taken(backbone.logits(states[:, 0], first), self.alphabet.ranks(tokens), temperature)
        steps = self.distributions(backbone, states, tokens)
        if temperature is not None:
            steps = ((tempered(logp, temperature), index) for logp, index in steps)
        return torch.stack([logp.gather(-1, index)[:, 0] for logp, index in steps], dim=-1)

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
