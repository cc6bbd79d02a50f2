"""Options of the segmenters."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from lasar_kit.core.model_name import FolderOrHubId, Revision, check_revision
from lasar_kit.spec import ComponentConfig


class StepSegmenterConfig(ComponentConfig):
    """Options of `steps`."""

    max_segments: int = Field(8, ge=1, description="Segments at most; more steps are joined evenly.")


class SentenceSegmenterConfig(ComponentConfig):
    """Options of `sentences`."""

    max_segments: int = Field(8, ge=1, description="Segments at most; more sentences are joined evenly.")


class EmbeddingSegmenterConfig(ComponentConfig):
    """Options of `embedding`."""

    model: FolderOrHubId = Field(
        description="Folder of a saved sentence-transformers model, or its id on the hub.", min_length=1
    )
    revision: Revision = None
    threshold: float = Field(
        0.4,
        ge=-1,
        le=1,
        description="Neighbouring sentences of at least this cosine stay together; depends on the model.",
    )
    min_segments: int = Field(1, ge=1, description="Segments at least, as far as there are sentences.")
    max_segments: int = Field(8, ge=1, description="Segments at most.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_segments > self.max_segments:
            raise ValueError("min_segments must not exceed max_segments")
        check_revision(self.model, self.revision)
        return self
