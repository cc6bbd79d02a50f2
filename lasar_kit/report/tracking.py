"""Experiment trackers, by way of accelerate: what the log tells, in TensorBoard, W&B or MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lasar_kit.core.metrics import PROTOCOLS
from lasar_kit.errors import UserError
from lasar_kit.hookspecs import hookimpl

if TYPE_CHECKING:
    from lasar_kit.hookspecs import Run
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
            for part, row in (
                (stage, report),
                *((f"{stage}/{name}", report.get(name, {})) for name in PROTOCOLS),
            ):
                numbers = {
                    name: value
                    for name, value in row.items()
                    if isinstance(value, int | float) and not isinstance(value, bool)
                }
                if numbers:
                    self._log(part, numbers, self.last + 1)
        self.tracker.finish()

    def _log(self, stage: str, numbers: Mapping[str, float], step: int) -> None:
        """MLflow takes no `@` in a name."""
        named = {f"{stage}/{name.replace('@', '_at_')}": value for name, value in numbers.items()}
        self.tracker.log(named, step=step)


def _started(name: str, loaded: LoadedSpec, output: Path) -> Any:
    """A tracker of accelerate's, told what run this is; local files go to the folder of the run."""
    from accelerate import Accelerator
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    Accelerator()  # without which trackers do not start
    folder = output.resolve() / "tracking"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        where = {"tensorboard": {"logging_dir": str(folder)}, "wandb": {"dir": str(folder)}}
        options = where.get(name) or _mlflow_options(folder)
        tracker = LOGGER_TYPE_TO_CLASS[name](loaded.spec.name, **options)
        tracker.start()
        tracker.store_init_configuration(_flat(loaded.spec.model_dump(mode="json")))
    except Exception as error:  # of the tracker's own kinds: no account, no network, no such store
        what = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
        raise UserError(f"tracking: {name}: cannot be started ({what})") from error
    return tracker


def _mlflow_options(folder: Path) -> dict[str, str]:
    """Have MLflow write there, unless it was told where to."""
    mlflow: Any = import_module("mlflow")  # by name, since it need not be installed
    if mlflow.is_tracking_uri_set():
        return {}
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    return {"logging_dir": (folder / "mlartifacts").as_uri()}


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """A spec's values by dotted keys; lists and nulls as JSON, since trackers take plain values alone."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{key}.")
        else:
            flat[above + key] = value if isinstance(value, str | int | float) else json.dumps(value)
    return flat
