"""Options of the term on written steps."""

from __future__ import annotations

from typing import ClassVar

from lasar_kit.spec import LatentLoopConfig, SftObjectiveConfig


class RemainingStepsConfig(SftObjectiveConfig):
    """The steps of a teacher's text that the loop is to write."""

    about_thoughts: ClassVar[bool] = True

    @property
    def wants(self) -> tuple[str, ...]:
        """Texts."""
        return ("rationale",)

    @property
    def trains_text(self) -> bool:
        """The backbone learns to write."""
        return True

    def unfit_loop(self, loop: LatentLoopConfig) -> str | None:
        """One that writes nothing."""
        if loop.needs_words:
            return None
        dropped = " with its options" if loop.writes else ""
        return (
            f"trains a loop that writes, and {loop.use} does not{dropped}; set 'latent_loop: "
            "coconut_curriculum'"
        )
