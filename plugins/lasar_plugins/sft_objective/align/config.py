"""Options of the alignment term."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from lasar_kit.spec import ComponentConfig, SftObjectiveConfig, component


class AlignConfig(SftObjectiveConfig):
    """Thoughts held to anchors by an aligner."""

    about_thoughts: ClassVar[bool] = True

    aligner: Annotated[ComponentConfig, component("aligner")] = Field(
        "stepwise", validate_default=True, description="Compares thoughts with anchors."
    )

    @property
    def wants(self) -> tuple[str, ...]:
        """Anchors."""
        return ("anchors",)
