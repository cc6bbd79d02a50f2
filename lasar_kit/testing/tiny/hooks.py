"""A hook in its plainest form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lasar_kit.core.values import Env
from lasar_kit.hookspecs import hookimpl
from lasar_kit.spec import PlannedStage


class TinyHook:
    """Ends a stage once its loss has been below 1 twice."""

    def __init__(self, config: Any, env: Env) -> None:
        self.low = 0

    @hookimpl
    def lasar_stage_start(self, stage: PlannedStage) -> None:
        """Begin to count."""
        self.low = 0

    @hookimpl
    def lasar_should_stop(self, step: int, metrics: Mapping[str, float]) -> str | None:
        """Count."""
        self.low += metrics.get("loss", 1.0) < 1
        return self.reason(step, metrics)

    def reason(self, step: int, metrics: Mapping[str, float]) -> str | None:
        """Say it from the second time on."""
        return f"a loss below 1 at update {step}" if self.low > 1 else None
