"""The walk down the catalogue's trie: all beams of a level are one block of branches off the prompt.

Shape letters as in `lasar_kit.core.values`, and w beams of the level at hand (w <= W), C candidates a beam.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from lasar_kit.core.allowed import Allowed
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.scoring import candidate_logp
from lasar_kit.core.trie import Alphabet, OpenNodes, Trie, candidates
from lasar_kit.core.trie_growth import grown
from lasar_kit.core.values import Beams, Between, Context, Env, LatentTrace, SidTable
from lasar_plugins.decoder.trie.config import TrieConfig

Choose = Callable[
    [Float[Tensor, "B R w C"], Shaped[Tensor, "B R w C"], Bool[Tensor, "B R w C"]], Int[Tensor, "B R k"]
]
"""Which children of all beams of a branch become the next level's beams, as indices into `w C`, flattened.

Given are the children's log-probabilities from the root (-inf where a candidate is no child), the logits of
their tokens, and which of the candidates are children.
"""

Weigh = Callable[[int, Float[Tensor, "B R w C"], Int[Tensor, "B R w C"]], Float[Tensor, "B R w C"]]
"""The log-probabilities that children of a level are chosen by and items are reported with, from those of the
model, and which nodes of the level the children are (any where a candidate is no child)."""


@dataclass(frozen=True)
class _Grown:
    """The beams after a level: trie node, log-probability by the model and as weighed, token, and the beam
    each extends."""

    node: Int[Tensor, "B R w"]
    logp: Float[Tensor, "B R w"]
    weighed: Float[Tensor, "B R w"]
    token: Int[Tensor, "B R w"]
    origin: Int[Tensor, "B R w"]


class TrieWalk:
    """The walk that searches over a trie share; they differ in how they choose a level's beams.

    The beams of a level are fed as one block of tokens, each a child of the node of the beam it extends, so
    the prompt is read once and no cache is ever copied or reordered. The last level's tokens are not fed.
    """

    config: TrieConfig

    def __init__(self, config: TrieConfig, env: Env) -> None:
        self.config = config
        self.device = env.device

    def bind(self, table: SidTable) -> None:
        """Build the trie of a catalogue, in place of any bound before."""
        self.alphabet = Alphabet(table, self.device) if self.config.score == "trie" else None
        spelled = self.alphabet.rank_table(table) if self.alphabet else table
        self.trie = Trie.of(spelled, self.config.table_megabytes, self.device)

    def extend(self, table: SidTable) -> None:
        """Patch the trie: a token that no item had at its level is the only reason to build it anew."""
        rows = table.tokens[len(self.trie.place) :].to(self.trie.place.device)
        known = self.alphabet is None or self.alphabet.holds(rows)
        if known and self.alphabet is not None:
            rows = self.alphabet.ranks(rows)
        patched = grown(self.trie, rows) if known else None
        if patched is None:
            TrieWalk.bind(self, table)
        else:
            self.trie = patched

    @torch.no_grad()
    def walk(
        self,
        backbone: Backbone,
        trace: LatentTrace,
        choose: Choose,
        width: int,
        allowed: Allowed | None = None,
        weigh: Weigh = lambda level, logp, child: logp,
    ) -> Beams:
        """The items that `choose` leads to, in its order; those missing of `width` are -1.

        Children below which no item is `allowed` have -inf, as those that are none; the others keep the
        log-probabilities that they have among all.
        """
        reach = OpenNodes(self.trie, allowed) if allowed is not None else None
        rows, branches, _ = trace.last.shape
        node = torch.zeros(rows, branches, 1, dtype=torch.int64, device=trace.last.device)
        logp = weighed = torch.zeros(rows, branches, 1, device=trace.last.device)
        hidden, tip, context = trace.last[:, :, None], trace.tip[..., None], trace.context
        for depth in range(len(self.trie.levels)):
            # Scores within the trie need no logits but those of the level's own tokens.
            known = self.alphabet.levels[depth] if self.alphabet else None
            logits = backbone.logits(hidden, known)
            grown = self._grow(depth, logits, node, logp, choose, partial(weigh, depth), reach)
            node, logp, weighed = grown.node, grown.logp, grown.weighed
            if depth + 1 < len(self.trie.levels):
                token = grown.token if known is None else known[grown.token]
                hidden, tip, context = _feed(backbone, token, tip.gather(-1, grown.origin), context)
                if trace.between is not None:
                    hidden, tip, context = _between(trace.between, hidden, tip, context)
        return _pad(Beams(torch.where(weighed.isneginf(), -1, self.trie.item[node]), weighed), width)

    def _grow(
        self,
        depth: int,
        logits: Float[Tensor, "B R w V"],
        node: Int[Tensor, "B R w"],
        logp: Float[Tensor, "B R w"],
        choose: Choose,
        weigh: Callable[[Float[Tensor, "B R w C"], Int[Tensor, "B R w C"]], Float[Tensor, "B R w C"]],
        reach: OpenNodes | None,
    ) -> _Grown:
        """The chosen children of all beams of a branch; those with -inf are none."""
        transition = self.trie.levels[depth]
        child, allowed, picked = candidates(transition, node, logits)
        total = logp[..., None] + candidate_logp(logits, picked, allowed, self.config.score)
        if reach is not None:
            total = total.masked_fill(~reach.among(depth, child), -torch.inf)
        # What is no child, or the child of one, stays none, whatever it weighs.
        weighed = weigh(total, child).masked_fill(total.isneginf(), -torch.inf)
        chosen = choose(weighed, picked, allowed)
        node, logp, kept = (value.flatten(2).gather(-1, chosen) for value in (child, total, weighed))
        token = transition.token(node.long(), chosen % child.shape[-1])
        return _Grown(node.long(), logp, kept, token, chosen // child.shape[-1])


def _feed(
    backbone: Backbone, token: Int[Tensor, "B R w"], parent: Int[Tensor, "B R w"], context: Context
) -> tuple[Float[Tensor, "B R w D"], Int[Tensor, "B R w"], Context]:
    """Read the beams' last tokens in one block; their states, the nodes they became, the context."""
    rows, branches, beam = token.shape
    hidden, grown = backbone.advance(backbone.embed(token.flatten(1)), parent.flatten(1), context)
    fed = context.length + torch.arange(branches * beam, device=parent.device)
    return hidden.view(rows, branches, beam, -1), fed.view(1, branches, beam).expand(rows, -1, -1), grown


def _between(
    between: Between, hidden: Float[Tensor, "B R w D"], tip: Int[Tensor, "B R w"], context: Context
) -> tuple[Float[Tensor, "B R w D"], Int[Tensor, "B R w"], Context]:
    """Let the loop think behind the beams' last tokens."""
    state, node, context = between(hidden.flatten(1, 2), tip.flatten(1), context)
    return state.view_as(hidden), node.view_as(tip), context


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
    """Beams widened to `width`."""
    missing = (0, width - beams.items.shape[-1])
    pad = torch.nn.functional.pad
    return Beams(pad(beams.items, missing, value=-1), pad(beams.logp, missing, value=-torch.inf))
