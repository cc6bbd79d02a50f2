"""Options of the cross-entropy of next items."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import SftObjectiveConfig


class AnswerConfig(SftObjectiveConfig):
    """The stage's `score` says what tokens compete with."""

    temperature: float = Field(
        1.0,
        gt=0,
        description="That logits are divided by in training. Items of one token are ranked the same with and "
        "without it; SIDs of several are ranked without.",
    )
