"""Options of the ranker `run`; imports no torch."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import RankerConfig, SpecPath


class RunConfig(RankerConfig):
    """Options of `run`."""

    run: SpecPath = Field(description="Folder of the finished run; its last model ranks.")
    batch_size: int = Field(64, ge=1, description="Histories decoded at once.")

    @property
    def called(self) -> str:
        """The folder's name, where there is no label."""
        return self.label or self.run.name
