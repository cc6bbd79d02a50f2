"""Options of the ranker `run`; imports no torch."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lasar_kit.spec import Normalise, RankerConfig, SpecPath


class RunConfig(RankerConfig):
    """Options of `run`."""

    normalised_by: ClassVar[Normalise] = "softmax"

    run: SpecPath = Field(description="Folder of the finished run; its last model ranks.")
    batch_size: int = Field(64, ge=1, description="Histories decoded at once.")

    @property
    def called(self) -> str:
        """The folder's name, where there is no label."""
        return self.label or self.run.name

    @property
    def trained_before(self) -> tuple[str, ...]:
        """Its one model."""
        return (self.called,)
