"""Material of a page: the files of a finished run, read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from lasar_kit.data import described
from lasar_kit.data.description import Facts
from lasar_kit.report.answers import Answers, predictions
from lasar_kit.report.table import read_metrics
from lasar_kit.spec.run_spec import DATASET
from lasar_kit.store.artifacts import Artifact
from lasar_kit.store.layout import LOCK
from lasar_kit.store.run_folder import reading_run


@dataclass(frozen=True)
class Material:
    """A run: its spec as given and as text, metrics and answers by evaluate stage, artifacts in order."""

    path: Path
    spec: Mapping[str, Any]
    lock: str
    metrics: Mapping[str, Any]
    answers: Mapping[str, Answers]
    artifacts: Mapping[str, Artifact]
    facts: Facts

    @classmethod
    def read(cls, path: Path) -> Material:
        """`UserError` unless it is the folder of a finished run."""
        metrics = read_metrics(path)
        with reading_run(path):
            lock = (path / LOCK).read_text(encoding="utf-8")
            spec = yaml.safe_load(lock)
            stages = {
                name: Artifact.read(path / "stages" / name) for name in (DATASET, *spec.get("stages", {}))
            }
            answers = {
                stage: Answers.read(path, stage, report, spec["stages"].get(stage, {}))
                for stage, report in metrics.items()
                if predictions(path, stage).is_file()
            }
            artifacts = {name: artifact for name, artifact in stages.items() if artifact is not None}
            facts = described.load(path / "stages" / DATASET)
            return cls(path, spec, lock, metrics, answers, artifacts, facts)

    @property
    def parameters(self) -> set[int]:
        """Of the models that were trained."""
        return {
            int(one.report["parameters"]) for one in self.artifacts.values() if "parameters" in one.report
        }

    def questions(self) -> list[list[Answers]]:
        """Evaluate stages that were asked for the same items of the same users, together."""
        asked: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Answers]] = {}
        for one in self.answers.values():
            asked.setdefault((one.users, one.targets), []).append(one)
        return list(asked.values())

    def split(self, answers: Answers) -> Literal["test", "validation"]:
        """Which items a stage was asked for."""
        options = self.spec["stages"].get(answers.stage, {})
        return "validation" if options.get("split") == "validation" else "test"
