"""Options of the fixed depth."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lasar_kit.spec import DepthPolicyConfig


class DepthFixedConfig(DepthPolicyConfig):
    """As many thoughts for every prompt."""

    depth: int = Field(4, ge=0, description="Thoughts a prompt.")
    others: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (),
        description="Depths that an `evaluate` may ask for besides, never chosen: 0 of a model that "
        "writes, for its direct answers.",
    )

    @property
    def support(self) -> tuple[int, ...]:
        """The depths to choose from."""
        return tuple(sorted({self.depth, *self.others}))

    @property
    def chooses(self) -> bool:
        """Never, whatever an `evaluate` may ask for."""
        return False
