"""Hooks that break their laws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lasar_kit.core.values import Env
from lasar_kit.hookspecs import hookimpl
from lasar_kit.spec import PlannedStage
from lasar_kit.testing.broken.saboteurs import Saboteurs, breaks
from lasar_kit.testing.tiny import TinyHook

BROKEN: Saboteurs = {}


@breaks(BROKEN, "hook", "implements_hooks")
class Misspelt(TinyHook):
    """Waits for a call that never comes."""

    @hookimpl
    def lasar_step_ended(self, step: int) -> None:
        """Hear of nothing."""


@breaks(BROKEN, "hook", "a_reason_is_a_text")
class SaysTrue(TinyHook):
    """Says that, but not why."""

    def reason(self, step: int, metrics: Mapping[str, float]) -> Any:
        return super().reason(step, metrics) is not None


@breaks(BROKEN, "hook", "stages_are_judged_alone")
class CountsOn(TinyHook):
    """Counts on from stage to stage."""

    @hookimpl
    def lasar_stage_start(self, stage: PlannedStage) -> None:
        """Forget nothing."""


@breaks(BROKEN, "hook", "a_stage_that_goes_on_is_judged_as_a_whole")
class CountsElsewhere(TinyHook):
    """Counts where it is not called again."""

    def __init__(self, config: Any, env: Env) -> None:
        self.low = 0

    @hookimpl
    def lasar_step_end(self, metrics: Mapping[str, float]) -> None:
        """Count."""
        self.low += metrics.get("loss", 1.0) < 1

    @hookimpl
    def lasar_should_stop(self, step: int, metrics: Mapping[str, float]) -> str | None:
        """Count nothing."""
        return self.reason(step, metrics)
