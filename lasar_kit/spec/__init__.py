"""Run specs: their files, their options, and what is wrong with them. Imports no torch."""

from lasar_kit.spec.cautions import cautions
from lasar_kit.spec.component import (
    ComponentConfig,
    DecoderConfig,
    Ranks,
    SpecModel,
    StageConfig,
    component,
)
from lasar_kit.spec.files import missing_files
from lasar_kit.spec.load import LoadedSpec, load_spec
from lasar_kit.spec.paths import MustExist, NewPath, SpecPath
from lasar_kit.spec.plan import PlannedStage, plan
from lasar_kit.spec.run_spec import DATASET, RunSpec

__all__ = [
    "DATASET",
    "ComponentConfig",
    "DecoderConfig",
    "LoadedSpec",
    "MustExist",
    "NewPath",
    "PlannedStage",
    "Ranks",
    "RunSpec",
    "SpecModel",
    "SpecPath",
    "StageConfig",
    "cautions",
    "component",
    "load_spec",
    "missing_files",
    "plan",
]
