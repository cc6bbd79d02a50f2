"""Options of the quantizers that hold the item itself."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from lasar_kit.spec import QuantizerConfig, component


class ItemIdConfig(QuantizerConfig):
    """One token an item; no text is read."""

    reads_vectors: ClassVar[bool] = False
    encodes_later: ClassVar[bool] = False


class HybridConfig(QuantizerConfig):
    """Semantic levels, then one token of the item's own."""

    encodes_later: ClassVar[bool] = False

    semantic: Annotated[QuantizerConfig, component("quantizer")] = Field(
        {"use": "rq_kmeans", "levels": 1}, validate_default=True, description="Gives the levels before it."
    )
