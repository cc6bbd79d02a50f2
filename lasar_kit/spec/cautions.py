"""Cautions: places of a valid spec that are hardly meant."""

from __future__ import annotations

from lasar_kit.spec.component import ComponentConfig
from lasar_kit.spec.lineage import inputs_of, line_of
from lasar_kit.spec.load import LoadedSpec
from lasar_kit.spec.plan import PlannedStage


def cautions(loaded: LoadedSpec) -> list[str]:
    """A line for each, as `file:line: stages.NAME: what`."""
    lines = [
        f"{loaded.where(kind)}: {kind}: {', '.join(idle)} have no effect beside {kind}'s other options"
        for kind, config in loaded.spec
        if isinstance(config, ComponentConfig) and (idle := config.without_effect())
    ]
    for stage in loaded.plan:
        line = line_of(stage, loaded.plan)
        inputs = inputs_of(stage, loaded.plan)
        where = loaded.where("stages", stage.name)
        for text in stage.config.cautions(loaded.spec.backbone, line, inputs):
            lines.append(f"{where}: stages.{stage.name}: {text}")
        lines += _narrow(loaded, stage)
    return lines


def _narrow(loaded: LoadedSpec, stage: PlannedStage) -> list[str]:
    """A line where a decoder keeps fewer items than the lists that a stage measures."""
    own, longest = stage.config.own_decoder, type(stage.config).longest_list
    decoder = own or loaded.spec.decoder
    if decoder.width >= longest:
        return []
    key = ("stages", stage.name, "decoder") if own else ("decoder",)
    return [
        f"{loaded.where(*key)}: {'.'.join(key)}: a beam of {decoder.width} ends before place {longest}, to "
        f"which stages.{stage.name} measures HR and NDCG; set 'width: {longest}' or more"
    ]
