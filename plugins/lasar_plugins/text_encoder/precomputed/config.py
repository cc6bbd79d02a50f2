"""Options of embeddings read from a file."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import ComponentConfig, SpecPath


class PrecomputedConfig(ComponentConfig):
    """Options of `precomputed`."""

    path: SpecPath = Field(description="A .npy or .safetensors file that holds one row an item.")
    ids: SpecPath | None = Field(
        None,
        description="Text file with the raw item id of each row, a line each; may be left out where raw ids "
        "count the items (0, 1, 2, … or item-00, item-01, …), row n being that of item n.",
    )
    tensor: str | None = Field(
        None, description="Name of the tensor, for a .safetensors file that holds several."
    )
    normalize: bool = Field(False, description="Scale embeddings to unit length.")
