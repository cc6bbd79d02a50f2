"""The decorator, the command and the pytest option, on plugins of a folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.cli.main import main
from lasar_kit.errors import UserError
from lasar_kit.testing import check_component, checks_for, parametrize_with_checks
from lasar_kit.testing.checks import CONTRACTS
from lasar_kit.testing.runner import subject_of
from tests.modules import Start

REGISTRY = """\
[aligner.{name}]
summary = "An aligner for tests."
config = "{package}.parts:Config"
build = "{package}.parts:Mine"
"""
PARTS = """\
from pydantic import Field
from lasar_kit.spec import ComponentConfig
from lasar_kit.testing.tiny import TinyAligner

class Config(ComponentConfig):
    shift: float = Field(0.0, ge=0, description="Added to each loss.")

class Mine(TinyAligner):
    {declared}

    def __init__(self, config, env):
        self.shift = config.shift

    def loss(self, trace, anchors):
        both = trace.mask.any(-1) & anchors.mask.any(-1)
        return super().loss(trace, anchors) + self.shift * both
"""
REASON = "it never quite vanishes"


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", list(sys.path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("sound"), "sound_plugin", "shifted")


def write(path: Path, package: str, name: str, declared: str = "") -> Path:
    (path / package).mkdir(parents=True)
    (path / "registry.toml").write_text(REGISTRY.format(package=package, name=name))
    (path / package / "__init__.py").touch()
    (path / package / "parts.py").write_text(PARTS.format(declared=declared or "pass"))
    return path


ENTRIES = [(one.kind, one.name) for one in Catalogue.discover().entries() if one.kind in CONTRACTS]


def call(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_the_command_tells_what_passed_and_what_failed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("plugins", "check", "aligner", "shifted", "--plugin", folder) == 0
    sound = capsys.readouterr().out.splitlines()
    assert sound[-1] == "aligner shifted: 20 of 20 checks as they should be"
    assert all(line.startswith("passed") for line in sound[:-1])
    assert call("plugins", "check", "aligner", "shifted", "--plugin", folder, "--set", "shift=0.5") == 1
    broken = capsys.readouterr().out.splitlines()
    assert broken[-1] == "aligner shifted: 19 of 20 checks as they should be"
    place = next(number for number, line in enumerate(broken) if line.startswith("FAILED"))
    assert broken[place].split()[1] == "zero_on_identity"
    assert broken[place + 1].strip().startswith("the loss is 0.5 instead of 0 at [0, 0] [depth=[[1]]")
    assert broken[place + 2].strip().startswith("Compare thought t with segment t")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["aligner", "shiftd"], "unknown aligner 'shiftd'; did you mean 'shifted'?"),
        (["aligner", "shifted", "--set", "shift=-1"], "aligner shifted: shift: must be >= 0 (got -1)"),
        (["aligner", "shifted", "--set", "shif=1"], "aligner shifted: shif: unknown option of"),
        (["aligner", "shifted", "--set", "shift"], "--set shift: must read key.key=value"),
        (["alinger", "shifted"], "no checks for kind 'alinger'; did you mean 'aligner'?"),
        (["stage", "sft"], "no checks for kind 'stage'; did you mean"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert call("plugins", "check", *arguments, "--plugin", folder) == 2
    (found,) = capsys.readouterr().err.splitlines()
    assert found.startswith(line.removesuffix("did you mean"))


def test_a_component_may_declare_what_it_breaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declared = f"contract_exceptions = {{'zero_on_identity': '{REASON}'}}"
    folder = write(tmp_path, "frank_plugin", "frank", declared)
    assert call("plugins", "check", "aligner", "frank", "--plugin", folder, "--set", "shift=0.5") == 0
    out = capsys.readouterr().out
    assert "expected zero_on_identity" in out
    assert f"as declared: {REASON}" in out
    assert call("plugins", "check", "aligner", "frank", "--plugin", folder) == 1
    assert f"passed, but is declared to fail: {REASON}" in " ".join(capsys.readouterr().out.split())


PYTEST = ("-p", "lasar_kit.testing.pytest_plugin", "-p", "no:cacheprovider", "-q", "-rxf")


@pytest.fixture
def pytest_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs pytest in a folder of its own, within this process: exit code and output."""

    def run(folder: Path, *arguments: str, tests: str = "") -> tuple[int, str]:
        (folder / "pytest.ini").write_text("[pytest]\n")
        if tests:
            (folder / "test_mine.py").write_text(tests)
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr("sys.dont_write_bytecode", True)  # or the next test_mine.py is taken for this one
            patch.delitem(sys.modules, "test_mine", raising=False)
            code = pytest.main([*PYTEST, *arguments])
        captured = capsys.readouterr()
        return int(code), captured.out + captured.err

    return run


def test_the_pytest_option_runs_a_component_without_a_test_file(
    folder: Path, pytest_of: Callable[..., Any], preloaded: Start
) -> None:
    """First as an author does, in a process that has imported nothing of the kit."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    sound = ["--lasar-plugin", "aligner:shifted", "--lasar-path", "."]
    done = preloaded("pytest", *PYTEST, *sound, folder=folder)
    assert (done.returncode, "20 passed" in done.stdout) == (0, True), done.stdout + done.stderr
    code, out = pytest_of(folder, *sound, "--lasar-set", "shift=0.5")
    assert (code, "1 failed, 19 passed" in out) == (1, True), out
    assert "zero_on_identity: the loss is 0.5 instead of 0 at [0, 0]" in out
    code, out = pytest_of(folder, "--lasar-plugin", "aligner:shiftd", "--lasar-path", ".")
    assert (code, "unknown aligner 'shiftd'; did you mean 'shifted'?" in out) == (4, True), out


DECORATED = """\
from lasar_kit.testing import parametrize_with_checks

@parametrize_with_checks(
    [("aligner", {{"use": "shifted", "shift": {shift}}})],
    expected_failures={{"zero_on_identity": "a reason"}},
    plugin_paths=["."],
)
def test_contract(check):
    check()
"""


def test_expected_failures_are_strict(folder: Path, pytest_of: Callable[..., Any]) -> None:
    code, out = pytest_of(folder, tests=DECORATED.format(shift=0.5))
    assert (code, "19 passed, 1 xfailed" in out) == (0, True), out
    assert "aligner-shifted-zero_on_identity] - a reason" in out.replace("reason: ", "")
    code, out = pytest_of(folder, tests=DECORATED.format(shift=0.0))
    assert (code, "1 failed, 19 passed" in out) == (1, True), out
    assert "zero_on_identity passed, but is declared to fail: a reason" in out


def test_expected_failures_have_a_name_and_a_reason() -> None:
    with pytest.raises(UserError, match=r"no check 'zero_on_identit'; did you mean 'zero_on_identity'\?"):
        parametrize_with_checks([("aligner", "none")], {"zero_on_identit": "a reason"})
    with pytest.raises(UserError, match="zero_on_identity: give the reason"):
        parametrize_with_checks([("aligner", "none")], {"zero_on_identity": " "})


def test_the_checks_of_a_kind_are_named_once() -> None:
    names = [check.name for check in checks_for("decoder")]
    assert len(set(names)) == len(names)
    assert "best_come_first" in names
    results = check_component("reward", "rule")
    assert [result.check.name for result in results] == [check.name for check in checks_for("reward")]


def test_what_cannot_be_checked_without_an_option(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It may be absent from a spec, but the items of the checks have ids of another form."""
    assert call("plugins", "check", "quantizer", "from_index") == 2
    assert capsys.readouterr().err == (
        "quantizer from_index: cannot be checked without path: add --set path=…; the items of the checks are "
        "called item-0 to item-7\n"
    )
    index = {f"item-{item}": [f"<a_{item // 4}>", f"<b_{item % 4}>"] for item in range(8)}
    (tmp_path / "index.json").write_text(json.dumps(index))
    assert (
        call("plugins", "check", "quantizer", "from_index", "--set", f"path={tmp_path / 'index.json'}") == 0
    )


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_an_unset_option_is_what_stands_between_a_builtin_and_its_checks(kind: str, name: str) -> None:
    told = ""
    try:
        assert subject_of(kind, name).component is not None
    except UserError as error:
        told = error.lines[0]
    assert re.match(rf"$|{kind} {name}: (\w+: is missing|cannot be checked without \w+: add)", told)


def test_without_hypothesis_the_pip_line_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'needs hypothesis: pip install "lasar-kit\[testing\]"'):
        checks_for("aligner")


def test_importing_the_suite_imports_no_torch() -> None:
    script = (
        "import sys, lasar_kit.cli.main, lasar_kit.testing, lasar_kit.testing.pytest_plugin\n"
        "print(sorted({'torch', 'hypothesis', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"
