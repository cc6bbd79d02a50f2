"""The reference pages: current, complete, and raised in version when what they describe changes."""

from __future__ import annotations

import ast
import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from docs import generate
from lasar_kit import hookspecs
from lasar_kit.catalogue import api_version as api
from lasar_kit.catalogue.registry import KINDS
from lasar_kit.core import values
from lasar_kit.core.interfaces import INTERFACES

SOURCES = [part for page in generate.CONTENTS.values() for part in generate.modules(page)]


def test_the_pages_are_current() -> None:
    stale = [path.name for path, text in generate.pages().items() if path.read_text() != text]
    assert stale == [], "run: python docs/generate.py"


@pytest.mark.parametrize(("path", "module", "only"), SOURCES, ids=[path for path, _, _ in SOURCES])
def test_everything_public_is_documented(path: str, module: ast.Module, only: tuple[str, ...]) -> None:
    assert list(generate.undocumented(module, only)) == []


def test_every_hook_interface_and_value_has_a_section() -> None:
    """Found by running the code, where the pages are made by reading it."""
    hooks = [name for name in vars(hookspecs) if hasattr(getattr(hookspecs, name), "lasar_kit_spec")]
    kinds = [interface.__name__ for interface in INTERFACES.values()]
    own = {
        name: value
        for name, value in vars(values).items()
        if getattr(value, "__module__", "") == values.__name__
    }
    passed = [name for name, value in own.items() if dataclasses.is_dataclass(value)]
    assert set(INTERFACES) == set(KINDS) - {"stage", "hook"}
    for page, names in {"hooks.md": hooks, "interfaces.md": [*kinds, "Stage"], "values.md": passed}.items():
        text = (generate.PAGES / page).read_text()
        assert len(names) >= 7
        for name in names:
            assert f"\n## {name}\n" in text


def test_every_public_method_of_an_interface_stands_in_its_section() -> None:
    text = (generate.PAGES / "interfaces.md").read_text()
    for interface in INTERFACES.values():
        section = text.split(f"\n## {interface.__name__}\n")[1].split("\n## ")[0]
        for name in (*vars(interface), *interface.__annotations__):
            if name[0] != "_":
                assert f"{name}(" in section or f"\n{name}: " in section, f"{interface.__name__}.{name}"


SAMPLE = '''
class Thing(Protocol):
    """A thing."""

    size: int
    """Its size."""

    def turn(self, by: int = 1) -> None:
        """Turn it."""


@hookspec
def happened(run: Any) -> None:
    """It happened."""


class _Private:
    pass
'''


@pytest.mark.parametrize(
    ("removed", "found"),
    [
        ('    """A thing."""\n', ["Thing"]),
        ('    """Its size."""\n', ["Thing.size: int"]),
        ('        """Turn it."""\n', ["Thing.turn"]),
        ('    """It happened."""', ["happened"]),
        ("", []),
    ],
)
def test_what_has_no_words_is_found(removed: str, found: list[str]) -> None:
    indent = removed[: len(removed) - len(removed.lstrip())]
    kept = SAMPLE.replace(removed, f"{indent}pass\n") if removed else SAMPLE
    assert list(generate.undocumented(ast.parse(kept))) == found


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ("by: int = 1", "by: int = 2", True),
        ("by: int = 1", "by: float = 1", True),
        ("size: int", "size: int | None", True),
        ("def turn", "def turn_it", True),
        ("run: Any", "run: Any, stage: Any", True),
        ("-> None:\n        ", "-> int:\n        ", True),
        ("Turn it.", "Turn it around.", False),
        ("_Private", "_Hidden", False),
    ],
)
def test_what_the_api_looks_like(old: str, new: str, differs: bool) -> None:
    assert old in SAMPLE
    before, after = (list(generate.surface(ast.parse(text))) for text in (SAMPLE, SAMPLE.replace(old, new)))
    assert (before != after) == differs


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The script, writing into another folder."""
    module: ModuleType = importlib.reload(generate)
    monkeypatch.setattr(module, "PAGES", tmp_path / "reference")
    monkeypatch.setattr(module, "SCHEMA", tmp_path / "schemas" / "schema.json")
    monkeypatch.setattr(module, "modules", lambda page: SOURCES[:1])

    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["generate.py", *arguments])
        return int(module.main())

    return run


def test_a_changed_api_asks_for_a_new_version(
    elsewhere: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert elsewhere("--check") == 1
    assert "hooks.md: stale" in capsys.readouterr().out
    assert elsewhere() == 0
    assert elsewhere("--check") == 0
    monkeypatch.setattr(generate, "modules", lambda page: SOURCES[1:2])
    assert elsewhere("--check") == 1
    assert elsewhere() == 1
    assert f"the API is not what it was at {api.API}" in capsys.readouterr().out
    assert elsewhere("--check") == 1
    assert elsewhere("--same-version") == 0
    assert elsewhere("--check") == 0
    monkeypatch.setattr(generate, "modules", lambda page: SOURCES[2:3])
    monkeypatch.setattr(api, "API", "1.1")
    assert elsewhere() == 0
