"""Options of the cross-entropy of next items."""

from __future__ import annotations

from lasar_kit.spec import SftObjectiveConfig


class AnswerConfig(SftObjectiveConfig):
    """No options: the stage's `score` says what tokens compete with."""
