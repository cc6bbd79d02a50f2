"""Options of BSARec."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from lasar_kit.spec import BackboneConfig


class BsaRecConfig(BackboneConfig):
    """SASRec's block with a filter of the sequence's frequencies beside attention.

    The filter mixes all places of the window, pads included, so a window has one state, its last, and each
    prompt is read by itself: train with `samples: sliding`. The defaults are its authors' for Beauty.
    """

    causal: ClassVar[bool] = False
    reads_text: ClassVar[bool] = False
    loads_as: ClassVar[str | None] = None

    hidden_size: int = Field(64, ge=2, description="Width of the hidden states.")
    layers: int = Field(2, ge=1, description="Blocks.")
    heads: int = Field(1, ge=1, description="Attention heads.")
    intermediate_size: int | None = Field(None, ge=1, description="MLP width; null takes 4 x hidden_size.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Of inputs, attention weights and all sublayers.")
    alpha: float = Field(0.7, ge=0, le=1, description="Share of the filter; attention has the rest.")
    c: int = Field(
        5,
        ge=1,
        description="How much is low: the frequencies 0 to c // 2 of the window pass, all others are scaled.",
    )
    window: int = Field(
        50,
        ge=2,
        description="Tokens of the window, filled up by pads on the left; longer prompts are refused.",
    )
    pads: Literal["output", "trained", "zero"] = Field(
        "output",
        description="What stands in the pads: a vector that learns only by being an answer that is never "
        "right (its authors'; wants the stage's `score: vocabulary`), one that learns as an input too, or "
        "zeros.",
    )
    initializer_std: float = Field(0.02, gt=0, description="Standard deviation of initial weights.")

    @property
    def from_scratch(self) -> bool:
        """Always: nothing is pretrained."""
        return True

    @model_validator(mode="after")
    def _heads_fit(self) -> BsaRecConfig:
        if self.hidden_size % self.heads:
            raise ValueError(f"heads must divide hidden_size (got {self.heads} and {self.hidden_size})")
        return self
