"""Estimates of what stages will take: from those that earlier runs made of the same data and backbone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from lasar_kit.process.screen import duration
from lasar_kit.spec.plan import PlannedStage
from lasar_kit.spec.run_spec import DATASET, RunSpec
from lasar_kit.store.artifacts import Artifact
from lasar_kit.store.layout import LOCK

SCALES = ("epochs", "max_samples", "max_users")
"""Options in proportion to which a stage takes time."""

ALIKE = ("dataset", "backbone", "max_history")
"""Keys of a spec that must be equal, as they decide what an update takes."""


@dataclass(frozen=True)
class Estimate:
    """Seconds, MiB where they were counted, and the folder of the run that it is judged by."""

    seconds: float
    memory: int | None
    by: Path


@dataclass(frozen=True)
class _Past:
    """A stage of an earlier run: its options, and what it took."""

    run: Path
    spec: Mapping[str, Any]
    options: Mapping[str, Any]
    artifact: Artifact


class Estimates:
    """Looks at the run in a folder, and at those beside it."""

    def __init__(self, output: Path) -> None:
        self.output = output

    def of(self, stage: PlannedStage, spec: RunSpec) -> Estimate | None:
        """Of a stage of a spec; None where no stage of its kind was made of the same data and backbone.

        Of several that whose options differ least counts. Time goes with epochs, samples and users, so that a
        short run tells of a long one.
        """
        wanted, options = spec.model_dump(mode="json"), stage.config.model_dump(mode="json")
        alike = [past for past in self._past if _alike(past, wanted, options)]
        scaled = [(past, scale) for past in alike if (scale := _scale(past.options, options)) is not None]
        if not scaled:
            return None
        past, scale = min(scaled, key=lambda pair: _apart(pair[0].options, options))
        return Estimate(past.artifact.seconds * scale, past.artifact.made.get("memory"), past.run)

    def shares(self, stages: Sequence[PlannedStage], spec: RunSpec) -> dict[str, float]:
        """Seconds of each stage, by name; one of which nothing tells counts as the mean of the others."""
        found = {stage.name: self.of(stage, spec) for stage in stages}
        known = [one.seconds for one in found.values() if one is not None]
        mean = sum(known) / len(known) if known else 1.0
        return {name: mean if one is None else one.seconds for name, one in found.items()}

    @cached_property
    def _past(self) -> list[_Past]:
        folders = [self.output, *sorted(path.parent for path in self.output.parent.glob(f"*/{LOCK}"))]
        return [past for folder in dict.fromkeys(folders) for past in _stages(folder)]


def _stages(run: Path) -> Iterable[_Past]:
    """The finished stages of a run; nothing where its spec cannot be read."""
    try:
        spec = yaml.safe_load((run / LOCK).read_text(encoding="utf-8"))
        listed = {DATASET: {"use": spec["dataset"]["use"]}, **spec["stages"]}
        pairs = [(options, Artifact.read(run / "stages" / name)) for name, options in listed.items()]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return []
    return [_Past(run, spec, options, artifact) for options, artifact in pairs if artifact is not None]


def _alike(past: _Past, spec: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    same = all(_equal(past.spec.get(key), spec.get(key)) for key in ALIKE)
    return same and past.options.get("use") == options.get("use")


def _equal(before: object, now: object) -> bool:
    """Tables need not hold the same options: a run of another version knew fewer."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return all(_equal(before[key], now[key]) for key in before.keys() & now.keys())
    return before == now


def _scale(past: Mapping[str, Any], options: Mapping[str, Any]) -> float | None:
    """How much longer, by what both say of how much is to be done; None where one of them says all."""
    scale = 1.0
    for key in SCALES:
        before, now = past.get(key), options.get(key)
        if before == now:
            continue
        if not before or not now:
            return None
        scale *= float(now) / float(before)
    return scale


def _apart(past: Mapping[str, Any], options: Mapping[str, Any]) -> int:
    return sum(past.get(key) != options.get(key) for key in {*past, *options})


def summary(estimates: Mapping[str, Estimate | None]) -> str:
    """A line on all stages that are to be run."""
    unknown = [name for name, estimate in estimates.items() if estimate is None]
    known = [estimate for estimate in estimates.values() if estimate is not None]
    told = []
    if known:
        memory = max((estimate.memory for estimate in known if estimate.memory is not None), default=None)
        peak = f", at most {memory:,} MiB" if memory is not None else ""
        told.append(f"about {duration(sum(one.seconds for one in known))}{peak}, as earlier runs took")
    if unknown:
        told.append(f"nothing to judge by: {', '.join(unknown)}")
    return "; ".join(told)
