"""What in a valid spec is hardly meant."""

from __future__ import annotations

from lasar_kit.spec.component import StageConfig
from lasar_kit.spec.load import LoadedSpec


def cautions(loaded: LoadedSpec) -> list[str]:
    """A line for each, as `file:line: stages.NAME: what`."""
    found: list[str] = []
    stages = {stage.name: stage for stage in loaded.plan}
    for stage in loaded.plan:
        line: list[tuple[str, StageConfig]] = []
        source = stage.inputs.get("checkpoint")
        while source is not None:
            line.append((source, stages[source].config))
            source = stages[source].inputs.get("checkpoint")
        where = loaded.where("stages", stage.name)
        for text in stage.config.cautions(loaded.spec.backbone, line):
            found.append(f"{where}: stages.{stage.name}: {text}")
    return found
