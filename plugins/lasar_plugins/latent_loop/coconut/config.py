"""Options of the Coconut loop and of its kin, which differ in what a thought is fed."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lasar_kit.core.feedback_options import FeedbackConfig
from lasar_kit.spec import LatentLoopConfig, component


class ThoughtConfig(LatentLoopConfig):
    """What loops have in common that add one token to the tree for each thought."""

    exit: str
    residual_std: float = Field(
        0.0,
        ge=0,
        description="Standard deviation of the weights that exit 'residual' starts with; 0 begins with the "
        "answers of the model without thoughts.",
    )
    checkpoint: bool = Field(
        False,
        description="Recompute each thought in the backward pass, keeping only its keys and values: "
        "the same gradients for less memory, above all where a row has many branches.",
    )

    @property
    def thinks_between(self) -> bool:
        """A residual exit adds to the state behind each token of an answer."""
        return self.exit == "residual"


class CoconutConfig(ThoughtConfig):
    """Latent thoughts fed back as input embeddings."""

    h0: Literal["lat_s", "prompt_last"] = Field(
        "lat_s",
        description="What the first thought is fed: the state at <|lat_s|>, or at the prompt's last token. "
        "<|lat_s|> is read either way.",
    )
    feedback_scale: Literal["none", "embedding_rms", "projection"] = Field(
        "none",
        description="How a state becomes an input: as it is, rescaled to the mean norm of the embeddings, or "
        "through a learned linear map and RMS norm.",
    )
    exit: Literal["e_token", "hN_as_input", "direct", "residual"] = Field(
        "e_token",
        description="What stands between the last thought and the answer: <|lat_e|>, its slot fed the last "
        "thought's state, or nothing; 'residual' answers behind the prompt as if without thoughts, each "
        "predicting state plus a learned linear map of the last thought.",
    )
    positions: bool = Field(
        False,
        description="Add a learned embedding of the thought's number to what is fed back, as ReaRec does.",
    )
    detach: bool = Field(
        False,
        description="Feed states back as constants: no gradient runs through the feedback, though it still "
        "does through attention to earlier thoughts.",
    )


class RearecConfig(ThoughtConfig, FeedbackConfig):
    """Thoughts behind the prompt's last token, fed the last state and a reasoning-position embedding.

    On `sasrec` (post-norm) what is fed goes through the input's layer norm and dropout, as in ReaRec.
    ManCAR rescales what is fed.
    """

    exit: Literal["last", "mean", "residual"] = Field(
        "last",
        description="What answers: the last thought (PRL), the mean of the prompt's last state and all "
        "thoughts (ERL), or the prompt's last state plus a learned linear map of the last thought.",
    )


Control = Literal["e_token", "direct", "mean", "residual"]
CONTROL = (
    "What stands between the last thought and the answer: <|lat_e|> or nothing; 'mean' and 'residual' as in "
    "the loops rearec, whose mean begins at <|lat_s|> here, and coconut."
)


class PauseConfig(ThoughtConfig):
    """Thoughts fed learned vectors: more computation, no state fed back."""

    exit: Control = Field("e_token", description=CONTROL)
    embeddings: int = Field(
        16,
        ge=1,
        description="Learned vectors, one a thought, the last for all further ones; 1 for one pause.",
    )


class NoiseConfig(ThoughtConfig):
    """Thoughts fed random vectors, which carry nothing."""

    exit: Control = Field("e_token", description=CONTROL)
    scale: float = Field(
        1.0, gt=0, description="Root mean square length of a vector, in mean lengths of an embedding."
    )


class HaltingConfig(LatentLoopConfig):
    """A loop that, in evaluation, ends its thinking where thoughts no longer change what it expects (ManCAR).

    It trains to the full depth. What a thought expects means something where an objective asks thoughts for
    the next item, as `each_thought` and `mancar_neighbours` do.
    """

    halts: ClassVar[bool] = True

    loop: Annotated[LatentLoopConfig, component("latent_loop")] = Field(
        "rearec",
        description="The loop that thinks: coconut, rearec, pause or noise.",
        validate_default=True,
    )
    threshold: float = Field(
        0.03,
        gt=0,
        description="Stop at the first thought from which the expectation of the one before is less than "
        "this away, by KL divergence in nats.",
    )
    least: int = Field(1, ge=1, description="Fewest thoughts of a branch that is to think at all.")
    temperature: float = Field(1.0, gt=0, description="That the logits of thoughts are divided by.")

    @property
    def thinks_between(self) -> bool:
        """As its loop does."""
        return self.loop.thinks_between

    @model_validator(mode="after")
    def _can_be_stopped(self) -> Self:
        if not isinstance(self.loop, ThoughtConfig):
            raise ValueError(
                f"the loop {self.loop.use!r} cannot be halted; use coconut, rearec, pause or noise"
            )
        return self
