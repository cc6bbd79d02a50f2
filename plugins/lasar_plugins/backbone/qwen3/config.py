"""Options of the Qwen3 backbone."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from lasar_kit.core.model_name import FolderOrHubId
from lasar_plugins.backbone.hf_causal.config import CausalOptions, LoraOptions

BYTE_ALPHABET = 256
SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>")
"""Padding, beginning and end of sequence of a tokenizer trained from scratch."""

OF_A_MODEL = (
    "hidden_size",
    "layers",
    "heads",
    "kv_heads",
    "head_dim",
    "intermediate_size",
    "text_vocabulary",
    "max_positions",
    "rope_theta",
    "tied_embeddings",
    "initializer_std",
)
"""Options that a saved model brings along."""

Projection = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
"""Linear maps of a decoder layer."""


class LoraConfig(LoraOptions):
    """Low-rank adapters on a Qwen3's linear maps (https://arxiv.org/abs/2106.09685)."""

    targets: tuple[Projection, ...] = Field(
        get_args(Projection), min_length=1, description="Linear maps that get an adapter, in every layer."
    )


class Qwen3Config(CausalOptions):
    """A causal language model with the Qwen3 architecture.

    Sizes describe a model initialised from scratch; `pretrained` brings its own.
    """

    pretrained: FolderOrHubId | None = Field(
        None,
        description="Folder, hub id or GGUF file of a Qwen3 model to start from; null starts from scratch.",
    )
    hidden_size: int = Field(128, ge=2, description="Width of the hidden states.")
    layers: int = Field(4, ge=1, description="Decoder layers.")
    heads: int = Field(4, ge=1, description="Attention heads.")
    kv_heads: int | None = Field(None, ge=1, description="Key and value heads; null takes `heads`.")
    head_dim: int | None = Field(None, ge=2, description="Width of a head; null takes hidden_size / heads.")
    intermediate_size: int | None = Field(None, ge=1, description="MLP width; null takes 3 x hidden_size.")
    text_vocabulary: int = Field(
        2048,
        ge=BYTE_ALPHABET + len(SPECIAL_TOKENS),
        description="Largest byte-level BPE vocabulary to train.",
    )
    max_positions: int = Field(2048, ge=1, description="Longest sequence that the model reads.")
    rope_theta: float = Field(10_000.0, gt=0, description="Base of the rotary position frequencies.")
    tied_embeddings: bool = Field(True, description="Whether input and output embeddings are one matrix.")
    initializer_std: float = Field(0.02, gt=0, description="Standard deviation of initial weights.")
    residual_dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout, in training, of what attention and MLP add to the states."
    )
    lora: LoraConfig | None = Field(
        None,
        description="Train low-rank adapters and the rows of SID and latent tokens, freeze all else; null "
        "trains all weights.",
    )

    @model_validator(mode="after")
    def _adapters_have_a_base(self) -> Qwen3Config:
        # Frozen random weights would never learn; and a checkpoint's adapters are read onto the same base.
        if self.lora and self.pretrained is None:
            raise ValueError("lora adapts a pretrained model, so it needs 'pretrained'")
        return self

    def without_effect(self) -> tuple[str, ...]:
        """Sizes beside `pretrained`, such as a spec that extends one from scratch inherits."""
        fields = type(self).model_fields
        given = (name for name in OF_A_MODEL if getattr(self, name) != fields[name].default)
        return tuple(given) if self.pretrained is not None else ()

    @model_validator(mode="after")
    def _heads_fit(self) -> Qwen3Config:
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"kv_heads must divide heads (got {self.kv_heads} and {self.heads})")
        if self.head_dim is None and self.hidden_size % self.heads:
            raise ValueError(f"heads must divide hidden_size (got {self.heads} and {self.hidden_size})")
        if self.head_width % 2:
            raise ValueError(f"a head's width must be even for rotary positions (got {self.head_width})")
        return self

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.head_dim or self.hidden_size // self.heads
