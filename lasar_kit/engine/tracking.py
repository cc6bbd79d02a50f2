"""Experiment trackers, by way of accelerate: what the log tells, in TensorBoard, W&B or MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lasar_kit.errors import UserError
from lasar_kit.hookspecs import hookimpl

if TYPE_CHECKING:
    from lasar_kit.engine.run import Run
    from lasar_kit.spec.load import LoadedSpec
    from lasar_kit.spec.plan import PlannedStage


class Tracking:
    """Sends every logged step to one tracker, as `stage/name`, and the results of evaluation at the end.

    Steps are counted over the whole run, as some trackers take no step twice.
    """

    def __init__(self, tracker: Any) -> None:
        self.tracker = tracker
        self.last = self.before = 0

    @classmethod
    def of(cls, loaded: LoadedSpec, output: Path) -> list[Tracking]:
        """One for each tracker that the spec names; `UserError` where its package is not installed."""
        missing = [
            f"tracking: {name}: the package {name} is not installed; try: pip install {name}"
            for name in loaded.spec.tracking
            if find_spec(name) is None
        ]
        if missing:
            raise UserError(*missing)
        return [cls(_started(name, loaded, output)) for name in loaded.spec.tracking]

    @hookimpl
    def lasar_stage_start(self, run: Run, stage: PlannedStage) -> None:
        self.before = self.last

    @hookimpl
    def lasar_step_end(self, run: Run, stage: PlannedStage, step: int, metrics: Mapping[str, float]) -> None:
        self.last = self.before + step
        self._log(stage.name, metrics, self.last)

    @hookimpl
    def lasar_run_end(self, run: Run, metrics: Mapping[str, Any]) -> None:
        for stage, report in metrics.items():
            numbers = {name: value for name, value in report.items() if isinstance(value, int | float)}
            self._log(stage, numbers, self.last + 1)
        self.tracker.finish()

    def _log(self, stage: str, numbers: Mapping[str, float], step: int) -> None:
        """MLflow takes no `@` in a name."""
        named = {f"{stage}/{name.replace('@', '_at_')}": value for name, value in numbers.items()}
        self.tracker.log(named, step=step)


def _started(name: str, loaded: LoadedSpec, output: Path) -> Any:
    """A tracker of accelerate's, told what run this is; local files go to the folder of the run."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    spec, kind = loaded.spec, LOGGER_TYPE_TO_CLASS[name]
    where = {"logging_dir": str(output.resolve() / "tracking")} if kind.requires_logging_directory else {}
    tracker = kind(spec.name, **where)
    tracker.start()
    tracker.store_init_configuration({"name": spec.name, "seed": spec.seed, "spec": loaded.dump()})
    return tracker
