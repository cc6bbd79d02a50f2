"""Loops that halt or write, and break the laws of that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lasar_kit.core.values import LatentTrace
from lasar_kit.testing.broken.saboteurs import Saboteurs, breaks
from lasar_kit.testing.tiny.abilities import TinyHalter, TinyWriter

BROKEN: Saboteurs = {}


@breaks(BROKEN, "latent_loop", "halting_is_told")
class OneMoreThanAsked(TinyHalter):
    """Counts the thought from which it leaves as one more."""

    def run(self, backbone: Any, prompt: Any, depth: Tensor, steps: int) -> LatentTrace:
        trace = super().run(backbone, prompt, depth, steps)
        assert trace.depth is not None
        return replace(trace, depth=trace.depth + 1)


@breaks(BROKEN, "latent_loop", "halted_stops_where_it_is_told")
class HaltsAgain(TinyHalter):
    """Asks its gate once more where it is told to have stopped."""

    def halted(self, backbone: Any, prompt: Any, depth: Tensor, steps: int) -> LatentTrace:
        trace = super().halted(backbone, prompt, depth, steps)
        before = ((trace.states @ self.gate <= 0).cumprod(-1)).sum(-1)
        return super().halted(backbone, prompt, torch.minimum(depth, before + 1), steps)


@breaks(BROKEN, "latent_loop", "halted_is_what_run_left")
class GoesOnForNothing(TinyHalter):
    """Leaves out of its chance, where it stops by itself, that it stopped."""

    def run(self, backbone: Any, prompt: Any, depth: Tensor, steps: int) -> LatentTrace:
        trace = super().run(backbone, prompt, depth, steps)
        return replace(trace, depth_logp=torch.zeros_like(depth, dtype=torch.float32))


@breaks(BROKEN, "latent_loop", "a_chance_to_halt_has_a_gradient")
class ChanceAsANumber(TinyHalter):
    """Keeps the chance as a number."""

    def halted(self, backbone: Any, prompt: Any, depth: Tensor, steps: int) -> LatentTrace:
        trace = super().halted(backbone, prompt, depth, steps)
        assert trace.depth_logp is not None
        return replace(trace, depth_logp=trace.depth_logp.detach())


@breaks(BROKEN, "latent_loop", "written_is_told")
class ChancesPastTheEnd(TinyWriter):
    """Has chances of words that it did not write."""

    def spell(self, backbone: Any, prompt: Any, written: Tensor) -> LatentTrace:
        trace = super().spell(backbone, prompt, written)
        assert trace.written_logp is not None
        return replace(trace, written_logp=trace.written_logp - (written < 0).float())


@breaks(BROKEN, "latent_loop", "spelled_is_what_was_written")
class OtherChancesThanWritten(TinyWriter):
    """Draws at another temperature than it spells."""

    def run(self, backbone: Any, prompt: Any, depth: Tensor, steps: int) -> LatentTrace:
        trace = super().run(backbone, prompt, depth, steps)
        assert trace.written_logp is not None
        return replace(trace, written_logp=trace.written_logp / 2)


@breaks(BROKEN, "latent_loop", "another_text_is_read")
class ReadsItsOwnText(TinyWriter):
    """Spells any text behind the states of the one that it would write."""

    def spell(self, backbone: Any, prompt: Any, written: Tensor) -> LatentTrace:
        own = written.clone()
        for place in range(self.limit):
            own[..., place:] = -1
            word = self.logp(backbone, super().spell(backbone, prompt, own).last).argmax(-1) + 3
            own[..., place] = word.where(written[..., place] >= 0, -1)
        return replace(super().spell(backbone, prompt, own), written=written)


@breaks(BROKEN, "latent_loop", "a_text_has_a_gradient")
class TextAsItIs(TinyWriter):
    """Has chances of a text from states without a gradient."""

    def spell(self, backbone: Any, prompt: Any, written: Tensor) -> LatentTrace:
        trace = super().spell(backbone, prompt, written)
        assert trace.written_logp is not None
        return replace(trace, written_logp=trace.written_logp.detach())
