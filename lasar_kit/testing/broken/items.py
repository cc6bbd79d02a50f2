"""Quantizers that break their laws."""

from __future__ import annotations

import torch
from torch import Tensor

from lasar_kit.testing.broken.saboteurs import Saboteurs, breaks
from lasar_kit.testing.tiny import TinyQuantizer

BROKEN: Saboteurs = {}


@breaks(BROKEN, "quantizer", "codes_are_in_range")
class CountsOn(TinyQuantizer):
    """Numbers the codes of all levels through."""

    def encode(self, items: Tensor) -> Tensor:
        return super().encode(items) + torch.tensor([0, self.sizes[0]])


@breaks(BROKEN, "quantizer", "decode_reads_any_number_of_levels")
class AllLevelsOnly(TinyQuantizer):
    """Decodes whole codes alone."""

    def decode(self, codes: Tensor) -> Tensor:
        return torch.stack([book[codes[:, level]] for level, book in enumerate(self.books)]).sum(0)


@breaks(BROKEN, "quantizer", "error_does_not_grow_by_level")
class NoResidual(TinyQuantizer):
    """Encodes the item anew at each level instead of what is left of it."""

    def encode(self, items: Tensor) -> Tensor:
        return torch.stack([self.nearest(items, self.books[0]) for _ in self.books], dim=1)

    def fit(self, items: Tensor) -> None:
        super().fit(items)
        self.books = self.books[:1] * len(self.sizes)


@breaks(BROKEN, "quantizer", "every_level_is_felt")
class ReadsOneLevel(TinyQuantizer):
    """Decodes the first level whatever it is given."""

    def decode(self, codes: Tensor) -> Tensor:
        return super().decode(codes[:, :1])


@breaks(BROKEN, "quantizer", "each_level_brings_items_nearer")
class LastLevelOfNothing(TinyQuantizer):
    """Fits the last level to nothing."""

    def fit(self, items: Tensor) -> None:
        super().fit(items)
        self.books[-1] = torch.zeros_like(self.books[-1])


@breaks(BROKEN, "quantizer", "items_are_encoded_by_themselves")
class CodesByPlace(TinyQuantizer):
    """Gives the n-th item the codes of the n-th that was fitted."""

    def fit(self, items: Tensor) -> None:
        super().fit(items)
        self.codes = super().encode(items)

    def encode(self, items: Tensor) -> Tensor:
        return self.codes[: len(items)] if hasattr(self, "codes") else super().encode(items)


@breaks(BROKEN, "quantizer", "only_fit_changes_it")
class LearnsOn(TinyQuantizer):
    """Moves its codebooks whenever it encodes."""

    def encode(self, items: Tensor) -> Tensor:
        codes = super().encode(items)
        self.books[0] = self.books[0] * 0.5
        return codes
