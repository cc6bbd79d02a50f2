"""Stages of plugins that leave a report of their own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.report.compare import compare
from lasar_kit.report.formats import as_rich
from lasar_kit.report.table import metrics_grids, report
from lasar_kit.run import runner
from lasar_kit.run.dry_run import dry_run
from lasar_kit.spec import load_spec

REGISTRY = """\
[stage.coverage]
summary = "Counts items."
config = "coverage.config:Config"
build = "coverage.stage:Coverage"
"""
CONFIG = """\
from typing import ClassVar
from lasar_kit.spec import StageConfig

class Config(StageConfig):
    consumes: ClassVar = ("dataset",)
    produces: ClassVar = "report"
"""
STAGE = """\
class Coverage:
    def __init__(self, config, env):
        self.config = config

    def run(self, context):
        return {"items": len(context.dataset().items)}
"""
SPEC = "dataset: {use: demo, users: 20, items: 60}\nstages: {coverage: coverage}\n"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.path", list(sys.path))
    folder = tmp_path / "plugin"
    (folder / "coverage").mkdir(parents=True)
    (folder / "registry.toml").write_text(REGISTRY)
    for name, text in {"__init__": "", "config": CONFIG, "stage": STAGE}.items():
        (folder / "coverage" / f"{name}.py").write_text(text)
    return folder


def solid(text: str) -> str:
    """A text without space, which lines are broken at."""
    return "".join(text.split())


def test_a_report_on_something_else(plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is in metrics.json; tables of ranked lists pass over it, and say so where there is nothing else."""
    catalogue = Catalogue.discover([plugin])
    (tmp_path / "shop.yaml").write_text(SPEC)
    run, loaded = tmp_path / "run [red]", load_spec(tmp_path / "shop.yaml", [], catalogue)
    runner.run_spec(loaded, catalogue, run, True)
    assert json.loads((run / "metrics.json").read_text()) == {"coverage": {"items": 60}}
    assert not (run / "predictions.jsonl").exists()
    shown, path = solid(capsys.readouterr().out), solid(str(run))
    assert "HR@5" not in shown
    assert f"resultsin{path}" in shown
    dry_run(loaded, catalogue, run, True)
    assert f"Stagesof{path}" in solid(capsys.readouterr().out)
    with pytest.raises(UserError, match="no stage of this run reports hr@5, hr@10"):
        report([run])
    with pytest.raises(UserError, match="no stage of this run holds predictions"):
        compare([run, run], None)


def test_a_row_holds_what_its_stage_reports() -> None:
    [grid] = metrics_grids({"a": {"hr@10": 0.5}, "b": {"items": 3}, "c": {"ndcg@5": 0.25, "mean_depth": 1}})
    table = as_rich(grid)
    columns = [list(column.cells) for column in table.columns]
    assert columns[0] == ["[bold]a", "[bold]c"]
    assert columns[2] == ["0.5000", ""]
    assert columns[4] == ["", "0.2500"]
    assert columns[7] == ["", "1.00"]
