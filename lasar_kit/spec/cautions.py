"""What in a valid spec is hardly meant."""

from __future__ import annotations

from lasar_kit.spec.component import ComponentConfig
from lasar_kit.spec.lineage import inputs_of, line_of
from lasar_kit.spec.load import LoadedSpec


def cautions(loaded: LoadedSpec) -> list[str]:
    """A line for each, as `file:line: stages.NAME: what`."""
    found = [
        f"{loaded.where(kind)}: {kind}: {', '.join(idle)} have no effect beside {kind}'s other options"
        for kind, config in loaded.spec
        if isinstance(config, ComponentConfig) and (idle := config.without_effect())
    ]
    for stage in loaded.plan:
        line = line_of(stage, loaded.plan)
        inputs = inputs_of(stage, loaded.plan)
        where = loaded.where("stages", stage.name)
        for text in stage.config.cautions(loaded.spec.backbone, line, inputs):
            found.append(f"{where}: stages.{stage.name}: {text}")
    return found
