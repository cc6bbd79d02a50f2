"""Options of the objectives that teach a loop to write."""

from __future__ import annotations

from typing import ClassVar

from lasar_kit.spec import SftObjectiveConfig


class RationaleConfig(SftObjectiveConfig):
    """The texts of the stage `anchors`, between prompt and answer."""

    about_thoughts: ClassVar[bool] = True
    teaches_writing: ClassVar[bool] = True

    @property
    def wants(self) -> tuple[str, ...]:
        """Written reasoning."""
        return ("rationale",)

    @property
    def trains_text(self) -> bool:
        """The backbone learns words."""
        return True


class DirectAnswerConfig(SftObjectiveConfig):
    """The next item without a text, so that a model that writes can also answer directly."""

    about_thoughts: ClassVar[bool] = True
    teaches_writing: ClassVar[bool] = True
