"""Options of the trie beam search."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lasar_kit.spec import DecoderConfig


class TrieBeamConfig(DecoderConfig):
    """Beam search that only ever spells items of the catalogue."""

    score: Literal["vocabulary", "trie"] = Field(
        "vocabulary",
        description="Log-probabilities over the whole vocabulary (as MiniOneRec ranks), or renormalised over "
        "the tokens that continue to an item.",
    )
    table_megabytes: int = Field(
        256, ge=0, description="Memory for dense tables of the trie; levels beyond it are searched sparsely."
    )
