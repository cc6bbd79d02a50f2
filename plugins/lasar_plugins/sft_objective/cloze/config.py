"""Options of the cloze task."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lasar_kit.spec import BackboneConfig, LatentLoopConfig, SftObjectiveConfig


class ClozeConfig(SftObjectiveConfig):
    """Cross-entropy of masked places of history and answer, for a backbone that reads both ways.

    It takes the place of `answer`, which is the same as `last: 1`. Places are drawn anew each epoch; the
    defaults are its authors' for Beauty.
    """

    instead_of: ClassVar[str | None] = "answer"

    rate: float = Field(
        0.6, gt=0, lt=1, description="Share of a sample's places that are masked, at least one."
    )
    last: float = Field(
        1 / 11,
        ge=0,
        le=1,
        description="Share of samples of which only the answer is masked, as it is where the model ranks; "
        "its authors' is one beside ten.",
    )

    def unfit_backbone(self, backbone: BackboneConfig) -> str | None:
        """One that reads from left to right."""
        if backbone.fills_gaps:
            return None
        return f"masks places that {backbone.use} cannot read around; set 'backbone: bert4rec'"

    def unfit_loop(self, loop: LatentLoopConfig) -> str | None:
        """One that thinks."""
        if loop.use == "none":
            return None
        return f"trains answers without thoughts, so {loop.use} would learn nothing; set 'latent_loop: none'"
