"""Beam search by a mixture of the model and of a prior over items that remembers histories.

With m and q for the probabilities that model and prior give to all items below a node together, and the
prior's share w, the mixture gives it (1 - w) m + w q, at every level. Beams are chosen by that, so no item is
lost to a prefix that one of the two believes in and the other does not. Compare the neural cache of Grave et
al. (2017) and kNN-LM of Khandelwal et al. (2020), which mix the distributions of single tokens.

Shape letters as in `lasar_kit.core.values`, and w beams of the level at hand (w <= W), C candidates a beam.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from lasar_kit.core.allowed import Allowed
from lasar_kit.core.capabilities import Remembered
from lasar_kit.core.dataset import Sequences
from lasar_kit.core.interfaces import Backbone, Ranker
from lasar_kit.core.values import Beams, Env, LatentTrace, SidTable
from lasar_plugins.decoder.trie.config import MixedTrieConfig
from lasar_plugins.decoder.trie.decoder import best_of
from lasar_plugins.decoder.trie.prior import ItemPrior
from lasar_plugins.decoder.trie.walk import TrieWalk


class MixedTrie(TrieWalk, nn.Module):
    """Constrained beam search by the mixture; exact where the beam is as wide as every level but the last.

    Log-probabilities are the mixture's, an item's own being that of its leaf. What a trace does not say the
    history of is ranked by the model alone. The prior's share is the same for all, or learnt from the state
    that answers, that of the last thought where there are thoughts.
    """

    config: MixedTrieConfig

    def __init__(self, config: MixedTrieConfig, env: Env) -> None:
        nn.Module.__init__(self)
        TrieWalk.__init__(self, config, env)
        assert env.train is not None, "a run has data"
        self.fitted = _fits(config, env)
        self.prior = self._prior(env.train)
        self.gate: nn.Linear | None = None
        if config.learned:
            self.gate = nn.Linear(env.hidden_size, 1, device=env.device)
            nn.init.zeros_(self.gate.weight)
            nn.init.constant_(self.gate.bias, _log_odds(config.weight))

    def bind(self, table: SidTable) -> None:
        """Build the trie of a catalogue, in place of any bound before."""
        super().bind(table)
        self.table = table
        self.prior.bind(table, self.trie)

    def extend(self, table: SidTable) -> None:
        """Patch the trie; what came after the prior was fitted has no share of it."""
        super().extend(table)
        self.table = table
        self.prior.extend(table, self.trie)

    def odds(self, last: Float[Tensor, "*S D"]) -> Float[Tensor, "*S"]:
        """Return the log-odds of the prior's share behind states that answer."""
        if self.gate is None:
            return last.new_full(last.shape[:-1], _log_odds(self.config.weight), dtype=torch.float32)
        found: Float[Tensor, "*S"] = self.gate(last.to(self.gate.weight.dtype))[..., 0].float()
        return found

    def remembered(self, train: Sequences) -> Remembered:
        """Fit the prior on these sequences alone, and leave the one that ranks as it is."""
        prior = self._prior(train)
        prior.bind(self.table, self.trie)
        return prior.of_items

    def _prior(self, train: Sequences) -> ItemPrior:
        return ItemPrior(self.fitted(train), self.config.normalise, self.config.prior.normalised_by)

    def search(self, backbone: Backbone, trace: LatentTrace, width: int) -> Beams:
        """The `width` best items of each branch, by a beam of that width.

        The backbone should be in evaluation mode.
        """
        return self._best(backbone, trace, width, None)

    def search_among(self, backbone: Backbone, trace: LatentTrace, width: int, allowed: Allowed) -> Beams:
        """The same beam over the nodes that lead to allowed items; an item keeps its mixture among all."""
        return self._best(backbone, trace, width, allowed)

    def _best(self, backbone: Backbone, trace: LatentTrace, width: int, allowed: Allowed | None) -> Beams:
        if trace.shown is None:
            return self.walk(backbone, trace, best_of(width), width, allowed)
        return self.walk(backbone, trace, best_of(width), width, allowed, self._mixture(trace))

    def _mixture(self, trace: LatentTrace) -> _Mixture:
        assert trace.shown is not None, "asked for by `search` where there is one"
        odds = self.odds(trace.last)[..., None, None]
        return _Mixture(self.prior.log_masses(trace.shown), logsigmoid(-odds), logsigmoid(odds))


def _fits(config: MixedTrieConfig, env: Env) -> Callable[[Sequences], Ranker]:
    """Return what fits a prior; a function, which copies of the decoder share."""

    def fit(train: Sequences) -> Ranker:
        assert env.build is not None, "Catalogue.build gives it"
        assert env.items is not None, "a run has data"
        ranker: Ranker = env.build("ranker", config.prior, env)
        ranker.fit(train, env.items)
        return ranker

    return fit


def _log_odds(share: float) -> float:
    """Return log(w / (1 - w)), infinite at 0 and 1."""
    return float(torch.tensor(share, dtype=torch.float64).logit())


@dataclass(frozen=True)
class _Mixture:
    """Log-probabilities of each level's nodes by the prior, and the logarithms of both shares."""

    prior: list[Float[Tensor, "B R n"]]
    model_share: Float[Tensor, "B R 1 1"]
    prior_share: Float[Tensor, "B R 1 1"]

    def __call__(
        self, level: int, logp: Float[Tensor, "B R w C"], child: Int[Tensor, "B R w C"]
    ) -> Float[Tensor, "B R w C"]:
        """log((1 - w) m + w q) of the children."""
        prior = self.prior[level].gather(-1, child.flatten(2).long()).view_as(logp)
        return torch.logaddexp(logp + self.model_share, prior + self.prior_share)
