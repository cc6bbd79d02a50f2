"""Options of SASRec."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from lasar_kit.spec import BackboneConfig


class SasRecConfig(BackboneConfig):
    """Self-attention over items, with learned positions; the output is tied to the input embeddings.

    With the quantizer `item_id` an item is one token, and a training pass a softmax over the catalogue.
    """

    reads_text: ClassVar[bool] = False
    loads_as: ClassVar[str | None] = None

    hidden_size: int = Field(64, ge=2, description="Width of the hidden states.")
    layers: int = Field(2, ge=1, description="Transformer layers.")
    heads: int = Field(2, ge=1, description="Attention heads.")
    intermediate_size: int | None = Field(None, ge=1, description="MLP width; null takes 4 x hidden_size.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Of inputs, attention weights and both sublayers.")
    norm: Literal["post", "pre"] = Field(
        "post", description="Layer norm behind each sublayer, as in BERT, or before it."
    )
    activation: Literal["gelu", "relu"] = Field("gelu", description="Of the MLP.")
    max_positions: int = Field(512, ge=1, description="Longest path of tokens that it reads.")
    initializer_std: float = Field(0.02, gt=0, description="Standard deviation of initial weights.")

    @property
    def from_scratch(self) -> bool:
        """Always: nothing is pretrained."""
        return True

    @model_validator(mode="after")
    def _heads_fit(self) -> SasRecConfig:
        if self.hidden_size % self.heads:
            raise ValueError(f"heads must divide hidden_size (got {self.heads} and {self.hidden_size})")
        return self
