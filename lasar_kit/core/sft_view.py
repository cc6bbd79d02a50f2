"""An SFT objective's view of a batch: prompts, thoughts and answers, read once and only if asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.values import LatentTrace, Prompt

if TYPE_CHECKING:
    from lasar_kit.core.interfaces import Backbone, DepthPolicy


class SftView(Protocol):
    """A lesson, read. Objectives of one batch share it: what one asks for is there for the next."""

    @property
    def lesson(self) -> Lesson:
        """The batch's lesson: targets, anchors, rationale."""

    @property
    def rows(self) -> TaskRows:
        """The samples of the objective's own, if it has any."""

    @property
    def backbone(self) -> Backbone:
        """The backbone in training."""

    @property
    def depth_policy(self) -> DepthPolicy:
        """The depth policy in training."""

    @property
    def latent_loop(self) -> Any:
        """The loop in training."""

    @property
    def decoder(self) -> Any:
        """The decoder that ranks by the model in training."""

    @property
    def prompt(self) -> Prompt:
        """The prompts, read."""

    @property
    def trace(self) -> LatentTrace:
        """The thoughts; where the lesson has a rationale and the loop writes, the rationale, written."""

    @property
    def answers(self) -> Float[Tensor, "B R M D"]:
        """The states that predict each answer's M tokens."""

    def token_logp(
        self,
        states: Float[Tensor, "n m D"],
        tokens: Int[Tensor, "n m"],
        temperature: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n m"]:
        """Log-probabilities of the first m tokens of answers under the states that predict them, by the
        stage's `score` (over the vocabulary, or what the trie allows); logits are divided by `temperature`
        first, one for each answer."""

    def again(self, noise: float = 0.0) -> SftView:
        """The same lesson read a second time, thought about as long: other dropout, and normal noise of this
        standard deviation on all that the loop feeds the backbone."""
