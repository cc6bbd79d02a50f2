"""Whether a model is the one that the stage before it began with."""

from __future__ import annotations

from lasar_kit.data.stage_context import StageContext
from lasar_kit.spec.plan import plan
from lasar_kit.store.artifacts import MANIFEST, read_json


def unchanged(context: StageContext) -> dict[str, str]:
    """`{"unchanged_by": NAME}` where the stage NAME, which left the checkpoint, kept the model that it found;
    nothing otherwise, and of a checkpoint whose stage does not say."""
    report = read_json(context.inputs["checkpoint"] / MANIFEST)["report"] or {}
    if report.get("kept_update") != 0:
        return {}
    (mine,) = [stage for stage in plan(context.spec) if stage.name == context.name]
    return {"unchanged_by": mine.inputs["checkpoint"]}
