"""Options of the sentence-transformers encoder."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, TypeAdapter

from lasar_kit.core.item_fields import DEFAULT_FIELDS, ItemField
from lasar_kit.spec import ComponentConfig, SpecPath

_PATH = TypeAdapter(SpecPath)


def _folder_or_hub_id(value: object) -> object:
    """The absolute path of a folder that exists or that can only be meant as one, else the hub id."""
    if not isinstance(value, str):
        return value
    path = _PATH.validate_python(value)
    meant_as_path = value.startswith((".", "/", "~")) or value.count("/") > 1
    return str(path) if meant_as_path or path.is_dir() else str(value)


class SentenceTransformerConfig(ComponentConfig):
    """Options of `sentence_transformer`."""

    model: Annotated[str, BeforeValidator(_folder_or_hub_id)] = Field(
        description="Folder of a saved model, or its id on the hub (downloaded unless already cached).",
        min_length=1,
    )
    fields: tuple[ItemField, ...] = Field(
        DEFAULT_FIELDS, min_length=1, description="Item fields that make the text, in order."
    )
    batch_size: int = Field(64, ge=1, description="Texts embedded at once.")
    normalize: bool = Field(True, description="Scale embeddings to unit length.")
