"""Options of the text encoder `trained`; imports no torch."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import ComponentConfig, SpecPath


class TrainedConfig(ComponentConfig):
    """Options of `trained`."""

    run: SpecPath | None = Field(
        None,
        description="Folder of a finished run, whose last model is read; absent, the checkpoint that the "
        "stage reads: the nearest before it, or that named by `from`.",
    )
    normalize: bool = Field(True, description="Scale vectors to unit length.")

    @property
    def reads_checkpoint(self) -> bool:
        """Whether the stage must read a checkpoint."""
        return self.run is None
