"""Options of the aligners."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from lasar_kit.spec import AlignerConfig


class NoAlignConfig(AlignerConfig):
    """No alignment."""


class AlignConfig(AlignerConfig):
    """Options of every aligner: what it compares, and how."""

    distance: Literal["bikl", "cosine", "mse", "l1", "ce"] = Field(
        "bikl",
        description="Bidirectional KL divergence of the two softmaxes, 1 - cosine, the mean squared or "
        "absolute difference, or, of predictions, the cross-entropy with what the anchor finds likeliest.",
    )
    temperature: float = Field(1.0, gt=0, description="Divides both vectors before the softmax of bikl.")
    space: Literal["hidden", "vocab"] = Field(
        "hidden", description="Compare the states themselves, or the next-token logits they give."
    )

    @property
    def measure(self) -> str:
        """Its name and its distance."""
        return f"{self.use} {self.distance}"

    @property
    def reads_by_head(self) -> bool:
        """In the space of the vocabulary."""
        return self.space == "vocab"

    @model_validator(mode="after")
    def _temperature_is_read(self) -> AlignConfig:
        if self.temperature != 1 and self.distance != "bikl":
            raise ValueError(f"temperature has no effect on {self.distance}, only on bikl")
        if self.distance == "ce" and self.space != "vocab":
            raise ValueError("distance ce compares predictions: it needs space 'vocab'")
        return self


class StepwiseConfig(AlignConfig):
    """Thought t against segment t."""

    excess: Literal["first", "skip"] = Field(
        "first",
        description="A branch with more thoughts than segments: align its first thoughts, or leave it out "
        "(paper E.3).",
    )


class TerminalConfig(AlignConfig):
    """The last thought, or the state that the answer is predicted from, against the last segment."""

    at: Literal["thought", "answer"] = Field(
        "thought",
        description="What is held to the last segment: the last thought, or the state that predicts the "
        "first answer token (CODI, with distance l1).",
    )
