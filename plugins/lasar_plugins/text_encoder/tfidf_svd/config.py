"""Options of the tf-idf encoder."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.core.item_fields import DEFAULT_FIELDS, ItemField
from lasar_kit.spec import ComponentConfig


class TfidfSvdConfig(ComponentConfig):
    """Options of `tfidf_svd`."""

    fields: tuple[ItemField, ...] = Field(
        DEFAULT_FIELDS, min_length=1, description="Item fields that make the text, in order."
    )
    dimensions: int = Field(
        256, ge=1, description="Width of an embedding, at most; a small catalogue may give fewer."
    )
    ngrams: int = Field(2, ge=1, le=5, description="Longest run of words that counts as one term.")
    min_items: int = Field(2, ge=1, description="Items a term must occur in; rarer terms are dropped.")
    max_terms: int = Field(50_000, ge=1, description="Terms kept, the most frequent ones.")
    fit_items: int = Field(
        0,
        ge=0,
        description="In a catalogue of more items, so many, drawn by the seed, from which terms, their "
        "frequencies and the axes of the embedding are learnt; 0 for all, whose SVD takes 11 kB an item.",
    )
