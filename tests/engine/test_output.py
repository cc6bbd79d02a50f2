"""The folder of a run: where one may be written, and runs whose files are damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lasar_kit.errors import UserError
from lasar_kit.report.compare import compare
from lasar_kit.report.table import report
from lasar_kit.store.artifacts import remove
from lasar_kit.store.layout import LOCK
from lasar_kit.store.run_folder import alone_in, check_output, make_output, reading_run


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        check_output(folder)
    [line] = caught.value.lines
    return line


def test_new_empty_and_own_folders(tmp_path: Path) -> None:
    check_output(tmp_path / "new" / "deeper")
    assert not (tmp_path / "new").exists()
    check_output(tmp_path)
    (tmp_path / ".hidden").write_text("")
    (tmp_path / "tracking").mkdir()
    check_output(tmp_path)
    (tmp_path / "model").mkdir()
    assert f"holds 'model' but no {LOCK}, so it is not the folder of a run" in refusal(tmp_path)
    (tmp_path / LOCK).write_text("")
    check_output(tmp_path)


def test_what_can_be_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file := tmp_path / "file").write_text("")
    assert refusal(file) == f"--output {file}: is not a folder, nor can it be one"
    assert refusal(file / "x") == f"--output {file / 'x'}: is not a folder, nor can it be one"
    assert refusal(tmp_path / ("x" * 300)).endswith("File name too long")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert refusal(tmp_path / "new") == f"--output {tmp_path / 'new'}: {tmp_path} may not be written to"
    with pytest.raises(UserError, match="cannot be made"):
        make_output(file / "x")


@pytest.mark.parametrize(
    "link", ["stages", "tracking", ".model.partial", "stages/.x.work", "stages/.x.work/KEY/checkpoints"]
)
def test_a_link_that_a_run_would_write_through(tmp_path: Path, link: str) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (run / link).parent.mkdir(parents=True)
    (run / link).symlink_to(elsewhere)
    told = f"--output {run}: {link} is a symbolic link, and a run writes to no folder but its own"
    with pytest.raises(UserError) as caught, alone_in(run):
        pass
    assert caught.value.lines == (told,)
    with alone_in(tmp_path / "run2"):  # where there is none
        pass


def test_links_that_a_run_may_meet(tmp_path: Path) -> None:
    """To its folder, and to what it replaces: removing such a link leaves what it leads to."""
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    (elsewhere / "stages").mkdir(parents=True)
    run.symlink_to(elsewhere)
    (elsewhere / "kept").write_text("")
    (run / "stages" / "ground").symlink_to(elsewhere)
    (run / "model").symlink_to(elsewhere)
    with alone_in(run):
        remove(run / "model")
        remove(run / "stages" / "ground")
        remove(run / "stages" / "never")
    assert sorted(path.name for path in elsewhere.iterdir()) == [".lock", "kept", "stages"]
    assert run.is_symlink()
    remove(run / "stages")
    assert not (elsewhere / "stages").exists()


def test_a_damaged_file_is_told_of_with_what_it_caused(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"damaged \(KeyError: 'x'\); run the spec again"),
        reading_run(tmp_path),
    ):
        _ = {}["x"]
    with pytest.raises(UserError, match=r"^as it was$"), reading_run(tmp_path):
        raise UserError("as it was")


LINE = '{"user": "u", "target": "t", "rank": 1, "ties": 1}\n'


@pytest.mark.parametrize(
    ("metrics", "predictions", "told"),
    [
        ("[]", None, "expected an object with a table a stage, got a list"),
        ('{"e": {"mean_depth": 0}}', None, "no stage of this run holds predictions"),
        ('{"e": 3}', LINE, "missing or damaged"),
        ('{"e": {"mean_depth": "x"}}', LINE, "missing or damaged"),
        ('{"e": {"mean_depth": 0}}', "", "holds no predictions"),
        ('{"e": {"mean_depth": 0}}', '{"user": "u"', "missing or damaged"),
        ('{"e": {"mean_depth": 0}}', "[1]\n", "missing or damaged"),
    ],
)
def test_runs_with_damaged_results(tmp_path: Path, metrics: str, predictions: str | None, told: str) -> None:
    (tmp_path / "stages" / "e").mkdir(parents=True)
    (tmp_path / "metrics.json").write_text(metrics)
    if predictions is not None:
        (tmp_path / "stages" / "e" / "predictions.jsonl").write_text(predictions)
    (tmp_path / "spec.lock.yaml").write_text("name: x\nseed: 0\nstages: {e: {use: evaluate}}\n")
    with pytest.raises(UserError, match=told):
        compare([tmp_path, tmp_path], None)
    with pytest.raises(UserError):
        report([tmp_path])


@pytest.mark.parametrize(
    "lock", [None, "- 1\n", "name: x\n", "{name: x, seed: [1], stages: {e: {}}}\n", "name: x\nseed: 0\n"]
)
def test_runs_with_a_damaged_spec(tmp_path: Path, lock: str | None) -> None:
    (tmp_path / "stages" / "e").mkdir(parents=True)
    (tmp_path / "metrics.json").write_text('{"e": {"mean_depth": 0}}')
    (tmp_path / "stages" / "e" / "predictions.jsonl").write_text(LINE)
    if lock is not None:
        (tmp_path / "spec.lock.yaml").write_text(lock)
    with pytest.raises(UserError, match="missing or damaged"):
        compare([tmp_path, tmp_path], None)
