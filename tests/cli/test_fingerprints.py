"""Which sources a component's fingerprint is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.catalogue.digests import Digests
from lasar_kit.catalogue.imports import Sources
from lasar_kit.spec import load_spec
from lasar_kit.store.fingerprints import stage_key
from tests.cli.conftest import BUILD

DEEP = """
[quantizer.mine]
summary = "A quantizer for tests."
config = "{package}.config:Config"
build = "{package}.parts.impl:Component"
"""


def write(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(f"NAME = {file!r}\n")


@pytest.fixture
def deep(write_plugin: Callable[..., Path]) -> Path:
    """A plugin whose component stands in a package within its package."""
    folder = write_plugin("deep", registry=DEEP)
    write(folder / "deep", "parts/__init__.py", "shared.py", "other/__init__.py", "other/more.py")
    (folder / "deep" / "parts" / "impl.py").write_text(f"from deep import shared\n{BUILD}")
    return folder


def code_of(file: Path, folder: Path | None = None) -> str:
    return Digests().of((), [file], folder)


def fingerprint(folder: Path) -> str:
    return Catalogue.discover([folder]).fingerprint("quantizer", "mine")


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("deep/parts/impl.py", True),
        ("deep/parts/__init__.py", True),
        ("deep/__init__.py", True),
        ("deep/shared.py", True),
        ("deep/other/more.py", True),
        ("beside.py", True),  # of the folder that the plugin is
        ("deep/notes.txt", False),
        (".hidden/x.py", False),
        ("venv/lib/x.py", False),
    ],
)
def test_all_of_a_plugin_counts(deep: Path, file: str, counts: bool) -> None:
    write(deep, "venv/pyvenv.cfg")
    before = fingerprint(deep)
    assert fingerprint(deep) == before
    path = deep / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((path.read_text() if path.is_file() else "") + "# edited\n")
    assert (fingerprint(deep) != before) is (counts and file == "beside.py")  # that is new
    path.write_text(path.read_text() + "EDITED = True\n")
    assert (fingerprint(deep) != before) is counts


def test_what_a_plugin_uses_of_the_kit_counts(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not so what its tests use: no stage runs that."""
    (deep / "deep" / "shared.py").write_text("def late():\n    from lasar_kit.core.kl import k3\n")
    (deep / "test_contract.py").write_text("from lasar_kit.testing import check_component\n")
    seen: list[str] = []
    closure = Sources.closure

    def closes(sources: Sources, modules: list[str]) -> dict[str, str]:
        found = closure(sources, modules)
        seen.extend(found)
        return found

    monkeypatch.setattr(Sources, "closure", closes)
    fingerprint(deep)
    assert seen == [
        "lasar_kit.core.kl",
        "lasar_kit.errors",
        "lasar_kit.spec.bases",
        "lasar_kit.spec.component",
        "lasar_kit.spec.held",
        "lasar_kit.spec.stage",
    ]


def test_the_same_plugin_elsewhere_is_the_same(deep: Path) -> None:
    before = code_of(deep / "deep" / "parts" / "impl.py", deep)
    moved = deep.rename(deep.parent / "moved")
    assert code_of(moved / "deep" / "parts" / "impl.py", moved) == before


def test_what_is_installed_counts_up_to_its_outermost_package(tmp_path: Path) -> None:
    """A folder without `__init__.py` above packages belongs to no one of them."""
    write(
        tmp_path, "a/__init__.py", "a/b/__init__.py", "a/b/impl.py", "a/c.py", "other/__init__.py", "alone.py"
    )
    write(
        tmp_path, "site-packages/single.py", "site-packages/foreign.py", "space/p/__init__.py", "space/q.py"
    )

    def after(file: str, edited: str) -> bool:
        before = code_of(tmp_path / file)
        (tmp_path / edited).write_text((tmp_path / edited).read_text() + "EDITED = True\n")
        return code_of(tmp_path / file) != before

    assert after("a/b/impl.py", "a/c.py")
    assert not after("a/b/impl.py", "other/__init__.py")
    assert not after("a/b/impl.py", "alone.py")
    assert not after("space/p/__init__.py", "space/q.py")
    assert after("alone.py", "alone.py")
    assert not after("site-packages/single.py", "site-packages/foreign.py")
    assert after("site-packages/single.py", "site-packages/single.py")


def test_a_renamed_source_is_another_one(tmp_path: Path) -> None:
    write(tmp_path, "a/__init__.py", "a/one.py", "a/two.py")
    before = code_of(tmp_path / "a" / "__init__.py")
    (tmp_path / "a" / "one.py").rename(tmp_path / "a" / "three.py")
    assert code_of(tmp_path / "a" / "__init__.py") != before


def test_files_deep_in_a_folder_that_a_spec_names_are_in_the_key(tmp_path: Path) -> None:
    """A pretrained model, say, with files in folders of its own."""
    folder = tmp_path / "texts"
    write(folder, "model.json", "inner/deeper/weights.bin")
    stages = "tokenize: tokenize, ground: sft, anchors: {use: anchors, teacher: {use: hf, model: texts}}"
    (tmp_path / "s.yaml").write_text(f"stages: {{{stages}}}\n")
    catalogue = Catalogue.discover()

    def key() -> str:
        loaded = load_spec(tmp_path / "s.yaml", (), catalogue)
        return stage_key(loaded.plan[-1], loaded.spec, {}, catalogue)

    before = key()
    assert key() == before
    write(folder, "inner/deeper/more.bin")
    second = key()
    (folder / "inner" / "deeper" / "weights.bin").write_text("others")
    third = key()
    (folder / "inner").rename(folder / "inside")  # in the same order
    assert len({before, second, third, key()}) == 4
