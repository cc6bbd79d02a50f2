"""Options of the term that keeps streams apart."""

from __future__ import annotations

from typing import ClassVar

from lasar_kit.spec import LatentLoopConfig, SftObjectiveConfig


class PlrDiversityConfig(SftObjectiveConfig):
    """Streams of thought kept apart (PLR)."""

    about_thoughts: ClassVar[bool] = True

    def unfit_loop(self, loop: LatentLoopConfig) -> str | None:
        """One that has a single stream."""
        if loop.parallel:
            return None
        return f"keeps parallel streams apart, and {loop.use} has one; set 'latent_loop: plr'"
