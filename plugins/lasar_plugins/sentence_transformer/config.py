"""Options of the sentence-transformers encoder."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.core.item_fields import DEFAULT_FIELDS, ItemField
from lasar_kit.core.model_name import FolderOrHubId
from lasar_kit.spec import ComponentConfig


class SentenceTransformerConfig(ComponentConfig):
    """Options of `sentence_transformer`."""

    model: FolderOrHubId = Field(
        description="Folder of a saved model, its id on the hub (downloaded unless already cached), or "
        "`package:name` for one that an installed Python package carries.",
        min_length=1,
    )
    fields: tuple[ItemField, ...] = Field(
        DEFAULT_FIELDS, min_length=1, description="Item fields that make the text, in order."
    )
    batch_size: int = Field(64, ge=1, description="Texts embedded at once.")
    normalize: bool = Field(True, description="Scale embeddings to unit length.")
