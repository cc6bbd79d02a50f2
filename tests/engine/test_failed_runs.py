"""What a run that fails leaves behind, and what it takes away of the run before it."""

import shutil
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.serve.recommend import recommend
from lasar_kit.stages.evaluate.stage import EvaluateStage
from lasar_kit.stages.sft.stage import SftStage
from tests.engine.shop_run import run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("runs") / "first")


def test_a_stage_that_fails_leaves_no_half_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: EvaluateStage, context: object) -> None:
        (context.folder / "half.txt").write_text("half")  # type: ignore[attr-defined]
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(EvaluateStage, "run", broken)
        with pytest.raises(RuntimeError, match="killed"):
            run(tmp_path / "run")
    assert {path.name for path in (tmp_path / "run" / "stages").iterdir()} == {
        "dataset",
        "tokenize",
        "ground",
    }
    assert not (tmp_path / "run" / "metrics.json").exists()
    run(tmp_path / "run")
    assert (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("change", "keeps"),
    [("stages.evaluate.keep=5", {"model"}), ("stages.ground.epochs=3", set()), ("seed=1", set())],
)
def test_results_of_an_earlier_run_do_not_pass_for_those_of_one_that_is_cut_off(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, keeps: set[str]
) -> None:
    """Another seed gives other semantic IDs, which a model of before would spell items by all the same."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)

    def killed(self: object, context: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(SftStage, "run", killed)
    monkeypatch.setattr(EvaluateStage, "run", killed)
    with pytest.raises(RuntimeError, match="killed"):
        run(folder, change)
    assert {"metrics.json", "predictions.jsonl", "model"} & {path.name for path in folder.iterdir()} == keeps
    if not keeps:
        with pytest.raises(UserError, match="is not finished, it holds no model/"):
            recommend(folder, [("--history", ["item-00001"])], 4, Catalogue.discover())
