"""Ends a stage that has come far enough."""

from __future__ import annotations

from collections.abc import Mapping

from lasar_kit.core.values import Env
from lasar_kit.errors import nearest
from lasar_kit.hookspecs import Run, hookimpl
from lasar_kit.spec import PlannedStage
from lasar_plugins.hook.standard.config import TargetConfig
from lasar_plugins.hook.standard.stages import check_stages


class Target:
    """Compares one number of each line of the log; a line without it is passed over."""

    def __init__(self, config: TargetConfig, env: Env) -> None:
        self.config = config
        self.logged: set[str] = set()

    @hookimpl
    def lasar_run_start(self, run: Run) -> None:
        """Check the names of the stages."""
        check_stages("target", self.config.stages, run)

    @hookimpl
    def lasar_stage_start(self, stage: PlannedStage) -> None:
        """Forget the stage before."""
        self.logged = set()

    @hookimpl
    def lasar_should_stop(self, stage: PlannedStage, metrics: Mapping[str, float]) -> str | None:
        """End the stage once the number is good enough."""
        config = self.config
        self.logged.update(metrics)
        if config.metric not in metrics or stage.name not in (config.stages or (stage.name,)):
            return None
        value = metrics[config.metric]
        good = value >= config.value if config.reached == "at_least" else value <= config.value
        if not good:
            return None
        return f"{config.metric} is {value:.4g}, {config.reached.replace('_', ' ')} {config.value:g}"

    @hookimpl
    def lasar_stage_end(self, run: Run, stage: PlannedStage) -> None:
        """Say so where the stage never had such a number: its name may be misspelt."""
        wanted = self.config.metric
        if self.logged and wanted not in self.logged and stage.name in (self.config.stages or (stage.name,)):
            run.screen.print(
                f"  [yellow]hooks: target: {stage.name} logs no {wanted!r}; "
                f"{nearest(wanted, sorted(self.logged))}[/yellow]"
            )
