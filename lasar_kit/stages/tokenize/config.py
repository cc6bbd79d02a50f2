"""Options of the stage tokenize; imports no torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lasar_kit.spec import ComponentConfig, QuantizerConfig, StageConfig, component
from lasar_kit.spec.components import components


class TokenizeConfig(StageConfig):
    """Item text to semantic IDs."""

    consumes: ClassVar[tuple[str, ...]] = ("dataset",)
    produces: ClassVar[str] = "sids"
    sharded: ClassVar[bool] = True

    text_encoder: Annotated[ComponentConfig, component("text_encoder")] = Field(
        "tfidf_svd", validate_default=True, description="Embeds the items."
    )
    quantizer: Annotated[QuantizerConfig, component("quantizer")] = Field(
        "rq_kmeans", validate_default=True, description="Turns embeddings into codes."
    )
    collision: Literal["reassign", "suffix", "allow"] = Field(
        "reassign",
        description="Items with one SID: move all but one to the nearest free code of the last level, "
        "tell them apart by one more level for all items, or let them share it.",
    )

    @property
    def own_quantizer(self) -> QuantizerConfig:
        return self.quantizer

    @property
    def needs(self) -> tuple[str, ...]:
        """A checkpoint, where an encoder reads the item vectors of one."""
        encoders = components(self.text_encoder) if self.quantizer.reads_vectors else ()
        return ("checkpoint",) if any(part.reads_checkpoint for part in encoders) else ()
