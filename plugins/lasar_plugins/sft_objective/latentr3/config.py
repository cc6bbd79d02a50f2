"""Options of the reinforcement of thoughts by perplexity."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from lasar_kit.spec import LatentLoopConfig, SftObjectiveConfig


class LatentR3Config(SftObjectiveConfig):
    """Noisy thoughts that make the next item likelier are reinforced, in place of its cross-entropy.

    No candidates are made and no reward is asked: the reward is minus the perplexity of the next item's
    tokens, so this is an objective of a stage `sft`.
    """

    instead_of: ClassVar[str | None] = "answer"
    about_thoughts: ClassVar[bool] = True

    copies: int = Field(7, ge=1, description="Noisy thoughts a prompt, beside the one without noise.")
    noise: float = Field(
        1.5, gt=0, description="Standard deviation of the noise on each coordinate of what is fed."
    )
    baseline: Literal["batch", "own"] = Field(
        "batch",
        description="What a reward is compared with: the mean reward without noise of all prompts of a "
        "forward pass, as in the authors' code, or the prompt's own.",
    )

    def unfit_loop(self, loop: LatentLoopConfig) -> str | None:
        """One without thoughts to disturb."""
        if loop.use == "none":
            return "reinforces thoughts, and none has none; set 'latent_loop: latentr3'"
        return None
