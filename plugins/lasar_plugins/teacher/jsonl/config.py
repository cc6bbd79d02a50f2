"""Options of prepared texts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lasar_kit.core.reasoning.options import WrittenOptions
from lasar_kit.spec import SpecPath


class JsonlTeacherConfig(WrittenOptions):
    """Options of `jsonl`."""

    path: SpecPath = Field(
        description='File of texts, one `{"user": raw id, "end": place of the next item, "text": …}` a line.'
    )
    saw_target: bool = Field(
        False,
        description="Whether the teacher was told which item came next; sentences that hold its title then "
        "go, as those of `openai` and `hf` with `show_target`.",
    )
    missing: Literal["skip", "error"] = Field(
        "skip", description="What a history without a text is: left without one, or a mistake."
    )
