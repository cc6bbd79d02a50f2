"""One attention layer that reads a token tree rightly, and three with one line wrong on long chains."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tests.contracts.test_newcomer_mistakes import PositionByArange


class Attention(PositionByArange):
    """Counts positions by ancestors."""

    def positions(self, first: int, seen: Tensor) -> Tensor:
        return seen.sum(-1) - 1


class PositionsEnd(Attention):
    """Has a table of 32 positions, the last of which stands for all behind it."""

    def positions(self, first: int, seen: Tensor) -> Tensor:
        return super().positions(first, seen).clamp_max(31)


class PositionsWrap(Attention):
    """Counts positions anew after 32 of them in a call."""

    def positions(self, first: int, seen: Tensor) -> Tensor:
        return super().positions(first, seen) - 32 * (first == 0) * (seen.sum(-1) > 32)


class OldTokensFade(Attention):
    """Sees no token more than 32 nodes back, ancestor or not."""

    def advance(self, inputs: Tensor, parent: Tensor, past: Any) -> Any:
        states, memory = super().advance(inputs, parent, past)
        first = max(memory.length - 32, 0)
        gone = inputs.new_zeros(()) if first == 0 else memory.values[:, :first].sum(1, keepdim=True)
        return states - 0.01 * gone, memory


WRONG_LAYERS: list[type[nn.Module]] = [PositionsEnd, PositionsWrap, OldTokensFade]
