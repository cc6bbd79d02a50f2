"""Options of the depth policy's supervised term."""

from __future__ import annotations

from typing import ClassVar

from lasar_kit.spec import SftObjectiveConfig


class DepthLabelConfig(SftObjectiveConfig):
    """No options: the stage's `depth` says what the policy is to learn."""

    teaches_depth: ClassVar[bool] = True

    @property
    def wants(self) -> tuple[str, ...]:
        """Anchors, whose number it is."""
        return ("anchors",)
