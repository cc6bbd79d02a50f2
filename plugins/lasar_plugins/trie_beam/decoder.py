"""Beam search over the catalogue's trie; all beams of a level are one block of branches off the prompt.

Shape letters as in `lasar_kit.core.values`, and w beams of the level at hand (w <= W), C candidates a beam.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.scoring import candidate_logp
from lasar_kit.core.trie import Alphabet, Level, Trie, candidates
from lasar_kit.core.values import Beams, Context, Env, LatentTrace, SidTable
from lasar_plugins.trie_beam.config import TrieBeamConfig


@dataclass(frozen=True)
class _Beams:
    """The beams after a level, best first: trie node, log-probability, token, and the beam it extends."""

    node: Int[Tensor, "B R w"]
    logp: Float[Tensor, "B R w"]
    token: Int[Tensor, "B R w"]
    origin: Int[Tensor, "B R w"]


class TrieBeam:
    """Exact constrained beam search: sequences and scores are those of `generate` under the same trie.

    The beams of a level are fed as one block of tokens, each a child of the node of the beam it extends, so
    the prompt is read once and no cache is ever copied or reordered. The last level's tokens are not fed.
    """

    def __init__(self, config: TrieBeamConfig, env: Env) -> None:
        self.config = config
        self.device = env.device

    def bind(self, table: SidTable) -> None:
        """Build the trie of a catalogue, in place of any bound before."""
        self.alphabet = Alphabet(table, self.device) if self.config.score == "trie" else None
        spelled = self.alphabet.rank_table(table) if self.alphabet else table
        self.trie = Trie.of(spelled, self.config.table_megabytes, self.device)

    @torch.no_grad()
    def search(self, backbone: Backbone, trace: LatentTrace, width: int) -> Beams:
        """The `width` best items of each branch, by a beam of that width.

        The backbone should be in evaluation mode.
        """
        rows, branches, _ = trace.last.shape
        node = torch.zeros(rows, branches, 1, dtype=torch.int64, device=trace.last.device)
        logp = torch.zeros(rows, branches, 1, device=trace.last.device)
        hidden, tip, context = trace.last[:, :, None], trace.tip[..., None], trace.context
        for depth, transition in enumerate(self.trie.levels):
            # Scores within the trie need no logits but those of the level's own tokens.
            known = self.alphabet.levels[depth] if self.alphabet else None
            beams = self._expand(transition, backbone.logits(hidden, known), node, logp, width)
            node, logp = beams.node, beams.logp
            if depth + 1 < len(self.trie.levels):
                token = beams.token if known is None else known[beams.token]
                hidden, tip, context = _feed(backbone, token, tip.gather(-1, beams.origin), context)
        return _pad(Beams(torch.where(logp.isneginf(), -1, self.trie.item[node]), logp), width)

    def _expand(
        self,
        transition: Level,
        logits: Float[Tensor, "B R w V"],
        node: Int[Tensor, "B R w"],
        logp: Float[Tensor, "B R w"],
        width: int,
    ) -> _Beams:
        """The `width` best children of all beams of a branch; where fewer exist, the rest have -inf."""
        child, allowed, picked = candidates(transition, node, logits)
        step = candidate_logp(logits, picked, allowed, self.config.score)
        total = (logp[..., None] + step).flatten(2)
        best = stable_topk(total, min(width, total.shape[-1]))
        node = child.flatten(2).gather(-1, best).long()
        token = transition.token(node, best % child.shape[-1])
        return _Beams(node, total.gather(-1, best), token, best // child.shape[-1])


def _feed(
    backbone: Backbone, token: Int[Tensor, "B R w"], parent: Int[Tensor, "B R w"], context: Context
) -> tuple[Float[Tensor, "B R w D"], Int[Tensor, "B R w"], Context]:
    """Read the beams' last tokens in one block; their states, the nodes they became, the context."""
    rows, branches, beam = token.shape
    hidden, grown = backbone.advance(backbone.embed(token.flatten(1)), parent.flatten(1), context)
    fed = context.length + torch.arange(branches * beam, device=parent.device)
    return hidden.view(rows, branches, beam, -1), fed.view(1, branches, beam).expand(rows, -1, -1), grown


def stable_topk(score: Float[Tensor, "*S n"], k: int) -> Int[Tensor, "*S k"]:
    """Indices of the k largest float32 scores, descending, the lower index first where scores are equal.

    `torch.topk` leaves the order of equal scores open. Here each score's bits, made to ascend as integers,
    are followed by its index counted from the end, so that no two keys are equal.
    """
    bits = (score + 0.0).view(torch.int32)  # adding 0 turns -0 into 0
    ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    last = score.shape[-1] - 1
    index = torch.arange(last, -1, -1, device=score.device)
    key = (ascending.long() << 32) | index
    return last - (key.topk(k, dim=-1).values & 0xFFFFFFFF)


def _pad(beams: Beams, width: int) -> Beams:
    """Beams widened to `width` where the catalogue has fewer leaves."""
    missing = (0, width - beams.items.shape[-1])
    pad = torch.nn.functional.pad
    return Beams(pad(beams.items, missing, value=-1), pad(beams.logp, missing, value=-torch.inf))
