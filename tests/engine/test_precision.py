"""Every forward of a run in the number format that its stage asks for."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lasar_kit.catalogue import Catalogue
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from tests.engine.test_rl_run import SPEC

STAGES = ("ground", "anchors", "reason", "rl", "evaluate")


def formats(folder: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> dict[str, set[bool]]:
    """Of each stage, whether autocast was on when the backbone read."""
    (folder / "lasar.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    loaded = load_spec(folder / "lasar.yaml", overrides, catalogue)
    seen: dict[str, set[bool]] = {}
    advance, context = Qwen3Backbone.advance, runner._context
    stage = [""]

    def enter(run: Any, planned: Any, *rest: Any) -> Any:
        stage[0] = planned.name
        return context(run, planned, *rest)

    def spy(self: Any, *values: Any) -> Any:
        seen.setdefault(stage[0], set()).add(torch.is_autocast_enabled("cpu"))
        return advance(self, *values)

    monkeypatch.setattr(runner, "_context", enter)
    monkeypatch.setattr(Qwen3Backbone, "advance", spy)
    runner.run_spec(loaded, catalogue, folder / "run", False)
    return seen


@pytest.mark.parametrize("narrow", [(), STAGES, ("rl", "anchors"), ("evaluate",)], ids=str)
def test_all_that_a_stage_reads_is_in_its_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, narrow: tuple[str, ...]
) -> None:
    """Rollouts, the reference, validations and the evaluation among them."""
    short = ("stages.ground.epochs=1", "stages.anchors.max_samples=20", "stages.rl.max_samples=16")
    formats_ = formats(tmp_path, monkeypatch, *short, *(f"stages.{name}.precision=bf16" for name in narrow))
    assert formats_ == {name: {name in narrow} for name in STAGES}
