"""A lesson, read: what the objectives of one batch share."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.capabilities import Writes
from lasar_kit.core.depth import greedy_depth, nearest_choice, supported
from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.values import Context, LatentTrace, Prompt
from lasar_kit.model.answers import AnswerScorer
from lasar_kit.model.recommender import Recommender
from lasar_kit.process.world import world_max


class LessonView:
    """Satisfies `lasar_kit.core.sft_view.SftView`. What nobody asks for is not computed."""

    def __init__(
        self, recommender: Recommender, scorer: AnswerScorer, lesson: Lesson, noise: float = 0.0
    ) -> None:
        self.recommender, self.scorer, self.lesson, self.noise = recommender, scorer, lesson, noise
        self.backbone: Any = recommender.backbone
        self.depth_policy: Any = recommender.depth_policy
        self.latent_loop: Any = recommender.latent_loop
        self.decoder: Any = recommender.decoder
        self.name = ""

    def of(self, name: str) -> LessonView:
        """The view for the objective of this name: its own rows are at hand."""
        self.name = name
        return self

    @property
    def rows(self) -> TaskRows:
        """The samples of the objective's own."""
        return self.lesson.rows[self.name]

    @cached_property
    def prompt(self) -> Prompt:
        """The prompts, read."""
        return self.recommender.read(self.lesson.prompts)

    @cached_property
    def depth(self) -> Int[Tensor, "B R"]:
        """As given, and as the policy chooses where nothing is (method: N during SFT).

        Not under `no_grad`: autocast would keep the policy's weights, cast without a graph, for its own loss.
        """
        chosen = greedy_depth(self.depth_policy, self.prompt)
        depth = self.lesson.depth
        if depth is None:
            return chosen
        support = supported(self.depth_policy, depth.device)
        given = depth >= 0 if self.lesson.settled else depth > 0
        return torch.where(given, support[nearest_choice(self.depth_policy, depth)], chosen)

    @cached_property
    def trace(self) -> LatentTrace:
        """Think, each prompt at its own depth; write the rationale where there is one."""
        backbone = _Noisy(self.backbone, self.noise) if self.noise else self.backbone
        written = self.lesson.rationale
        if written is not None and isinstance(self.latent_loop, Writes):
            return self.latent_loop.spell(backbone, self.prompt, written)
        trace: LatentTrace = self.latent_loop.run(backbone, self.prompt, self.depth, world_max(self.depth))
        return trace

    @cached_property
    def answers(self) -> Float[Tensor, "B R M D"]:
        """The states that predict each answer's M tokens."""
        targets = self.lesson.targets
        if not self.lesson.inline:
            return self.recommender.answer_states(self.trace, targets)
        # The answers stand in the chain itself. A masked prompt's tip is the last column; its answer
        # positions are not there and not asked for.
        chain_BLD = self.prompt.states
        at = self.lesson.prompts.tips[..., None] + torch.arange(targets.shape[-1], device=targets.device)
        at = at.clamp(max=chain_BLD.shape[1] - 1)
        return chain_BLD[torch.arange(len(at), device=at.device)[:, None, None], at]

    def token_logp(
        self,
        states: Float[Tensor, "n m D"],
        tokens: Int[Tensor, "n m"],
        temperature: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n m"]:
        """Log-probabilities of answers' first tokens under the states that predict them."""
        return self.scorer.logp(self.backbone, states, tokens, temperature)

    def again(self, noise: float = 0.0) -> LessonView:
        """The same lesson, read a second time; under other dropout the policy might choose otherwise."""
        other = LessonView(self.recommender, self.scorer, self.lesson, noise)
        other.depth = self.depth
        return other


class _Noisy:
    """A backbone whose inputs have normal noise added."""

    def __init__(self, inner: Any, std: float) -> None:
        self.inner, self.std = inner, std

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def advance(
        self, inputs: Float[Tensor, "B Q D"], parent: Int[Tensor, "B Q"], past: Context | None
    ) -> tuple[Float[Tensor, "B Q D"], Context]:
        states, context = self.inner.advance(inputs + self.std * torch.randn_like(inputs), parent, past)
        return states, context
