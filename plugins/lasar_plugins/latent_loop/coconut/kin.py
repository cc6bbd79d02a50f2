"""Loops that differ from Coconut in what a thought is fed: ReaRec, and the controls of every claim."""

from __future__ import annotations

import zlib

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.feedback import StepEmbedding, fed_norm, rescale
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Context, Env, Prompt
from lasar_plugins.latent_loop.coconut.config import NoiseConfig, PauseConfig, RearecConfig
from lasar_plugins.latent_loop.coconut.thoughts import Step, ThoughtLoop


class RearecLoop(ThoughtLoop):
    """ReaRec's reasoning (Tang et al. 2025, arXiv:2503.22675): r_t = f(.., r_{t-1} + p_t), r_0 = h_prompt.

    No token stands between the prompt and the thoughts. Besides p_t a backbone adds its own position to what
    it is fed, which ReaRec's has not beyond the prompt.
    """

    def __init__(self, config: RearecConfig, env: Env) -> None:
        super().__init__(config, env)
        self.positions = StepEmbedding(env.hidden_size, env.seed)
        self.scale = config.feedback_scale

    def norm(self, backbone: Backbone) -> Float[Tensor, ""] | None:
        """Of an embedding, if states are rescaled."""
        return fed_norm(backbone, self.scale)

    @property
    def opening(self) -> str | None:
        """No token stands there."""
        return None

    def enter(
        self, backbone: Backbone, prompt: Prompt
    ) -> tuple[Float[Tensor, "B R D"], Int[Tensor, "B R"], Context]:
        """The prompt's own last token."""
        return prompt.h0, prompt.tip, prompt.context

    def fed(
        self, h: Float[Tensor, "B R D"], step: Step, prompt: Prompt, norm: Float[Tensor, ""] | None
    ) -> Float[Tensor, "B R D"]:
        """The state before it and the embedding of its number."""
        fed: Tensor = (h if norm is None else rescale(h, norm)) + self.positions(step).to(h.dtype)
        return fed


class PauseLoop(ThoughtLoop):
    """Thoughts that carry no state (Goyal et al. 2024, arXiv:2310.02226): each is fed a learned vector.

    They attend to all before them, as other thoughts do, so what is left out is the feedback alone.
    """

    def __init__(self, config: PauseConfig, env: Env) -> None:
        super().__init__(config, env)
        self.pause = StepEmbedding(env.hidden_size, env.seed, config.embeddings)

    def fed(
        self, h: Float[Tensor, "B R D"], step: Step, prompt: Prompt, norm: Float[Tensor, ""] | None
    ) -> Float[Tensor, "B R D"]:
        """The vector of its number."""
        fed: Tensor = self.pause(step).to(h.dtype).expand_as(h)
        return fed


DRAWN = 64
"""Vectors that are drawn for each thought in evaluation."""


class NoiseLoop(ThoughtLoop):
    """Thoughts that carry nothing: each is fed a normal vector.

    In training it is drawn anew for each branch, from torch's global generator. In evaluation it is one of
    64 fixed ones of each thought, by how many items the prompt shows: the same in any batch and any run.
    """

    def __init__(self, config: NoiseConfig, env: Env) -> None:
        super().__init__(config, env)
        self.scale = config.scale

    def norm(self, backbone: Backbone) -> Float[Tensor, ""]:
        """Of an embedding."""
        return backbone.embedding_norm()

    def fed(
        self, h: Float[Tensor, "B R D"], step: Step, prompt: Prompt, norm: Float[Tensor, ""] | None
    ) -> Float[Tensor, "B R D"]:
        """A normal vector of the options' length."""
        assert norm is not None
        assert isinstance(step, int)  # no exit is fed
        drawn: Tensor = torch.randn_like(h) if self.training else self.fixed(step, h)[prompt.items % DRAWN]
        fed: Tensor = drawn * (self.scale * norm / h.shape[-1] ** 0.5).to(h.dtype)
        return fed

    def fixed(self, step: int, h: Float[Tensor, "B R D"]) -> Float[Tensor, "n D"]:
        """The vectors of a thought in evaluation."""
        generator = torch.Generator().manual_seed(zlib.crc32(f"noise {step}".encode()))
        drawn: Tensor = torch.randn(DRAWN, h.shape[-1], generator=generator).to(h)
        return drawn
