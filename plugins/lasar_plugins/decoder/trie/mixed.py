"""Beam search by a mixture of the model and of a prior over items that remembers histories.

With m and q for the probabilities that model and prior give to all items below a node together, and the
prior's share w, the mixture gives it (1 - w) m + w q, at every level. Beams are chosen by that, so no item is
lost to a prefix that one of the two believes in and the other does not. Compare the neural cache of Grave et
al. (2017) and kNN-LM of Khandelwal et al. (2020), which mix the distributions of single tokens.

Shape letters as in `lasar_kit.core.values`, and w beams of the level at hand (w <= W), C candidates a beam.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from lasar_kit.core.allowed import Allowed
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Beams, Env, LatentTrace, SidTable
from lasar_plugins.decoder.trie.config import MixedTrieConfig
from lasar_plugins.decoder.trie.prior import ItemPrior
from lasar_plugins.decoder.trie.walk import TrieWalk, stable_topk


class MixedTrie(TrieWalk):
    """Constrained beam search by the mixture; exact where the beam is as wide as every level but the last.

    Log-probabilities are the mixture's, an item's own being that of its leaf. What a trace does not say the
    history of is ranked by the model alone.
    """

    config: MixedTrieConfig

    def __init__(self, config: MixedTrieConfig, env: Env) -> None:
        super().__init__(config, env)
        assert env.build is not None, "Catalogue.build gives it"
        assert env.train is not None, "a run has data"
        assert env.items is not None, "a run has data"
        ranker = env.build("ranker", config.prior, env)
        ranker.fit(env.train, env.items)
        self.prior = ItemPrior(ranker, config.normalise)

    def bind(self, table: SidTable) -> None:
        """Build the trie of a catalogue, in place of any bound before."""
        super().bind(table)
        self.prior.bind(table)

    def search(self, backbone: Backbone, trace: LatentTrace, width: int) -> Beams:
        """The `width` best items of each branch, by a beam of that width.

        The backbone should be in evaluation mode.
        """
        return self._best(backbone, trace, width, None)

    def search_among(self, backbone: Backbone, trace: LatentTrace, width: int, allowed: Allowed) -> Beams:
        """The same beam over the nodes that lead to allowed items; an item keeps its mixture among all."""
        return self._best(backbone, trace, width, allowed)

    def _best(self, backbone: Backbone, trace: LatentTrace, width: int, allowed: Allowed | None) -> Beams:
        def best(
            total: Float[Tensor, "B R w C"],
            logits: Shaped[Tensor, "B R w C"],
            child: Bool[Tensor, "B R w C"],
        ) -> Int[Tensor, "B R k"]:
            flat = total.flatten(2)
            return stable_topk(flat, min(width, flat.shape[-1]))

        if trace.shown is None:
            return self.walk(backbone, trace, best, width, allowed)
        return self.walk(backbone, trace, best, width, allowed, self._mixture(trace))

    def _mixture(self, trace: LatentTrace) -> _Mixture:
        assert trace.shown is not None, "asked for by `search` where there is one"
        rows, branches, _ = trace.shown.shape
        shown = trace.shown.flatten(0, 1).cpu().numpy()
        masses = self.prior.masses([history[history >= 0] for history in shown])
        logs = [torch.from_numpy(mass).log().float().to(trace.last.device) for mass in masses]
        share = torch.tensor(self.config.weight, dtype=torch.float64)
        return _Mixture(
            [log.view(rows, branches, -1) for log in logs], float((1 - share).log()), float(share.log())
        )


@dataclass(frozen=True)
class _Mixture:
    """Log-probabilities of each level's nodes by the prior, and the logarithms of both shares."""

    prior: list[Float[Tensor, "B R n"]]
    model_share: float
    prior_share: float

    def __call__(
        self, level: int, logp: Float[Tensor, "B R w C"], child: Int[Tensor, "B R w C"]
    ) -> Float[Tensor, "B R w C"]:
        """log((1 - w) m + w q) of the children."""
        prior = self.prior[level].gather(-1, child.flatten(2).long()).view_as(logp)
        return torch.logaddexp(logp + self.model_share, prior + self.prior_share)
