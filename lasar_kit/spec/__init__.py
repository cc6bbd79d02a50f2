"""Run specs: their files, their options, and what is wrong with them. Imports no torch."""

from lasar_kit.spec.bases import (
    AlignerConfig,
    BackboneConfig,
    DecoderConfig,
    DepthPolicyConfig,
    LatentLoopConfig,
    Normalise,
    Normalised,
    QuantizerConfig,
    RankerConfig,
    Ranks,
    RewardConfig,
    RlObjectiveConfig,
    SftObjectiveConfig,
    TeacherConfig,
)
from lasar_kit.spec.cautions import cautions
from lasar_kit.spec.component import ComponentConfig, SpecModel, component
from lasar_kit.spec.declare import declare
from lasar_kit.spec.files import missing_files
from lasar_kit.spec.load import LoadedSpec, load_spec
from lasar_kit.spec.paths import MustExist, NewPath, SpecPath
from lasar_kit.spec.plan import PlannedStage, plan
from lasar_kit.spec.run_spec import DATASET, RunSpec
from lasar_kit.spec.stage import Around, StageConfig

__all__ = [
    "DATASET",
    "AlignerConfig",
    "Around",
    "BackboneConfig",
    "ComponentConfig",
    "DecoderConfig",
    "DepthPolicyConfig",
    "LatentLoopConfig",
    "LoadedSpec",
    "MustExist",
    "NewPath",
    "Normalise",
    "Normalised",
    "PlannedStage",
    "QuantizerConfig",
    "RankerConfig",
    "Ranks",
    "RewardConfig",
    "RlObjectiveConfig",
    "RunSpec",
    "SftObjectiveConfig",
    "SpecModel",
    "SpecPath",
    "StageConfig",
    "TeacherConfig",
    "cautions",
    "component",
    "declare",
    "load_spec",
    "missing_files",
    "plan",
]
