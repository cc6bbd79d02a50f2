"""Options of the fixed depth."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import DepthPolicyConfig


class DepthFixedConfig(DepthPolicyConfig):
    """As many thoughts for every prompt."""

    depth: int = Field(4, ge=0, description="Thoughts a prompt.")

    @property
    def support(self) -> tuple[int, ...]:
        """The depths to choose from."""
        return (self.depth,)
