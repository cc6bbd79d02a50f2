"""Options of the learned depth policy."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import DepthPolicyConfig


class DepthMlpConfig(DepthPolicyConfig):
    """A two-layer head that reads the prompt's last state."""

    n_max: int = Field(8, ge=1, le=1000, description="Most thoughts it may choose.")
    allow_zero: bool = Field(False, description="Whether it may choose not to think at all.")
    detach_h0: bool = Field(False, description="Keep the head's gradient from reaching the backbone.")

    @property
    def support(self) -> tuple[int, ...]:
        """The depths to choose from."""
        return tuple(range(0 if self.allow_zero else 1, self.n_max + 1))

    @property
    def learns(self) -> bool:
        """Where there is a choice."""
        return len(self.support) > 1
