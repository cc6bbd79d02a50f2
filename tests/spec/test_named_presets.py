"""Presets: named in specs and on the command line, listed, copied, and in the wheel."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.spec import load_spec, presets
from tests.cli.conftest import Result, call
from tests.fresh import wheel

__all__ = ["call"]
ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = ROOT / "tutorials"


def test_their_names_are_those_of_the_tutorials() -> None:
    names = presets.presets()
    assert {"quickstart", "depth_probe", "beauty/lasar", "baselines/sasrec"} <= names.keys()
    assert names["beauty/lasar"] == TUTORIALS / "beauty" / "lasar.yaml"
    assert presets.preset("lasar") == presets.preset("beauty/lasar") == names["beauty/lasar"]
    assert all(presets.about(path) for path in names.values()), "each begins with what it is"


def test_a_spec_extends_one_and_mistakes_in_both_are_placed(tmp_path: Path) -> None:
    file, catalogue = tmp_path / "mine.yaml", Catalogue.discover()
    file.write_text("extends: preset:quickstart\nstages: {ground: {epochs: 3}}\n")
    loaded = load_spec(file, (), catalogue)
    base = load_spec(TUTORIALS / "quickstart.yaml", (), catalogue)
    assert loaded.spec.name == "mine"
    assert loaded.spec.stages["ground"].epochs == 3  # type: ignore[attr-defined]
    assert loaded.spec.stages["reason"] == base.spec.stages["reason"]
    assert loaded.where("backbone", "hidden_size").startswith("preset:quickstart:")
    assert load_spec(Path("preset:quickstart"), (), catalogue).spec == base.spec


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "quickstrat",
            r"mine.yaml:1: extends: preset:quickstrat: no such .* did you mean 'quickstart'\?",
        ),
        ("zzz", "mine.yaml:1: extends: preset:zzz: no such preset; see: lasar-kit presets list"),
    ],
)
def test_one_that_is_not_there_is_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(f"extends: preset:{name}\n")
    with pytest.raises(UserError, match=message):
        load_spec(tmp_path / "mine.yaml", (), Catalogue.discover())


def test_a_last_part_that_two_have_must_be_written_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presets, "folder", lambda: tmp_path)
    for folder in ("a", "b", "plugins"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.yaml").write_text("# Both.\n")
    assert list(presets.presets()) == ["a/same", "b/same"]
    with pytest.raises(UserError, match="preset:same: could be a/same or b/same; write it out"):
        presets.preset("same")


def test_a_preset_does_not_extend_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "folder", lambda: tmp_path)
    (tmp_path / "round.yaml").write_text("extends: preset:round\n")
    with pytest.raises(UserError, match="goes round in a circle"):
        load_spec(Path("preset:round"), (), Catalogue.discover())


def test_a_copy_is_the_same_run_anywhere(tmp_path: Path) -> None:
    """But for its name, and for relative paths, which start at it."""
    catalogue = Catalogue.discover()
    for name, path in presets.presets().items():
        copy = tmp_path / path.name
        copy.write_text(presets.copied(path), encoding="utf-8")
        specs = [load_spec(file, (), catalogue).spec for file in (copy, path)]
        kept, original = (
            spec.model_dump_json().replace(str(folder), "")
            for spec, folder in zip(specs, (tmp_path, path.parent), strict=True)
        )
        parents = [path.parent.as_posix(), path.parent.parent.as_posix()]
        for parent in parents:  # of paths that a base brought along
            kept, original = kept.replace(parent, ""), original.replace(parent, "")
        assert kept == original, name


def test_the_commands(call: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(call)
    monkeypatch.chdir(tmp_path)
    listed: Result = call("presets", "list")
    assert "baselines/sasrec" in listed.out
    assert call("presets", "copy", "sasrec").out.strip() == "sasrec.yaml"
    assert "extends: preset:baselines/base" in (tmp_path / "sasrec.yaml").read_text()
    again: Result = call("presets", "copy", "sasrec")
    assert (again.code, again.err) == (2, ["sasrec.yaml: is there already; give --output"])
    assert call("check", "sasrec.yaml").code == 0
    assert call("check", "preset:sasrec").code == 0


def test_the_wheel_holds_them(tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel(ROOT, tmp_path)) as packed:
        names = set(packed.namelist())
    assert {f"lasar_kit/presets/{name}.yaml" for name in presets.presets()} <= names
    assert "lasar_kit/report/html/page.html.j2" in names
    assert "lasar_kit/report/published.toml" in names
