"""Options of the searches over the catalogue's trie."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from lasar_kit.spec import DecoderConfig


class TrieConfig(DecoderConfig):
    """Options of all searches that only ever spell items of the catalogue."""

    offers_between: ClassVar[bool] = True

    score: Literal["vocabulary", "trie"] = Field(
        "vocabulary",
        description="Log-probabilities over the whole vocabulary (as MiniOneRec ranks), or renormalised over "
        "the tokens that continue to an item.",
    )
    table_megabytes: int = Field(
        256, ge=0, description="Memory for dense tables of the trie; levels beyond it are searched sparsely."
    )


class TrieBeamConfig(TrieConfig):
    """Beam search that only ever spells items of the catalogue."""


class TrieSampleConfig(TrieConfig):
    """Items drawn from the model's distribution over the catalogue, as candidates of a rollout."""

    draws: ClassVar[bool] = True

    width: int = Field(8, ge=1, description="Items drawn: as many as a rollout has candidates.")
    replacement: bool = Field(
        True,
        description="Independent draws, an item possibly several times; else distinct items (Gumbel top-k).",
    )
    temperature: float = Field(
        1.0, gt=0, description="Divides the logits that are drawn from; reported log-probabilities keep 1."
    )
    score: Literal["vocabulary", "trie"] = Field(
        "trie",
        description="Reported log-probabilities: over the whole vocabulary, or renormalised over the tokens "
        "that continue to an item. Draws are the same: in proportion, among those tokens.",
    )
