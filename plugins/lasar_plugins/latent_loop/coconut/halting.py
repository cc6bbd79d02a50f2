"""Thinking that ends where it changes nothing any more (ManCAR's test-time rule, arXiv:2602.20093; its code).

p_t is the distribution over the tokens that begin an item by the state of thought t, p_0 that of the state
before all thoughts. A branch stops at the first t >= `least` at which KL(p_{t-1} || p_t) < `threshold`, or at
the depth that it was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.kl import exact_kl
from lasar_kit.core.values import Env, LatentTrace, Prompt
from lasar_kit.process.world import several
from lasar_plugins.latent_loop.coconut.config import HaltingConfig


class HaltingLoop(nn.Module):
    """Satisfies `lasar_kit.core.capabilities.Halts`. In training mode it thinks as long as it is asked to.

    The rule draws nothing: the log-probability of where it stopped is 0, without gradient.
    """

    transparent = False
    tokens: Int[Tensor, " n"]

    def __init__(self, config: HaltingConfig, env: Env) -> None:
        super().__init__()
        assert env.build is not None
        assert env.table is not None
        self.config = config
        self.loop: Any = env.build("latent_loop", config.loop, env)
        first = torch.unique(env.table.tokens[:, 0]).to(env.device)
        self.register_buffer("tokens", first, persistent=False)
        self.contract_exceptions: Mapping[str, str] = self.loop.contract_exceptions

    @property
    def opening(self) -> str | None:
        """Its loop's."""
        opening: str | None = self.loop.opening
        return opening

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """Think at most `depth[b, r]` steps in each branch; `trace.depth` says how many."""
        if self.training:
            return self.halted(backbone, prompt, depth, steps)

        @torch.no_grad()
        def halt(
            states: Sequence[Float[Tensor, "B R D"]], depth: Int[Tensor, "B R"], done: int
        ) -> tuple[Int[Tensor, "B R"], bool]:
            if done >= self.config.least:
                settled = self.apart(backbone, *states) < self.config.threshold
                depth = torch.where(settled, depth.clamp_max(done), depth)
            # Asking waits for the device; several processes all make the same steps.
            return depth, not several() and bool((depth <= done).all())

        trace: LatentTrace = self.loop.run(backbone, prompt, depth, steps, halt)
        return self.told(trace, trace.mask.sum(-1))

    def halted(
        self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int
    ) -> LatentTrace:
        """Think exactly so many steps."""
        return self.told(self.loop.run(backbone, prompt, depth, steps), depth)

    def told(self, trace: LatentTrace, depth: Int[Tensor, "B R"]) -> LatentTrace:
        """The trace with its depths."""
        return replace(trace, depth=depth, depth_logp=torch.zeros_like(depth, dtype=torch.float32))

    def apart(
        self, backbone: Backbone, before: Float[Tensor, "B R D"], after: Float[Tensor, "B R D"]
    ) -> Float[Tensor, "B R"]:
        """KL divergence of what two states expect."""
        p, q = (
            (backbone.logits(states, self.tokens).float() / self.config.temperature).log_softmax(-1)
            for states in (before, after)
        )
        return exact_kl(p, q)
