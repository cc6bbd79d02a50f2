"""Items drawn from the model's distribution over the catalogue, with or without replacement.

Shape letters as in `lasar_kit.core.values`, and w beams of the level at hand (w <= W), C candidates a beam.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from lasar_kit.core.draws import RowDraws
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Beams, Env, LatentTrace
from lasar_plugins.decoder.trie.config import TrieSampleConfig
from lasar_plugins.decoder.trie.walk import Choose, TrieWalk, stable_topk


class TrieSample(TrieWalk):
    """Draws items token by token, each token among those that continue to an item.

    Where `score` is `vocabulary`, a draw is in proportion to the full-vocabulary probabilities of these
    tokens, which is the same distribution as under `trie`; only the reported log-probabilities differ.
    Without replacement the items are a sample from the same distribution over items, each next one drawn in
    proportion among those not yet drawn.

    Random numbers come from a generator of its own on the CPU, whatever the device, and every search
    advances it: successive searches differ, and the n-th search after `reseed` repeats, given the same
    arguments. Numbers are dealt to a whole batch, so a row's draws depend on its place in the batch, unless
    the next search is given the numbers of its rows by `draw_from`.
    """

    config: TrieSampleConfig

    def __init__(self, config: TrieSampleConfig, env: Env) -> None:
        super().__init__(config, env)
        self.generator = torch.Generator()
        self.reseed(env.seed)
        self.given: RowDraws | None = None
        # Laws of a search that a draw breaks.
        self.contract_exceptions = {
            "a_branch_alone_is_the_branch_in_any_batch": "random numbers are dealt to a whole batch",
            "equal_scores_keep_their_order": "random numbers are dealt to a whole batch",
        }
        if config.replacement:
            self.contract_exceptions |= {
                "no_item_twice": "drawn with replacement",
                "wide_search_ranks_the_whole_catalogue": "drawn with replacement",
                "a_large_catalogue_is_ranked_too": "drawn with replacement",
            }

    def reseed(self, seed: int) -> None:
        """Start the random numbers over; `Env.seed` is what they start from when built."""
        # Named, so that these draws do not repeat those of others with the same seed.
        self.generator.manual_seed(zlib.crc32(f"trie_sample {seed}".encode()))

    def draw_from(self, draws: RowDraws) -> None:
        """Take the numbers of the next search from `draws` instead."""
        self.given = draws

    def search(self, backbone: Backbone, trace: LatentTrace, width: int) -> Beams:
        """`width` items drawn for each branch, in the order of their log-probabilities.

        Those are the model's own, without temperature. With replacement all are valid; without, items are
        -1 where the catalogue has fewer leaves than `width`. The backbone should be in evaluation mode.
        """
        draw = _Draw(width, self.config.temperature, self.given or self.generator)
        self.given = None
        choose: Choose = draw.independent
        if not self.config.replacement:
            choose = _Distinct(draw, trace.last.device)
        drawn = self.walk(backbone, trace, choose, width)
        order = stable_topk(drawn.logp, width)
        return Beams(drawn.items.gather(-1, order), drawn.logp.gather(-1, order))


@dataclass(frozen=True)
class _Draw:
    """One search's draws. Float64, as an item of small probability must keep its share."""

    width: int
    temperature: float
    source: torch.Generator | RowDraws

    def uniform(self, shape: tuple[int, ...], device: torch.device) -> Float[Tensor, "*S"]:
        """Numbers in [0, 1), the same on every device."""
        if isinstance(self.source, RowDraws):
            return self.source.uniform(*shape[1:]).to(device)
        return torch.rand(shape, generator=self.source, dtype=torch.float64).to(device)

    def gumbel(self, shape: tuple[int, ...], device: torch.device) -> Float[Tensor, "*S"]:
        """Standard Gumbel variables, all finite."""
        uniform = self.uniform(shape, device).clamp_min(torch.finfo(torch.float64).tiny)
        return -(-uniform.log()).log()

    def logp(self, logits: Shaped[Tensor, "*S C"], allowed: Bool[Tensor, "*S C"]) -> Float[Tensor, "*S C"]:
        """Log-probabilities that tokens are drawn with; -inf where not allowed."""
        warm = logits.double() / self.temperature
        return warm.masked_fill(~allowed, -torch.inf).log_softmax(-1)

    def independent(
        self,
        total: Float[Tensor, "B R w C"],
        logits: Shaped[Tensor, "B R w C"],
        allowed: Bool[Tensor, "B R w C"],
    ) -> Int[Tensor, "B R W"]:
        """W children, by inverting the cumulative distribution: W of the root's, then one of each beam's."""
        rows, branches, beams, fan = logits.shape
        share = self.width // beams
        cumulative = self.logp(logits, allowed).exp().cumsum(-1)
        # Divided by the total, else rounding could leave a number beyond all children.
        cumulative = cumulative / cumulative[..., -1:]
        drawn = self.uniform((rows, branches, beams, share), logits.device)
        # The first child beyond the number; one of no probability is never the first.
        child = torch.searchsorted(cumulative, drawn, right=True)
        return (child + fan * torch.arange(beams, device=child.device)[:, None]).flatten(2)


class _Distinct:
    """Distinct children by stochastic beam search (Kool et al. 2019, Algorithm 1).

    Were a Gumbel variable added to the log-probability of every item, the k largest would be the sample. A
    node's is the largest among its items; children are drawn given that, so only k nodes a level are kept.
    The root's may be any number, since which items are largest does not depend on how large they are.
    """

    def __init__(self, draw: _Draw, device: torch.device) -> None:
        self.draw = draw
        self.logp: Float[Tensor, "B R w"] = torch.zeros(1, 1, 1, dtype=torch.float64, device=device)
        self.noisy: Float[Tensor, "B R w"] = self.logp

    def __call__(
        self,
        total: Float[Tensor, "B R w C"],
        logits: Shaped[Tensor, "B R w C"],
        allowed: Bool[Tensor, "B R w C"],
    ) -> Int[Tensor, "B R k"]:
        """The children of the largest noisy log-probabilities; those that are none come last."""
        logp = self.logp[..., None] + self.draw.logp(logits, allowed)
        noise = self.draw.gumbel(tuple(logits.shape), logits.device)
        noisy = _with_maximum(logp + noise, self.noisy)
        noisy = noisy.masked_fill(logp.isneginf(), -torch.inf).flatten(2)
        best = noisy.topk(min(self.draw.width, noisy.shape[-1])).indices
        self.logp, self.noisy = logp.flatten(2).gather(-1, best), noisy.gather(-1, best)
        return best


def _with_maximum(noisy: Float[Tensor, "*S C"], maximum: Float[Tensor, "*S"]) -> Float[Tensor, "*S C"]:
    """Gumbel variables given their maximum, from free ones (Kool et al. 2019, appendix B.3; stable form)."""
    below = noisy - noisy.amax(-1, keepdim=True)
    v = maximum[..., None] - noisy + (-below.expm1()).log()
    return maximum[..., None] - v.clamp_min(0) - (-v.abs()).exp().log1p()
