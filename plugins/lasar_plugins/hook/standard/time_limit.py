"""Ends a stage that takes too long."""

from __future__ import annotations

import time

from lasar_kit.core.values import Env
from lasar_kit.hookspecs import Run, hookimpl
from lasar_kit.spec import PlannedStage
from lasar_plugins.hook.standard.config import TimeLimitConfig
from lasar_plugins.hook.standard.stages import check_stages


class TimeLimit:
    """Looks at the clock whenever something is logged."""

    def __init__(self, config: TimeLimitConfig, env: Env) -> None:
        self.config = config
        self.started = time.monotonic()

    @hookimpl
    def lasar_run_start(self, run: Run) -> None:
        """Check the names of the stages."""
        check_stages("time_limit", self.config.stages, run)

    @hookimpl
    def lasar_stage_start(self, stage: PlannedStage) -> None:
        """Start the clock."""
        self.started = time.monotonic()

    @hookimpl
    def lasar_should_stop(self, stage: PlannedStage) -> str | None:
        """End the stage when the time is over."""
        minutes, stages = self.config.minutes, self.config.stages
        if time.monotonic() - self.started < 60 * minutes or stage.name not in (stages or (stage.name,)):
            return None
        return f"{minutes:g} minutes are over"
