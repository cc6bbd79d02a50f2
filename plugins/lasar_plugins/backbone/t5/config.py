"""Options of T5."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lasar_kit.spec import BackboneConfig


class T5Config(BackboneConfig):
    """An encoder-decoder over SIDs, from scratch (TIGER).

    The encoder reads a whole history in both directions, so each prompt is read by itself: train with
    `samples: sliding`. The defaults are TIGER's.
    """

    causal: ClassVar[bool] = False
    reads_text: ClassVar[bool] = False
    loads_as: ClassVar[str | None] = "AutoModelForSeq2SeqLM"

    hidden_size: int = Field(128, ge=2, description="Width of the hidden states.")
    layers: int = Field(4, ge=1, description="Layers of the encoder, and of the decoder.")
    heads: int = Field(6, ge=1, description="Attention heads.")
    head_dim: int = Field(64, ge=1, description="Width of a head; heads need not fill hidden_size.")
    intermediate_size: int = Field(1024, ge=1, description="MLP width.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Of inputs, attention weights and all sublayers.")
    users: int = Field(
        0,
        ge=0,
        description="Tokens for users, one of which begins a prompt (TIGER: 2000): the row in the data "
        "set, modulo this. 0 for none; a user unknown has none.",
    )
    initializer_factor: float = Field(1.0, gt=0, description="Factor of T5's own initial weights.")

    @property
    def from_scratch(self) -> bool:
        """Always: nothing is pretrained."""
        return True
