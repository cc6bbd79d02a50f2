"""Options of the ranker `random`."""

from __future__ import annotations

from lasar_kit.spec import RankerConfig


class RandomConfig(RankerConfig):
    """Options of `random`."""
