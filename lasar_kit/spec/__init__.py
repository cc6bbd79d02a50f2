"""Run specs: their files, their options, and what is wrong with them. Imports no torch."""

from lasar_kit.spec.component import (
    ComponentConfig,
    DecoderConfig,
    SpecModel,
    SpecPath,
    StageConfig,
    component,
)
from lasar_kit.spec.load import LoadedSpec, load_spec
from lasar_kit.spec.plan import PlannedStage, plan
from lasar_kit.spec.run_spec import DATASET, RunSpec

__all__ = [
    "DATASET",
    "ComponentConfig",
    "DecoderConfig",
    "LoadedSpec",
    "PlannedStage",
    "RunSpec",
    "SpecModel",
    "SpecPath",
    "StageConfig",
    "component",
    "load_spec",
    "plan",
]
