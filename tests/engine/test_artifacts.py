"""Artifacts are whole or not there, and found by their key."""

import json
from pathlib import Path

import pytest

from lasar_kit.store import artifacts
from lasar_kit.store.artifacts import MANIFEST, Artifact, ArtifactStore, key_of, write_json, write_text


def made(store: ArtifactStore, name: str, key: str, text: str = "x") -> Artifact:
    with store.writing(name) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "a.txt").write_text(text)
        return store.finish(folder, name, "thing", key, {"n": 1}, 1.0)


def taken(store: ArtifactStore, name: str, key: str) -> tuple[Artifact, Path]:
    found = store.adopt(name, key)
    assert found is not None
    return found


def test_an_artifact_is_found_by_its_key_here_and_beside(tmp_path: Path) -> None:
    here, beside = ArtifactStore(tmp_path / "one"), ArtifactStore(tmp_path / "two")
    artifact = made(here, "stage", "k1")
    assert here.find("stage", "k1") == artifact
    assert here.find("stage", "k2") is None
    found = beside.find("other", "k1")
    assert found is not None
    assert beside.adopt("other", "k2") is None
    adopted, origin = taken(beside, "other", "k1")
    assert origin == found.path == artifact.path
    assert adopted.path == tmp_path / "two" / "stages" / "other"
    assert (adopted.path / "inner" / "a.txt").read_text() == "x"
    assert adopted.report == {"n": 1}


def test_a_stage_keeps_its_own_of_several_with_one_key(tmp_path: Path) -> None:
    for run, name in (("a", "x"), ("b", "w"), ("b", "x")):
        made(ArtifactStore(tmp_path / run), name, "k")
    store = ArtifactStore(tmp_path / "b")
    assert taken(store, "x", "k")[1] == tmp_path / "b" / "stages" / "x"
    assert taken(store, "y", "k")[1].is_relative_to(store.folder)


def test_checkpoints_go_when_the_artifact_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(tmp_path / "run")
    work = store.work("stage", "k1")
    work.mkdir(parents=True)
    synced: set[str] = set()

    def record(path: Path) -> None:
        assert work.is_dir()
        synced.add(path.name)

    monkeypatch.setattr(artifacts, "sync", record)
    made(store, "stage", "k1")
    assert synced == {".stage.partial", "inner", "a.txt", MANIFEST}
    assert not work.exists()


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
    made(here, "stage", "k1", "old")
    adopted, _ = taken(beside, "stage", "k1")
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
    assert store.adopt("a", "key") == (artifact, artifact.path)
    assert [path.name for path in store.folder.iterdir()] == ["a"]


def test_an_artifact_whose_bytes_changed_is_told_of_and_not_taken(tmp_path: Path) -> None:
    """Sizes as they were; also one without the hashes, which an earlier version wrote."""
    told: list[str] = []
    here, beside = ArtifactStore(tmp_path / "one"), ArtifactStore(tmp_path / "two", told.append)
    path = made(here, "a", "k1", "text").path
    (path / "inner" / "a.txt").write_text("next")
    assert beside.find("a", "k1") is None
    assert beside.adopt("a", "k1") is None
    assert not (tmp_path / "two" / "stages" / "a").exists()
    assert told == [f"{path} is damaged: inner/a.txt is not what was written; it is not reused"] * 2
    (path / "inner" / "a.txt").write_text("text")
    assert beside.find("a", "k1") is not None
    manifest = json.loads((path / MANIFEST).read_text())
    del manifest["sha256"]
    (path / MANIFEST).write_text(json.dumps(manifest))
    assert beside.adopt("a", "k1") is None
    assert told[2:] == [
        f"{path} is damaged: {MANIFEST} cannot be read, or not what it names; it is not reused"
    ]


@pytest.mark.parametrize("how", ["replaced", "gone", "half gone"])
def test_an_artifact_that_another_run_replaces_while_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The next one with the key is taken."""
    one, two = ArtifactStore(tmp_path / "a"), ArtifactStore(tmp_path / "b")
    made(one, "stage", "k", "first")
    made(two, "stage", "k", "first")
    copy_tree, copied = artifacts.copy_tree, []

    def races(source: Path, target: Path) -> None:
        copied.append(source.parents[1].name)
        if len(copied) == 1:
            if how == "replaced":
                made(one, "stage", "other", "second")
            else:
                (source / "inner" / "a.txt").unlink()
                (source / MANIFEST).unlink() if how == "gone" else None
                if how == "half gone":
                    raise FileNotFoundError
        copy_tree(source, target)

    monkeypatch.setattr(artifacts, "copy_tree", races)
    own, origin = taken(ArtifactStore(tmp_path / "c"), "stage", "k")
    assert copied == ["a", "b"]
    assert (origin, (own.path / "inner" / "a.txt").read_text()) == (
        tmp_path / "b" / "stages" / "stage",
        "first",
    )
    assert [path.name for path in own.path.parent.iterdir()] == ["stage"]


def test_what_a_later_stage_wants_is_put_aside_until_the_run_is_done(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "run")
    made(store, "a", "k1", "one")
    store.wanted = frozenset({"k1"})
    made(store, "a", "k2", "two")
    store.wanted = frozenset()
    made(store, "a", "k3", "three")
    assert store.find("b", "k2") is None
    assert taken(store, "b", "k1")[0].path == store.folder / "b"
    again = ArtifactStore(tmp_path / "run")  # after a kill
    (store.folder / "b" / MANIFEST).unlink()
    assert again.find("b", "k1") is not None
    again.tidy()
    assert sorted(path.name for path in store.folder.iterdir()) == ["a", "b"]


def test_the_runs_beside_are_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        made(ArtifactStore(tmp_path / name), "stage", name)
    read: list[Path] = []
    read_json = artifacts.read_json
    monkeypatch.setattr(artifacts, "read_json", lambda path: read.append(path) or read_json(path))
    store = ArtifactStore(tmp_path / "d")
    assert [store.find("stage", key) for key in ("x", "y", "z")] == [None] * 3
    assert len(read) == 3
