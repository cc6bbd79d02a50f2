"""Beam search over the catalogue's trie."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from lasar_kit.core.allowed import Allowed
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Beams, LatentTrace
from lasar_plugins.decoder.trie.walk import Choose, TrieWalk, stable_topk


class TrieBeam(TrieWalk):
    """Exact constrained beam search: sequences and scores are those of `generate` under the same trie."""

    def search(self, backbone: Backbone, trace: LatentTrace, width: int) -> Beams:
        """The `width` best items of each branch, by a beam of that width.

        The backbone should be in evaluation mode.
        """
        return self._best(backbone, trace, width, None)

    def search_among(self, backbone: Backbone, trace: LatentTrace, width: int, allowed: Allowed) -> Beams:
        """The same beam over the nodes that lead to allowed items: `width` of them where there are as many.

        Scores are those of `search`, over all tokens or all that lead to an item, allowed or not.
        """
        return self._best(backbone, trace, width, allowed)

    def _best(self, backbone: Backbone, trace: LatentTrace, width: int, allowed: Allowed | None) -> Beams:
        return self.walk(backbone, trace, best_of(width), width, allowed)


def best_of(width: int) -> Choose:
    """A beam: the `width` most probable children of all beams of a branch together."""

    def choose(
        total: Float[Tensor, "B R w C"], logits: Shaped[Tensor, "B R w C"], child: Bool[Tensor, "B R w C"]
    ) -> Int[Tensor, "B R k"]:
        flat = total.flatten(2)
        return stable_topk(flat, min(width, flat.shape[-1]))

    return choose
