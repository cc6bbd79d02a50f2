"""Files that a run reads are told by what they hold, and large ones are read once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.run import runner
from lasar_kit.run.dry_run import dry_run
from lasar_kit.spec import load_spec
from lasar_kit.store import contents
from lasar_kit.store.artifacts import sha256
from lasar_kit.store.contents import FILES, Contents

ROWS = "".join(f"u{user},i{(user + step) % 7},{step}\n" for user in range(9) for step in range(4))
TOKENIZE = "tokenize: {use: tokenize, text_encoder: cooccurrence, quantizer: {use: rq_kmeans, codes: 8}}"
SPEC = f"""
dataset: {{use: csv, interactions: data/ratings.csv}}
stages: {{{TOKENIZE}, ground: sft, anchors: {{use: anchors, teacher: {{use: hf, model: data/model}}}}}}
"""
STAGES = ("dataset", "tokenize", "ground", "anchors")
RATINGS, WEIGHTS = "data/ratings.csv", "data/model/weights.safetensors"
Read = list[str]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A spec, with data and a model beside it."""
    place = tmp_path / "place"
    (place / WEIGHTS).parent.mkdir(parents=True)
    (place / RATINGS).write_text("user,item,time\n" + ROWS)
    (place / WEIGHTS).write_text("weights")
    (place / "s.yaml").write_text(SPEC)
    return place


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Names of the files that were read, of whatever size, as by a process that has just begun."""
    names: Read = []

    def reads(path: Path) -> str:
        names.append(path.name)
        return sha256(path)

    monkeypatch.setattr(contents, "sha256", reads)
    monkeypatch.setattr(contents, "LARGE", 0)
    monkeypatch.setattr(Contents, "_seen", {})
    return names


def keys(place: Path, digest: Callable[[Path], str] = sha256) -> dict[str, str]:
    catalogue = Catalogue.discover()
    loaded = load_spec(place / "s.yaml", (), catalogue)
    return {step.stage.name: step.key for step in runner.steps_of(loaded, catalogue, digest)}


def renewed(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    return tuple(name for name in before if after[name] != before[name])


def test_the_same_bytes_have_the_same_key_wherever_and_whenever_they_were_written(place: Path) -> None:
    before = keys(place)
    assert tuple(before) == STAGES
    for name in (RATINGS, WEIGHTS):
        os.utime(place / name, (1, 1))
    assert keys(place) == before
    assert keys(Path(shutil.copytree(place, place.with_name("clone"), copy_function=shutil.copy))) == before


def test_a_backbone_stays_where_its_checkpoints_look_for_it(place: Path) -> None:
    """They name it: adapters are read onto what lies there."""
    (place / "s.yaml").write_text(SPEC + "backbone: {use: hf_causal, pretrained: data/model}\n")
    before = keys(place)
    clone = Path(shutil.copytree(place, place.with_name("clone")))
    assert renewed(before, keys(clone)) == ("ground", "anchors")


@pytest.mark.parametrize(("file", "anew"), [(RATINGS, STAGES), (WEIGHTS, STAGES[-1:])])
def test_a_byte_that_changed_begins_anew_though_size_and_time_are_as_they_were(
    place: Path, read: Read, file: str, anew: tuple[str, ...]
) -> None:
    """Also where the digest is remembered: the system's own time of change cannot be set back."""
    before, stat = keys(place, Contents(place / "run").of), (place / file).stat()
    held = (place / file).read_bytes()
    (place / file).write_bytes(bytes([held[0] ^ 1]) + held[1:])
    os.utime(place / file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (place / file).stat().st_mtime_ns == stat.st_mtime_ns
    assert renewed(before, keys(place, Contents(place / "run").of)) == anew
    assert renewed(before, keys(place)) == anew


def test_names_in_a_folder_count_and_what_is_hidden_there_does_not(place: Path) -> None:
    before = keys(place)
    hidden = place / "data" / "model" / ".git" / "index"
    hidden.parent.mkdir()
    hidden.write_text("times of a clone")
    assert keys(place) == before
    (place / WEIGHTS).rename((place / WEIGHTS).with_name("others.safetensors"))
    assert renewed(before, keys(place)) == ("anchors",)


def test_a_large_file_is_read_once(place: Path, read: Read) -> None:
    """By one process for all stages, by no later one, nor by a run beside it, until somebody touches it."""
    first = Contents(place / "runs" / "first")
    (place / "runs" / "first").mkdir(parents=True)
    known = keys(place, first.of)
    assert sorted(read) == ["ratings.csv", "weights.safetensors"]
    first.save()
    for run in ("first", "second"):
        Contents._seen.clear()
        assert keys(place, Contents(place / "runs" / run).of) == known
    assert len(read) == 2
    os.utime(place / WEIGHTS, (1, 1))
    assert keys(place, Contents(place / "runs" / "second").of) == known
    assert read[2:] == ["weights.safetensors"]


@pytest.mark.parametrize("table", ["", "[[1]]", "{}", "[3]", '[["/x", 1, "2"], [null]]'])
def test_a_damaged_table_is_as_none(place: Path, read: Read, table: str) -> None:
    (place / "run").mkdir()
    (place / "run" / FILES).write_text(table)
    asked = Contents(place / "run")
    assert asked.of(place / WEIGHTS) == sha256(place / WEIGHTS)
    asked.save()
    Contents._seen.clear()
    assert Contents(place / "run").of(place / WEIGHTS) == sha256(place / WEIGHTS)
    assert len(read) == 1


def test_a_run_remembers_and_a_dry_run_writes_nothing(place: Path, read: Read) -> None:
    (place / "s.yaml").write_text(f"dataset: {{use: csv, interactions: {RATINGS}}}\nstages: {{{TOKENIZE}}}")
    catalogue = Catalogue.discover()
    loaded = load_spec(place / "s.yaml", (), catalogue)
    dry_run(loaded, catalogue, place / "run", True)
    assert not (place / "run").exists()
    runner.run_spec(loaded, catalogue, place / "run", True, tables=False)
    assert str(place / RATINGS) in (place / "run" / FILES).read_text()
    Contents._seen.clear()
    read.clear()
    dry_run(loaded, catalogue, place / "run", True)
    assert not read


def test_what_takes_long_is_told(place: Path, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "SLOW", 0)
    told: list[str] = []
    for _ in range(2):
        Contents(place / "run", told.append).of(place / WEIGHTS)
    assert told == [f"reading {place / WEIGHTS} (0.0 GB), to tell whether it is what it was"]


def test_a_file_that_cannot_be_read_is_one_line(place: Path) -> None:
    with pytest.raises(UserError, match=r"place/data: cannot be read: Is a directory$"):
        Contents(place / "run").of(place / "data")
