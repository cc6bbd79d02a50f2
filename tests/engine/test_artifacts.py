"""Artifacts are whole or not there, and found by their key."""

import json
from pathlib import Path

import pytest

from lasar_kit.engine.artifacts import MANIFEST, Artifact, ArtifactStore, key_of, write_json, write_text


def made(store: ArtifactStore, name: str, key: str, text: str = "x") -> Artifact:
    with store.writing(name) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "a.txt").write_text(text)
        return store.finish(folder, name, "thing", key, {"n": 1}, 1.0)


def test_an_artifact_is_found_by_its_key_here_and_beside(tmp_path: Path) -> None:
    here, beside = ArtifactStore(tmp_path / "one"), ArtifactStore(tmp_path / "two")
    artifact = made(here, "stage", "k1")
    assert here.find("stage", "k1") == artifact
    assert here.find("stage", "k2") is None
    found = beside.find("other", "k1")
    assert found is not None
    adopted = beside.adopt("other", found)
    assert adopted.path == tmp_path / "two" / "stages" / "other"
    assert (adopted.path / "inner" / "a.txt").read_text() == "x"
    assert adopted.report == {"n": 1}


def test_a_stage_that_fails_leaves_nothing_and_keeps_the_one_before(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "run")
    made(store, "stage", "k1", "old")

    def fail() -> None:
        with store.writing("stage") as folder:
            (folder / "half.txt").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in store.folder.iterdir()] == ["stage"]
    assert store.find("stage", "k1") is not None


def test_what_a_kill_leaves_behind_is_no_artifact(tmp_path: Path) -> None:
    """A folder without its manifest, or with a truncated file or a broken manifest, is not taken for one."""
    store = ArtifactStore(tmp_path / "run")
    artifact = made(store, "stage", "k1", "longer text")
    manifest = (artifact.path / MANIFEST).read_text()
    (artifact.path / "inner" / "a.txt").write_text("short")
    assert store.find("stage", "k1") is None
    (artifact.path / "inner" / "a.txt").write_text("longer text")
    assert store.find("stage", "k1") is not None
    (artifact.path / MANIFEST).write_text(manifest[: len(manifest) // 2])
    assert store.find("stage", "k1") is None
    (artifact.path / MANIFEST).write_text(json.dumps([1]))
    assert store.find("stage", "k1") is None
    (artifact.path / MANIFEST).unlink()
    assert store.find("stage", "k1") is None
    assert made(store, "stage", "k1").path == artifact.path


def test_an_adopted_artifact_outlives_its_source(tmp_path: Path) -> None:
    here, beside = ArtifactStore(tmp_path / "one"), ArtifactStore(tmp_path / "two")
    adopted = beside.adopt("stage", made(here, "stage", "k1", "old"))
    made(here, "stage", "k2", "new")
    assert (adopted.path / "inner" / "a.txt").read_text() == "old"


def test_keys_change_with_every_part() -> None:
    assert key_of("a", {"x": 1, "y": 2}) == key_of("a", {"y": 2, "x": 1})
    assert len({key_of("a"), key_of("b"), key_of("a", "b"), key_of(["a"]), key_of({"a": None})}) == 5


def test_text_is_replaced_in_one_step(tmp_path: Path) -> None:
    write_text(tmp_path / "f.txt", "one")
    write_text(tmp_path / "f.txt", "zwei – drei")
    assert (tmp_path / "f.txt").read_text(encoding="utf-8") == "zwei – drei"
    assert [path.name for path in tmp_path.iterdir()] == ["f.txt"]


def test_what_a_kill_left_of_a_file_or_of_finished_work_goes(tmp_path: Path) -> None:
    """A file that was being replaced; a stage that was in its place when its work folder was not yet gone."""
    (tmp_path / ".metrics.json.partial").write_text("{")
    write_json(tmp_path / "metrics.json", {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
    store = ArtifactStore(tmp_path / "run")
    with store.writing("a") as folder:
        artifact = store.finish(folder, "a", "x", "key", {}, 0)
    store.work("a", "key").mkdir(parents=True)
    assert store.adopt("a", artifact) == artifact
    assert [path.name for path in store.folder.iterdir()] == ["a"]
