"""Options of the ranker `popularity`."""

from __future__ import annotations

from lasar_kit.spec import RankerConfig


class PopularityConfig(RankerConfig):
    """Options of `popularity`."""
