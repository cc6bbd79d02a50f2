"""Options of the `amazon_reviews` data set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lasar_kit.core.sources.options import ENCODING, Encoding, InteractionOptions
from lasar_kit.spec import SpecPath


class AmazonReviewsConfig(InteractionOptions):
    """Raw reviews and metadata, one record a line, gzip-compressed or not."""

    use: str = Field("amazon_reviews", description="Name of the component.")
    reviews: SpecPath = Field(description="File of reviews, one JSON object a line.")
    metadata: SpecPath | None = Field(
        None, description="File of item metadata, one object a line; absent, items have no text."
    )
    release: Literal["auto", "2014", "2018", "2023"] = Field(
        "auto", description="Release of the files, which settles their field names; auto reads it off line 1."
    )
    min_rating: float | None = Field(
        None, ge=1, le=5, description="Leave out reviews with fewer stars, before all other filters."
    )
    k_core: int = Field(
        5, ge=0, description="Keep users and items with this many interactions, to a fixed point; 0 is off."
    )
    repeats: Literal["first", "last", "all"] = Field(
        "first", description="Which interactions of the same user and item to keep, by time."
    )
    encoding: Encoding = Field("utf-8", description=ENCODING)
