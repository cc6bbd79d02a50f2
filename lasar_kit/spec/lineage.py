"""The stages that a checkpoint has gone through, and what of a stage does not go with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lasar_kit.errors import UserError
from lasar_kit.spec.bases import DecoderConfig
from lasar_kit.spec.plan import PlannedStage, Where
from lasar_kit.spec.run_spec import RunSpec
from lasar_kit.spec.stage import Around, StageConfig


def line_of(stage: PlannedStage, planned: Sequence[PlannedStage]) -> list[tuple[str, StageConfig]]:
    """The stages that the checkpoint a stage reads has gone through, by name, the latest first."""
    stages = {one.name: one for one in planned}
    line = []
    source = stage.inputs.get("checkpoint")
    while source is not None:
        line.append((source, stages[source].config))
        source = stages[source].inputs.get("checkpoint")
    return line


def trained_by(stage: PlannedStage, planned: Sequence[PlannedStage]) -> list[str]:
    """The stages that made the weights a stage leaves, the latest first: itself, and those before it up to
    one that began anew."""
    names = []
    for name, config in [(stage.name, stage.config), *line_of(stage, planned)]:
        names.append(name)
        if config.begins_anew:
            break
    return names


def inputs_of(stage: PlannedStage, planned: Sequence[PlannedStage]) -> dict[str, tuple[str, StageConfig]]:
    """The stages that a stage reads from, by type of artifact."""
    stages = {one.name: one.config for one in planned}
    return {kind: (source, stages[source]) for kind, source in stage.inputs.items() if source in stages}


def check(spec: RunSpec, planned: Sequence[PlannedStage], where: Where) -> None:
    """`UserError` with a line for each option that cannot be what it is among the rest of the spec."""
    mistakes = []
    for stage in planned:
        around = Around(line_of(stage, planned), inputs_of(stage, planned), spec.backbone, spec.decoder)
        for option, text in stage.config.mistakes(around):
            key = ("stages", stage.name, *option.split("."))
            mistakes.append(f"{where(key)}{'.'.join(key)}: {text}")
        for option, decoder in stage.config:
            if isinstance(decoder, DecoderConfig) and decoder.learns and spec.decoder.learns:
                key = ("stages", stage.name, option)
                if why := foreign_weights(decoder, spec.decoder.learnt_beside):
                    mistakes.append(f"{where(key)}{'.'.join(key)}: {why}")
    if mistakes:
        raise UserError(*mistakes)


def foreign_weights(decoder: DecoderConfig, beside: Mapping[str, Any]) -> str | None:
    """Why weights learnt beside some options (`DecoderConfig.learnt_beside`) are none for a decoder; None
    where they are."""
    differing = list(_differing(decoder.learnt_beside, beside))
    if not differing:
        return None
    return (
        "the decoder's weights that the model brings were learnt with other options: "
        f"{', '.join(differing)}; take those of the spec's 'decoder', or leave 'learned' out"
    )


def _differing(now: Mapping[str, Any], then: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Name each option that differs; of two components only which they are."""
    for key in {**then, **now}:
        mine, other = now.get(key), then.get(key)
        if not isinstance(mine, Mapping) or not isinstance(other, Mapping):
            if mine != other:
                yield f"{at}{key} {mine!r} instead of {other!r}"
        elif mine.get("use") != other.get("use"):
            yield f"{at}{key} {mine.get('use')} instead of {other.get('use')}"
        else:
            yield from _differing(mine, other, f"{at}{key}.")
