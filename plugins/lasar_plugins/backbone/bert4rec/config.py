"""Options of BERT4Rec."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from lasar_kit.spec import BackboneConfig


class Bert4RecConfig(BackboneConfig):
    """Self-attention over items both ways; the answer is what it predicts of a mask behind the history.

    A token's state changes with what comes later, so each prompt is read by itself: train with the objective
    `cloze` and `samples: longest_per_user` (or `sliding`). The defaults are its authors' for Beauty.
    """

    causal: ClassVar[bool] = False
    reads_text: ClassVar[bool] = False
    fills_gaps: ClassVar[bool] = True
    loads_as: ClassVar[str | None] = None

    hidden_size: int = Field(64, ge=2, description="Width of the hidden states.")
    layers: int = Field(2, ge=1, description="Transformer layers.")
    heads: int = Field(2, ge=1, description="Attention heads.")
    intermediate_size: int | None = Field(None, ge=1, description="MLP width; null takes 4 x hidden_size.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Of inputs and of both sublayers.")
    attention_dropout: float = Field(0.2, ge=0, lt=1, description="Of attention weights.")
    max_positions: int = Field(512, ge=2, description="Longest path of tokens that it reads, mask included.")
    initializer_std: float = Field(0.02, gt=0, description="Standard deviation of initial weights.")

    @property
    def from_scratch(self) -> bool:
        """Always: nothing is pretrained."""
        return True

    @model_validator(mode="after")
    def _heads_fit(self) -> Bert4RecConfig:
        if self.hidden_size % self.heads:
            raise ValueError(f"heads must divide hidden_size (got {self.heads} and {self.hidden_size})")
        return self
