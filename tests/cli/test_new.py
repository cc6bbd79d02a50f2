"""`plugins new`: for every kind a package that installs, is listed, and passes its own tests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import api_version as api
from lasar_kit.catalogue.registry import KINDS
from tests.fresh import Fresh, wheel

Call = Callable[..., Any]
NAMES = "a name must be small letters, digits and '_', for a package as well"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new package of each kind, `my_<kind>`, as the command writes it."""
    from lasar_kit.scaffold import write_package

    folder = tmp_path_factory.mktemp("written")
    for kind in KINDS:
        write_package(kind, f"my_{kind}", folder / f"{kind}-project")
    return folder


@pytest.fixture(scope="module")
def installed(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """An environment with all of them."""
    folder = tmp_path_factory.mktemp("installed")
    fresh = Fresh(folder / "venv")
    fresh.install(*(wheel(written / f"{kind}-project", folder / "wheels") for kind in KINDS))
    return fresh


def test_every_kind_is_listed_with_options_of_its_own(installed: Fresh, tmp_path: Path) -> None:
    done = installed.run(["lasar-kit", "plugins", "list", "--json"], tmp_path)
    assert done.stderr == ""
    rows = {(row["kind"], row["name"]): row for row in json.loads(done.stdout)}
    schema = json.loads(installed.run(["lasar-kit", "schema"], tmp_path).stdout)
    for kind in KINDS:
        row = rows[kind, f"my_{kind}"]
        assert row["origin"] == f"my-{kind.replace('_', '-')}:my_{kind}"
        own = schema["$defs"][f"{kind}.my_{kind}"]["properties"].keys() - {"use", "from", "width"}
        assert len(own) >= 1


def test_they_pass_their_own_tests(installed: Fresh, written: Path) -> None:
    command = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
    done = installed.run(
        [*command, "--rootdir=.", "--config-file=/dev/null", *(f"{kind}-project/tests" for kind in KINDS)],
        written,
    )
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize(
    "command", ["check --select=E,F,I,B,UP,SIM,RUF,PT,W,C4 --ignore=F722,F821", "format --check"]
)
def test_they_are_tidy(written: Path, command: str) -> None:
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        *command.split(),
        "--isolated",
        "--no-cache",
        "--line-length=110",
        ".",
    ]
    for kind in KINDS:
        done = subprocess.run(
            ruff, cwd=written / f"{kind}-project", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_what_is_printed_and_written(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("plugins", "new", "aligner", "angle")
    assert (result.code, result.err) == (0, [])
    *files, following = result.out.splitlines()
    assert files == [
        "angle/README.md",
        "angle/angle/__init__.py",
        "angle/angle/aligner.py",
        "angle/angle/config.py",
        "angle/angle/registry.toml",
        "angle/pyproject.toml",
        "angle/tests/test_contract.py",
    ]
    assert following == "next: python -m pip install -e 'angle[test]' && python -m pytest angle"
    assert "class AngleAligner:" in (tmp_path / "angle/angle/aligner.py").read_text()
    assert "$" not in "".join((tmp_path / file).read_text() for file in files)
    wanted = f'api = ">={api.API},<{int(api.API[0]) + 1}"'
    assert wanted in (tmp_path / "angle/angle/registry.toml").read_text()
    shown = call("plugins", "show", "aligner", "angle", "--plugin", "angle")
    assert (shown.code, shown.err) == (0, [])
    assert "decay" in shown.out
    taken = call("plugins", "new", "aligner", "stepwise")
    assert (taken.code, taken.err) == (
        2,
        ["aligner 'stepwise' is there already; choose another name"],
    )
    assert not (tmp_path / "stepwise").exists()
    again = call("plugins", "new", "aligner", "angle")
    assert (again.code, again.err) == (
        2,
        ["angle: exists and is not empty; choose another folder by --output"],
    )
    assert call("plugins", "new", "aligner", "tilt", "--output", "there/other").code == 0
    assert (tmp_path / "there/other/tilt/aligner.py").is_file()


@pytest.mark.parametrize(
    ("kind", "name", "line"),
    [
        ("alinger", "mine", "unknown kind 'alinger'; did you mean 'aligner'?"),
        ("aligner", "json", "there is a package 'json' already; choose another name"),
        ("aligner", "lasar_kit", "there is a package 'lasar_kit' already; choose another name"),
        ("aligner", "My-Aligner", f"{NAMES} (got 'My-Aligner')"),
        ("aligner", "class", f"{NAMES} (got 'class')"),
        ("aligner", "../up", f"{NAMES} (got '../up')"),
    ],
)
def test_what_cannot_be_written(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("plugins", "new", kind, name)
    assert (result.code, result.out, result.err) == (2, "", [line])
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_left_alone(call: Call, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "empty").mkdir()
    assert call("plugins", "new", "reward", "early", "--output", tmp_path / "taken").code == 2
    assert (tmp_path / "taken").read_text() == "mine"
    assert call("plugins", "new", "reward", "early", "--output", tmp_path / "empty").code == 0
