"""Options of both terms of progressive reasoning learning."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lasar_kit.spec import SftObjectiveConfig


class PerThoughtConfig(SftObjectiveConfig):
    """Thought t of T is scored at the temperature `temperature * sharpening ** (T - t)`."""

    temperature: float = Field(1.0, gt=0, description="Of the last thought.")
    sharpening: float = Field(
        5.0, ge=1, description="How many times higher the temperature of a thought is than the next one's."
    )


class NoisyThoughtsConfig(SftObjectiveConfig):
    """Clean thoughts against those of a second reading with noise."""

    noise: float = Field(0.01, gt=0, description="Standard deviation of what is added to each input.")
    temperature: float = Field(0.1, gt=0, description="That cosines are divided by.")
    negatives: Literal["row", "batch"] = Field(
        "row",
        description="Whose noisy thoughts are told from one's own: those of the other prompts of a packed "
        "row, which makes the term the same however a batch is split; or those of all prompts of a forward "
        "pass, as in ReaRec, whose number then hangs on the split.",
    )
