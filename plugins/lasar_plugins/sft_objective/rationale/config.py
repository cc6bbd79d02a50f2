"""Options of the objectives that teach a loop to write."""

from __future__ import annotations

from typing import ClassVar

from lasar_kit.spec import LatentLoopConfig, SftObjectiveConfig


class _WritingConfig(SftObjectiveConfig):
    """A term that teaches a loop to write."""

    about_thoughts: ClassVar[bool] = True

    def unfit_loop(self, loop: LatentLoopConfig) -> str | None:
        """Refuse a loop that writes no words."""
        if loop.writes:
            return None
        return f"teaches a loop to write, and {loop.use} does not; set 'latent_loop: {{use: written}}'"


class RationaleConfig(_WritingConfig):
    """The texts of the stage `anchors`, between prompt and answer."""

    def unfit_loop(self, loop: LatentLoopConfig) -> str | None:
        """Refuse a loop that writes no words with its options."""
        if loop.writes and not loop.needs_words:
            return (
                f"teaches a loop to write, and {loop.use} does not with its options; set 'latent_loop: "
                "{use: written}'"
            )
        return super().unfit_loop(loop)

    @property
    def wants(self) -> tuple[str, ...]:
        """Written reasoning."""
        return ("rationale",)

    @property
    def trains_text(self) -> bool:
        """The backbone learns words."""
        return True


class DirectAnswerConfig(_WritingConfig):
    """The next item without a text, so that a model that writes can also answer directly."""
