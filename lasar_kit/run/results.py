"""The top of a run's folder: metrics, predictions and the model, of all its stages together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lasar_kit.hookspecs import Run
from lasar_kit.store.artifacts import MANIFEST, Artifact, copy_file, copy_tree, remove, write_json
from lasar_kit.store.layout import METRICS, MODEL, PREDICTIONS

if TYPE_CHECKING:
    from lasar_kit.spec.plan import PlannedStage


def forget(output: Path, stages: Sequence[tuple[PlannedStage, str]]) -> None:
    """Throw away what an earlier run left at the top of its folder, but for what is of these stages, each
    with its key, as they lie there.

    Until the run is done it would pass for what this one made, and the model would be asked by semantic IDs
    that it never saw.
    """
    kept, model = bool(stages), False
    for stage, key in stages:
        held = Artifact.read(output / "stages" / stage.name)
        kept = kept and held is not None and held.key == key
        if type(stage.config).produces == "checkpoint":
            model = kept and held is not None and _is_copy(output / MODEL, held.path)
    if not kept:
        for name in (METRICS, PREDICTIONS):
            (output / name).unlink(missing_ok=True)
    if not model:
        remove(output / MODEL)


def _is_copy(model: Path, checkpoint: Path) -> bool:
    """Whether `model/` is as `copy_tree` left it, by the sizes and times of its files."""

    def files(folder: Path) -> dict[Path, tuple[int, int]]:
        stats = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
        return {path.relative_to(folder): (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}

    theirs = files(checkpoint)
    del theirs[Path(MANIFEST)]
    return files(model) == theirs


def collect(run: Run, stages: list[PlannedStage]) -> dict[str, Any]:
    """Put together what belongs to the run as a whole; what an earlier run left behind goes."""
    made: dict[str, list[str]] = {}
    for stage in stages:
        made.setdefault(type(stage.config).produces, []).append(stage.name)
    metrics = {name: dict(run.artifacts[name].report or {}) for name in made.get("report", [])}
    write_json(run.output / METRICS, metrics)
    (run.output / PREDICTIONS).unlink(missing_ok=True)
    predicted = [path for name in metrics if (path := run.artifacts[name].path / PREDICTIONS).is_file()]
    if predicted:
        copy_file(predicted[-1], run.output / PREDICTIONS)
    _place_model(run, made.get("checkpoint", []))
    return metrics


def _place_model(run: Run, checkpoints: list[str]) -> None:
    """A copy of the last checkpoint as `model/`, whole or not at all."""
    partial_model = run.output / f".{MODEL}.partial"
    for stale in (run.output / MODEL, partial_model):
        remove(stale)
    if checkpoints:
        copy_tree(run.artifacts[checkpoints[-1]].path, partial_model)
        (partial_model / MANIFEST).unlink()
        partial_model.rename(run.output / MODEL)
