"""Options of the sentence-transformers encoder."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from lasar_kit.core.item_fields import DEFAULT_FIELDS, ItemField
from lasar_kit.core.model_name import FolderOrHubId, Revision, check_revision
from lasar_kit.spec import ComponentConfig


class SentenceTransformerConfig(ComponentConfig):
    """Options of `sentence_transformer`."""

    model: FolderOrHubId = Field(
        description="Folder of a saved model, its id on the hub (downloaded unless already cached), or "
        "`package:name` for one that an installed Python package carries.",
        min_length=1,
    )
    revision: Revision = None
    fields: tuple[ItemField, ...] = Field(
        DEFAULT_FIELDS, min_length=1, description="Item fields that make the text, in order."
    )
    batch_size: int = Field(64, ge=1, description="Texts embedded at once.")
    normalize: bool = Field(True, description="Scale embeddings to unit length.")

    @model_validator(mode="after")
    def _of_the_hub(self) -> Self:
        check_revision(self.model, self.revision)
        return self
