"""A plugin that lives in one file: found, checked, keyed by its code, and told in one line what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.catalogue.raised import plugins_told
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError

from .conftest import Result

SOUND = '''\
from __future__ import annotations

from pydantic import Field

from lasar_kit.core.values import Env
from lasar_kit.spec import ComponentConfig, declare
{more}

class HalvesConfig(ComponentConfig):
    """Cuts."""

    at: str = Field(";", min_length=1, description="Where to cut.")


@declare("segmenter", "halves_of_file", HalvesConfig, paper="Scissors")
class Halves:
    """Cuts a text at a sign."""

    def __init__(self, config: HalvesConfig, env: Env) -> None:
        self.at = config.at

    def segment(self, text: str) -> list[str]:
        parts = [part.strip() for part in text.split(self.at)]
        return [part for part in parts if part] or [text.strip()] * bool(text.strip())
'''
HOOK = '''
from lasar_kit.hookspecs import hookimpl

@hookimpl
def lasar_run_start(run):
    """Nothing."""
'''


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Write a one-file plugin; the module that it becomes is forgotten afterwards."""
    known = set(sys.modules)

    def make(text: str = SOUND, name: str = "halves_file.py", more: str = "") -> Path:
        path = tmp_path / name
        path.write_text(text.replace("{more}", more))
        return path

    yield make
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_it_is_listed_shown_and_checked(write: Callable[..., Path], call: Callable[..., Result]) -> None:
    path = write()
    listed = call("plugins", "list", "segmenter", "--plugin", path)
    assert "halves_of_file" in listed.out
    assert "Cuts a text at a sign." in listed.out
    shown = call("plugins", "show", "segmenter", "halves_of_file", "--plugin", path)
    assert "build: halves_file:Halves" in shown.out
    checked = call("plugins", "check", "segmenter", "halves_of_file", "--plugin", path, "--set", "at=.")
    assert checked.code == 0, checked.out
    refused = call("plugins", "check", "segmenter", "halves_of_file", "--plugin", path, "--set", "att=.")
    assert (refused.code, len(refused.err)) == (2, 1)
    assert "did you mean 'at'?" in refused.err[0]


def test_a_run_tells_whose_mistake_it_was(write: Callable[..., Path]) -> None:
    """In a line behind the traceback; the mistake is in a helper, which has no component of its own."""
    cut = "[part.strip() for part in text.split(self.at)]"
    path = write(
        SOUND.replace(cut, "_cut(text)") + "\n\ndef _cut(text: str) -> list[str]:\n    return text.parts()\n"
    )
    catalogue = Catalogue.discover([path])
    config = catalogue.config_class("segmenter", "halves_of_file").model_validate({"use": "halves_of_file"})
    segmenter = catalogue.build("segmenter", config, Env())
    with pytest.raises(AttributeError) as caught, plugins_told(catalogue):
        segmenter.segment("a; b")
    (note,) = caught.value.__notes__
    command = f"lasar-kit plugins check segmenter halves_of_file --plugin {path}"
    assert note.startswith(f"raised in segmenter 'halves_of_file' of {path}; '{command}' ")
    with pytest.raises(AttributeError) as caught, plugins_told(catalogue):
        "".segment  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(caught.value, "__notes__")


def test_its_key_is_its_code_alone(write: Callable[..., Path]) -> None:
    path = write()

    def key() -> str:
        return Catalogue.discover([path]).fingerprint("segmenter", "halves_of_file")

    before = key()
    (path.parent / "beside.py").write_text("x = 1\n")
    (path.parent / "registry.txt").write_text("x\n")
    assert key() == before
    path.write_text(path.read_text().replace('";"', '"|"'))
    assert key() != before


def test_an_edited_file_is_read_anew(write: Callable[..., Path]) -> None:
    path = write()
    Catalogue.discover([path])
    path.write_text(path.read_text().replace('";"', '"|"'))
    config = Catalogue.discover([path]).config_class("segmenter", "halves_of_file")
    assert config(use="halves_of_file").model_dump()["at"] == "|"


def test_its_hooks_are_loaded_and_keyed(write: Callable[..., Path]) -> None:
    path = write(more=HOOK)
    catalogue = Catalogue.discover([path])
    catalogue.load_hooks()
    [found] = catalogue.hook_code("lasar_run_start")
    assert found.startswith("halves_file:lasar_run_start ")
    (path.parent / "beside.py").write_text("x = 1\n")
    assert catalogue.hook_code("lasar_run_start") == [found]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\n", "declares no component; put @declare(KIND, NAME, CONFIG)"),
        ("x = (\n", ":1: cannot be imported: SyntaxError: '(' was never closed"),
        (
            "\nimport nowhere_to_be_found\n",
            ":2: cannot be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
        (SOUND.replace('"segmenter"', '"segmentor"'), "unknown kind 'segmentor'; did you mean 'segmenter'?"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    write: Callable[..., Path], call: Callable[..., Result], text: str, told: str
) -> None:
    path = write(text)
    done = call("plugins", "list", "--plugin", path)
    assert (done.code, len(done.err)) == (2, 1)
    assert done.err[0].startswith(f"--plugin {path}")
    assert told in done.err[0]


def test_a_file_named_as_another_module_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="another module is called 'json'; rename the file"):
        Catalogue.discover([write(name="json.py")])
    with pytest.raises(UserError, match="'my-loop' is no name of a module; rename the file"):
        Catalogue.discover([write(name="my-loop.py")])


def test_one_for_another_api_is_refused_when_used(write: Callable[..., Path]) -> None:
    catalogue = Catalogue.discover([write(more='LASAR_API = ">=7,<8"')])
    with pytest.raises(UserError, match="written for API >=7,<8"):
        catalogue.get("segmenter", "halves_of_file")


def test_a_path_that_is_neither(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a folder with a registry\.toml, nor a Python file"):
        Catalogue.discover([tmp_path / "absent.py"])
