"""The stages that a checkpoint has gone through, and what of a stage does not go with them."""

from __future__ import annotations

from collections.abc import Sequence

from lasar_kit.errors import UserError
from lasar_kit.spec.bases import StageConfig
from lasar_kit.spec.plan import PlannedStage, Where


def line_of(stage: PlannedStage, planned: Sequence[PlannedStage]) -> list[tuple[str, StageConfig]]:
    """The stages that the checkpoint a stage reads has gone through, by name, the latest first."""
    stages = {one.name: one for one in planned}
    line = []
    source = stage.inputs.get("checkpoint")
    while source is not None:
        line.append((source, stages[source].config))
        source = stages[source].inputs.get("checkpoint")
    return line


def check(planned: Sequence[PlannedStage], where: Where) -> None:
    """`UserError` with a line for each option that cannot be what it is behind the stages before."""
    mistakes = []
    for stage in planned:
        for option, text in stage.config.mistakes(line_of(stage, planned)):
            key = ("stages", stage.name, option)
            mistakes.append(f"{where(key)}{'.'.join(key)}: {text}")
    if mistakes:
        raise UserError(*mistakes)
