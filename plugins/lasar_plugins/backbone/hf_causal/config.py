"""Options of a backbone that is a causal language model of transformers."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from lasar_kit.core.model_name import FolderOrHubId, GgufFile, Revision, check_gguf_file, check_revision
from lasar_kit.spec import BackboneConfig, SpecModel


class LoraOptions(SpecModel):
    """Low-rank adapters on frozen weights (https://arxiv.org/abs/2106.09685)."""

    rank: int = Field(16, ge=1, description="Rank of an adapter.")
    alpha: float = Field(32, gt=0, description="What adapters add is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout of adapter inputs in training.")
    targets: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Names of the linear maps that get an adapter, in every layer; null takes them all.",
    )


class CausalOptions(BackboneConfig):
    """Options that every causal language model has, whatever its architecture."""

    pretrained: FolderOrHubId | None = Field(
        None, description="Folder, hub id or GGUF file of a model to start from."
    )
    revision: Revision = None
    gguf_file: GgufFile = None
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout of attention weights in training.")
    embedding_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout of input embeddings in training.")
    attention: Literal["sdpa", "eager"] = Field("sdpa", description="Attention implementation.")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Type of the weights.")
    lora: LoraOptions | None = Field(
        None,
        description="Train low-rank adapters and the rows of SID and latent tokens, freeze all else; null "
        "trains all weights.",
    )

    @model_validator(mode="after")
    def _a_place_fits_its_model(self) -> Self:
        check_revision(self.pretrained, self.revision)
        check_gguf_file(self.pretrained, self.gguf_file)
        return self

    @property
    def from_scratch(self) -> bool:
        """Whether there is no pretrained model."""
        return self.pretrained is None

    @property
    def starts_from(self) -> str | None:
        """As `pretrained` says."""
        return self.pretrained

    @property
    def rounds_updates(self) -> bool:
        """Whether all of bfloat16 weights are trained; adapters have float32 weights of their own."""
        return self.dtype == "bfloat16" and self.lora is None


class HfCausalConfig(CausalOptions):
    """A pretrained decoder-only language model, of any architecture that the token tree is exact on."""

    pretrained: FolderOrHubId = Field(
        min_length=1,
        description="Folder, hub id or GGUF file of the model, or `package:` and the name of an installed "
        "package that carries one.",
    )
    attention: Literal["sdpa", "eager"] = Field(
        "sdpa",
        description="Attention implementation; models that cap their attention scores always take eager.",
    )
